package loop

import (
	"github.com/agloop/agloop/codec/frame"
)

// Frames that come from goroutines leave from goroutines: the loop is not woken for them. A single
// frame is written by the goroutine that emitted it (Conn.enqueue). The frames of a burst are
// gathered: the first puts its connection on the dirty list and wakes the writer, a goroutine of
// the loop, which the Go scheduler runs next on the same processor, that is, when the emitting
// goroutine waits. What a turn of the loop makes dirty the loop flushes itself at the end of the
// turn. What the kernel has no room for waits until the poller says that it has (blocked.go).
// Callbacks and closing belong to the loop (docs/adr/0010-writer.md).

// markDirty puts c on the dirty list and has it flushed. Any goroutine.
func (l *Loop) markDirty(c *Conn) {
	l.mu.Lock()
	l.dirty = append(l.dirty, c)
	l.pending.Add(1)
	l.mu.Unlock()
	l.wakeWriter()
}

// wakeWriter sees to it that the dirty list is flushed soon. Any goroutine.
func (l *Loop) wakeWriter() {
	// Either the writer or the turn, having lowered flushSure, sees the list; or we see flushSure lowered.
	if !l.flushSure.Load() && l.flushSure.CompareAndSwap(false, true) {
		l.Counters.WriterWakes.Add(1)
		l.signalWriter()
	}
}

func (l *Loop) signalWriter() {
	select {
	case l.writerSignal <- struct{}{}:
	default: // it is on its way
	}
}

// swapDirty takes the dirty list and leaves an empty one. Any goroutine.
func (l *Loop) swapDirty(empty []*Conn) (list []*Conn, stopped bool) {
	l.flushSure.Store(false) // first: a push from now on must call again
	l.mu.Lock()
	defer l.mu.Unlock()
	list = l.dirty
	l.dirty = empty[:0]
	l.pending.Add(-int32(len(list)))
	return list, l.stopped
}

// runWriter is the goroutine of the writer.
func (l *Loop) runWriter() {
	var list []*Conn
	for range l.writerSignal {
		for more := true; more; {
			var stopped bool
			if list, stopped = l.swapDirty(list); stopped {
				return
			}
			now := l.eng.now()
			for _, c := range list {
				l.runElsewhere(c, func() action { return c.flushFromWriter(now) })
			}
			clear(list)
			more = l.takeStep()
		}
	}
}

// takeStep does one step of what Serve was given, and reports whether there is more to do. What is done in
// turn has its place behind the others.
func (l *Loop) takeStep() (more bool) {
	l.mu.Lock()
	if len(l.steps) == 0 {
		l.mu.Unlock()
		return false
	}
	step := l.steps[0]
	l.steps = append(l.steps[:0], l.steps[1:]...)
	l.mu.Unlock()
	if step() {
		l.mu.Lock()
		l.steps = append(l.steps, step)
		l.mu.Unlock()
	}
	return true
}

// runElsewhere does work for c in a goroutine of ours that is not the loop's. A panic in it is a
// mistake of ours and ends that connection.
func (l *Loop) runElsewhere(c *Conn, work func() action) {
	defer func() {
		if r := recover(); r != nil {
			l.report(c, r)
			c.cutOff(frame.CloseInternal)
		}
	}()
	c.perform(work(), 0)
}

// flushFromWriter writes the outbox of a connection that was dirty. It returns what only the loop
// may do. Any goroutine.
func (c *Conn) flushFromWriter(now int64) action {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outFlags &^= outDirty
	return c.flushLocked(now)
}

// flushLocked is the part of flushFromWriter and onWritable under mu.
func (c *Conn) flushLocked(now int64) action {
	o := c.out.Load()
	switch {
	case o == nil || o.blocked || c.marked(markCorked):
		return actNone // flushed meanwhile, or about to be by the poller or the turn that is under way
	case c.outFlags&outClosing != 0:
		return actLoop
	}
	err := c.writeOut(now)
	c.countOut()
	return c.afterWrite(err)
}

// handToLoop has the loop flush c. Any goroutine.
func (l *Loop) handToLoop(c *Conn) {
	l.mu.Lock()
	l.handed = append(l.handed, c)
	l.pending.Add(1)
	l.mu.Unlock()
	if l.wakeSent.CompareAndSwap(false, true) {
		l.wake()
	}
}

// flushDirty flushes all connections that are dirty or were handed to the loop.
func (l *Loop) flushDirty() {
	l.owner.check()
	list, _ := l.swapDirty(l.dirtySpare)
	l.dirtySpare = nil // a callback of ours may get here again
	l.mu.Lock()
	list = append(list, l.handed...)
	l.pending.Add(-int32(len(l.handed)))
	clear(l.handed)
	l.handed = l.handed[:0]
	l.mu.Unlock()
	now := l.eng.now()
	for _, c := range list {
		l.run(c, func(c *Conn) {
			c.checkResumed()
			c.flush(now)
		})
	}
	clear(list)
	l.dirtySpare = list
}

// flush writes what waits, tells who waits for room, and goes on with closing. On the loop. now is
// for the batch window; 0 leaves the window alone, for replies to what the peer just sent do not
// make a burst.
func (c *Conn) flush(now int64) {
	c.loop.owner.check()
	if c.state == closed {
		return
	}
	switch {
	case c.state == securing && c.layers().isSecure():
		c.checkSecured()
	case c.state == judging:
		c.checkVerdict()
	case c.marked(markPresents):
		c.checkToken()
	}
	f := c.flushQueue(now)
	if f.end {
		if !c.closeInTurn(f.flags, f.code) {
			return
		}
		f = c.flushQueue(now)
	}
	if c.afterFlush(f); f.drained && c.state != closed && c.marked(loopAnnounced) {
		c.drain(now) // also when it is closing: who waits for room is to learn that nothing is sent any more
	}
	if c.state != closed {
		c.checkPause()
	}
	if c.state >= closing {
		c.finishClosing()
	}
}

// afterFlush does what only the loop may do after a write.
func (c *Conn) afterFlush(f flushed) {
	switch {
	case f.err != nil:
		c.setCloseError(&CloseError{Code: frame.CloseAbnormal, Cause: f.err})
		c.closeNow()
	case f.stalls:
		c.loop.watchStalls()
	case f.room:
		c.endpoint.feed.Room(c)
	}
}

// drain tells the handler that there is room. What it sends leaves at once. When there is room
// again after that, it is told so in a later turn of the loop, for others want to be served, too.
func (c *Conn) drain(now int64) {
	c.runCorked(func() { c.endpoint.handler.OnDrain(c) })
	if c.state != closed {
		f := c.flushQueue(now)
		c.afterFlush(f)
		if f.drained {
			c.drainLater()
		}
		if f.drained || f.end {
			c.loop.handToLoop(c)
		}
	}
	c.loop.endCork()
}

// drainLater puts off an OnDrain that is due.
func (c *Conn) drainLater() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outFlags |= outFull
}

// flushed is what flushQueue found.
type flushed struct {
	end     bool // another goroutine wants the connection closed, and nothing was written
	flags   outFlags
	code    frame.CloseCode
	err     error // the socket is broken
	stalls  bool  // the kernel is full
	drained bool  // OnDrain is due
	room    bool  // Feed.Room is due
}

// flushQueue is the part of flush under mu.
func (c *Conn) flushQueue(now int64) (f flushed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.flags, f.code = c.outFlags, c.code
	if now == 0 && c.outFlags&(outDirty|outDelayed) != 0 { // a turn takes along what was to be flushed
		now = c.loop.eng.now()
	}
	c.outFlags &^= outDirty
	var err error
	if c.loop.corked == c { // under mu, so that nobody writes what was sent after the replies before them
		err = c.flushCorkLocked()
		c.marks.And(^(markCorked | markReplying))
		c.loop.corked = nil
	}
	if f.flags&outClosing != 0 && (f.flags&outCut != 0 || c.state <= open) {
		f.end = true
		return f
	}
	if ly := c.layers(); ly.pending() { // crypto/tls has answered what it read
		c.ensureOutbox().ahead = ly.size()
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
	if c.outFlags&outFull != 0 &&
		(c.outFlags&outClosing != 0 || c.out.Load().size() <= c.endpoint.tuned.Load().LowWater) {
		c.outFlags &^= outFull
		f.drained = true
	}
	if c.outFlags&outAwaited != 0 && !f.stalls {
		c.outFlags &^= outAwaited
		f.room = c.outFlags&outClosing == 0
	}
	return f
}

// closeInTurn acts on what another goroutine wants closed. It reports whether the connection is
// still there.
func (c *Conn) closeInTurn(flags outFlags, code frame.CloseCode) bool {
	switch {
	case flags&outCut != 0 && code == frame.CloseSlowReader:
		c.loop.Counters.SlowCuts.Add(1)
		return c.cutWithReason(code, errSlowReader)
	case flags&outCut != 0 && code == frame.CloseInternal:
		return c.cutWithReason(code, errFault)
	case flags&outCut != 0:
		c.endpoint.shed.Add(1)
		return c.cutWithReason(code, errMemory)
	case c.state <= judging: // closed before it was a WebSocket: there is nothing to say
		c.closeNow()
	default:
		c.startClosing()
		return true
	}
	return false
}
