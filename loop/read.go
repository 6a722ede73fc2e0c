package loop

import (
	"bytes"
	"sync"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec"
)

// inbound is what a connection holds of bytes that are not whole yet. A
// connection at rest has none.
type inbound struct {
	head   *bufpool.Buffer // request head so far, while handshaking
	scan   int             // where to go on looking for its end
	reader codec.Reader
	began  uint32      // tick of the first byte of the message in reader; 0: none
	pong   []byte      // payload of the latest ping that could not be answered yet
	owed   bool        // pong is to be sent
	why    *CloseError // how the connection ends, once that is known
}

var inbounds = sync.Pool{New: func() any { return new(inbound) }}

func (c *Conn) inbound() *inbound {
	if c.in == nil {
		c.in = inbounds.Get().(*inbound)
	}
	return c.in
}

func (in *inbound) free() {
	if in.head != nil {
		in.head.Release()
	}
	in.reader.Reset()
	*in = inbound{pong: in.pong[:0]}
	inbounds.Put(in)
}

// rest gives the inbound back once nothing is held in it.
func (c *Conn) rest() {
	if in := c.in; in != nil && in.head == nil && !in.owed && in.why == nil && in.reader.Empty() {
		c.in.free()
		c.in = nil
	}
}

// receive takes bytes from the peer. It takes them all: what is not whole is
// copied into an inbound, never left to gnet.
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
	if c.in == nil || c.in.reader.Empty() {
		m, n, err := codec.Whole(view, lim)
		if err != nil {
			c.fail(err)
			return len(view)
		}
		if n > 0 {
			c.deliver(m)
			return n
		}
	}
	in := c.inbound()
	m, n, err := in.reader.Next(view, lim)
	if err != nil {
		c.fail(err)
		return len(view)
	}
	if in.began == 0 {
		in.began = c.loop.nowTick()
		c.hurry(c.messageDeadline())
	}
	if m.Opcode != 0 {
		if !m.Opcode.Control() || in.reader.Empty() {
			in.began = 0
		}
		c.deliver(m)
	}
	return n
}

// deliver acts on a whole message or control frame.
func (c *Conn) deliver(m codec.Message) {
	switch m.Opcode {
	case codec.Ping:
		c.pingIn(m.Payload)
	case codec.Pong:
	case codec.Close:
		c.closeIn(m.Payload)
	default:
		if c.state != open || c.marked(isEnding) {
			return // we have said goodbye already
		}
		if !c.loop.allow(c, len(m.Payload)) {
			c.fail(errRate)
			return
		}
		c.loop.Counters.MessagesIn.Add(1)
		c.spoke = c.loop.wheel.now
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
		c.send(codec.Pong, payload, urgent)
		return
	}
	in := c.inbound()
	in.pong, in.owed = append(in.pong[:0], payload...), true
}

// pongOwed sends the pong that waited for room.
func (c *Conn) pongOwed() {
	if c.in != nil && c.in.owed {
		c.in.owed = false
		c.send(codec.Pong, c.in.pong, urgent)
		c.rest()
	}
}
