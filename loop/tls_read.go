package loop

import "io"

const (
	// plainBuffer is how much a loop decrypts before it looks at it, in bytes.
	plainBuffer = 64 << 10
	// maxRecord is the largest payload of a record, in bytes (RFC 8446 §5.1).
	maxRecord = 16 << 10
)

// receiveRecords takes bytes of a connection that speaks TLS.
func (c *Conn) receiveRecords(link *tlsLink, view []byte) {
	c.loop.owner.check()
	if c.state == securing {
		if !c.transient.shake.add(view) {
			c.closeNow()
		}
		return
	}
	if len(link.view) > 0 { // what a goroutine left when the connection came here
		view = append(link.view, view...)
	}
	link.view = view
	for !link.ended {
		p, err := c.decrypt(link)
		if len(p) > 0 {
			c.receivePlain(p)
		}
		switch {
		case c.state == closed || !c.layers().isSecure(): // also: it has left for net/http
			return
		case err == nil:
		case err == errDry:
			link.view = nil // all of it was taken, and the next turn has other bytes
			if c.endpoint.trimTLS {
				trimTLS(link.tls)
			}
			return
		case err == io.EOF:
			link.ended, link.eof = true, true
			c.peerEnded()
		case err == errControlRate:
			c.fail(err)
			link.ended = true
		default:
			link.ended = true
			c.failTLS(err)
		}
	}
	link.view = nil
}

// decrypt returns what was encrypted, as much as there is room for. It lies in a buffer of the
// loop's until the next call.
func (c *Conn) decrypt(link *tlsLink) (p []byte, err error) {
	l := c.loop
	if l.plain == nil {
		l.plain = make([]byte, plainBuffer)
	}
	n := 0
	for len(l.plain)-n >= maxRecord && err == nil {
		var m int
		before := link.records
		m, err = link.tls.Read(l.plain[n:])
		n += m
		idle := link.records - before
		if m > 0 && idle > 0 {
			idle--
		}
		for ; idle > 0; idle-- { // records that brought no data, such as KeyUpdate
			if !l.allowControl(c) {
				return l.plain[:n], errControlRate
			}
		}
	}
	return l.plain[:n], err
}

// peerEnded acts on close_notify: nothing comes any more, and what can still leave does.
func (c *Conn) peerEnded() {
	if c.state >= draining {
		c.closeNow()
		return
	}
	c.hangUp(io.ErrUnexpectedEOF)
}

// failTLS ends a connection whose bytes are no TLS, or were changed on their way. The alert that says
// so has been written already.
func (c *Conn) failTLS(err error) {
	c.mu.Lock()
	if o := c.out.Load(); o != nil {
		o.Truncate(0) // crypto/tls encrypts nothing any more
		o.partial, o.owesPong = 0, false
	}
	c.mu.Unlock()
	c.hangUp(err)
}
