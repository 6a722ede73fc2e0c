package agloop

import (
	"context"
	"errors"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/run"
)

// bareViewer is the outlet of a run that has a log on a connection without a subprotocol. Such a
// connection has one at a time, and its events need no selectors.
type bareViewer struct {
	// Immutable.
	conn *Conn
	over chan struct{} // closed when nothing follows

	// Who makes it, until it is the session's.
	viewer *run.Viewer

	// Whoever closes over.
	why error
}

// Offer implements run.Outlet.
func (b *bareViewer) Offer(f *run.Frame) run.Offered {
	return offered(b.conn.Offer(nil, nil, false, f.Event, f.Terminal))
}

// Ended implements run.Outlet.
func (b *bareViewer) Ended(why error) {
	b.why = why
	close(b.over)
}

// viewRun starts the run of a principal, or joins the one that there is of that name and input, and
// returns when that has ended for this connection. Otherwise it returns why it is refused.
func (s *session) viewRun(ctx context.Context, input *agui.RunAgentInput, hash [32]byte) *refusal {
	within, cancel := context.WithTimeout(ctx, s.srv.controlTime)
	defer cancel()
	key := RunKey{Scope: s.principal.Key, Thread: input.ThreadID, Run: input.RunID}
	key, err := s.srv.authorizeRun(within, s.principal, ActionStart, key)
	if err != nil {
		return s.srv.refusalOf(ctx, input, err)
	}
	v := &bareViewer{conn: s.conn, over: make(chan struct{})}
	asks := asker{principal: s.principal, values: s.values, network: s.network}
	var refused *refusal
	if v.viewer, refused = s.srv.startLogged(ctx, asks, key, Cursor{}, input, hash, v); refused != nil {
		return refused
	}
	s.viewing.Store(v)
	s.answers = true
	for v.viewer.Pull() {
	}
	if s.isGone() { // and did not see the viewer
		v.viewer.Leave()
	}
	<-v.over // of a run that ends, or a connection that does
	s.viewing.Store(nil)
	if v.why != nil && !s.isGone() {
		return &refusal{code: run.CodeGone, message: v.why.Error()}
	}
	return nil
}

// refusalOf is what a client without agloop.v1 is told of a run that is not started.
func (srv *Server) refusalOf(ctx context.Context, input *agui.RunAgentInput, err error) *refusal {
	switch {
	case errors.Is(err, run.ErrConflict):
		return &refusal{code: run.CodeConflict, message: "a run of that name was started with another input"}
	case errors.Is(err, run.ErrGone), err == errNotAllowed:
		return &refusal{code: run.CodeGone, message: "the run is gone", reason: run.GoneReason(err)}
	case errors.Is(err, run.ErrThreadBusy):
		return &refusal{code: run.CodeThreadBusy, message: "the thread has a run already"}
	case errors.Is(err, run.ErrEventTooBig):
		return &refusal{code: run.CodeBadInput, message: err.Error()}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return undecided
	case errors.Is(err, run.ErrShutdown), ctx.Err() != nil:
		return &refusal{code: run.CodeShutdown, message: shuttingDown}
	}
	text, id := run.Hidden("the run could not be started")
	srv.log.Error("agloop: a run could not be started", "id", id, "thread", input.ThreadID, "run", input.RunID, "err", err)
	return &refusal{code: run.CodeInternal, message: text}
}

// undecided is the refusal where the store or the host has not answered in time.
var undecided = &refusal{code: control.CodeTimeout, message: "the server did not decide in time"}

// isGone reports whether the connection is.
func (s *session) isGone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// drained lets what waits for room go on. On the loop.
func (s *session) drained() {
	s.backpressure.drained()
	if v := s.viewing.Load(); v != nil {
		for v.viewer.Pull() {
		}
	}
}
