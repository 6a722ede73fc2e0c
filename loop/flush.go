package loop

import (
	"time"

	"github.com/agloop/agloop/batch"
	"github.com/agloop/agloop/codec/frame"
)

// maxWrite is how much is handed to gnet in one call. What the kernel does not take
// of it gnet copies, so this bounds gnet's buffer of a slow reader.
const maxWrite = 128 << 10

// maxRaw is the most that is sent without the scheduler's knowledge.
const maxRaw = 16 << 10

// flush writes the outbox. On the loop. now is for the batch window; 0 leaves the window alone, for replies to what
// the peer just sent do not make a burst.
func (c *Conn) flush(now int64) {
	if c.state == closed {
		return
	}
	c.mu.Lock()
	if now == 0 && c.flags&(isDirty|isDelayed) != 0 { // a turn takes along what was to be flushed
		now = c.loop.eng.now()
	}
	c.flags &^= isDirty | isDelayed
	if c.flags&isClosing == 0 && (c.out == nil || c.sendOut(now)) {
		c.mu.Unlock()
		return
	}
	q := c.out
	c.out = nil
	if q != nil {
		c.flags |= isTaken
		c.noteWrite(q.Frames(), now)
	}
	flags, code := c.flags, c.code
	c.mu.Unlock()

	if flags&isClosing != 0 && !c.closeInTurn(flags, code) {
		if q != nil {
			q.Free()
		}
		return
	}
	if q != nil {
		c.loop.countFrames(q)
		c.loop.measureWrite(q.Frames(), q.Since, now)
		c.write(q)
	}
	if c.state >= closing {
		c.finishClosing()
	}
}

// sendOut writes out to the kernel, from whatever goroutine this is. False means that the loop has to go on: with what
// the kernel had no room for, what gnet or the loop holds back, what someone waits for, or more than a small write.
// Under mu, which is what makes it safe: gnet closes the descriptor only after OnClose has taken mu and set
// isClosing. So the loop may wait for mu as long as the kernel takes, some microseconds.
func (c *Conn) sendOut(now int64) bool {
	q := c.out
	if c.flags&(isTaken|isFull|isOwed|isClosing) != 0 || q.Bytes() > maxRaw {
		return false
	}
	p, all := q.First()
	if !all {
		return false
	}
	l := c.loop
	l.countFrames(q) // before the peer can have them
	n := sendRaw(int(c.fd), p)
	if n == 0 {
		return false
	}
	c.noteWrite(q.Frames(), now)
	c.queued -= uint32(n)
	l.Counters.Writes.Add(1)
	l.Counters.BytesOut.Add(uint64(n))
	if n < len(p) {
		q.Discard(n)
		return false
	}
	l.measureWrite(q.Frames(), q.Since, now)
	c.flags &^= isDirty | isDelayed
	c.out = nil
	q.Free()
	return true
}

// countFrames counts each frame of q once, whoever tries to write it and how often.
func (l *Loop) countFrames(q *batch.Queue) {
	l.Counters.FramesOut.Add(uint64(q.Frames() - q.Counted))
	q.Counted = q.Frames()
}

// noteWrite remembers a write for the batch window. Under mu.
func (c *Conn) noteWrite(frames int, now int64) {
	if now == 0 {
		return
	}
	c.flushed = micros(now)
	if frames > 1 {
		c.flags &^= isLone
	} else {
		c.flags |= isLone
	}
}

// closeInTurn acts on what another goroutine wants closed. False means that the connection is gone.
func (c *Conn) closeInTurn(flags flags, code frame.CloseCode) bool {
	switch {
	case flags&isCut != 0 && code == frame.CloseSlowReader:
		c.loop.Counters.SlowCuts.Add(1)
		c.cut(code, errSlowReader)
	case flags&isCut != 0:
		c.door.refused.shed.Add(1)
		c.cut(code, errMemory)
	case c.state == handshaking: // closed before it was a WebSocket: there is nothing to say
		c.closeNow()
	case c.state == open:
		c.startClosing()
		return true
	default:
		return true
	}
	return false
}

// backlog tells whether bytes wait that the kernel had no room for.
func (c *Conn) backlog() bool {
	return c.held != nil && (c.held.inGnet > 0 || c.held.unsent != nil)
}

// inGnet is how much lay in gnet's outbound buffer when we last looked.
func (c *Conn) inGnet() int {
	if c.held == nil {
		return 0
	}
	return c.held.inGnet
}

// write hands q, behind what waits already, to the kernel until it takes no more. A nil q adds nothing.
func (c *Conn) write(q *batch.Queue) {
	if h := c.held; h != nil && h.unsent != nil {
		if q != nil {
			h.unsent.Splice(q)
			q.Free()
		}
		q, h.unsent = h.unsent, nil
	}
	l := c.loop
	written := 0
	for q != nil && c.sock.OutboundBuffered() == 0 {
		iov := q.Slices(l.iov[:0], maxWrite)
		l.iov = iov
		n := c.writeSlices(iov)
		clear(iov)
		if c.state == closed { // gnet closed it inside the call
			q.Free()
			return
		}
		l.Counters.Writes.Add(1)
		l.Counters.BytesOut.Add(uint64(n))
		written += n
		if q.Discard(n); q.Bytes() == 0 {
			q.Free()
			q = nil
		}
	}
	if q != nil {
		c.hold().unsent = q
	}
	c.settle(written)
}

// writeSlices writes all of iov, gnet keeping what the kernel has no room for, and returns its size.
func (c *Conn) writeSlices(iov [][]byte) (n int) {
	if len(iov) == 1 {
		p := iov[0]
		n = len(p)
		_, _ = c.sock.Write(p)
		return n
	}
	for _, p := range iov {
		n += len(p)
	}
	_, _ = c.sock.Writev(iov)
	return n
}

// settle accounts for bytes that left and tells who waits for room.
func (c *Conn) settle(written int) {
	buffered, left := c.sock.OutboundBuffered(), written
	if buffered > 0 || c.held != nil {
		h := c.hold()
		left += h.inGnet - buffered
		h.inGnet = buffered
		c.rest()
	}

	backlog := c.backlog()
	c.mu.Lock()
	c.queued -= uint32(left)
	drained := c.flags&isFull != 0 && int(c.queued) <= c.door.tuned.Load().LowWater
	if drained {
		c.flags &^= isFull
	}
	if !backlog {
		c.flags &^= isTaken
	}
	c.mu.Unlock()

	if buffered > 0 && !c.marked(isStuck) {
		c.loop.block(c)
	}
	if !backlog {
		c.pongOwed()
	}
	if drained && c.state == open {
		c.guard(func() { c.door.handler.OnDrain(c) })
	}
}

// Blocked connections: gnet writes its buffer when the kernel has room but tells
// nobody, so they are looked at again, soon at first and then less often.
const (
	pollMin = int64(time.Millisecond)
	pollMax = int64(16 * time.Millisecond)
)

// blocked is a connection whose peer does not keep up.
type blocked struct {
	c      *Conn
	since  uint32 // tick of the last progress
	unsent int    // bytes the kernel held then
}

// block notes that the kernel took not all of c's bytes.
func (l *Loop) block(c *Conn) {
	now := l.eng.now()
	c.marks.Or(isStuck)
	l.blocked = append(l.blocked, blocked{c, tickOf(now), unsent(int(c.fd))})
	l.poll = pollMin
	l.armBy(now + l.poll)
}

// pollBlocked goes on with connections whose bytes have left, cuts those that made
// no progress for too long, and returns when to look again.
func (l *Loop) pollBlocked(now int64) int64 {
	if len(l.blocked) == 0 {
		return never
	}
	moved := false
	list := l.blocked
	l.blocked = nil
	for _, b := range list {
		c := b.c
		if c.state != closed && c.sock.OutboundBuffered() < c.inGnet() {
			moved = true
			c.write(nil)
			if c.state >= closing {
				c.finishClosing()
			}
			if c.state != closed {
				b.since, b.unsent = tickOf(now), unsent(int(c.fd))
			}
		}
		switch {
		case c.state == closed:
		case c.inGnet() == 0:
			c.marks.And(^isStuck)
		case b.overdue(tickOf(now)):
			l.Counters.SlowCuts.Add(1)
			c.cut(frame.CloseSlowReader, errNoProgress)
		default:
			l.blocked = append(l.blocked, b)
		}
	}
	if len(l.blocked) == 0 {
		return never
	}
	if moved {
		l.poll = pollMin
	} else {
		l.poll = min(l.poll*2, pollMax)
	}
	return now + l.poll
}

// overdue tells whether the peer accepted nothing for WriteTimeout. The kernel takes more
// from us only when a good part of its queue is free, which a slow reader may not
// reach in that time, so its queue is asked before a peer is given up.
func (b *blocked) overdue(now uint32) bool {
	limit := ticks(b.c.door.limits.WriteTimeout)
	if limit == 0 || now <= b.since+limit {
		return false
	}
	n := unsent(int(b.c.fd))
	if n >= b.unsent {
		return true
	}
	b.since, b.unsent = now, n
	return false
}
