package loop

import (
	"math/bits"
	"sync/atomic"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/metrics"
)

// SetShedding makes the door answer new connections with 503 while memory is short.
// Any goroutine.
func (d *Door) SetShedding(on bool) { d.shedding.Store(on) }

// minShed is the least outbox worth a connection, in bytes: cutting one frees about
// that much.
const minShed = 16 << 10

// CutLargest cuts the connections for which most bytes wait, with 1013: those of the
// largest power of two, at most perLoop on each loop, and none with less than 16 KiB. It returns
// how many were chosen and what waited for them, in bytes. Any goroutine but a loop.
func (d *Door) CutLargest(perLoop int) (conns int, bytes int64) {
	var buckets [bits.UintSize + 1][]*Conn
	top := 0
	d.slots.Each(func(c *Conn) {
		n := c.Buffered()
		if n < minShed {
			return
		}
		b := bits.Len(uint(n))
		buckets[b] = append(buckets[b], c)
		top = max(top, b)
	})
	onLoop := map[*Loop]int{}
	for _, c := range buckets[top] {
		waits := int64(c.Buffered())
		if onLoop[c.loop] < perLoop && c.cutOff(frame.CloseTryLater) {
			onLoop[c.loop]++
			conns++
			bytes += waits
		}
	}
	return conns, bytes
}

// cutOff asks the loop to cut c at once. False means that it is closing anyway.
func (c *Conn) cutOff(code frame.CloseCode) bool {
	c.mu.Lock()
	if c.flags&isClosing != 0 {
		c.mu.Unlock()
		return false
	}
	act, at := c.markCut(code)
	c.mu.Unlock()
	c.perform(act, at, urgent)
	return true
}

// markCut notes that c is to be cut. Under mu.
func (c *Conn) markCut(code frame.CloseCode) (action, int64) {
	c.flags |= isClosing | isCut
	c.code = code
	return c.schedule(urgent)
}

// refusals counts what was turned away, see metrics.Refusals.
type refusals struct{ slots, memory, address, messages, bytes, runs, shed atomic.Uint64 }

// Refusals reads what was turned away, by reason. Any goroutine.
func (d *Door) Refusals() metrics.Refusals {
	r := &d.refused
	return metrics.Refusals{
		Slots: r.slots.Load(), Memory: r.memory.Load(), AddressRate: r.address.Load(),
		MessageRate: r.messages.Load(), ByteRate: r.bytes.Load(), RunRate: r.runs.Load(),
	}
}

// RunRefused counts a run that its connection's rate did not allow. Any goroutine.
func (d *Door) RunRefused() { d.refused.runs.Add(1) }

// Shed is the number of connections cut for the memory of their outbox. Any goroutine.
func (d *Door) Shed() uint64 { return d.refused.shed.Load() }
