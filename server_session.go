package agloop

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"

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
		s = &session{srv: h.srv, conn: c, user: c.User(), starts: loop.NewBucket(rates.Runs, rates.RunsBurst)}
		c.SetUser(s)
	}
	s.input(payload)
}

func (h agentHandler) OnDrain(c *Conn) {
	if s, ok := c.User().(*session); ok {
		s.drained()
	}
}

func (h agentHandler) OnClose(c *Conn, why *CloseError) {
	if s, ok := c.User().(*session); ok {
		s.lose(why)
	}
}

// session runs the inputs of one connection, one after another.
type session struct {
	// Immutable.
	srv  *Server
	conn *Conn
	user any

	// The session's goroutine.
	starts *loop.Bucket

	// The run's goroutine.
	pressed atomic.Bool // the last Send answered Backpressure

	// Any goroutine, under mu.
	mu     sync.Mutex
	line   []place // what waits behind the active run
	behind int     // refusals that come right behind the active run
	active bool
	stop   context.CancelCauseFunc // of the active run
	cause  error                   // why runs were cancelled
	gone   bool                    // nobody is answered any more
	room   chan struct{}           // closed by OnDrain
}

// begin notes that s has a run. It returns false when the server is stopping.
func (srv *Server) begin(s *session) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.state == serverStopping {
		return false
	}
	srv.sessions[s] = struct{}{}
	return true
}

// forget notes that s has no run any more.
func (srv *Server) forget(s *session) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.sessions, s)
}

// stopping tells that no run begins any more.
func (srv *Server) stopping() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.state == serverStopping
}

// task is what the session's goroutine does next: some refusals, or a run of an input. The
// zero task is the end.
type task struct {
	ctx     context.Context
	refused int
	input   *bufpool.Buffer
}

// work does a task and those that follow, and ends when there are none.
func (s *session) work(t task) {
	defer func() {
		switch v := recover(); {
		case v != nil: // the session is not to be trusted any more
			s.panicked(v)
			s.srv.forget(s)
		case t.ctx != nil: // runtime.Goexit cannot be stopped, so the rest is another goroutine's
			go s.work(task{ctx: t.ctx})
		}
	}()
	for t.ctx != nil {
		switch {
		case t.input != nil:
			s.do(t.ctx, t.input)
		case t.refused > 0:
			s.refuse(t.ctx, t.refused)
		}
		t = s.next()
	}
}

// arm makes the context of the next task. Under mu.
func (s *session) arm() context.Context {
	ctx, stop := context.WithCancelCause(context.Background())
	if s.cause != nil {
		stop(s.cause)
	}
	s.stop = stop
	return ctx
}

// next takes the next task, or ends the session's goroutine.
func (s *session) next() task {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv.stopping() {
		s.behind += s.clear()
	}
	switch {
	case s.gone:
	case s.behind > 0:
		t := task{ctx: s.arm(), refused: s.behind}
		s.behind = 0
		return t
	case len(s.line) > 0:
		first := s.line[0]
		s.line[0] = place{}
		s.line, s.behind = s.line[1:], first.refused
		return task{ctx: s.arm(), input: first.input}
	}
	s.end()
	return task{}
}

// end makes the session idle again. Under mu.
func (s *session) end() {
	s.clear()
	s.behind, s.active, s.stop = 0, false, nil
	s.conn.SetBusy(false)
	s.srv.forget(s)
	if s.srv.stopping() {
		s.conn.Close(CloseGoingAway, "server shuts down")
	}
}

// do makes a run of one input. Whatever happens, the input has its terminal event then.
func (s *session) do(ctx context.Context, raw *bufpool.Buffer) {
	defer s.stop(nil)
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
	if input, no := s.read(ctx, raw); input != nil {
		answers = true
		s.run(ctx, input)
	} else if no.code != "" {
		run.Refuse(s, no.code, no.message)
	}
	done = true
}

func (s *session) run(ctx context.Context, input *agui.RunAgentInput) {
	perf := s.srv.performance
	enc := perf.serializers.Get()
	var err error
	perf.collector.Do(ctx, pprof.Labels("thread", input.ThreadID, "run", input.RunID), func(ctx context.Context) {
		err = run.Do(ctx, input, run.Setup{
			Agent: s.srv.cfg.Agent, User: s.user, Encoder: enc, Sink: s, MaxEvent: s.srv.limits.MaxEvent,
		})
	})
	if pe, ok := errors.AsType[*PanicError](err); ok {
		s.broken(pe)
		return // with the serializer, which may be what panicked
	}
	perf.serializers.Put(enc)
}

// panicked is broken for a panic of the session's own. Call it where that was recovered.
func (s *session) panicked(v any) { s.broken(&PanicError{Value: v, Stack: debug.Stack()}) }

// broken ends the connection of a run that panicked: what it shares with the next one is
// in an unknown state.
func (s *session) broken(pe *PanicError) {
	s.srv.door.Counters.Panics.Add(1)
	s.srv.log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in a run",
		slog.Any("panic", pe.Value), slog.String("stack", string(pe.Stack)))
	s.conn.Close(frame.CloseInternal, "")
	s.lose(pe)
}

// cancel ends the active run of a server that stops.
func (s *session) cancel(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelled(cause)
}

// lose ends the session with its connection.
func (s *session) lose(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.cancelled(cause)
}

// cancelled is called under mu.
func (s *session) cancelled(cause error) {
	if s.cause == nil {
		s.cause = cause
	}
	if s.stop != nil {
		s.stop(cause)
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
	if r == Backpressure {
		s.pressed.Store(true)
	}
	return r != Dropped
}

// WaitReady implements run.Sink.
func (s *session) WaitReady(ctx context.Context) error {
	if !s.pressed.Load() {
		return ctx.Err()
	}
	s.mu.Lock()
	if !s.conn.Full() {
		s.pressed.Store(false)
		s.mu.Unlock()
		return ctx.Err()
	}
	// The loop lowers Full before it calls drained, which needs mu: it will see room.
	if s.room == nil {
		s.room = make(chan struct{})
	}
	room := s.room
	s.mu.Unlock()
	select {
	case <-room:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drained wakes a run that waits for room. On the loop.
func (s *session) drained() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}
