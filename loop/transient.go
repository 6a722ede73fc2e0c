package loop

import (
	"sync"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/deflate"
	"github.com/agloop/agloop/codec/frame"
)

// transient is what a connection needs only while something is under way on it: a request head or
// message that is not whole yet, or its end. A connection at rest has none.
type transient struct {
	head   *bufpool.Buffer // request head so far, while handshaking; what comes behind it, while judging; what is kept, while paused
	scan   int             // where to go on looking for the end of the head; how much of what is kept was looked at
	judged *judgement      // while judging
	shake  *tlsHandshake   // while securing
	link   *tlsLink        // of a connection that spoke TLS before it came to a loop

	deflate  deflate.Params // what was agreed on, until the connection is established
	response []byte         // to be sent first, on a connection whose handshake was done elsewhere
	reader   frame.Reader
	began    uint32      // tick of the first byte of the message in reader; 0: none
	counted  int         // bytes of reader, and of what is kept, in the ledger
	why      *CloseError // how the connection ends, once that is known

	// Since a ping that found bytes which the peer had not acknowledged:
	behind bool   // there were some
	acked  uint64 // what it had acknowledged then
}

var transients = sync.Pool{New: func() any { return new(transient) }}

// ensureTransient returns the transient, a new one if there is none.
func (c *Conn) ensureTransient() *transient {
	if c.transient == nil {
		c.transient = transients.Get().(*transient)
	}
	return c.transient
}

func (h *transient) free() {
	if h.judged != nil {
		h.judged.cancel()
	}
	if h.shake != nil {
		h.shake.abandon()
	}
	h.dropHead()
	h.reader.Reset()
	*h = transient{}
	transients.Put(h)
}

func (h *transient) dropHead() {
	if h.head != nil {
		h.head.Release()
		h.head, h.scan = nil, 0
	}
}

// trimTransient gives the transient back once nothing is in it.
func (c *Conn) trimTransient() {
	if h := c.transient; h != nil && h.head == nil && h.judged == nil && h.shake == nil && h.link == nil && h.response == nil && !h.deflate.On && h.why == nil && !h.behind && h.reader.Empty() {
		c.dropTransient()
	}
}

// dropTransient gives the transient back with whatever is in it.
func (c *Conn) dropTransient() {
	if h := c.transient; h != nil {
		c.transient = nil
		c.Hold(-h.counted)
		h.free()
	}
}
