package loop

import (
	"bytes"
	"sync"

	"github.com/agloop/agloop/batch"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/frame"
)

// readBuffer is what one read takes at most, in bytes. Each loop has one such buffer. A message that does not lie in it
// whole is copied, and large messages are copied the less the more of them fit.
const readBuffer = 256 << 10

// held is what a connection holds of bytes that are under way, and what else only a
// busy or closing one needs. A connection at rest has none.
type held struct {
	head   *bufpool.Buffer // request head so far, while handshaking
	scan   int             // where to go on looking for its end
	reader frame.Reader
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

// receive takes bytes from the peer. It takes them all: what is not whole is
// copied into a held, never left to gnet.
func (c *Conn) receive(view []byte) {
	for len(view) > 0 {
		var n int
		switch c.state {
		case handshaking:
			n = c.handshake(view)
		case open, closing:
			n = c.frame(view)
		default:
			return // nobody waits for these bytes
		}
		view = view[n:]
	}
	c.rest()
}

// frame takes the next message from view: in place when it lies there whole,
// otherwise by way of the Reader.
func (c *Conn) frame(view []byte) (n int) {
	lim := &c.door.frames
	if c.held == nil || c.held.reader.Empty() {
		m, n, err := frame.Whole(view, lim)
		if err != nil {
			c.fail(err)
			return len(view)
		}
		if n > 0 {
			c.deliver(m)
			return n
		}
	}
	h := c.hold()
	m, n, err := h.reader.Next(view, lim)
	if err != nil {
		c.fail(err)
		return len(view)
	}
	if h.began == 0 {
		h.began = c.loop.nowTick()
		c.hurry(c.messageDeadline())
	}
	if m.Opcode != 0 {
		if !m.Opcode.Control() || h.reader.Empty() {
			h.began = 0
		}
		c.deliver(m)
	}
	return n
}

// deliver acts on a whole message or control frame.
func (c *Conn) deliver(m frame.Message) {
	switch m.Opcode {
	case frame.Ping:
		c.pingIn(m.Payload)
	case frame.Pong:
	case frame.Close:
		c.closeIn(m.Payload)
	default:
		if c.state != open || c.marked(isEnding) {
			return // we have said goodbye already
		}
		if !c.loop.allow(c, len(m.Payload)) {
			c.fail(errRate)
			return
		}
		c.loop.messages++
		c.touch()
		if c.door.copying.Load() {
			m.Payload = bytes.Clone(m.Payload)
		}
		c.door.handler.OnMessage(c, m.Opcode, m.Payload)
	}
}

// maxPongs is how many bytes may wait before pongs are held back.
const maxPongs = 4 << 10

// pingIn answers a ping. While the peer does not read, only the latest is kept
// (RFC 6455 section 5.5.3), so a flood of pings cannot fill the outbox.
func (c *Conn) pingIn(payload []byte) {
	if c.Buffered() < maxPongs {
		c.send(frame.Pong, payload, urgent)
		return
	}
	h := c.hold()
	h.pong, h.owed = append(h.pong[:0], payload...), true
	c.mu.Lock()
	c.flags |= isOwed
	c.mu.Unlock()
}

// pongOwed sends the pong that waited for room.
func (c *Conn) pongOwed() {
	if c.held != nil && c.held.owed {
		c.held.owed = false
		c.mu.Lock()
		c.flags &^= isOwed
		c.mu.Unlock()
		c.send(frame.Pong, c.held.pong, urgent)
		c.rest()
	}
}
