package loop

import (
	"sync"

	"github.com/agloop/agloop/batch"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec"
)

// held is what a connection holds of bytes that are under way, and what else only a
// busy or closing one needs. A connection at rest has none.
type held struct {
	head   *bufpool.Buffer // request head so far, while handshaking
	scan   int             // where to go on looking for its end
	reader codec.Reader
	began  uint32      // tick of the first byte of the message in reader; 0: none
	pong   []byte      // payload of the latest ping that could not be answered yet
	owed   bool        // pong is to be sent
	why    *CloseError // how the connection ends, once that is known

	unsent *batch.Queue // what the kernel had no room for and gnet was not given; nil for nothing
	inGnet int          // bytes in gnet's outbound buffer, as of our last look
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
	if h.unsent != nil {
		h.unsent.Free()
	}
	h.reader.Reset()
	*h = held{pong: h.pong[:0]}
	helds.Put(h)
}

// rest gives the held back once nothing is in it.
func (c *Conn) rest() {
	if h := c.held; h != nil && h.head == nil && !h.owed && h.why == nil && h.unsent == nil && h.inGnet == 0 && h.reader.Empty() {
		h.free()
		c.held = nil
	}
}
