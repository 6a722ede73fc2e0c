package agloop

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

// httpStream is a viewer over HTTP: the outlet of a run whose events are the body of a response. What
// is offered is put into a buffer, and its request's goroutine writes that, so that a burst is one
// write.
type httpStream struct {
	// Immutable once it has its viewer.
	srv    *Server
	guest  *loop.Guest
	info   ConnInfo
	out    responseWriter
	proto  bool // protobuf, else SSE
	viewer *run.Viewer
	soft   int // bytes in the buffer above which nothing is taken
	wake   chan struct{}
	end    chan struct{} // closed by Close

	// The request's goroutine.
	lastWrite time.Time

	// Any goroutine, under mu.
	mu     sync.Mutex
	buf    *bufpool.Buffer // nil while it is empty
	events int             // in buf
	full   bool            // an event was not taken
	over   bool            // nothing follows
	why    error           // of that
	closed *CloseError     // it was closed
	writes bool            // a write is under way
}

// newStream makes the stream of a visit, which has no viewer yet.
func (v *visit) newStream() *httpStream {
	return &httpStream{
		srv: v.srv, guest: v.guest, info: v.info, proto: v.acceptsProto(),
		soft: v.srv.cfg.Limits.SoftLimit, wake: make(chan struct{}, 1), end: make(chan struct{}),
	}
}

// Offer implements run.Outlet.
func (h *httpStream) Offer(f *run.Frame) run.Offered {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed != nil:
		return run.OutletGone
	case h.buf != nil && len(h.buf.B) > h.soft:
		h.full = true
		return run.OutletFull
	}
	before := 0
	if h.buf == nil {
		h.buf = bufpool.Get(len(f.Event) + frameRoom)
	} else {
		before = h.buf.Cap()
	}
	h.buf = appendFrame(h.buf, f, h.proto)
	h.guest.Hold(h.buf.Cap() - before)
	h.events++
	limits := &h.srv.cfg.Limits
	if h.events == 1 || f.Terminal || h.events >= limits.MessageBatchSize || len(h.buf.B) >= limits.MessageBatchBytes {
		h.rouse()
	}
	return run.OutletTook
}

// rouse wakes the request's goroutine.
func (h *httpStream) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Ended implements run.Outlet.
func (h *httpStream) Ended(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over, h.why = true, why
	h.rouse()
}

// Info says what the stream is, as a connection.
func (h *httpStream) Info() ConnInfo { return h.info }

// Close ends the stream before its run has ended.
func (h *httpStream) Close(code CloseCode, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed != nil {
		return
	}
	h.closed = &CloseError{Code: code, Reason: reason}
	close(h.end)
	if h.writes { // it may wait for a reader that does not read
		_ = h.out.control.SetWriteDeadline(time.Unix(1, 0))
	}
}

// answer answers a visit by the events of a run, until that ends or the client goes.
func (h *httpStream) answer(v *visit, viewer *run.Viewer) {
	h.viewer = viewer
	defer viewer.Leave()
	h.out = newResponseWriter(v.w, v.r, v.srv.cfg.Limits.WriteTimeout)
	v.began = true
	v.w.WriteHeader(http.StatusOK)
	end := h.srv.enter(v.r, h)
	err := h.serve(v.r.Context())
	end(err)
	if err != nil {
		panic(http.ErrAbortHandler) // a response that ends in order would pass for a run that has ended
	}
}

// enter notes a stream for as long as it goes on, and tells hooks of it.
func (s *Server) enter(r *http.Request, h *httpStream) (leave func(error)) {
	key := h.info.Principal.Key
	s.streams.add(h)
	s.peers.add(key, h)
	nc := loop.HTTPConnOf(r.Context())
	nc.Lend(1)
	expires := h.closeAt(h.info.Principal.ExpiresAt)
	if hook := s.cfg.Hooks.Connected; hook != nil {
		s.hooks.call(h, func() { hook(h.info) })
	}
	return func(err error) {
		expires()
		nc.Lend(-1)
		s.peers.remove(key, h)
		s.streams.remove(h)
		if hook := s.cfg.Hooks.Disconnected; hook != nil {
			why := h.closeError(err)
			s.hooks.call(h, func() { hook(h.info, why) })
		}
	}
}

// closeAt closes the stream when its principal expires, also while a write waits for its reader.
func (h *httpStream) closeAt(expires time.Time) (stop func()) {
	if expires.IsZero() {
		return func() {}
	}
	timer := time.AfterFunc(time.Until(expires), func() { h.Close(CloseExpired, "authorization expired") })
	return func() { timer.Stop() }
}

// closeError is how a stream ended.
func (h *httpStream) closeError(err error) *CloseError {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed != nil:
		return h.closed
	case err == nil:
		return &CloseError{Code: CloseNormal}
	}
	return &CloseError{Code: CloseAbnormal, Cause: err}
}

// serve writes what is offered, until the terminal event is written or there is an error.
func (h *httpStream) serve(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	defer func() { // in this order: a viewer that has left is offered nothing
		h.viewer.Leave()
		h.drop()
	}()
	for first := true; ; first = false {
		if h.isBehind() || first {
			for h.viewer.Pull() {
			}
		}
		buf, over, why := h.take()
		if buf != nil {
			err := h.write(buf.B)
			h.guest.Hold(-buf.Cap())
			buf.Release()
			if err != nil {
				return err
			}
			continue
		}
		switch {
		case over:
			return why
		case first:
			if err := h.out.flush(); err != nil { // the head
				return err
			}
		}
		if err := h.await(ctx, timer); err != nil {
			return err
		}
	}
}

// isBehind reports whether an event was not taken, which is to be pulled.
func (h *httpStream) isBehind() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	behind := h.full && h.buf == nil
	if behind {
		h.full = false
	}
	return behind
}

// take takes what is to be written. over says that nothing follows it, and why.
func (h *httpStream) take() (buf *bufpool.Buffer, over bool, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	buf, h.buf, h.events = h.buf, nil, 0
	return buf, h.over, h.why
}

// drop gives back what is not written any more.
func (h *httpStream) drop() {
	if buf, _, _ := h.take(); buf != nil {
		h.guest.Hold(-buf.Cap())
		buf.Release()
	}
}

// write sends one piece of the response.
func (h *httpStream) write(b []byte) error {
	h.lastWrite = time.Now()
	defer h.endWrite()
	for len(b) > 0 {
		n := h.out.piece(len(b))
		if err := h.beginWrite(); err != nil {
			return err
		}
		if _, err := h.out.w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return h.out.flush()
}

// beginWrite notes that a write is under way, unless the stream was closed, and gives it its time.
func (h *httpStream) beginWrite() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed != nil {
		return errStreamClosed
	}
	h.writes = true
	return h.out.bound()
}

func (h *httpStream) endWrite() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes = false
}

// await waits until there is something to write. It pings.
func (h *httpStream) await(ctx context.Context, timer *time.Timer) error {
	limits := &h.srv.cfg.Limits
	for {
		wait := time.Hour
		ping := limits.PingInterval
		if ping > 0 && !h.proto {
			wait = ping
		}
		timer.Reset(wait)
		select {
		case <-h.wake:
			return h.gather(ctx, timer)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-h.end:
			return errStreamClosed
		case <-timer.C:
		}
		if ping > 0 && !h.proto {
			if err := h.write(ssePing); err != nil {
				return err
			}
		}
	}
}

// gather waits for the rest of a burst: what follows a write within the batch window leaves together.
func (h *httpStream) gather(ctx context.Context, timer *time.Timer) error {
	limits := &h.srv.cfg.Limits
	rest := limits.MessageBatchTimeout - time.Since(h.lastWrite)
	if rest <= 0 || h.isDue() {
		return nil
	}
	timer.Reset(rest)
	select {
	case <-h.wake: // the burst is as large as one may be, or the last
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-h.end:
		return errStreamClosed
	}
	return nil
}

// isDue reports whether what is there is not to wait for more.
func (h *httpStream) isDue() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	limits := &h.srv.cfg.Limits
	return h.over || h.buf == nil || h.events >= limits.MessageBatchSize || len(h.buf.B) >= limits.MessageBatchBytes
}

// errStreamClosed ends a stream that was closed.
var errStreamClosed = errors.New("agloop: stream was closed")
