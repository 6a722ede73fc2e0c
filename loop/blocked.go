package loop

import (
	"time"

	"github.com/agloop/agloop/codec"
)

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
	n := unsent(int(b.c.fd))
	if n >= b.unsent {
		return true
	}
	b.since, b.unsent = now, n
	return false
}
