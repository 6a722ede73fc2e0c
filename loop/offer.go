package loop

import "github.com/agloop/agloop/codec/frame"

// Stream is one of several streams of messages on a connection.
type Stream interface {
	// Number tells the streams of a connection apart. It is not 0.
	Number() uint64
	// AppendSelector appends the message that says that the next one is of this stream. It is called
	// under the connection's lock, and so must ask nothing of a Conn.
	AppendSelector(dst []byte) []byte
}

// Selection is at which stream the messages of one connection stand. The host keeps it, since most
// connections have a single stream and need none. The zero value stands at none.
type Selection struct {
	// Binary is set before the first message where messages and selectors are binary, and not Text.
	Binary bool

	// Any goroutine, under the connection's mu.
	at      uint64 // the Number of that stream; 0: none
	scratch []byte // the selector
}

// Offer queues one message of the stream s, Text unless sel says otherwise, if there is room: while more waits than the soft
// limit it queues nothing, answers Backpressure, and OnDrain is owed. Unless the messages so far
// were of s too, the selector of s goes before it; both are queued or none. A message that is alone
// has its selector in any case, and so has what follows it. sel may be nil: then there are no
// selectors. now has it leave without waiting for the batch window. Any goroutine.
func (c *Conn) Offer(sel *Selection, s Stream, alone bool, payload []byte, now bool) SendResult {
	result, act, at := c.offer(sel, s, alone, payload, urgency(now))
	c.perform(act, at)
	return result
}

// Select queues the selector of a stream that has nothing to say yet, and reports whether there was
// room: the next message of s comes without one, unless others come before it. Any goroutine.
func (c *Conn) Select(sel *Selection, s Stream) bool {
	result, act, at := c.offer(sel, s, false, nil, urgent)
	c.perform(act, at)
	return result == Sent
}

// offer is Offer; without a payload it is Select.
func (c *Conn) offer(sel *Selection, s Stream, alone bool, payload []byte, u urgency) (SendResult, action, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	marks, soft := c.marks.Load(), c.endpoint.tuned.Load().SoftLimit
	switch {
	case c.outFlags&outClosing != 0:
		return Dropped, actNone, 0
	case c.outFlags&outFull != 0:
		return Backpressure, actNone, 0
	case c.out.Load().size() > soft, marks&markCorked != 0 && c.loop.gathered.Load() > int64(soft):
		c.outFlags |= outFull
		return Backpressure, actNone, 0
	}
	var selector []byte
	if sel != nil && (alone || sel.at != s.Number()) {
		sel.scratch = s.AppendSelector(sel.scratch[:0])
		selector = sel.scratch
		if sel.at = s.Number(); alone {
			sel.at = 0
		}
	}
	if payload == nil {
		selector, payload = nil, selector
	}
	op := frame.Text
	if sel != nil && sel.Binary {
		op = frame.Binary
	}
	act, at := c.queue(op, selector, payload, u, marks)
	if marks&markCorked != 0 {
		c.loop.gathered.Add(int64(len(payload)))
	} else {
		c.countOut()
	}
	return Sent, act, at
}
