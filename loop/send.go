package loop

import (
	"errors"
	"syscall"

	"github.com/agloop/agloop/batch"
	"github.com/agloop/agloop/codec/frame"
)

const (
	// maxWrite is how much one call offers to the kernel, in bytes.
	maxWrite = 128 << 10
	// maxRaw is the most that is sent without the scheduler's knowledge, in bytes.
	maxRaw = 16 << 10
)

// errKernelFull says that the kernel has no room for more now. Other errors of a write are the
// socket's end.
var errKernelFull = errors.New("the kernel has no room")

// writeOut writes the outbox until it is empty or the kernel is full; then the poller is asked. Any
// goroutine, under mu, which is what makes it safe: gnet closes the descriptor only after OnClose
// has taken mu and set outClosing. So the loop may wait for mu as long as the kernel takes, some
// microseconds. now is for the batch window, 0 leaves that alone.
func (c *Conn) writeOut(now int64) error {
	l, o := c.loop, c.out.Load()
	for o.size() > 0 || o.owesPong {
		limit := maxWrite
		if o.owesPong {
			if o.partial == 0 {
				o.answerPing(c.queueMasks())
			} else {
				limit = o.partial // the frame under way, then the pong
			}
		}
		l.countFrames(&o.Queue) // before the peer can have them
		w, err := c.writeQueue(o, limit)
		if err == syscall.EINTR {
			continue
		}
		if w.sent > 0 {
			l.Counters.Writes.Add(1)
			l.Counters.BytesOut.Add(uint64(w.sent))
			o.moved = 0
		}
		if w.taken == o.Bytes() && err == nil && !o.owesPong {
			break // how much it was is told below
		}
		frames := o.Frames()
		o.advance(w.taken)
		switch {
		case err != nil && err != syscall.EAGAIN:
			return err
		case err != nil || w.taken < w.asked:
			c.noteWrite(frames, now)
			return c.awaitWritable(o)
		}
	}
	c.noteWrite(o.Frames(), now)
	l.measureWrite(o.Frames(), o.Since, now)
	c.dropOutbox()
	return nil
}

// write offers the first limit bytes to the kernel in one call.
func (o *outbox) write(fd, limit int) (asked, n int, err error) {
	p, all := o.First()
	if asked = min(len(p), limit); all && asked <= maxRaw {
		n, err = sendRaw(fd, p[:asked])
		return asked, n, err
	}
	var room [batch.MaxSlices][]byte
	parts := o.Slices(room[:0], limit)
	asked = 0
	for _, p := range parts {
		asked += len(p)
	}
	n, err = sendParts(fd, parts)
	return asked, n, err
}

// afterWrite says what is left to do for the loop after a write from elsewhere. Under mu.
func (c *Conn) afterWrite(err error) action {
	switch {
	case err != nil && err != errKernelFull:
		return actLoop // which meets the same error, and closes
	case c.outFlags&outFull != 0 && c.out.Load().size() <= c.endpoint.tuned.Load().LowWater:
		return actLoop // OnDrain is due
	case err == nil && c.outFlags&outAwaited != 0:
		return actLoop // Feed.Room is due
	case err != nil:
		return actStall
	}
	return actNone
}

// writeLarge writes a large frame that nothing is before from where it lies, behind a selector's if
// there is one, and queues what the kernel has no room for. Under mu, see writeOut.
func (c *Conn) writeLarge(op frame.Opcode, selector, payload []byte) error {
	var b [frame.MaxHeader + maxSelector]byte
	head := b[:0]
	if n := len(selector); n > 0 {
		room := head
		if n > maxSelector-frame.MaxHeader {
			room = make([]byte, 0, n+2*frame.MaxHeader)
		}
		head = putFrame(room[:cap(room)], op, selector, nil)
	}
	at := len(head)
	head = head[:at+frame.HeaderSize(len(payload), false)]
	frame.PutHeader(head[at:], op, len(payload))
	return c.writeParts(1, head, payload)
}

// maxSelector is the longest frame of a selector that needs no memory of its own, in bytes.
const maxSelector = 256

// writeParts is the write of frames that lie elsewhere and have nothing before them: a and b behind
// each other. What the kernel has no room for is queued. Under mu, see writeOut.
func (c *Conn) writeParts(frames int, a, b []byte) error {
	l := c.loop
	l.Counters.FramesOut.Add(uint64(frames)) // before the peer can have them
	w, err := c.writeFrames(a, b)
	if w.sent > 0 {
		l.Counters.Writes.Add(1)
		l.Counters.BytesOut.Add(uint64(w.sent))
	}
	if w.taken == w.asked && err == nil {
		l.measureWrite(frames, 0, 0)
		return nil
	}
	if err != nil && err != syscall.EAGAIN && err != syscall.EINTR {
		w.taken = 0 // the loop is to meet the error, too
	}
	o := c.ensureOutbox()
	if ly := c.layers(); ly != nil {
		o.ahead = ly.size()
	}
	if w.taken < w.asked {
		for range frames {
			o.AddFrame()
		}
		o.Counted = frames
		o.Append(a)
		o.Append(b)
		o.advance(w.taken)
	}
	return c.awaitWritable(o)
}

// countFrames counts each frame of q once, whoever tries to write it and how often.
func (l *Loop) countFrames(q *batch.Queue) {
	if n := q.Frames() - q.Counted; n > 0 {
		l.Counters.FramesOut.Add(uint64(n))
		q.Counted = q.Frames()
	}
}

// noteWrite remembers a write for the batch window. Under mu.
func (c *Conn) noteWrite(frames int, now int64) {
	if now == 0 {
		return
	}
	c.flushed = micros(now)
	if frames > 1 {
		c.outFlags &^= outSingle
	} else {
		c.outFlags |= outSingle
	}
}
