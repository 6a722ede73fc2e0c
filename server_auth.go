package agloop

import (
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

// noAuth is why a connection is closed that awaits its token.
const noAuth = "the first message must be auth"

// mayBeEarly counts a message that comes while the connection awaits its token, and reports whether
// there is room for it. On the loop.
func (s *controlSession) mayBeEarly(size int) bool {
	s.early += size
	return s.early <= loop.MaxToken
}

// isAuth reports whether a message is an auth.
func isAuth(message []byte) bool {
	name, _, err := control.Parse(message)
	return err == nil && name == control.NameAuth
}

// auth has Authorize asked about a token. The controls behind it wait for the answer, since they may
// rely on it. Rule R32.
func (s *controlSession) auth(c *control.Auth) {
	first, within, ref := loop.AwaitsToken(s.conn), s.srv.controlTime, c.Ref
	if first {
		within = loop.AuthTime
	}
	s.setAsking(true)
	if !loop.Present(s.conn, c.Token, within, func(err error) { s.answerAuth(ref, first, err) }) {
		s.setAsking(false)
		s.reject(ref, control.CodeAuth, "")
	}
}

// setAsking notes whether controls are to wait.
func (s *controlSession) setAsking(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asking = on; !on && len(s.waiting) > 0 {
		s.work()
	}
}

// answerAuth acts on what Authorize said of a token. On the loop.
func (s *controlSession) answerAuth(ref string, first bool, err error) {
	switch {
	case err == nil && first:
		s.srv.connected(s.conn)
	case err == nil:
	case loop.IsLate(err):
		s.answerLateAuth(ref, first)
	default:
		s.reject(ref, control.CodeAuth, "")
		if first {
			s.conn.Close(ClosePolicy, loop.PublicReason(err))
		}
	}
	if err == nil || !first {
		s.setAsking(false)
	}
}

// answerLateAuth says that nobody said anything about a token in time.
func (s *controlSession) answerLateAuth(ref string, first bool) {
	stopping := s.srv.stopping()
	switch {
	case first && stopping:
		s.conn.Close(CloseGoingAway, "server shuts down")
	case first:
		s.conn.Close(CloseAuthTimeout, "authorization took too long")
	case stopping:
		s.reject(ref, run.CodeShutdown, "")
	default:
		s.reject(ref, control.CodeTimeout, "")
	}
}
