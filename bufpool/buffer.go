package bufpool

import "sync/atomic"

// Buffer is a lent slice of bytes with a count of its owners. A Pool makes it.
type Buffer struct {
	// B is the content. Owners may reslice and append within its capacity; growing beyond it goes
	// through Grow, so that the accounting stays true.
	B []byte

	// Immutable.
	pool  *Pool
	class uint8
	shard uint32 // where it was made, and gets its slot

	// The owners; the pool while there are none.
	mem   []byte // the whole memory, as lent
	group *group // where its slot is; nil if it has none
	slot  uint8

	// refs counts the owners. A sole owner writes it without a locked instruction, because nobody
	// else may touch it and that instruction is a quarter of the cost of Get and Release.
	refs int32
}

// lend gives an idle or new buffer to its first owner.
func (b *Buffer) lend() *Buffer {
	b.B = b.mem[:0]
	b.refs = 1
	return b
}

// Retain adds an owner and returns b.
func (b *Buffer) Retain() *Buffer {
	b.checkAlive()
	atomic.AddInt32(&b.refs, 1)
	return b
}

// Release gives up one reference. After the last one the memory may be lent again at once, so no
// slice of B may be kept. Releasing more often than there were references panics.
func (b *Buffer) Release() {
	if atomic.LoadInt32(&b.refs) == 1 {
		b.refs = 0
	} else if n := atomic.AddInt32(&b.refs, -1); n > 0 {
		return
	} else if n < 0 {
		panicReleased()
	}
	b.B = nil
	b.poison()
	g := b.group
	if g == nil || !g.put(b) {
		b.pool.reclaim(b)
		return
	}
	b.pool.noteIdle(int(b.class), g)
}

func panicReleased() { panic("bufpool: buffer released more often than retained") }

// Grow returns a buffer with b's content and room for n more bytes: b itself, or a larger one of
// the same pool, in which case b has been released. The capacity at least doubles, so that a buffer
// filled in small steps is copied a bounded number of times. Only a sole owner may grow a buffer;
// growing a shared one panics.
func (b *Buffer) Grow(n int) *Buffer {
	b.checkAlive()
	need := len(b.B) + n
	if need <= cap(b.B) {
		return b
	}
	if atomic.LoadInt32(&b.refs) != 1 {
		panic("bufpool: Grow of a shared buffer")
	}
	g := b.pool.Get(max(need, 2*len(b.mem)))
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

// Cap is the size of the lent memory in bytes, also when B does not begin at its start.
func (b *Buffer) Cap() int { return len(b.mem) }

// Spare is the number of bytes that can be appended to B without growing.
func (b *Buffer) Spare() int { return cap(b.B) - len(b.B) }
