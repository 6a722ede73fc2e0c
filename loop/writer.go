package loop

import "github.com/agloop/agloop/codec"

// Frames that come from goroutines leave from goroutines: the loop is not woken for them. A lone frame is written by
// whoever emitted it (Conn.send). Those of a burst are gathered: the first puts its connection on the dirty list and
// calls the writer, a goroutine for each loop, which the scheduler runs next on the same processor, that is, when the
// emitting goroutine has said what it had to say. What a turn of the loop makes dirty it flushes itself at its end. What
// the writer cannot finish, because the kernel is full or the connection closes, it leaves to the loop
// (docs/adr/0010-writer.md).

// What armed says.
const (
	nothing int32 = iota // the next push must see to it
	timed                // the timer will
	called               // the writer was called, or a turn is under way
)

// push puts c on the dirty list and has it flushed. Any goroutine.
func (l *Loop) push(c *Conn, u urgency) {
	l.mu.Lock()
	l.dirty = append(l.dirty, c)
	l.pending.Add(1)
	l.mu.Unlock()
	l.call(u)
}

// call sees to it that the dirty list is flushed: soon, or at once if u is urgent. Any
// goroutine.
func (l *Loop) call(u urgency) {
	// Either the writer or the turn, having lowered armed, sees the list; or we see armed lowered.
	for {
		armed := l.armed.Load()
		if armed == called || armed == timed && u == batched {
			return
		}
		at := l.paced.Load()
		if u == batched && at > l.eng.now() {
			if l.armed.CompareAndSwap(armed, timed) {
				l.armBy(at)
				return
			}
		} else if l.armed.CompareAndSwap(armed, called) {
			l.Counters.Wakes.Add(1)
			l.callWriter()
			return
		}
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
	l.armed.Store(nothing) // first: a push from now on must call again
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
		l.paced.Store(now + l.eng.wakeGap.Load())
		for _, c := range list {
			if !c.flushHere(now) {
				l.leave(c)
			}
		}
		clear(list)
	}
}

// flushHere writes the outbox from the writer. False means that the loop must.
func (c *Conn) flushHere(now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags&isDirty == 0 || c.marked(isCorked) {
		return true // flushed meanwhile, or about to be by the turn that is under way
	}
	return c.out != nil && c.sendOut(now)
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

// flushDirty writes the outboxes of all dirty connections: one write each.
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
	l.paced.Store(now + l.eng.wakeGap.Load())
	for _, c := range list {
		if c.awaitsFlush() { // not flushed by its window or by a turn meanwhile
			c.flush(now)
		}
	}
	clear(list)
	l.spare = list
}

// awaitsFlush tells whether a connection of the dirty list is still to be flushed.
func (c *Conn) awaitsFlush() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flags&isDirty != 0
}

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

// closeInTurn acts on what another goroutine wants closed. False means that the connection is gone.
func (c *Conn) closeInTurn(flags flags, code codec.CloseCode) bool {
	switch {
	case flags&isCut != 0 && code == codec.CloseSlowReader:
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
