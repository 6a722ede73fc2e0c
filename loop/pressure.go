package loop

import (
	"cmp"
	"slices"

	"github.com/agloop/agloop/codec/frame"
)

// SetShedding makes the door answer new connections with 503 while memory is short.
// Any goroutine.
func (d *Door) SetShedding(on bool) { d.shedding.Store(on) }

// minShed is the least outbox worth a connection, in bytes: cutting one frees about
// that much.
const minShed = 16 << 10

// CutLargest cuts, with 1013, the connections for which most bytes wait, the largest first,
// until so many bytes are chosen; none with less than 16 KiB. It returns how many
// connections were chosen and what waited for them, in bytes. Any goroutine but a loop.
func (d *Door) CutLargest(bytes int64) (conns int, freed int64) {
	type holder struct {
		conn  *Conn
		holds int
	}
	var holders []holder
	d.slots.Each(func(c *Conn) {
		if n := c.Buffered(); n >= minShed {
			holders = append(holders, holder{c, n})
		}
	})
	slices.SortFunc(holders, func(a, b holder) int { return cmp.Compare(b.holds, a.holds) })
	for _, h := range holders {
		if freed >= bytes {
			break
		}
		if h.conn.cutOff(frame.CloseTryLater) {
			conns++
			freed += int64(h.holds)
		}
	}
	return conns, freed
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
