package agloop

import (
	"bytes"
	"context"
	"log/slog"
	"runtime/debug"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// message takes one message from the client. On the loop.
func (s *controlSession) message(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
		return
	case loop.AwaitsToken(s.conn) && !s.mayBeEarly(len(payload)):
		s.conn.Close(CloseAuthTimeout, "too much before authorization")
		return
	case len(s.waiting) == maxControls:
		s.conn.Close(ClosePolicy, "too many controls wait")
		return
	case len(s.waiting) > 0 && s.bytes+len(payload) > s.srv.cfg.Limits.MaxMessage:
		s.conn.Close(ClosePolicy, "too much waits")
		return
	}
	raw := bufpool.Get(len(payload)).Append(payload)
	s.conn.Hold(raw.Cap())
	s.bytes += len(payload)
	s.waiting = append(s.waiting, raw)
	s.work()
}

// work has the session's goroutine do what waits. Under mu.
func (s *controlSession) work() {
	if !s.active && !s.gone {
		s.active = true
		go s.doControls()
	}
}

// doControls carries out what waits, and ends when there is nothing more.
func (s *controlSession) doControls() {
	returned := false
	defer func() {
		if v := recover(); v != nil {
			s.panicked(v)
		} else if !returned { // runtime.Goexit ends this goroutine, so another one goes on
			go s.doControls()
		}
	}()
	for {
		raw, f, ok := s.next()
		switch {
		case !ok:
			returned = true
			return
		case f != nil:
			s.advance(f)
		default:
			s.handle(raw)
		}
	}
}

// next is what is to be done next: a control, or going on with a follow.
func (s *controlSession) next() (raw *bufpool.Buffer, f *follow, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.advancing) > 0:
		f = s.advancing[0]
		s.advancing = s.advancing[1:]
		return nil, f, true
	case len(s.waiting) > 0 && !s.asking:
		raw = s.waiting[0]
		s.bytes -= len(raw.B)
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		return raw, nil, true
	}
	s.active = false
	return nil, nil, false
}

// keepCancels drops the controls that wait, but for those that cancel a run: who asked for that and
// went meant it. Under mu.
func (s *controlSession) keepCancels() {
	kept := s.waiting[:0]
	for _, raw := range s.waiting {
		if s.active && !s.asking && bytes.Contains(raw.B[:min(len(raw.B), cancelHead)], []byte(`"`+control.NameCancel+`"`)) {
			kept = append(kept, raw)
		} else {
			s.bytes -= len(raw.B)
			s.release(raw)
		}
	}
	s.waiting, s.advancing = kept, nil
}

// cancelHead is within how many bytes the name of a control stands that is not written oddly.
const cancelHead = 16

// release gives up the memory of a control.
func (s *controlSession) release(raw *bufpool.Buffer) {
	s.conn.Hold(-raw.Cap())
	raw.Release()
}

// panicked logs a panic of the session's own and ends the connection.
func (s *controlSession) panicked(v any) {
	s.srv.log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in a session",
		slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	s.srv.door.Counters.Panics.Add(1)
	s.conn.Close(frame.CloseInternal, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active = false // so that nothing is kept for this goroutine
}
