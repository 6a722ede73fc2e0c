package loop

import (
	"bytes"

	"github.com/agloop/agloop/codec/frame"
)

// readBuffer is what one read takes at most, in bytes. Each loop has one such buffer. A message
// that does not lie in it whole is copied, and large messages are copied the less the more of them
// fit.
const readBuffer = 256 << 10

// receive takes bytes from the peer. It takes them all: what is not whole is copied into a transient,
// never left to gnet.
func (c *Conn) receive(view []byte) {
	if ly := c.layers(); ly.isSecure() {
		c.receiveRecords(ly.link, view)
		return
	}
	c.receivePlain(view)
}

// receivePlain takes bytes that are not encrypted, or not any more.
func (c *Conn) receivePlain(view []byte) {
	if c.marked(loopMuted) { // those that are kept come first
		c.keep(view)
	} else if rest := c.receiveUntilPaused(view); len(rest) > 0 {
		c.keep(rest)
	}
	c.countIn()
	c.trimTransient()
}

// receiveUntilPaused takes bytes until the handler pauses, and returns the rest.
func (c *Conn) receiveUntilPaused(view []byte) (rest []byte) {
	c.loop.owner.check()
	for len(view) > 0 && !c.holdsBack() {
		var n int
		switch c.state {
		case securing:
			n = c.helloIn(view)
		case handshaking:
			n = c.handshake(view)
		case judging:
			n = c.keepEarly(view)
		case open, closing:
			if c.marked(markResponse) {
				return nil // what follows the request of a response that ends the connection
			}
			n = c.frame(view)
		default:
			return nil // nobody waits for these bytes
		}
		view = view[n:]
	}
	return view
}

// frame takes the next message from view: in place when it lies there whole, otherwise by way of
// the Reader.
func (c *Conn) frame(view []byte) (n int) {
	lim := &c.endpoint.frames
	switch {
	case c.marked(markAwaitsToken):
		lim = &c.endpoint.door.early
	case c.layers().deflates():
		lim = &c.endpoint.deflated
	}
	if c.transient == nil || c.transient.reader.Empty() {
		m, n, err := frame.Whole(view, lim)
		if err != nil {
			c.failFrame(err)
			return len(view)
		}
		if n > 0 {
			c.deliver(m)
			return n
		}
	}
	h := c.ensureTransient()
	m, n, err := h.reader.Next(view, lim)
	if err != nil {
		c.failFrame(err)
		return len(view)
	}
	if h.began == 0 {
		h.began = c.loop.nowTick()
		c.deadlineBy(c.messageDeadline())
	}
	if m.Opcode != 0 {
		if !m.Opcode.Control() || h.reader.Empty() {
			h.began = 0
		}
		c.deliver(m)
	}
	return n
}

// failFrame is fail for what the frames of a peer are not.
func (c *Conn) failFrame(err error) {
	if c.marked(markAwaitsToken) && frame.CodeOf(err) == frame.CloseTooBig {
		err = errEarlyMessage
	}
	c.fail(err)
}

// deliver acts on a whole message or control frame.
func (c *Conn) deliver(m frame.Message) {
	c.loop.owner.check()
	switch m.Opcode {
	case frame.Ping:
		if !c.loop.allowControl(c) {
			c.fail(errControlRate)
			return
		}
		c.pingIn(m.Payload)
	case frame.Pong:
		if c.marked(loopAwaitsPong) {
			c.marks.And(^loopAwaitsPong)
		} else if !c.loop.allowControl(c) {
			c.fail(errControlRate)
		}
	case frame.Close:
		c.closeIn(m.Payload)
	default:
		if c.state != open || c.marked(markEnding) {
			return // we have said goodbye already
		}
		if m.Deflated {
			c.deliverInflated(m)
			return
		}
		c.deliverData(m)
	}
}

// deliverData gives a whole message to the handler.
func (c *Conn) deliverData(m frame.Message) {
	if !c.loop.allow(c, len(m.Payload)) {
		c.fail(errRate)
		return
	}
	c.loop.messages++
	c.touch()
	if c.endpoint.copying.Load() {
		m.Payload = bytes.Clone(m.Payload)
	}
	c.endpoint.handler.OnMessage(c, m.Opcode, m.Payload)
}

// pingIn answers a ping. While much waits for the peer only the latest is answered (RFC 6455
// §5.5.3), as soon as the frame under way has left: a flood of pings cannot fill the outbox, and a
// backlog cannot hold a pong up.
func (c *Conn) pingIn(payload []byte) {
	if !c.pongLater(payload) {
		c.send(frame.Pong, payload, urgent)
	}
}

func (c *Conn) pongLater(payload []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.out.Load()
	if o.size() < fewBytes || c.outFlags&outClosing != 0 {
		return false
	}
	o.pong, o.owesPong = append(o.pong[:0], payload...), true
	return true
}
