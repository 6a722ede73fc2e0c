package loop

import (
	"time"

	"github.com/agloop/agloop/codec"
)

// maxWrite is how much is handed to gnet in one call. What the kernel does not take
// of it gnet copies, so this bounds gnet's buffer of a slow reader.
const maxWrite = 128 << 10

// flush takes the outbox and writes it. now is for the batch window; 0 leaves the
// window alone, for replies to what the peer just sent do not make a burst.
func (c *Conn) flush(now int64) {
	if c.state == closed {
		return
	}
	c.mu.Lock()
	q := c.out
	c.out = nil
	if now == 0 && c.flags&(isDirty|isDelayed) != 0 { // a turn takes along what was to be flushed
		now = c.loop.eng.now()
	}
	c.flags &^= isDirty | isDelayed
	flags, code := c.flags, c.code
	if q != nil && now != 0 {
		c.flushed = now
	}
	c.mu.Unlock()

	if q != nil {
		c.loop.Counters.FramesOut.Add(uint64(q.Frames()))
		c.loop.measureWrite(q.Frames(), q.Since, now)
		if c.wq == nil {
			c.wq = q
		} else {
			c.wq.Splice(q)
			q.Free()
		}
	}
	if flags&isCut != 0 {
		if code == codec.CloseSlowReader {
			c.loop.Counters.SlowCuts.Add(1)
			c.cut(code, errSlowReader)
		} else {
			c.door.refused.shed.Add(1)
			c.cut(code, errMemory)
		}
		return
	}
	if flags&isClosing != 0 {
		switch c.state {
		case handshaking: // closed before it was a WebSocket: there is nothing to say
			c.closeNow()
			return
		case open:
			c.startClosing()
		}
	}
	if q != nil {
		c.write()
	}
	if c.state >= closing {
		c.finishClosing()
	}
}

// write hands what waits to the kernel until it takes no more.
func (c *Conn) write() {
	l := c.loop
	written := 0
	for c.wq != nil && c.sock.OutboundBuffered() == 0 {
		iov := c.wq.Slices(l.iov[:0], maxWrite)
		l.iov = iov
		n := 0
		for _, p := range iov {
			n += len(p)
		}
		if len(iov) == 1 {
			_, _ = c.sock.Write(iov[0])
		} else {
			_, _ = c.sock.Writev(iov)
		}
		clear(iov)
		if c.state == closed { // gnet closed it inside the call
			return
		}
		l.Counters.Writes.Add(1)
		l.Counters.BytesOut.Add(uint64(n))
		written += n
		if c.wq.Discard(n); c.wq.Bytes() == 0 {
			c.wq.Free()
			c.wq = nil
		}
	}
	c.settle(written)
}

// settle accounts for bytes that left and tells who waits for room.
func (c *Conn) settle(written int) {
	buffered := int32(c.sock.OutboundBuffered())
	left := written + int(c.inGnet-buffered)
	c.inGnet = buffered

	c.mu.Lock()
	c.queued -= left
	drained := c.flags&isFull != 0 && c.queued <= c.door.tuned.Load().LowWater
	if drained {
		c.flags &^= isFull
	}
	c.mu.Unlock()

	if buffered > 0 && !c.stuck {
		c.loop.block(c)
	}
	if c.wq == nil && buffered == 0 {
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
	c.stuck = true
	l.blocked = append(l.blocked, blocked{c, tickOf(now), unsent(c.sock.Fd())})
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
		if c.state != closed && int32(c.sock.OutboundBuffered()) < c.inGnet {
			moved = true
			c.write()
			if c.state >= closing {
				c.finishClosing()
			}
			if c.state != closed {
				b.since, b.unsent = tickOf(now), unsent(c.sock.Fd())
			}
		}
		switch {
		case c.state == closed:
		case c.inGnet == 0:
			c.stuck = false
		case b.overdue(tickOf(now)):
			l.Counters.SlowCuts.Add(1)
			c.cut(codec.CloseSlowReader, errNoProgress)
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
	n := unsent(b.c.sock.Fd())
	if n >= b.unsent {
		return true
	}
	b.since, b.unsent = now, n
	return false
}
