// Package memmon reads how much memory the process uses, how much it may use, and says
// when the one comes close to the other.
//
// Read takes one reading. A MemoryManager takes them again and again, the more often the
// less room is left, and names the tier it finds; what is done about a tier is its
// owner's matter, who is told by Config.OnChange.
//
// Nothing here stops the world: the heap comes from runtime/metrics, what agloop's own
// buffers hold from bufpool's live count.
package memmon

import (
	"math"
	"runtime/metrics"
	"sync"

	"github.com/agloop/agloop/bufpool"
)

// Reading is the state of memory at one moment, in bytes.
type Reading struct {
	Total   int64 // mapped by the Go runtime and not returned to the system
	Heap    int64 // live and dead objects
	Stacks  int64
	Buffers int64 // lent by bufpool, part of Heap
	Limit   int64 // what Total is held against: Limit(), in a MemoryManager's readings its budget
}

// Pressure is Total as a fraction of Limit; 0 when there is no limit.
func (r Reading) Pressure() float64 { return r.percent() / 100 }

// percent multiplies first, so that a whole percentage comes out whole.
func (r Reading) percent() float64 {
	if r.Limit <= 0 {
		return 0
	}
	return 100 * float64(r.Total) / float64(r.Limit)
}

// samples of a reading, in this order.
const (
	total = iota
	released
	objects
	stacks
	softLimit
	sampleCount
)

// samplePool keeps the samples between readings: metrics.Read makes them escape.
var samplePool = sync.Pool{New: func() any {
	return &[sampleCount]metrics.Sample{
		total:     {Name: "/memory/classes/total:bytes"},
		released:  {Name: "/memory/classes/heap/released:bytes"},
		objects:   {Name: "/memory/classes/heap/objects:bytes"},
		stacks:    {Name: "/memory/classes/heap/stacks:bytes"},
		softLimit: {Name: "/gc/gomemlimit:bytes"},
	}
}}

// Read takes a reading. It costs a few microseconds and allocates nothing. GOMEMLIMIT is
// read anew, the limits that stand in files at most every ten seconds. Any goroutine may
// call it.
func Read() Reading {
	s := samplePool.Get().(*[sampleCount]metrics.Sample)
	defer samplePool.Put(s)
	metrics.Read(s[:])
	n := func(i int) int64 { return int64(s[i].Value.Uint64()) }
	return Reading{
		Total:   n(total) - n(released),
		Heap:    n(objects),
		Stacks:  n(stacks),
		Buffers: bufpool.Live(),
		Limit:   least(n(softLimit), system.limit()),
	}
}

// Limit is the least of GOMEMLIMIT, the limits of the cgroup (v2 and v1) and of its
// parents, and physical memory, in bytes; 0 when none is known. It is as fresh as Read's.
func Limit() int64 { return Read().Limit }

// least is the lower of two limits, math.MaxInt64 being none; 0 when there is none.
func least(a, b int64) int64 {
	if l := min(a, b); l != math.MaxInt64 {
		return l
	}
	return 0
}
