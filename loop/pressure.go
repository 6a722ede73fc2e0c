package loop

import (
	"math/bits"

	"github.com/agloop/agloop/codec/frame"
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
	act, ok := c.tryCut(code)
	c.perform(act, 0)
	return ok
}

func (c *Conn) tryCut(code frame.CloseCode) (action, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags&isClosing != 0 {
		return wait, false
	}
	return c.markCut(code), true
}

// markCut notes that c is to be cut. Under mu.
func (c *Conn) markCut(code frame.CloseCode) action {
	c.flags |= isClosing | isCut
	c.code = code
	if c.marked(isCorked) {
		return wait // the turn under way will see it
	}
	return toLoop
}

// SetPressureHook has f called when bytes begin to pile up for a connection: at
// Backpressure, and when a message is assembled in a large buffer. f runs wherever
// that happens and must return at once. Any goroutine; nil takes it off.
func (e *Engine) SetPressureHook(f func()) {
	if f == nil {
		e.piling.Store(nil)
		return
	}
	e.piling.Store(&f)
}

func (e *Engine) pile() {
	if f := e.piling.Load(); f != nil {
		(*f)()
	}
}
