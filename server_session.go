package agloop

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

// agentHandler is the Handler of a server with an Agent. A connection gets a session with its first
// input, and a goroutine only while it has runs.
type agentHandler struct{ srv *Server }

func (h agentHandler) OnOpen(c *Conn) {
	if s, ok := c.User().(*loopStream); ok {
		s.opened(c)
		return
	}
	if info := loop.InfoOf(c); info != nil && control.Speaks(info.Protocol) {
		c.SetUser(openControl(h.srv, c, info.Protocol == control.ProtocolProto))
	}
}

func (h agentHandler) OnMessage(c *Conn, op Opcode, payload []byte) {
	ctl, _ := c.User().(*controlSession)
	switch {
	case op == ctl.opcode():
	case loop.AwaitsToken(c):
		c.Close(CloseAuthTimeout, noAuth)
		return
	case ctl != nil && ctl.proto:
		c.Close(frame.CloseUnsupported, "frames of agloop.v1.proto are binary")
		return
	default:
		c.Close(frame.CloseUnsupported, "inputs are text")
		return
	}
	switch s := c.User().(type) {
	case *session:
		s.input(payload)
	case *controlSession:
		s.message(payload)
	default:
		fresh := newSession(h.srv, c)
		c.SetUser(fresh)
		fresh.input(payload)
	}
}

func (h agentHandler) OnDrain(c *Conn) {
	switch s := c.User().(type) {
	case *session:
		s.drained()
	case *controlSession:
		s.drained()
	case *loopStream:
		s.drained()
	}
}

func (h agentHandler) OnClose(c *Conn, why *CloseError) {
	switch s := c.User().(type) {
	case *session:
		s.connectionGone(why)
	case *controlSession:
		s.connectionGone()
	case *loopStream:
		s.closed(c)
	}
}

// session runs the inputs of one connection, one after another.
type session struct {
	// Immutable.
	srv       *Server
	conn      *Conn
	principal auth.Principal
	network   netip.Prefix // the client's, for quotas
	values    []any        // for Run.Value

	// The session's goroutine.
	startRate *loop.Bucket
	answers   bool // run.Do sends the terminal event of the input

	// Any goroutine.
	backpressure backpressure
	viewing      atomic.Pointer[bareViewer] // of the run that goes on, if that has a log

	// Any goroutine, under mu.
	mu         sync.Mutex
	active     bool                    // it has a goroutine
	cancelTask context.CancelCauseFunc // of that goroutine's task
	refused    int                     // inputs that are refused after that task
	waiting    []waitingInput          // inputs that come after those
	cause      error                   // why tasks are cancelled
	gone       bool                    // nobody is answered any more
}

// newSession makes the session of a connection. On the loop, with the first input.
func newSession(srv *Server, c *Conn) *session {
	info, rates := c.Info(), &srv.cfg.Rates
	return &session{
		srv: srv, conn: c, principal: info.Principal, network: loop.NetworkOf(info.Remote.Addr()), values: c.Values(),
		startRate: loop.NewBucket(rates.Runs, rates.RunsBurst),
	}
}

// stopping reports whether no run begins any more. It costs one atomic load.
func (srv *Server) stopping() bool { return srv.active.closed.Load() }

// task is what the session's goroutine does next: some refusals, or a run of an input. The zero
// task is the end.
type task struct {
	ctx     context.Context
	refused int
	input   *bufpool.Buffer
}

// doTasks does a task and those that follow, and ends when there are none.
func (s *session) doTasks(t task) {
	defer func() {
		switch v := recover(); {
		case v != nil: // the session is not to be trusted any more
			s.panicked(v)
			s.srv.active.remove(s)
		case t.ctx != nil: // runtime.Goexit ends this goroutine, so another one goes on
			go s.doTasks(task{ctx: t.ctx})
		}
	}()
	for t.ctx != nil {
		switch {
		case t.input != nil:
			s.handleInput(t.ctx, t.input)
		case t.refused > 0:
			s.refuseInputs(t.ctx, t.refused)
		}
		t = s.nextTask()
	}
}

// newTaskContext makes the context of the next task. Under mu.
func (s *session) newTaskContext() context.Context {
	ctx, cancel := context.WithCancelCause(s.srv.cfg.BaseContext)
	if s.cause != nil {
		cancel(s.cause)
	}
	s.cancelTask = cancel
	return ctx
}

// nextTask returns the next task, or ends the session's goroutine.
func (s *session) nextTask() task {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv.stopping() {
		s.refused += s.dropWaiting()
	}
	switch {
	case s.gone:
	case s.refused > 0:
		t := task{ctx: s.newTaskContext(), refused: s.refused}
		s.refused = 0
		return t
	case len(s.waiting) > 0:
		first := s.waiting[0]
		s.waiting[0] = waitingInput{}
		s.waiting, s.refused = s.waiting[1:], first.refused
		return task{ctx: s.newTaskContext(), input: first.input}
	}
	s.becomeIdle()
	return task{}
}

// becomeIdle ends the session's work until the next input. Under mu.
func (s *session) becomeIdle() {
	s.dropWaiting()
	s.refused, s.active, s.cancelTask = 0, false, nil
	s.conn.SetBusy(false)
	s.srv.active.remove(s)
	if s.srv.stopping() {
		s.conn.Close(CloseGoingAway, "server shuts down")
	}
}

// handleInput makes a run of one input, or refuses it. Whatever happens, the input has its terminal
// event when this returns.
func (s *session) handleInput(ctx context.Context, raw *bufpool.Buffer) {
	defer s.cancelTask(nil)
	done := false
	s.answers = false
	defer func() {
		if done {
			return
		}
		v := recover()
		if !s.answers {
			run.Refuse(s, run.CodeInternal, "the server failed")
		}
		switch {
		case v != nil:
			s.panicked(v)
		case !s.answers: // else the log has it
			s.srv.log.Error("agloop: an input ended its goroutine, as FailNow of a test does")
		}
	}()
	switch input, hash := s.takeInput(ctx, raw); {
	case input == nil:
	case hash != nil:
		s.refuse(s.viewRun(ctx, input, *hash))
	default:
		s.startRun(ctx, input)
	}
	done = true
}

// takeInput decodes an input, and hashes it where its run is to have a log. The client has been told when
// it is refused, and the input is nil then. Inlined, it would take room on the stacks of all runs.
//
//go:noinline
func (s *session) takeInput(ctx context.Context, raw *bufpool.Buffer) (*agui.RunAgentInput, *[sha256.Size]byte) {
	var hash *[sha256.Size]byte
	if s.principal.Key != "" {
		h := hashInput(raw.B)
		hash = &h
	}
	input, notes, refused := s.parseInput(ctx, raw)
	s.srv.tellNotes(s.conn, input, notes)
	s.refuse(refused)
	return input, hash
}

// refuse tells the client why no run is made of its input, if that is so.
func (s *session) refuse(refused *refusal) {
	if refused != nil {
		run.Refuse(s, refused.code, refused.message)
	}
}

// panicked logs a panic of the session's own and ends the connection. Call it where that was
// recovered.
func (s *session) panicked(v any) {
	pe := &PanicError{Value: v, Stack: debug.Stack()}
	s.srv.log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in a session",
		slog.Any("panic", pe.Value), slog.String("stack", string(pe.Stack)))
	s.closeAfterPanic(pe)
}

// closeAfterPanic ends the connection of a run that panicked: what that shares with the next run is
// in an unknown state.
func (s *session) closeAfterPanic(pe *PanicError) {
	s.srv.door.Counters.Panics.Add(1)
	s.conn.Close(frame.CloseInternal, "")
	s.connectionGone(pe)
}

// cancel ends the active run of a server that shuts down.
func (s *session) cancel(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelTasks(cause)
}

// connectionGone ends the session with its connection.
func (s *session) connectionGone(cause error) {
	s.noteGone(cause)
	if v := s.viewing.Load(); v != nil {
		v.viewer.Leave()
	}
}

// noteGone is the part of connectionGone under mu.
func (s *session) noteGone(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.dropWaiting() // now: an agent that ignores its context may go on for long
	s.refused = 0
	s.cancelTasks(cause)
}

// cancelTasks cancels the task that goes on and those to come. Under mu.
func (s *session) cancelTasks(cause error) {
	if s.cause == nil {
		s.cause = cause
	}
	if s.cancelTask != nil {
		s.cancelTask(cause)
	}
}

// Send implements run.Sink.
func (s *session) Send(event []byte, kind run.Kind) bool {
	var r SendResult
	if kind == run.KindPlain {
		r = s.conn.Send(Text, event)
	} else {
		r = s.conn.SendNow(Text, event)
	}
	s.backpressure.noteResult(r)
	return r != Dropped
}

// AwaitDrain implements run.Sink.
func (s *session) AwaitDrain(ctx context.Context) error {
	return s.backpressure.awaitOwn(ctx, s.conn)
}
