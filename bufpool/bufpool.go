// Package bufpool lends byte buffers by size class and counts the bytes that are out.
//
// A Buffer has one or more owners, each holding a reference; the last Release
// hands the memory back. Between Get and the last Release the bytes belong to the
// owners, afterwards to nobody: under the build tag aguidebug a second release and a
// use after release panic, and released memory is overwritten so that a slice
// kept too long shows itself.
//
// All functions and methods may be called from any goroutine. The bytes
// themselves are not synchronised: whoever shares a Buffer shares it read-only.
package bufpool

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Size classes are powers of two from MinSize to MaxSize bytes.
// Larger buffers are made to measure, counted, and left to the garbage collector.
const (
	MinSize = 256
	MaxSize = 64 << 10

	minShift = 8  // log2(MinSize)
	maxShift = 16 // log2(MaxSize)
	classes  = maxShift - minShift + 1
	unpooled = -1
)

var pools [classes]sync.Pool

// live counts the capacity of all buffers out of the pool, in bytes.
var live atomic.Int64

// Buffer is a lent slice of bytes with a count of its owners.
type Buffer struct {
	// B is the content. Owners may reslice and append within its capacity;
	// growing beyond it goes through Grow, so that the accounting stays true.
	B []byte

	mem   []byte // the whole memory, as lent
	refs  atomic.Int32
	class int8
}

// Get returns an empty buffer with room for at least n bytes and one reference.
func Get(n int) *Buffer {
	c := classOf(n)
	if c == unpooled {
		b := &Buffer{mem: make([]byte, n), class: unpooled}
		return b.lend()
	}
	b, _ := pools[c].Get().(*Buffer)
	if b == nil {
		b = &Buffer{mem: make([]byte, MinSize<<c), class: int8(c)}
	}
	return b.lend()
}

func (b *Buffer) lend() *Buffer {
	b.B = b.mem[:0]
	b.refs.Store(1)
	live.Add(int64(len(b.mem)))
	return b
}

// Retain adds an owner and returns b.
func (b *Buffer) Retain() *Buffer {
	b.checkAlive()
	b.refs.Add(1)
	return b
}

// Release gives up one reference. With the last one the memory may be lent to
// somebody else at once, so no slice of B may be kept.
func (b *Buffer) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("bufpool: buffer released more often than retained")
	}
	live.Add(-int64(len(b.mem)))
	b.B = nil
	if b.class == unpooled {
		b.mem = nil
		return
	}
	b.poison()
	pools[b.class].Put(b)
}

// Grow returns a buffer with b's content and room for n more bytes: b itself,
// or a larger one, in which case b has been released. Capacity at least doubles, so
// that filling a buffer in small steps copies every byte a bounded number of times.
// Only a sole owner may grow a buffer.
func (b *Buffer) Grow(n int) *Buffer {
	b.checkAlive()
	need := len(b.B) + n
	if need <= cap(b.B) {
		return b
	}
	if b.refs.Load() != 1 {
		panic("bufpool: Grow of a shared buffer")
	}
	g := Get(max(need, 2*len(b.mem)))
	g.B = append(g.B, b.B...)
	b.Release()
	return g
}

// Append adds p to b and returns the buffer that now holds both, as Grow does.
func (b *Buffer) Append(p []byte) *Buffer {
	b = b.Grow(len(p))
	b.B = append(b.B, p...)
	return b
}

// Spare is the number of bytes that fit without growing.
func (b *Buffer) Spare() int { return cap(b.B) - len(b.B) }

// Live is the number of bytes out of the pool now, by capacity. The count is exact.
func Live() int64 { return live.Load() }

// classOf is the smallest class that holds n bytes, or unpooled.
func classOf(n int) int {
	if n <= MinSize {
		return 0
	}
	if n > MaxSize {
		return unpooled
	}
	return bits.Len(uint(n-1)) - minShift
}
