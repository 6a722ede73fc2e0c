package agloop

import (
	"context"
	"errors"

	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

// maxOwn is how many runs a connection is remembered to have started or attached.
const maxOwn = 1024

// noteOwn remembers a run that a follow leaves out. Under mu.
func (s *controlSession) noteOwn(key RunKey) {
	if len(s.own) == maxOwn {
		for old := range s.own {
			delete(s.own, old)
			break
		}
	}
	s.own[key] = struct{}{}
}

// forgetOwn has follows give a run that this connection has not started after all.
func (s *controlSession) forgetOwn(key RunKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.own, key)
}

// rejectStart says why no run is made of an input.
func (s *controlSession) rejectStart(ctx context.Context, ref string, refused *refusal) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) { // and not that the server shuts down
		refused = &refusal{code: control.CodeTimeout}
	}
	s.reject(ref, refused.code, refused.message)
}

// start begins a run, or attaches to the one that there is of that name and input. Rules R15 to R19.
func (s *controlSession) start(ctx context.Context, ref string, raw []byte) {
	input, notes, refused := s.srv.parseInput(ctx, raw, s.startRate)
	s.srv.tellNotes(s.conn, input, notes)
	if input == nil {
		s.rejectStart(ctx, ref, refused)
		return
	}
	key, ok := s.authorize(ctx, ref, ActionStart, s.keyOf(input.ThreadID, input.RunID))
	if !ok {
		return
	}
	a := s.newAttachment(ref, key)
	if a == nil {
		s.reject(ref, control.CodeAttachments, "")
		return
	}
	principal, values := loop.GrantOf(s.conn)
	released, refused := s.srv.admitWithin(ctx, key, principal, s.network, input)
	if refused != nil {
		s.rejectStart(ctx, ref, refused)
		return
	}
	start := s.srv.newStart(key, principal, values, input, hashInput(raw), DisconnectContinue)
	start.Released = released
	s.mu.Lock()
	gone := s.gone
	s.used = true
	_, wasOwn := s.own[key]
	s.noteOwn(key) // before a follow of this connection hears of it
	s.mu.Unlock()
	if gone { // nobody could find the run in its scope
		released()
		return
	}
	var err error
	if _, a.viewer, err = s.srv.hub.Start(ctx, start, a); err != nil {
		if !wasOwn {
			s.forgetOwn(key)
		}
		s.tellStartError(ctx, ref, err)
		return
	}
	s.register(a)
}

// tellStartError says why a run was not started.
func (s *controlSession) tellStartError(ctx context.Context, ref string, err error) {
	switch {
	case errors.Is(err, run.ErrConflict):
		s.tell(control.NameConflict, &control.Conflict{Ref: ref})
	case errors.Is(err, run.ErrGone):
		s.tellGone(ref, "", err)
	case errors.Is(err, run.ErrThreadBusy):
		s.reject(ref, run.CodeThreadBusy, "")
	case errors.Is(err, run.ErrShutdown):
		s.reject(ref, run.CodeShutdown, "")
	case errors.Is(err, run.ErrEventTooBig):
		s.reject(ref, run.CodeBadInput, err.Error())
	case ctx.Err() != nil:
		s.reject(ref, control.CodeTimeout, "")
	default:
		text, id := run.Hidden("the run could not be started")
		s.srv.log.Error("agloop: a run could not be started", "id", id, "err", err)
		s.reject(ref, run.CodeInternal, text)
	}
}
