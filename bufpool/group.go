package bufpool

import (
	"math/bits"
	"sync/atomic"
)

// The word of a group, from the lowest bit: one bit for each slot that is filled, one bit for each
// slot that is revoked, and above them how often a buffer was popped. The count makes every word
// new, so a compare-and-swap cannot mistake an old state for the present one (the ABA problem).
const (
	slots        = 8
	filled       = 1<<slots - 1
	revokedShift = slots
	popsShift    = 2 * slots
	onePop       = 1 << popsShift
	cacheLine    = 64
)

// group is eight slots of one class. A slot is in one of four states: free; claimed by a buffer
// that is lent; filled with that buffer; or revoked, while the buffer that claimed it is still
// lent. The pointer in a slot needs no lock: the owner of the buffer writes it before the bit is
// set, and then whoever has cleared the bit.
type group struct {
	// Any goroutine.
	word atomic.Uint64

	// Whoever released the buffer of the slot, then whoever cleared its bit.
	buf [slots]*Buffer

	// Immutable.
	next  *group // older group of the class
	class int32

	// Any goroutine; written under Pool.mu while no slot is held.
	shard atomic.Uint32

	// Any goroutine, under Pool.mu.
	claimed            uint8  // slots that are not free
	prevOpen, nextOpen *group // in the list of groups that have a free slot

	// Two cache lines, so that two groups never share one.
	_ [2*cacheLine - 8 - 8*slots - 8 - 8 - 8 - 16]byte
}

// groupList is a list of groups with a free slot. Under Pool.mu.
type groupList struct{ first *group }

func (l *groupList) add(g *group) {
	if g.nextOpen = l.first; g.nextOpen != nil {
		g.nextOpen.prevOpen = g
	}
	l.first = g
}

func (l *groupList) remove(g *group) {
	if g.nextOpen != nil {
		g.nextOpen.prevOpen = g.prevOpen
	}
	if g.prevOpen != nil {
		g.prevOpen.nextOpen = g.nextOpen
	} else {
		l.first = g.nextOpen
	}
	g.prevOpen, g.nextOpen = nil, nil
}

// pop returns an idle buffer of g and empties its slot, or returns nil if no slot is filled.
func (g *group) pop() *Buffer {
	for {
		w := g.word.Load()
		bit := w & filled & -(w & filled)
		if bit == 0 {
			return nil
		}
		if g.word.CompareAndSwap(w, w-bit+onePop) {
			return g.emptySlot(bit)
		}
	}
}

// emptySlot returns the buffer of the slot whose bit the caller has just cleared.
func (g *group) emptySlot(bit uint64) *Buffer {
	i := bits.TrailingZeros64(bit) & (slots - 1)
	b := g.buf[i]
	// A lent buffer is not referenced here, so that one that is never released is collected.
	g.buf[i] = nil
	return b
}

// put returns b to the slot it has claimed in g. It reports false if the slot has been revoked.
func (g *group) put(b *Buffer) bool {
	i := b.slot & (slots - 1)
	g.buf[i] = b
	bit := uint64(1) << i
	for {
		w := g.word.Load()
		if w&(bit|bit<<revokedShift) != 0 {
			if w&bit != 0 {
				panicReleased()
			}
			return false
		}
		if g.word.CompareAndSwap(w, w|bit) {
			return true
		}
	}
}

// lent is the mask of the slots whose buffers are lent and may return. Under Pool.mu.
func (g *group) lent() uint64 {
	w := g.word.Load()
	return uint64(g.claimed) &^ w &^ (w >> revokedShift) & filled
}

// idle is the number of filled slots.
func (g *group) idle() int { return bits.OnesCount64(g.word.Load() & filled) }

// pops is how often a buffer was popped.
func (g *group) pops() uint64 { return g.word.Load() >> popsShift }

// revoke closes a slot whose buffer is lent. It reports false if the buffer has returned meanwhile.
// Under Pool.mu.
func (g *group) revoke(bit uint64) bool {
	for {
		w := g.word.Load()
		if w&bit != 0 {
			return false
		}
		if g.word.CompareAndSwap(w, w|bit<<revokedShift) {
			return true
		}
	}
}

// clearFilled clears the bits of the filled slots among mask and returns which they were. Under
// Pool.mu.
func (g *group) clearFilled(mask uint64) uint64 {
	mask &= filled
	return g.word.And(^mask) & mask
}
