// Package memmon counts the bytes that agloop holds, reads how much memory the process uses, and
// says when either comes close to its limit.
//
// It is a building block of agloop: its API may change in any minor release, except for what
// package agloop names by an alias.
//
// A Ledger counts bytes as they are added and removed. Read takes one reading of the process. A
// MemoryManager takes readings repeatedly, more often the less room is left, compares them and its
// ledger with their limits, and names a tier. It calls Config.OnChange, whose owner decides what to
// do about a tier.
//
// Garbage is not counted as pressure: it is collected before a tier is decided by it. Only that
// collection stops the world, since the other figures come from runtime/metrics.
package memmon

import (
	"math"
	"runtime/metrics"
	"sync"

	"github.com/agloop/agloop/bufpool"
)

// Reading is the state of memory at one moment, in bytes.
type Reading struct {
	// Of the process.
	Total   int64 // mapped by the Go runtime and not returned to the system, garbage included
	Heap    int64 // live and dead objects
	Live    int64 // objects that the last garbage collection found alive, and stacks in use
	Stacks  int64
	Buffers int64 // lent by bufpool, part of Heap
	Limit   int64 // the limit of Live: Limit(); 0 when none is known

	// Of what agloop holds, by the ledger. Only a MemoryManager's readings have it; 0 in others.
	Held   int64 // all of it
	InOut  int64 // what connections hold in and out together, part of Held: today all of it
	Budget int64 // the limit of Held; 0 when none is known
}

// inOutShare is the part of the budget that connections may hold in and out together.
const inOutShare = 0.25

// Share is inOutShare of Budget, in bytes.
func (r Reading) Share() int64 { return int64(inOutShare * float64(r.Budget)) }

// excess is by how many bytes connections exceed their share, 0 when they do not.
func (r Reading) excess() int64 {
	if r.Budget <= 0 {
		return 0
	}
	return max(0, r.InOut-r.Share())
}

// Pressure is the greater of two fractions: Held of Budget, and Live of Limit. One whose limit is
// not known is 0.
func (r Reading) Pressure() float64 { return r.pressurePercent() / 100 }

func (r Reading) pressurePercent() float64 { return max(percentage(r.Held, r.Budget), r.livePercent()) }
func (r Reading) livePercent() float64     { return percentage(r.Live, r.Limit) }
func (r Reading) mappedPercent() float64   { return percentage(r.Total, r.Limit) }

// percentage multiplies before it divides, so that 85 of 100 is exactly 85.
func percentage(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// bytesAt is the least number of bytes that is at least percent of whole.
func bytesAt(percent float64, whole int64) int64 {
	return int64(math.Ceil(float64(whole) * percent / 100))
}

// samples of a reading, in this order.
const (
	total = iota
	released
	objects
	live
	stacks
	softLimit
	sampleCount
)

// samplePool reuses the samples, which metrics.Read would otherwise move to the heap at each
// reading.
var samplePool = sync.Pool{New: func() any {
	return &[sampleCount]metrics.Sample{
		total:     {Name: "/memory/classes/total:bytes"},
		released:  {Name: "/memory/classes/heap/released:bytes"},
		objects:   {Name: "/memory/classes/heap/objects:bytes"},
		live:      {Name: "/gc/heap/live:bytes"},
		stacks:    {Name: "/memory/classes/heap/stacks:bytes"},
		softLimit: {Name: "/gc/gomemlimit:bytes"},
	}
}}

// Read takes a reading. It costs about a microsecond and allocates nothing. GOMEMLIMIT is read each
// time, the limits in files at most every ten seconds. Any goroutine may call it.
func Read() Reading {
	s := samplePool.Get().(*[sampleCount]metrics.Sample)
	defer samplePool.Put(s)
	metrics.Read(s[:])
	n := func(i int) int64 { return int64(s[i].Value.Uint64()) }
	return Reading{
		Total:   n(total) - n(released),
		Heap:    n(objects),
		Live:    n(live) + n(stacks),
		Stacks:  n(stacks),
		Buffers: bufpool.InUse(),
		Limit:   least(n(softLimit), system.limit()),
	}
}

// Limit is the least of GOMEMLIMIT, the limits of the cgroup (v2 and v1) and of its parents, and
// physical memory, in bytes; 0 when none is known. It is as fresh as Read's.
func Limit() int64 { return Read().Limit }

// least is the lower of two limits, math.MaxInt64 being none; 0 when there is none.
func least(a, b int64) int64 {
	if l := min(a, b); l != math.MaxInt64 {
		return l
	}
	return 0
}
