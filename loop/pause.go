package loop

import (
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/frame"
	"golang.org/x/sys/unix"
)

// A connection whose handler does not keep up is not read: the kernel's buffers fill, and TCP stops the
// peer. Messages that had been read with the one in which the handler paused are kept, at most as many
// bytes as one read takes. See docs/adr/0033-pause.md.

// PauseReading stops the reading of messages: OnMessage is not called again until ResumeReading, and the
// peer is stopped by TCP when the kernel's buffers are full. Called in OnMessage, that is the last call;
// from another goroutine, those that are on their way still come. Pauses do not count: one ResumeReading
// ends any number. Any goroutine.
//
// Control frames are not read meanwhile either: a paused connection is pinged but needs not answer, is
// never idle, and its message that has begun has no deadline. That its peer has closed is found when
// reading goes on, that it has reset or died, when the kernel says so. Then, and when the connection
// ends otherwise by its peer, what came before is delivered at once, whether paused or not, and OnClose
// follows. Close ends the pause.
//
// Where the poller cannot be told (not Linux, or no /proc), reading goes on: 1 MiB is kept, and a peer
// that sends more is closed with 1013.
func (c *Conn) PauseReading() {
	if marks := c.marks.Or(markPaused); marks&(markPaused|markCorked) == 0 { // else the turn that is under way sees it
		c.loop.handToLoop(c)
	}
}

// ResumeReading ends a pause. Messages that were kept are delivered in a turn of the loop. Any goroutine.
func (c *Conn) ResumeReading() {
	if c.marks.And(^markPaused)&markPaused != 0 {
		c.loop.handToLoop(c)
	}
}

// epollOf is findEpoll, but in tests of what is done where that finds none.
var epollOf = findEpoll

// maxKept is how much is kept for a paused connection that cannot be muted, in bytes.
const maxKept = 1 << 20

var errKept = &frame.ProtocolError{Code: frame.CloseTryLater, Reason: "reading is paused"}

// holdsBack reports whether messages are to wait. On the loop.
func (c *Conn) holdsBack() bool {
	return c.state == open && c.marks.Load()&(markPaused|markEnding|loopLast) == markPaused
}

// keep keeps bytes that are not to be looked at yet.
func (c *Conn) keep(view []byte) {
	c.loop.owner.check()
	c.mute()
	h := c.ensureTransient()
	switch {
	case h.head == nil:
		h.head = bufpool.Get(len(view)).Append(view)
	case !c.loop.mutes() && len(h.head.B)-h.scan+len(view) > maxKept:
		c.fail(errKept)
	default:
		h.head = h.head.Append(view)
	}
}

// checkPause stops reading when that is wanted, and has the loop go on with it in a turn of its own when it
// is not wanted any more.
func (c *Conn) checkPause() {
	switch {
	case c.marks.Load()&(markPaused|loopMuted) == 0:
	case c.holdsBack():
		c.mute()
	case c.marked(loopMuted):
		c.loop.handToLoop(c)
	}
}

// mute stops reading.
func (c *Conn) mute() {
	if c.marks.Or(loopMuted)&loopMuted == 0 {
		c.loop.Counters.ReadPauses.Add(1)
		c.loop.setReading(c, false)
	}
}

// checkResumed ends a pause that is not wanted any more, with what was kept.
func (c *Conn) checkResumed() {
	if !c.marked(loopMuted) || c.holdsBack() || c.state == closed {
		return
	}
	c.loop.setReading(c, true)
	c.unmute()
	c.heard = c.loop.wheel.now
	c.touch()
	if h := c.transient; h != nil && h.began != 0 {
		h.began = c.heard
	}
	if c.state == open {
		c.deadlineBy(c.nextDeadline())
	}
	c.turn(c.receiveKept)
}

// unmute notes that bytes are looked at again.
func (c *Conn) unmute() {
	c.marks.And(^(loopMuted | loopPinged))
	c.loop.Counters.ReadResumes.Add(1)
}

// receiveKept looks at what was kept. What the handler pauses before stays where it is.
func (c *Conn) receiveKept() {
	h := c.transient
	if h == nil || h.head == nil {
		return
	}
	kept, at := h.head, h.scan
	h.head, h.scan = nil, 0
	rest := c.receiveUntilPaused(kept.B[at:])
	if len(rest) > 0 {
		c.mute()
		h = c.ensureTransient()
		h.head, h.scan = kept, len(kept.B)-len(rest)
	} else {
		kept.Release()
	}
	c.countIn()
	c.trimTransient()
}

// receiveLast delivers what a peer that has gone had sent before, the handler paused or not. The
// descriptor is still there.
func (c *Conn) receiveLast() {
	c.marks.Or(loopLast)
	c.unmute()
	c.turn(func() {
		c.receiveKept()
		buf := bufpool.Get(plainBuffer)
		defer buf.Release()
		for c.state == open {
			n, err := unix.Read(int(c.fd), buf.B[:cap(buf.B)])
			if n <= 0 || err != nil {
				return
			}
			c.loop.Counters.BytesIn.Add(uint64(n))
			c.receive(buf.B[:n])
		}
	})
}
