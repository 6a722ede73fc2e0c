package agloop

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"runtime/pprof"
	"sync"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

// agentHandler joins connections to the agent. A connection gets a session with its
// first input, and a goroutine only while it has runs to do.
type agentHandler struct{ srv *Server }

func (h agentHandler) OnOpen(*Conn) {}

func (h agentHandler) OnMessage(c *Conn, op Opcode, payload []byte) {
	if op != Text {
		c.Close(frame.CloseUnsupported, "inputs are text")
		return
	}
	s, ok := c.User().(*session)
	if !ok {
		rates := &h.srv.cfg.Rates
		s = &session{srv: h.srv, conn: c, user: c.User(), startRate: loop.NewBucket(rates.Runs, rates.RunsBurst)}
		c.SetUser(s)
	}
	s.input(payload)
}

func (h agentHandler) OnDrain(c *Conn) {
	if s, ok := c.User().(*session); ok {
		s.backpressure.drained()
	}
}

func (h agentHandler) OnClose(c *Conn, why *CloseError) {
	if s, ok := c.User().(*session); ok {
		s.connectionGone(why)
	}
}

// session runs the inputs of one connection, one after another.
type session struct {
	// Immutable.
	srv  *Server
	conn *Conn
	user any

	// The session's goroutine.
	startRate *loop.Bucket

	// Any goroutine.
	backpressure backpressure

	// Any goroutine, under mu.
	mu        sync.Mutex
	waiting   []waitingInput // what waits behind the active run
	refused   int            // refusals that come right behind the active run
	active    bool
	cancelRun context.CancelCauseFunc // of the active run
	cause     error                   // why runs were cancelled
	gone      bool                    // nobody is answered any more
}

// stopping reports whether no run begins any more. It costs one atomic load.
func (srv *Server) stopping() bool { return srv.active.closed.Load() }

// task is what the session's goroutine does next: some refusals, or a run of an input. The
// zero task is the end.
type task struct {
	ctx     context.Context
	refused int
	input   *bufpool.Buffer
}

// work does a task and those that follow, and ends when there are none.
func (s *session) doTasks(t task) {
	defer func() {
		switch v := recover(); {
		case v != nil: // the session is not to be trusted any more
			s.panicked(v)
			s.srv.active.remove(s)
		case t.ctx != nil: // runtime.Goexit cannot be stopped, so the rest is another goroutine's
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

// arm makes the context of the next task. Under mu.
func (s *session) newTaskContext() context.Context {
	ctx, stop := context.WithCancelCause(context.Background())
	if s.cause != nil {
		stop(s.cause)
	}
	s.cancelRun = stop
	return ctx
}

// next takes the next task, or ends the session's goroutine.
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

// end makes the session idle again. Under mu.
func (s *session) becomeIdle() {
	s.dropWaiting()
	s.refused, s.active, s.cancelRun = 0, false, nil
	s.conn.SetBusy(false)
	s.srv.active.remove(s)
	if s.srv.stopping() {
		s.conn.Close(CloseGoingAway, "server shuts down")
	}
}

// do makes a run of one input. Whatever happens, the input has its terminal event then.
func (s *session) handleInput(ctx context.Context, raw *bufpool.Buffer) {
	defer s.cancelRun(nil)
	done, answers := false, false
	defer func() {
		if done {
			return
		}
		v := recover()
		if !answers {
			run.Refuse(s, run.CodeInternal, "the server failed")
		}
		if v != nil {
			s.panicked(v)
			return
		}
		s.srv.log.Error("agloop: a run ended its goroutine, as FailNow of a test does")
	}()
	if input, no := s.parseInput(ctx, raw); input != nil {
		answers = true
		s.runAgent(ctx, input)
	} else if no.code != "" {
		run.Refuse(s, no.code, no.message)
	}
	done = true
}

func (s *session) runAgent(ctx context.Context, input *agui.RunAgentInput) {
	perf := s.srv.performance
	enc := perf.serializers.Get()
	var err error
	perf.collector.Do(ctx, pprof.Labels("thread", input.ThreadID, "run", input.RunID), func(ctx context.Context) {
		err = run.Do(ctx, input, run.Setup{
			Agent: s.srv.cfg.Agent, User: s.user, Encoder: enc, Sink: s, MaxEvent: s.srv.cfg.Limits.MaxEvent,
		})
	})
	if pe, ok := errors.AsType[*PanicError](err); ok {
		s.closeAfterPanic(pe)
		return // with the serializer, which may be what panicked
	}
	perf.serializers.Put(enc)
}

// panicked is broken for a panic of the session's own. Call it where that was recovered.
func (s *session) panicked(v any) { s.closeAfterPanic(&PanicError{Value: v, Stack: debug.Stack()}) }

// broken ends the connection of a run that panicked: what it shares with the next one is
// in an unknown state.
func (s *session) closeAfterPanic(pe *PanicError) {
	s.srv.door.Counters.Panics.Add(1)
	s.srv.log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in a run",
		slog.Any("panic", pe.Value), slog.String("stack", string(pe.Stack)))
	s.conn.Close(frame.CloseInternal, "")
	s.connectionGone(pe)
}

// cancel ends the active run of a server that stops.
func (s *session) cancel(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelTask(cause)
}

// lose ends the session with its connection.
func (s *session) connectionGone(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.dropWaiting() // an agent that heeds no context may go on for long
	s.refused = 0
	s.cancelTask(cause)
}

// cancelled is called under mu.
func (s *session) cancelTask(cause error) {
	if s.cause == nil {
		s.cause = cause
	}
	if s.cancelRun != nil {
		s.cancelRun(cause)
	}
}

// Send implements run.Sink.
func (s *session) Send(event []byte, urgent bool) bool {
	var r SendResult
	if urgent {
		r = s.conn.SendNow(Text, event)
	} else {
		r = s.conn.Send(Text, event)
	}
	s.backpressure.noteResult(r)
	return r != Dropped
}

// AwaitDrain implements run.Sink.
func (s *session) AwaitDrain(ctx context.Context) error {
	return s.backpressure.await(ctx, s.conn, nil)
}
