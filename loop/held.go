package loop

import (
	"sync"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/frame"
)

// held is what a connection holds of bytes that are under way, and what else only a
// busy or closing one needs. A connection at rest has none.
type held struct {
	head    *bufpool.Buffer // request head so far, while handshaking
	scan    int             // where to go on looking for its end
	reader  frame.Reader
	began   uint32      // tick of the first byte of the message in reader; 0: none
	counted int         // bytes of reader in the ledger
	why     *CloseError // how the connection ends, once that is known

	// Since a ping that found bytes which the peer had not acknowledged:
	behind bool   // there were some
	acked  uint64 // what it had acknowledged then
}

var helds = sync.Pool{New: func() any { return new(held) }}

func (c *Conn) hold() *held {
	if c.held == nil {
		c.held = helds.Get().(*held)
	}
	return c.held
}

func (h *held) free() {
	if h.head != nil {
		h.head.Release()
	}
	h.reader.Reset()
	*h = held{}
	helds.Put(h)
}

// rest gives the held back once nothing is in it.
func (c *Conn) rest() {
	if h := c.held; h != nil && h.head == nil && h.why == nil && !h.behind && h.reader.Empty() {
		c.dropHeld()
	}
}

// dropHeld gives the held back with whatever is in it.
func (c *Conn) dropHeld() {
	if h := c.held; h != nil {
		c.held = nil
		c.Hold(-h.counted)
		h.free()
	}
}
