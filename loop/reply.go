package loop

import "github.com/agloop/agloop/codec/frame"

// Reply is Send for the callbacks of this connection's loop, which it must not leave: OnOpen,
// OnMessage, OnDrain. Replies to what lies in one read leave in one write when the last of it has
// been handled, and while nothing else waits for the peer a Reply takes no lock. Elsewhere it must
// not be called.
//
// Order: among Reply and Send of the same goroutine, that of the calls. A message that another
// goroutine sends while the callbacks run comes before or after each reply.
func (c *Conn) Reply(op frame.Opcode, payload []byte) SendResult {
	l := c.loop
	l.owner.check()
	c.catchUp()
	if c.layers().deflates() { // frames wait as they are, to be compressed
		c.flushCork()
		return c.message(op, payload, batched)
	}
	masks := c.endpoint.masks
	size := frame.HeaderSize(len(payload), masks != nil) + len(payload)
	if l.corked != c || c.out.Load() != nil || len(payload) > maxCopied || c.state != open || op != frame.Text && op != frame.Binary {
		c.flushCork()
		return c.message(op, payload, batched)
	}
	if len(l.cork)+size > cap(l.cork) {
		if c.flushCork(); c.out.Load() != nil {
			return c.message(op, payload, batched)
		}
	}
	if len(l.cork) == 0 {
		if l.cork == nil {
			l.cork = make([]byte, 0, corkFull)
		}
		c.marks.Or(markReplying)
	}
	at := len(l.cork)
	l.cork = l.cork[:at+size]
	putFrame(l.cork[at:], op, payload, masks)
	l.replies++
	if l.overSoft {
		return Backpressure
	}
	return Sent
}

// flushCork writes the replies so far.
func (c *Conn) flushCork() {
	l := c.loop
	if l.corked != c || len(l.cork) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	gathered := l.gathered.Add(int64(len(l.cork)))
	c.marks.And(^markReplying)
	_ = c.flushCorkLocked() // the end of the turn looks at what is left, and meets an error again
	if gathered > int64(c.endpoint.tuned.Load().SoftLimit) {
		l.overSoft = true
		c.outFlags |= outFull
	}
}

// flushCorkLocked writes the replies so far, or queues them before what was queued after them. On
// the loop, under mu.
func (c *Conn) flushCorkLocked() error {
	l := c.loop
	replies, frames := l.cork, l.replies
	if len(replies) == 0 {
		return nil
	}
	l.cork, l.replies = replies[:0], 0
	if c.outFlags&outCut != 0 {
		return nil
	}
	o := c.out.Load()
	if o == nil {
		return c.writeParts(frames, replies, nil)
	}
	o.Insert(o.partial, replies) // behind the frame of somebody else's that is partly written
	for range frames {
		o.AddFrame()
	}
	return nil
}

// endCork forgets the cork of a connection that has been flushed or is gone.
func (l *Loop) endCork() { l.corked, l.cork, l.replies = nil, l.cork[:0], 0 }
