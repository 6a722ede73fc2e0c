package loop

import "time"

// what a push leads to, decided under mu and done after it.
type action uint8

const (
	wait   action = iota // the loop will come by anyway
	hurry                // it will, but should come at once
	wake                 // to the dirty list
	window               // to the delayed list
)

// schedule decides when the outbox is flushed. With window comes the time when, with wake the time now. Under mu.
func (c *Conn) schedule(u urgency) (action, int64) {
	switch {
	case c.marked(isCorked):
		return wait, 0
	case c.flags&isDirty != 0 && u == urgent:
		return hurry, c.loop.eng.now()
	case c.flags&isDirty != 0:
		return wait, 0
	}
	now := c.loop.eng.now()
	if u == batched {
		due := c.door.tuned.Load().Window.Due(c.out.Frames(), c.out.Bytes(), c.lastFlush(now), now)
		if due > now {
			if c.flags&isDelayed != 0 {
				return wait, 0
			}
			c.flags |= isDelayed
			return window, due
		}
	}
	c.flags |= isDirty
	return wake, now
}

func (c *Conn) perform(act action, at int64, u urgency) {
	switch act {
	case hurry:
		c.loop.call(u)
	case wake:
		c.loop.push(c, u)
	case window:
		c.loop.delay(c, at)
	}
}

// micros is the clock in the unit of Conn.flushed, which runs over every 71 minutes.
func micros(now int64) uint32 { return uint32(now / int64(time.Microsecond)) }

// longAgo is when a connection that wrote nothing yet is said to have done so: longer than any window.
const longAgo = int64(time.Minute)

// lastFlush is when out was last taken. A connection that then rested for a multiple of 71 minutes seems to have just
// been flushed, and a message to it may wait for one window. Under mu.
func (c *Conn) lastFlush(now int64) int64 {
	return now - int64(micros(now)-c.flushed)*int64(time.Microsecond)
}

// windowEnd is when the window of a delayed connection ends, or never when it
// was flushed meanwhile.
func (c *Conn) windowEnd(now int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags&isDelayed == 0 {
		return never
	}
	// A window that shrank meanwhile may be over by its size: then at once, which is any
	// time past.
	return c.door.tuned.Load().Window.Due(c.out.Frames(), c.out.Bytes(), c.lastFlush(now), 0)
}

// delay puts c on the list of those whose window ends at the given time. Any goroutine.
func (l *Loop) delay(c *Conn, at int64) {
	l.mu.Lock()
	l.delayed = append(l.delayed, c)
	l.arm(at)
	l.mu.Unlock()
}

// arm makes the timer fire at the given time at the latest. Under mu.
func (l *Loop) arm(at int64) {
	if at < l.timerAt && !l.stopped {
		l.timerAt = at
		l.timer.Reset(time.Duration(max(at-l.eng.now(), 0)))
	}
}

// armBy is arm for the loop itself.
func (l *Loop) armBy(at int64) {
	l.mu.Lock()
	l.arm(at)
	l.mu.Unlock()
}

// windowSlack gathers windows that end so close together into one turn.
const windowSlack = int64(500 * time.Microsecond)

// flushDelayed flushes the connections whose window is over and returns when the
// next one ends.
func (l *Loop) flushDelayed(now int64) (next int64) {
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
			c.flush(now)
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

// onTime does what is due: windows, blocked connections, deadlines.
func (l *Loop) onTime() {
	l.owner.check()
	l.beginTurn()
	now := l.eng.now()
	l.wheelAt = never
	next := min(l.flushDelayed(now), l.pollBlocked(now))
	l.wheelAt = min(l.wheelAt, l.wheel.advance(tickOf(now), (*Conn).onDeadline))
	l.armBy(min(next, l.wheelAt))
	l.endTurn()
}
