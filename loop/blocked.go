package loop

import (
	"time"

	"github.com/agloop/agloop/codec/frame"
)

// A connection is blocked while the kernel has no room for what its outbox holds. The poller of its
// loop (poller_*.go) then says when there is room again, and the poller's goroutine goes on
// writing. The loop looks once a second whether the peers of blocked connections still take
// anything.

// awaitWritable notes that the kernel is full and asks the poller to say when it is not. Under mu.
func (c *Conn) awaitWritable(o *outbox) error {
	o.blocked, o.tryAt = true, o.Bytes()+corkFull
	if o.moved == 0 {
		o.moved, o.acked = c.loop.nowTick(), acknowledged(int(c.fd))
	}
	if err := c.loop.poller.watch(c, o); err != nil {
		o.blocked = false
		return err
	}
	return errKernelFull
}

// onWritable writes on for a connection whose socket has room again, or is broken. Any goroutine.
func (c *Conn) onWritable(token uint64, now int64) action {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.out.Load()
	if o == nil || !o.blocked || o.token != token {
		return actNone // gone meanwhile
	}
	o.blocked, o.token = false, 0
	return c.flushLocked(now)
}

// stallTick is how often the loop looks after its blocked connections.
const stallTick = int64(time.Second)

// watchStalls sees to it that the loop looks after its blocked connections. Any goroutine.
func (l *Loop) watchStalls() {
	if l.watching.CompareAndSwap(false, true) {
		l.setTimerBy(l.eng.now() + stallTick)
	}
}

// cutStalled cuts the blocked connections whose peers took nothing for too long, and returns when
// to look again.
func (l *Loop) cutStalled(now int64) int64 {
	l.owner.check()
	if !l.watching.Load() {
		return never
	}
	l.watching.Store(false) // first: who blocks from now on arms the timer again
	l.blockedScratch = l.poller.blocked(l.blockedScratch[:0])
	for _, c := range l.blockedScratch {
		l.run(c, func(c *Conn) {
			if c.state != closed && c.stalled(tickOf(now)) {
				if !c.endKnown() { // one that is cut already is counted already
					l.Counters.SlowCuts.Add(1)
				}
				c.cut(frame.CloseSlowReader, errNoProgress)
			}
		})
	}
	if len(l.blockedScratch) == 0 {
		return never
	}
	clear(l.blockedScratch)
	l.watching.Store(true)
	return now + stallTick
}

// stalled reports whether the peer took nothing for WriteTimeout. What counts is what the peer has
// acknowledged: the kernel takes more from us only when a good part of its own buffer is free, and
// a slow reader may not reach that in time.
func (c *Conn) stalled(now uint32) bool {
	limit := ticks(c.endpoint.limits.WriteTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.out.Load()
	if limit == 0 || o == nil || !o.blocked {
		return false
	}
	if n := acknowledged(int(c.fd)); n > o.acked || o.moved == 0 {
		o.acked, o.moved = n, now
	}
	return now > o.moved+limit
}
