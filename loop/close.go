package loop

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"syscall"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/codec/handshake"
)

// Close begins the closing handshake: what is queued leaves, then a close frame
// with code and reason, then the peer's close frame is awaited for
// Limits.CloseTimeout. Later Sends are dropped, and messages that still arrive are not
// delivered. It does not wait; OnClose tells the end. A code that may not be sent closes without one. Any goroutine.
func (c *Conn) Close(code frame.CloseCode, reason string) {
	c.perform(c.beginClose(code, reason, nil), 0)
}

// beginClose queues the close frame unless one is queued already, last words right before it, and says who goes on: the
// loop, or the turn under way.
func (c *Conn) beginClose(code frame.CloseCode, reason string, last []byte) action {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outFlags&outClosing == 0 {
		if last != nil {
			c.put(frame.Text, last)
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
	var b [125]byte
	c.put(frame.Close, frame.AppendClose(b[:0], code, reason))
	c.out.Load().owesPong = false // nothing follows it
	c.outFlags |= outClosing
	c.code = code
	c.marks.Or(markEnding)
}

// startClosing is Close arriving on the loop.
func (c *Conn) startClosing() {
	c.state = closing
	c.setCloseError(&CloseError{Code: c.code})
	c.setCloseDeadline()
}

// expire sets the deadline by which the closing handshake must be over.
func (c *Conn) setCloseDeadline() {
	l := c.loop
	l.setDeadline(c, after(l.nowTick(), ticks(c.endpoint.limits.CloseTimeout)))
}

// why notes how the connection ends; the first to know is right.
func (c *Conn) setCloseError(e *CloseError) {
	if h := c.ensureTransient(); h.why == nil {
		h.why = e
	}
}

// closeIn acts on the peer's close frame.
func (c *Conn) closeIn(payload []byte) {
	code, reason, err := frame.ParseClose(payload)
	if err != nil {
		c.fail(err)
		return
	}
	c.setCloseError(&CloseError{Code: code, Reason: string(reason), Remote: true})
	c.closeAndDrain(code, "", nil)
}

// fail ends a connection whose peer broke a rule, or whose handler panicked: the
// close frame says so, and what still arrives is ignored.
func (c *Conn) fail(err error) {
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
	if code == frame.CloseTooBig {
		last = c.endpoint.tooBig
	}
	c.closeAndDrain(code, reason, last)
}

// endWith queues a close frame unless one is queued already, and waits for nothing
// more from the peer.
func (c *Conn) closeAndDrain(code frame.CloseCode, reason string, last []byte) {
	act := c.beginClose(code, reason, last)
	c.state = draining
	c.setCloseDeadline()
	c.perform(act, 0)
}

// finishClosing shuts our side down when the last byte has left. The descriptor is
// closed when the peer ends too: closing it with bytes unread would reset the
// connection and could destroy the close frame on its way.
func (c *Conn) finishClosing() {
	if c.state != draining || c.out.Load() != nil {
		return
	}
	c.state = lingering
	_ = syscall.Shutdown(int(c.fd), syscall.SHUT_WR)
}

// cut closes at once. A close frame with code is tried if nothing waits before it.
func (c *Conn) cut(code frame.CloseCode, cause error) {
	if c.state == closed {
		return
	}
	c.setCloseError(&CloseError{Code: frame.CloseAbnormal, Cause: cause})
	c.tryCloseFrame(code)
	c.closeNow()
}

// sayWhy tries to write a close frame and lets nothing follow it.
func (c *Conn) tryCloseFrame(code frame.CloseCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outFlags&outClosing == 0 && c.state == open && c.out.Load() == nil {
		var p [frame.MaxControl]byte
		var b [frame.MaxHeader + frame.MaxControl]byte
		_, _ = sendRaw(int(c.fd), putFrame(b[:], frame.Close, frame.AppendClose(p[:0], code, ""), c.endpoint.masks))
	}
	c.outFlags |= outClosing
}

// closeNow makes gnet close the descriptor; gone runs before it returns.
func (c *Conn) closeNow() {
	if c.state != closed {
		_ = c.loop.el.Close(c.sock)
	}
}

// closeError is what OnClose tells.
func (c *Conn) closeError(err error) *CloseError {
	if c.transient != nil && c.transient.why != nil {
		return c.transient.why
	}
	if errors.Is(err, io.EOF) || err == nil {
		err = io.ErrUnexpectedEOF // the stream ended without a close frame
	}
	return &CloseError{Code: frame.CloseAbnormal, Cause: err}
}

// panicked ends the connection whose callback panicked.
func (c *Conn) panicked(v any) {
	l := c.loop
	l.Counters.Panics.Add(1)
	c.endpoint.log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in a handler",
		slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	switch c.state {
	case closed:
	case handshaking: // in Authorize
		c.refuse(&handshake.UpgradeError{Status: 500, Reason: "the server failed"})
	default:
		c.fail(errPanic)
	}
}
