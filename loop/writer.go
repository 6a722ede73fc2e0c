package loop

import (
	"github.com/agloop/agloop/codec/frame"
)

// Frames that come from goroutines leave from goroutines: the loop is not woken for them. A lone frame is written by
// whoever emitted it (Conn.enqueue). Those of a burst are gathered: the first puts its connection on the dirty list and
// calls the writer, a goroutine for each loop, which the scheduler runs next on the same processor, that is, when the
// emitting goroutine has said what it had to say. What a turn of the loop makes dirty it flushes itself at its end. What
// the kernel has no room for waits until the poller says that it has (blocked.go). Callbacks and closing are the loop's
// (docs/adr/0010-writer.md).

// push puts c on the dirty list and has it flushed. Any goroutine.
func (l *Loop) push(c *Conn) {
	l.mu.Lock()
	l.dirty = append(l.dirty, c)
	l.pending.Add(1)
	l.mu.Unlock()
	l.call()
}

// call sees to it that the dirty list is flushed soon. Any goroutine.
func (l *Loop) call() {
	// Either the writer or the turn, having lowered armed, sees the list; or we see armed lowered.
	if !l.armed.Load() && l.armed.CompareAndSwap(false, true) {
		l.Counters.WriterWakes.Add(1)
		l.callWriter()
	}
}

func (l *Loop) callWriter() {
	select {
	case l.calls <- struct{}{}:
	default: // it is on its way
	}
}

// take swaps the dirty list for an empty one. Any goroutine.
func (l *Loop) take(empty []*Conn) (list []*Conn, stopped bool) {
	l.armed.Store(false) // first: a push from now on must call again
	l.mu.Lock()
	defer l.mu.Unlock()
	list = l.dirty
	l.dirty = empty[:0]
	l.pending.Add(-int32(len(list)))
	return list, l.stopped
}

// write is the writer.
func (l *Loop) write() {
	var list []*Conn
	for range l.calls {
		var stopped bool
		if list, stopped = l.take(list); stopped {
			return
		}
		now := l.eng.now()
		for _, c := range list {
			l.guarded(c, func() action { return c.flushHere(now) })
		}
		clear(list)
	}
}

// guarded does work for c in a goroutine of the loop's own: a panic in it is a mistake of ours and ends that connection.
func (l *Loop) guarded(c *Conn, work func() action) {
	defer func() {
		if r := recover(); r != nil {
			l.report(c, r)
			c.cutOff(frame.CloseInternal)
		}
	}()
	c.perform(work(), 0)
}

// flushHere writes the outbox of a connection that was dirty, from a goroutine. What only the loop may do it leaves to it.
func (c *Conn) flushHere(now int64) action {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flags &^= isDirty
	return c.flushUnder(now)
}

// flushUnder is the part of flushHere that others share. Under mu.
func (c *Conn) flushUnder(now int64) action {
	o := c.out.Load()
	switch {
	case o == nil || o.blocked || c.marked(isCorked):
		return wait // flushed meanwhile, or about to be by the poller or the turn that is under way
	case c.flags&isClosing != 0:
		return toLoop
	}
	err := c.writeOut(now)
	c.countOut()
	return c.afterWrite(err)
}

// leave has the loop flush c. Any goroutine.
func (l *Loop) leave(c *Conn) {
	l.mu.Lock()
	l.todo = append(l.todo, c)
	l.pending.Add(1)
	l.mu.Unlock()
	if l.rung.CompareAndSwap(false, true) {
		l.wake()
	}
}

// flushDirty flushes all connections that are dirty or were left to the loop.
func (l *Loop) flushDirty() {
	l.owner.check()
	list, _ := l.take(l.spare)
	l.spare = nil // a callback of ours may get here again
	l.mu.Lock()
	list = append(list, l.todo...)
	l.pending.Add(-int32(len(l.todo)))
	clear(l.todo)
	l.todo = l.todo[:0]
	l.mu.Unlock()
	now := l.eng.now()
	for _, c := range list {
		l.run(c, func(c *Conn) { c.flush(now) })
	}
	clear(list)
	l.spare = list
}

// flush writes what waits, tells who waits for room, and goes on with closing. On the loop. now is for the batch window;
// 0 leaves the window alone, for replies to what the peer just sent do not make a burst.
func (c *Conn) flush(now int64) {
	if c.state == closed {
		return
	}
	f := c.flushQueue(now)
	if f.end {
		if !c.closeInTurn(f.flags, f.code) {
			return
		}
		f = c.flushQueue(now)
	}
	if c.finish(f); f.drained && c.state == open {
		c.drain(now)
	}
	if c.state >= closing {
		c.finishClosing()
	}
}

// finish does what only the loop may do after a write.
func (c *Conn) finish(f flushed) {
	switch {
	case f.err != nil:
		c.why(&CloseError{Code: frame.CloseAbnormal, Cause: f.err})
		c.closeNow()
	case f.stalls:
		c.loop.watchStalls()
	}
}

// drain tells the handler that there is room. What it sends leaves at once. When there is room again after that, it is told
// so in a later turn of the loop, for others want to be served, too.
func (c *Conn) drain(now int64) {
	c.gather(func() { c.door.handler.OnDrain(c) })
	if c.state != closed {
		f := c.flushQueue(now)
		c.finish(f)
		if f.drained {
			c.oweDrain()
		}
		if f.drained || f.end {
			c.loop.leave(c)
		}
	}
	c.loop.uncorked()
}

// oweDrain puts off OnDrain that was found to be due.
func (c *Conn) oweDrain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flags |= isFull
}

// flushed is what flushQueue found.
type flushed struct {
	end     bool // another goroutine wants the connection closed, and nothing was written
	flags   flags
	code    frame.CloseCode
	err     error // the socket is broken
	stalls  bool  // the kernel is full
	drained bool  // OnDrain is due
}

// flushQueue is the part of flush under mu.
func (c *Conn) flushQueue(now int64) (f flushed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.flags, f.code = c.flags, c.code
	if now == 0 && c.flags&(isDirty|isDelayed) != 0 { // a turn takes along what was to be flushed
		now = c.loop.eng.now()
	}
	c.flags &^= isDirty
	var err error
	if c.loop.corked == c { // under mu, so that nobody writes what was sent after the replies before them
		err = c.uncork()
		c.marks.And(^(isCorked | isReplying))
		c.loop.corked = nil
	}
	if f.flags&isClosing != 0 && (f.flags&isCut != 0 || c.state <= open) {
		f.end = true
		return f
	}
	o := c.out.Load()
	if o != nil && !o.blocked && err == nil {
		err = c.writeOut(now)
	}
	if err != errKernelFull {
		f.err = err
	}
	o = c.out.Load()
	f.stalls = o != nil && o.blocked
	c.countOut()
	if c.flags&isFull != 0 && c.out.Load().size() <= c.door.tuned.Load().LowWater {
		c.flags &^= isFull
		f.drained = true
	}
	return f
}

// closeInTurn acts on what another goroutine wants closed. False means that the connection is gone.
func (c *Conn) closeInTurn(flags flags, code frame.CloseCode) bool {
	switch {
	case flags&isCut != 0 && code == frame.CloseSlowReader:
		c.loop.Counters.SlowCuts.Add(1)
		c.cut(code, errSlowReader)
	case flags&isCut != 0 && code == frame.CloseInternal:
		c.cut(code, errFault)
	case flags&isCut != 0:
		c.door.refused.shed.Add(1)
		c.cut(code, errMemory)
	case c.state == handshaking: // closed before it was a WebSocket: there is nothing to say
		c.closeNow()
	default:
		c.startClosing()
		return true
	}
	return false
}
