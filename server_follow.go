package agloop

import (
	"context"
	"errors"

	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/run"
)

// follow sends the runs of a thread to a connection, one after another, those to come included. Rule
// R20.
type follow struct {
	// Immutable.
	ref    string
	thread RunKey // without a run
	after  run.Cursor
	first  string // the run that after is in; "" for none
	stop   func() // ends the listening for new runs

	// Any goroutine, under the session's mu.
	waiting []RunKey // in the order of their start
	current *attachment
	idle    bool // the client was told that there is nothing
}

// follow begins a follow.
func (s *controlSession) follow(ctx context.Context, c *control.Follow) {
	f := &follow{ref: c.Ref}
	if c.After != nil {
		var ok bool
		if f.after, ok = cursorOf(c.After.Epoch, c.After.Offset); !ok {
			s.reject(c.Ref, control.CodeMalformed, "after")
			return
		}
		f.first = c.After.RunID
	}
	key, ok := s.authorize(ctx, c.Ref, "", ActionFollow, s.keyOf(c.ThreadID, ""))
	if !ok {
		return
	}
	f.thread = key
	// Registered first, then listed: a run that starts meanwhile is in both, and taken once.
	f.stop = s.srv.hub.Follow(key.Scope, key.Thread, func(k RunKey) { s.runStarted(f, k) })
	listed, err := s.listThread(ctx, f)
	if err != nil {
		f.stop()
		s.tellAttachError(ctx, c.Ref, "", err)
		return
	}
	if !s.addFollow(f, listed) {
		f.stop()
	}
}

// addFollow takes a follow with the runs that there are. It reports whether the connection may have
// it.
func (s *controlSession) addFollow(f *follow, listed []RunKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
		return false
	case s.follows[f.ref] != nil:
		s.reject(f.ref, control.CodeMalformed, "ref")
		return false
	case len(s.follows) >= maxAttachments:
		s.reject(f.ref, control.CodeAttachments, "")
		return false
	}
	s.follows[f.ref] = f
	s.used = true
	s.rest()
	fresh := f.waiting
	f.waiting = listed
	for _, k := range fresh {
		f.add(k)
	}
	s.advanceLater(f)
	return true
}

// listThread is the runs of a followed thread that there are, from the one on that the client has
// seen last.
func (s *controlSession) listThread(ctx context.Context, f *follow) (keys []RunKey, err error) {
	seen := f.first != ""
	for r, err := range s.srv.hub.List(ctx, f.thread.Scope, f.thread.Thread) {
		if err != nil {
			return nil, err
		}
		if r.Info.Run == f.first && f.first != "" {
			keys, seen = nil, false
		}
		if r.State <= run.RecordEnded || r.Info.Run == f.first && f.first != "" {
			keys = append(keys, r.Info.RunKey)
		}
	}
	if seen { // the run that was seen last is unknown: those that are live come after it
		s.tellGone(f.ref, f.first, run.ErrBuried)
		keys = nil
		for _, l := range s.srv.hub.Live() {
			if info := l.Info(); info.Scope == f.thread.Scope && info.Thread == f.thread.Thread {
				keys = append(keys, info.RunKey)
			}
		}
	}
	return keys, nil
}

// add adds a run that is to be sent, unless it is there. Under the session's mu.
func (f *follow) add(k RunKey) {
	for _, other := range f.waiting {
		if other == k {
			return
		}
	}
	f.waiting = append(f.waiting, k)
}

// runStarted is told of a run of the thread. It is called under the hub's lock.
func (s *controlSession) runStarted(f *follow, k RunKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.add(k)
	s.advanceLater(f)
}

// advanceLater has the session's goroutine go on with a follow that has nothing attached. Under mu.
func (s *controlSession) advanceLater(f *follow) {
	if f.current == nil && s.follows[f.ref] == f {
		s.advancing = append(s.advancing, f)
		s.work()
	}
}

// advance attaches a follow to its next run, or says that there is none.
func (s *controlSession) advance(f *follow) {
	for {
		key, ok := s.nextRun(f)
		if !ok || s.attachFollow(f, key) {
			return
		}
	}
}

// nextRun is the next run that a follow sends.
func (s *controlSession) nextRun(f *follow) (key RunKey, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.current != nil || s.follows[f.ref] != f {
		return RunKey{}, false
	}
	for len(f.waiting) > 0 {
		key, f.waiting = f.waiting[0], f.waiting[1:]
		if _, own := s.own[key]; !own {
			return key, true
		}
	}
	if !f.idle {
		f.idle = true
		s.tell(control.NameIdle, &control.Idle{Ref: f.ref})
	}
	return RunKey{}, false
}

// attachFollow attaches a follow to a run. It reports whether the follow has something attached.
func (s *controlSession) attachFollow(f *follow, key RunKey) bool {
	ctx, cancel := context.WithTimeout(s.srv.cfg.BaseContext, controlTime)
	defer cancel()
	allowed, ok := s.authorize(ctx, f.ref, key.Run, ActionJoin, key)
	if !ok {
		return false
	}
	a := s.newAttachment(f.ref, allowed)
	if a == nil {
		return false
	}
	a.follow = f
	var at run.Cursor
	if key.Run == f.first {
		at = f.after
	}
	var err error
	_, a.viewer, err = s.srv.hub.Attach(ctx, allowed, at, a)
	switch {
	case err == nil:
	case at.Offset > 0 && errors.Is(err, run.ErrBuried): // the client has all of it
		return false
	default:
		s.tellAttachError(ctx, f.ref, key.Run, err)
		return false
	}
	s.mu.Lock()
	live, over := s.follows[f.ref] == f, a.ended
	if live && !over {
		f.current, f.idle = a, false
	}
	s.mu.Unlock()
	if !live {
		a.viewer.Leave()
		return true
	}
	s.register(a)
	return !over
}
