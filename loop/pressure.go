package loop

import (
	"github.com/agloop/agloop/codec/frame"
)

// SetShedding makes the door answer new connections with 503 while memory is short. Any goroutine.
func (d *Door) SetShedding(on bool) { d.shedding.Store(on) }

// cutOff asks the loop to cut c at once. It reports whether c was not closing anyway.
func (c *Conn) cutOff(code frame.CloseCode) bool {
	act, ok := c.tryCut(code)
	c.perform(act, 0)
	return ok
}

func (c *Conn) tryCut(code frame.CloseCode) (action, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outFlags&outClosing != 0 {
		return actNone, false
	}
	return c.markCut(code), true
}

func (c *Conn) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outFlags&outCut != 0
}

// markCut notes that c is to be cut. Under mu.
func (c *Conn) markCut(code frame.CloseCode) action {
	c.outFlags |= outClosing | outCut
	c.code = code
	if c.marked(markCorked) {
		return actNone // the turn under way will see it
	}
	return actLoop
}
