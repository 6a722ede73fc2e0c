package loop

import (
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/tune"
)

// Feed is what sends prepared messages to the connections of a door, by Deliver.
type Feed interface {
	// CatchUp delivers to c what was on its way to it before, so that what c is sent next does not pass that.
	// In the goroutine that sends; it must neither wait nor send by other means.
	CatchUp(c *Conn)
	// Room says that nothing is unsent any more for a connection whose Deliver answered Backpressure. On
	// the loop.
	Room(c *Conn)
	// Lost says that a connection is gone. On the loop.
	Lost(c *Conn)
}

// SlowPolicy is what Deliver does where much waits for the peer.
type SlowPolicy uint8

const (
	// SlowLimits queues up to the hard limit and cuts there, as Send does.
	SlowLimits SlowPolicy = iota
	// SlowCut cuts where more waits than the soft limit.
	SlowCut
	// SlowNone queues nothing while the kernel has no room.
	SlowNone
)

// shareFrom is the smallest frame that is held by reference while it waits, in bytes; smaller ones are
// copied.
const shareFrom = 1 << 10

// Follow says that the connection is fed from now on. Any goroutine. It reports whether it is open.
func (c *Conn) Follow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outFlags&outClosing != 0 || c.endpoint.feed == nil || c.marked(markResponse) {
		return false
	}
	c.marks.Or(markFed)
	return true
}

// Serve has step called in the goroutine of the loop's writer, again and again until it returns false. Any
// goroutine.
func (l *Loop) Serve(step func() (more bool)) {
	l.mu.Lock()
	l.steps = append(l.steps, step)
	l.mu.Unlock()
	l.signalWriter()
}

// Loop is where the connection is. It never changes.
func (c *Conn) Loop() *Loop { return c.loop }

// Deliver queues prepared messages of one source, in one turn. Where next is not nil they are numbered from
// first on, those before *next are left out, and *next becomes the number behind the last; it is read and
// written under the connection's lock. Backpressure means that nothing was queued, under SlowNone, and that
// Feed.Room will be called. Any goroutine; messages are copied, or retained while they wait.
func (c *Conn) Deliver(messages []frame.Prepared, first uint64, next *uint64, slow SlowPolicy) SendResult {
	result, act, at := c.takeDelivery(messages, first, next, slow)
	c.perform(act, at)
	return result
}

func (c *Conn) takeDelivery(messages []frame.Prepared, first uint64, next *uint64, slow SlowPolicy) (result SendResult, act action, at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next != nil {
		end := first + uint64(len(messages))
		messages = messages[min(uint64(len(messages)), max(*next, first)-first):]
		*next = max(*next, end)
	}
	if c.outFlags&outClosing != 0 {
		return Dropped, actNone, 0
	}
	marks, tuned := c.marks.Load(), c.endpoint.tuned.Load()
	limit := tuned.HardLimit
	switch slow {
	case SlowNone:
		if o := c.out.Load(); o != nil && o.blocked {
			c.outFlags |= outAwaited
			return Backpressure, actNone, 0
		}
	case SlowCut:
		limit = tuned.SoftLimit
	}
	for i, m := range messages {
		o := c.out.Load()
		if o.size() >= limit {
			return Dropped, c.markCut(frame.CloseSlowReader), 0
		}
		if o == nil && i == len(messages)-1 && c.goesAlone(m, marks, tuned) {
			return Sent, c.afterWrite(c.writeParts(1, m.Frame(), nil)), 0
		}
		c.putPrepared(m)
	}
	if c.out.Load() == nil {
		return Sent, actNone, 0
	}
	act, at = c.schedule(batched)
	act, at = c.writeIfDue(batched, marks, act, at)
	if act == actFlush && marks&(markCorked|markReplying) == 0 { // this is who would be woken for it
		act = c.afterWrite(c.writeOut(at))
	}
	if marks&markCorked == 0 {
		c.countOut()
	}
	return Sent, act, at
}

// goesAlone reports whether a message is to be written at once, from where it lies. Under mu.
func (c *Conn) goesAlone(m frame.Prepared, marks uint32, tuned *tune.Tuning) bool {
	if marks&(markCorked|markReplying) != 0 || c.outFlags&outDirty != 0 || c.layers().deflates() {
		return false
	}
	now := c.loop.eng.now()
	if tuned.Due(1, len(m.Frame()), c.lastFlush(now), now) > now {
		return false
	}
	c.noteWrite(1, now)
	return true
}

// putPrepared queues one message. Under mu.
func (c *Conn) putPrepared(m frame.Prepared) {
	b := m.Frame()
	o := c.ensureOutbox()
	o.AddFrame()
	head := frame.HeaderLen(b)
	if ly := c.layers(); ly.deflates() { // the header says whether the message is to be compressed
		compressed := ly.deflating.wants(c.endpoint, m.Opcode(), b[head:])
		own := o.Extend(head)
		copy(own, b)
		markDeflate(own, compressed)
		b = b[head:]
	}
	if len(b) < shareFrom {
		copy(o.Extend(len(b)), b)
		return
	}
	o.Share(m.Buffer(), b)
}
