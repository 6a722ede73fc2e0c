package loop

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/agloop/agloop/codec/frame"
)

// Close begins the closing handshake: what is queued leaves, then a close frame with code and
// reason, then the peer's close frame is awaited for Limits.CloseTimeout. Later Sends are dropped,
// and messages that still arrive are not delivered. It does not wait; OnClose tells the end. A code
// that may not be sent closes without one. Any goroutine.
func (c *Conn) Close(code frame.CloseCode, reason string) {
	c.perform(c.beginClose(code, reason, nil), 0)
}

// beginClose queues the close frame unless one is queued already, with last, if there is one, as a
// message right before it. It returns who goes on: the loop, or the turn under way.
func (c *Conn) beginClose(code frame.CloseCode, reason string, last []byte) action {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outFlags&outClosing == 0 {
		if last != nil {
			c.put(frame.Text, nil, last)
		}
		c.putClose(code, reason)
	}
	if c.marked(markCorked) {
		return actNone
	}
	return actLoop
}

// putClose queues the close frame, the last frame there is. Under mu.
func (c *Conn) putClose(code frame.CloseCode, reason string) {
	if !c.marked(markResponse) {
		var b [125]byte
		c.put(frame.Close, nil, frame.AppendClose(b[:0], code, reason))
		c.out.Load().owesPong = false // nothing follows it
	}
	c.outFlags |= outClosing
	c.code = code
	c.marks.Or(markEnding)
}

// startClosing is Close arriving on the loop.
func (c *Conn) startClosing() {
	c.endAsking() // now: Authorize is to learn that nobody waits for it
	c.setCloseError(&CloseError{Code: c.code})
	c.setCloseDeadline()
	if c.state = closing; c.marked(markResponse) { // its peer says nothing about that
		c.state = draining
	}
}

// setCloseDeadline sets the deadline by which the closing handshake must be over. The first one
// holds: the peer's close frame must not prolong ours.
func (c *Conn) setCloseDeadline() {
	if c.state < closing {
		c.loop.setDeadline(c, after(c.loop.nowTick(), ticks(c.endpoint.limits.CloseTimeout)))
	}
}

// setCloseError notes how the connection ends. The first cause that is noted is the one OnClose is
// told.
func (c *Conn) setCloseError(e *CloseError) {
	c.loop.owner.check()
	if h := c.ensureTransient(); h.why == nil {
		h.why = e
	}
}

// endKnown reports whether setCloseError was called.
func (c *Conn) endKnown() bool { return c.transient != nil && c.transient.why != nil }

// closeIn acts on the peer's close frame.
func (c *Conn) closeIn(payload []byte) {
	code, reason, err := frame.ParseClose(payload)
	if err != nil {
		c.fail(err)
		return
	}
	c.marks.Or(loopPeerDone)
	c.setCloseError(&CloseError{Code: code, Reason: string(reason), Remote: true})
	c.closeAndDrain(code, "", nil)
}

// fail ends a connection whose peer broke a rule, or whose handler panicked: the close frame says
// so, and what still arrives is ignored.
func (c *Conn) fail(err error) {
	c.loop.owner.check()
	if c.state >= draining {
		return
	}
	code := frame.CodeOf(err)
	reason := ""
	if pe, ok := errors.AsType[*frame.ProtocolError](err); ok {
		reason = pe.Reason
		c.loop.Counters.ProtoErrs.Add(1)
	}
	c.setCloseError(&CloseError{Code: code, Reason: reason, Cause: err})
	var last []byte
	if code == frame.CloseTooBig && !c.speaksLater() {
		last = c.endpoint.tooBig
	}
	c.closeAndDrain(code, reason, last)
}

// closeAndDrain queues a close frame unless one is queued already. What the peer still sends does
// not matter any more.
func (c *Conn) closeAndDrain(code frame.CloseCode, reason string, last []byte) {
	c.loop.owner.check()
	c.endAsking()
	act := c.beginClose(code, reason, last)
	c.setCloseDeadline()
	c.state = draining
	c.perform(act, 0)
}

// finishClosing ends the connection when the last byte has left. After the peer's close frame the
// server closes first (RFC 6455 §7.1.1). Otherwise our side is shut down, and the descriptor is
// closed when the peer ends too: closing it while bytes are unread would reset the connection, and
// the close frame might never arrive. The peer of a response has said all it has to say, so that is not
// awaited for long.
func (c *Conn) finishClosing() {
	if c.state != draining || c.out.Load() != nil {
		return
	}
	if !c.sayGoodbye() {
		return
	}
	if c.marked(loopPeerDone) && c.endpoint.door != nil || c.layers().heardGoodbye() {
		c.closeNow()
		return
	}
	c.state = lingering
	_ = syscall.Shutdown(int(c.fd), syscall.SHUT_WR)
	if c.marked(markResponse) {
		c.deadlineBy(after(c.loop.nowTick(), ticks(lastFrameTime)))
	}
}

// lastFrameTime bounds how long a connection that is cut may take to read why, and lastFrameRoom
// how much memory it may hold meanwhile, in bytes: one cut for its memory may hold less than
// minHolder.
const (
	lastFrameTime = time.Second
	lastFrameRoom = 128 << 10
)

// cutWithReason drops what is queued but for the rest of the frame that is partly written, and
// queues a close frame with code behind it. It returns false when c had to be closed at once.
func (c *Conn) cutWithReason(code frame.CloseCode, cause error) bool {
	c.loop.owner.check()
	c.setCloseError(&CloseError{Code: frame.CloseAbnormal, Cause: cause})
	c.transient.reader.Reset() // setCloseError has made the transient
	c.transient.dropHead()
	c.countIn()
	if c.state != open || c.marked(markResponse) || !c.replaceQueue(code) {
		c.closeNow()
		return false
	}
	c.state = draining
	c.loop.setDeadline(c, after(c.loop.nowTick(), ticks(min(lastFrameTime, c.endpoint.limits.CloseTimeout))))
	return true
}

// replaceQueue is the part of cutWithReason under mu.
func (c *Conn) replaceQueue(code frame.CloseCode) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.out.Load(); o != nil {
		o.Truncate(o.partial)
	}
	c.countOut()
	room := int32(lastFrameRoom)
	if code == frame.CloseTryLater {
		room = minHolder
	}
	if ly := c.layers(); ly != nil { // what was made already must leave
		room += int32(ly.memory())
	}
	if c.holds.Load() >= room { // what is left of a large frame, or what the host keeps until OnClose
		return false
	}
	c.putClose(code, "")
	c.outFlags &^= outCut
	c.countOut()
	return true
}

// cut closes at once. A close frame with code is tried if nothing waits before it.
func (c *Conn) cut(code frame.CloseCode, cause error) {
	c.loop.owner.check()
	if c.state == closed {
		return
	}
	c.setCloseError(&CloseError{Code: frame.CloseAbnormal, Cause: cause})
	c.tryCloseFrame(code)
	c.closeNow()
}

// tryCloseFrame writes a close frame if nothing waits before it, and lets nothing follow it.
func (c *Conn) tryCloseFrame(code frame.CloseCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outFlags&outClosing == 0 && c.state == open && c.out.Load() == nil {
		c.putClose(code, "")
		_ = c.writeOut(0) // what it leaves is dropped with the connection
	}
	c.outFlags |= outClosing
}

// closeNow makes gnet close the descriptor. onClose has run when it returns.
func (c *Conn) closeNow() {
	c.loop.owner.check()
	if c.state != closed {
		_ = c.loop.el.Close(c.gnetConn())
	}
}

// closeError is what OnClose tells.
func (c *Conn) closeError(err error) *CloseError {
	if c.endKnown() {
		return c.transient.why
	}
	if errors.Is(err, io.EOF) || err == nil {
		err = io.ErrUnexpectedEOF // the stream ended without a close frame
		if c.layers().isSecure() {
			err = errTruncated
		}
	}
	return &CloseError{Code: frame.CloseAbnormal, Cause: err}
}

// notePanic counts and logs a panic of the host's. Call it where that was recovered.
func (c *Conn) notePanic(v any) {
	c.loop.Counters.Panics.Add(1)
	c.endpoint.log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in a handler",
		slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
}

// panicked ends the connection whose callback panicked.
func (c *Conn) panicked(v any) {
	c.notePanic(v)
	switch c.state {
	case closed:
	case securing:
		c.closeNow()
	case handshaking, judging:
		c.refuse(errServerFailed)
	default:
		c.fail(errPanic)
	}
}
