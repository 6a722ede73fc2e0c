package agloop

import (
	"context"
	"errors"
	"slices"

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
	kept   bool   // its log was there when the runs were listed
	stop   func() // ends the listening for new runs

	// Any goroutine, under the session's mu.
	waiting []RunKey            // in the order of their start
	listed  map[RunKey]struct{} // those that were listed, of which the hub may still tell; nil once it was idle
	current *attachment
	idle    bool // the client was told that there is nothing
}

// follow begins a follow.
func (s *controlSession) follow(ctx context.Context, c *control.Follow) {
	f := &follow{ref: c.Ref}
	if !s.checkIDs(c.Ref, c.ThreadID, "") {
		return
	}
	if c.After != nil {
		var ok bool
		if f.after, ok = cursorOf(c.After.Epoch, c.After.Offset); !ok || c.After.RunID == "" || eventLimits(&s.srv.cfg.Limits).CheckIDs("", c.After.RunID) != nil {
			s.reject(c.Ref, control.CodeMalformed, "after")
			return
		}
		f.first = c.After.RunID
	}
	if !s.mayFollow(c.Ref) {
		return
	}
	key, ok := s.authorize(ctx, c.Ref, ActionFollow, s.keyOf(c.ThreadID, ""))
	if !ok {
		return
	}
	f.thread = key
	// Registered first, then listed: a run that starts meanwhile is in both, and taken once.
	f.stop = s.srv.hub.Follow(key.Scope, key.Thread, func(k RunKey) { s.runStarted(f, k) })
	listed, err := s.listThread(ctx, f)
	if err != nil {
		f.stop()
		s.tellAttachError(ctx, c.Ref, err)
		return
	}
	if !s.addFollow(f, listed) {
		f.stop()
	}
}

// mayFollow reports whether the connection may have one more follow, of that ref. The client has been
// told when it may not.
func (s *controlSession) mayFollow(ref string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.follows[ref] != nil:
		s.reject(ref, control.CodeMalformed, "ref")
		return false
	case len(s.follows) >= maxAttachments:
		s.reject(ref, control.CodeAttachments, "")
		return false
	}
	return true
}

// addFollow takes a follow with the runs that there are, unless the connection is gone.
func (s *controlSession) addFollow(f *follow, listed []RunKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	s.follows[f.ref] = f
	s.used = true
	s.rest()
	fresh := f.waiting
	f.waiting, f.listed = listed, make(map[RunKey]struct{}, len(listed))
	for _, k := range listed {
		f.listed[k] = struct{}{}
	}
	for _, k := range fresh {
		f.add(k)
	}
	s.advanceLater(f)
	return true
}

// listThread is the runs of a followed thread that there are, from the one on that the client has
// seen last.
func (s *controlSession) listThread(ctx context.Context, f *follow) ([]RunKey, error) {
	var all, live []RunKey
	unseen := f.first != ""
	for r, err := range s.srv.hub.List(ctx, f.thread.Scope, f.thread.Thread) {
		switch {
		case err != nil:
			return nil, err
		case r.Info.Thread != f.thread.Thread: // all threads are listed for the one that has no name
			continue
		}
		isFirst := f.first != "" && r.Info.Run == f.first
		if isFirst {
			all, unseen = nil, false
			f.kept = r.State <= run.RecordEnded
		}
		if isFirst || r.State <= run.RecordEnded {
			all = append(all, r.Info.RunKey)
		}
		if r.State == run.RecordLive {
			live = append(live, r.Info.RunKey)
		}
	}
	if unseen { // those that are live come after it
		s.tellGone(f.ref, f.first, run.ErrBuried)
		return live, nil
	}
	return all, nil
}

// add adds a run that is to be sent, unless it is there, or was: a run is in the store's list a moment
// before the hub tells of it. Under the session's mu.
func (f *follow) add(k RunKey) {
	if _, listed := f.listed[k]; !listed && !slices.Contains(f.waiting, k) {
		f.waiting = append(f.waiting, k)
	}
}

// maxFollowed is how many runs of a follow may wait: a client that reads nothing must not have the
// server remember all that its thread does.
const maxFollowed = 1024

// runStarted is told of a run of the thread. It is called under the hub's lock.
func (s *controlSession) runStarted(f *follow, k RunKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(f.waiting) >= maxFollowed {
		s.tellGone(f.ref, f.waiting[0].Run, nil)
		f.waiting = f.waiting[1:]
	}
	f.add(k)
	s.advanceLater(f)
}

// advanceLater has the session's goroutine go on with a follow that has nothing attached. Under mu.
func (s *controlSession) advanceLater(f *follow) {
	if f.current == nil && s.follows[f.ref] == f && !slices.Contains(s.advancing, f) {
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
		f.idle, f.listed = true, nil
		s.tell(control.NameIdle, &control.Idle{Ref: f.ref})
	}
	return RunKey{}, false
}

// attachFollow attaches a follow to a run. It reports whether the follow has something attached; a
// run that it cannot give is gone, and it goes on.
func (s *controlSession) attachFollow(f *follow, key RunKey) bool {
	ctx, cancel := context.WithTimeout(s.srv.cfg.BaseContext, s.srv.controlTime)
	defer cancel()
	// The host is asked as for an attach: about the client's own scope.
	allowed, err := s.srv.authorizeRun(ctx, s.principal(), ActionJoin, s.keyOf(key.Thread, key.Run))
	if err != nil {
		s.skipRun(f, key, nil)
		return false
	}
	a := s.newAttachment(f.ref, allowed)
	if a == nil {
		s.skipRun(f, key, nil)
		return false
	}
	a.follow = f
	var at run.Cursor
	if key.Run == f.first {
		at = f.after
	}
	_, a.viewer, err = s.srv.hub.Attach(ctx, allowed, at, a)
	switch {
	case err == nil:
	case f.kept && at.Offset > 0 && errors.Is(err, run.ErrBuried): // the client has all of it
		return false
	default:
		if !errors.Is(err, run.ErrGone) && ctx.Err() == nil {
			s.srv.log.Error("agloop: a log could not be read", "err", err)
		}
		s.skipRun(f, key, err)
		return false
	}
	if !s.setCurrent(f, a) {
		a.viewer.Leave()
		return true
	}
	s.register(a)
	return s.hasCurrent(f)
}

// skipRun says that a follow cannot give a run.
func (s *controlSession) skipRun(f *follow, key RunKey, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.follows[f.ref] == f {
		f.idle = false
		s.tellGone(f.ref, key.Run, why)
	}
}

// setCurrent notes what a follow has attached. It returns false where the client has left the follow.
func (s *controlSession) setCurrent(f *follow, a *attachment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.follows[f.ref] != f {
		a.left = true
		return false
	}
	f.idle = false
	if !a.ended {
		f.current = a
	}
	return true
}

func (s *controlSession) hasCurrent(f *follow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.current != nil
}
