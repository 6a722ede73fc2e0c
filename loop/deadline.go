package loop

import (
	"github.com/agloop/agloop/codec/frame"
)

// nowTick is the clock in ticks, read afresh.
func (l *Loop) nowTick() uint32 { return tickOf(l.eng.now()) }

// after is the tick that lies t ticks after from; 0 when t is off.
func after(from, t uint32) uint32 {
	if t == 0 {
		return 0
	}
	return from + t
}

// soonest is the earlier of two ticks, 0 meaning none.
func soonest(a, b uint32) uint32 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func (c *Conn) handshakeDeadline() uint32 {
	return after(c.loop.nowTick(), ticks(c.endpoint.limits.HandshakeTimeout))
}

// nextDeadline is the next tick at which an open connection must be looked at.
func (c *Conn) nextDeadline() uint32 {
	lim := &c.endpoint.limits
	var at uint32
	if ping := ticks(lim.PingInterval); ping != 0 {
		if c.awaitsPong() {
			at = after(c.heard, ticks(lim.PongTimeout))
		} else {
			at = after(c.heard, ping)
		}
	}
	at = soonest(at, after(c.lastUsed(), ticks(lim.IdleTimeout)))
	if e := c.entry(); e != nil {
		at = soonest(at, e.expires)
		if e.later != nil {
			at = soonest(at, e.later.due)
		}
	}
	return soonest(at, c.messageDeadline())
}

// awaitsPong reports whether the peer must say something by a deadline, of which nothing is read while the
// connection is paused.
func (c *Conn) awaitsPong() bool { return c.marks.Load()&(loopPinged|loopMuted) == loopPinged }

// lastUsed is when the connection last did something for somebody: a message or a run. A pause is the
// host's.
func (c *Conn) lastUsed() uint32 {
	if used := c.used.Load(); used != running && !c.marked(loopMuted) {
		return used
	}
	return c.loop.wheel.now
}

// messageDeadline is when the message that has begun must be whole.
func (c *Conn) messageDeadline() uint32 {
	if c.transient == nil || c.transient.began == 0 || c.marked(loopMuted) {
		return 0
	}
	return after(c.transient.began, ticks(c.endpoint.limits.MessageTimeout))
}

// onDeadline is called by the wheel when c's tick has come.
func (c *Conn) onDeadline() { c.loop.run(c, (*Conn).whenDue) }

func (c *Conn) whenDue() {
	c.loop.owner.check()
	switch c.state {
	case securing, handshaking:
		c.loop.Counters.BadUpgrade.Add(1)
		c.cut(frame.ClosePolicy, errHandshake)
	case judging:
		c.turn(func() { c.refuse(errLate) })
	case open:
		c.guard(c.openDeadline)
	case closing, draining, lingering:
		c.cut(0, errCloseTimeout)
	}
}

func (c *Conn) openDeadline() {
	now := c.loop.wheel.now
	lim := &c.endpoint.limits
	due := func(at uint32) bool { return at != 0 && at <= now }

	e := c.entry()
	switch {
	case e != nil && e.later != nil && due(e.later.due):
		c.Close(frame.CloseAuthTimeout, "no authorization in time")
	case e != nil && due(e.expires):
		c.Close(frame.CloseExpired, "authorization expired")
	case due(c.messageDeadline()):
		c.fail(&frame.ProtocolError{Code: frame.ClosePolicy, Reason: "message took too long"})
	case c.awaitsPong() && due(after(c.heard, ticks(lim.PongTimeout))):
		if !c.acknowledgedMore() {
			c.cut(frame.CloseGoingAway, errNoPong)
			return
		}
		c.heard = now // the ping may not have reached it yet
		c.loop.setDeadline(c, c.nextDeadline())
	case due(after(c.lastUsed(), ticks(lim.IdleTimeout))):
		c.Close(frame.CloseGoingAway, "idle")
	default:
		c.loop.trimInflow(c)
		c.restDeflating()
		switch {
		case c.awaitsPong() || !due(after(c.heard, ticks(lim.PingInterval))):
		case c.marked(markResponse):
			c.heard = now // or rather said
			c.pingResponse()
		default:
			c.marks.Or(loopPinged | loopAwaitsPong)
			c.heard = now
			c.noteBacklog()
			c.send(frame.Ping, nil, urgent)
		}
		c.loop.setDeadline(c, c.nextDeadline())
	}
}

// fewBytes is how many bytes may wait, at most, for what follows them not to be late on a slow
// link.
const fewBytes = 4 << 10

// noteBacklog remembers what the peer has acknowledged, if much waits for it to be acknowledged: a
// ping behind it may arrive late.
func (c *Conn) noteBacklog() {
	behind := c.out.Load() != nil || unsent(int(c.fd)) >= fewBytes
	if !behind && c.transient == nil {
		return
	}
	h := c.ensureTransient()
	if h.behind = behind; behind {
		h.acked = acknowledged(int(c.fd))
	}
	c.trimTransient()
}

// acknowledgedMore reports whether a peer for whom much waited has acknowledged something since
// noteBacklog.
func (c *Conn) acknowledgedMore() bool {
	h := c.transient
	if h == nil || !h.behind || acknowledged(int(c.fd)) <= h.acked {
		return false
	}
	c.noteBacklog()
	return true
}

// setDeadline puts c into the wheel for the given tick, or takes it out for 0, and sees to it that
// the loop wakes in time.
func (l *Loop) setDeadline(c *Conn, at uint32) {
	l.owner.check()
	if l.wheel.count == 0 {
		l.wheel.now = l.nowTick() // nobody kept the coarse clock going
	}
	l.wheel.schedule(c, at)
	if next := l.wheel.next(); next < l.wheelAt {
		l.wheelAt = next
		l.setTimerBy(next)
	}
}

// deadlineBy makes the deadline of c no later than the given tick.
func (c *Conn) deadlineBy(at uint32) {
	if at != 0 && (c.due == 0 || at < c.due) {
		c.loop.setDeadline(c, at)
	}
}
