package loop

import (
	"time"
)

// action is what a change of the outbox leads to, decided under mu and done after it.
type action uint8

const (
	actNone  action = iota // somebody will come by anyway: the turn under way, the writer, the poller
	actFlush               // to the dirty list
	actDelay               // to the delayed list
	actLoop                // to the loop: what is to be done only it may do
	actStall               // the kernel is full: the loop is to watch for progress
)

// schedule decides when the outbox is flushed. With actDelay comes the time when, with the others
// the time now. Under mu.
func (c *Conn) schedule(u urgency) (action, int64) {
	o := c.out.Load()
	switch {
	case c.marked(markCorked) || o.blocked:
		return actNone, 0
	case c.outFlags&outDirty != 0 && u == batched:
		return actNone, 0
	}
	now := c.loop.eng.now()
	if u == batched {
		due := c.endpoint.tuned.Load().Due(o.Frames(), o.Bytes(), c.lastFlush(now), now)
		if due > now {
			if c.outFlags&outDelayed != 0 {
				return actNone, now
			}
			c.outFlags |= outDelayed
			return actDelay, due
		}
	}
	return actFlush, now
}

// perform does what was decided. Any goroutine, without mu.
func (c *Conn) perform(act action, at int64) {
	switch act {
	case actFlush:
		c.loop.markDirty(c)
	case actDelay:
		c.loop.delay(c, at)
	case actLoop:
		c.loop.handToLoop(c)
	case actStall:
		c.loop.watchStalls()
	}
}

// micros is the clock in the unit of Conn.flushed, which runs over every 71 minutes.
func micros(now int64) uint32 { return uint32(now / int64(time.Microsecond)) }

// longAgo is when a connection that wrote nothing yet is said to have done so: longer than any
// window.
const longAgo = int64(time.Minute)

// lastFlush is when the outbox was last written. A connection that then rested for a multiple of 71
// minutes seems to have just been flushed, and a message to it may wait for one window. Under mu.
func (c *Conn) lastFlush(now int64) int64 {
	return now - int64(micros(now)-c.flushed)*int64(time.Microsecond)
}

// windowEnd is when the window of a connection on the delayed list ends, or never when there is
// nothing to wait for any more: then, as when the window is over, the connection is off the list.
func (c *Conn) windowEnd(now int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := int64(never)
	if o := c.out.Load(); o != nil && !o.blocked {
		// A window that shrank meanwhile may be over by its size: then at once, which is any time
		// past.
		due = c.endpoint.tuned.Load().Due(o.Frames(), o.Bytes(), c.lastFlush(now), 0)
	}
	if due == never || due <= now+windowSlack {
		c.outFlags &^= outDelayed
	}
	return due
}

// delay puts c on the list of those whose window ends at the given time. Any goroutine.
func (l *Loop) delay(c *Conn, at int64) {
	l.mu.Lock()
	l.delayed = append(l.delayed, c)
	l.setTimer(at)
	l.mu.Unlock()
}

// setTimer makes the timer fire no later than at the given time. Under mu.
func (l *Loop) setTimer(at int64) {
	if at < l.timerAt && !l.stopped {
		l.timerAt = at
		l.timer.Reset(time.Duration(max(at-l.eng.now(), 0)))
	}
}

// setTimerBy is setTimer for a caller that does not hold mu. Any goroutine.
func (l *Loop) setTimerBy(at int64) {
	l.mu.Lock()
	l.setTimer(at)
	l.mu.Unlock()
}

// windowSlack gathers windows that end so close together into one turn.
const windowSlack = int64(500 * time.Microsecond)

// flushDelayed flushes the connections whose window is over and returns when the next one ends.
func (l *Loop) flushDelayed(now int64) (next int64) {
	l.owner.check()
	l.mu.Lock()
	list := l.delayed
	l.delayed = nil
	l.timerAt = never
	l.mu.Unlock()
	next = never
	kept := list[:0]
	for _, c := range list {
		switch due := c.windowEnd(now); {
		case due <= now+windowSlack:
			l.run(c, func(c *Conn) { c.flush(now) })
		case due != never:
			kept = append(kept, c)
			next = min(next, due)
		}
	}
	clear(list[len(kept):])
	l.mu.Lock()
	l.delayed = append(kept, l.delayed...)
	l.mu.Unlock()
	return next
}

// onTime does what is due: windows, stalled peers, deadlines.
func (l *Loop) onTime() {
	l.owner.check()
	l.beginTurn()
	now := l.eng.now()
	l.wheelAt = never
	next := min(l.flushDelayed(now), l.cutStalled(now))
	l.wheelAt = min(l.wheelAt, l.wheel.advance(tickOf(now), (*Conn).onDeadline))
	l.setTimerBy(min(next, l.wheelAt))
	l.endTurn()
}
