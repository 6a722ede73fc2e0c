package loop

import (
	"cmp"
	"slices"
	"sync"

	"github.com/agloop/agloop/codec/frame"
)

// What a connection holds is counted in the engine's ledger, by the capacity of its buffers: the
// outbox under Conn.mu, the message being assembled by the loop, what the host keeps by whoever
// keeps it. Conn.holds is the sum of them. A connection that holds much is on a list of its loop,
// so that finding the largest looks at no others.

// minHolder is how much a connection must hold to be worth cutting, in bytes.
const minHolder = 16 << 10

// holders are the connections of one loop that held much since they were last looked at.
type holders struct {
	mu    sync.Mutex // Conn.mu may be held
	conns map[*Conn]struct{}
}

// Hold counts n more bytes that the host keeps for this connection, such as messages that wait to
// be worked on; a negative n takes them off again. They count as held by the connection when memory
// is short and the connections that hold most are cut. Any goroutine, also after the connection is
// gone.
func (c *Conn) Hold(n int) {
	if n == 0 {
		return
	}
	l := c.loop
	l.eng.ledger.Add(l.stripe, n)
	if c.holds.Add(int32(n)) >= minHolder && n > 0 && !c.marked(markHolder) {
		l.holders.add(c)
	}
}

// countOut brings the ledger up to date with the outbox. Under mu.
func (c *Conn) countOut() {
	if o := c.out.Load(); o != nil {
		n := o.Memory() - o.counted
		if ly := c.layers(); ly != nil {
			n += ly.memory()
		}
		o.counted += n
		c.Hold(n)
	}
}

// countIn brings the ledger up to date with what has been read of a message, and what is kept of those
// behind it. On the loop.
func (c *Conn) countIn() {
	if h := c.transient; h != nil {
		n := h.reader.Memory() - h.counted
		if h.head != nil && c.state == open {
			n += cap(h.head.B)
		}
		h.counted += n
		c.Hold(n)
	}
}

func (h *holders) add(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.marks.Or(markHolder)&markGone != 0 {
		return
	}
	if h.conns == nil {
		h.conns = make(map[*Conn]struct{})
	}
	h.conns[c] = struct{}{}
}

// remove takes a connection that is gone off the list.
func (h *holders) remove(c *Conn) {
	if c.marks.Or(markGone)&markHolder == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// appendTo appends those that still hold much to list, and forgets the others.
func (h *holders) appendTo(list []*Conn) []*Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		if c.holds.Load() < minHolder {
			c.marks.And(^markHolder)        // first: who holds more from now on adds it again
			if c.holds.Load() < minHolder { // nor was it so meanwhile
				delete(h.conns, c)
				continue
			}
			c.marks.Or(markHolder)
		}
		list = append(list, c)
	}
	return list
}

// CutLargest cuts, with 1013, the connections that hold most in and out together, the largest
// first, until so many bytes or so many connections are chosen; none that holds less than 16 KiB. What
// is cut already counts with the bytes that it holds yet: no other is cut since a loop is slow to
// release them. It returns how many were chosen and the bytes. Any goroutine but a loop.
func (e *Engine) CutLargest(bytes int64, most int) (conns int, freed int64) {
	var list []*Conn
	for _, l := range e.all() {
		list = l.holders.appendTo(list)
	}
	slices.SortFunc(list, func(a, b *Conn) int { return cmp.Compare(b.holds.Load(), a.holds.Load()) })
	for _, c := range list {
		if freed >= bytes || conns == most {
			break
		}
		held := int64(c.holds.Load())
		switch {
		case c.cutOff(frame.CloseTryLater):
			conns++
		case !c.isCut():
			continue // it closes in order, and may take its time
		}
		freed += held
	}
	return conns, freed
}
