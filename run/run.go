// Package run runs an agent on one input, from RUN_STARTED to the terminal event. Hosts may rely on
// its API.
//
// An agent emits events by Run.Emit, or by the helpers: Run.TextMessage, ToolCall, Reasoning, Step,
// Activity and Subagent return something to write to and to close; Interrupt and PendingToolCalls end
// the run; Result and Usage stand on its end. What is open when a run is cancelled is closed by the
// run; an agent that returns nil and leaves something open has failed. Middleware stands around an
// agent, see Chain.
//
// It knows an agent and a sink, and no socket. It enforces the order of events, slows an agent that
// is faster than its reader, and ends every run with exactly one terminal event, whatever the agent
// does.
//
// A run that is to outlive its connection has a log. A Hub finds the runs of the process by their
// names and begins them, a Live is one of them: its log (log.go), what is older in that folded
// (fold.go), its viewers with their cursors (viewer.go), which send to an Outlet each. A Store keeps
// logs that have ended; MemoryStore does so in memory.
package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
)

// Agent produces the events of a run. Run is called in a goroutine of its own for each input; see
// Run for what its result means.
type Agent interface {
	Run(ctx context.Context, run *Run) error
}

// AgentFunc makes a function an Agent.
type AgentFunc func(ctx context.Context, run *Run) error

// Run calls f.
func (f AgentFunc) Run(ctx context.Context, run *Run) error { return f(ctx, run) }

// Sink receives the encoded events of a run, in order. Its methods are called by any goroutine,
// Send by one at a time.
type Sink interface {
	// Send queues a copy of one event and reports whether somebody still receives events. Those
	// that end a run must not wait for others, nor be refused for a limit.
	Send(event []byte, kind Kind) bool
	// AwaitDrain waits until the sink accepts another event, or returns ctx's error when ctx ends
	// first.
	AwaitDrain(ctx context.Context) error
}

// Kind is what an event is for its run.
type Kind uint8

const (
	KindPlain    Kind = iota
	KindClosing       // it closes what is open, right before the terminal event
	KindTerminal      // nothing follows it
)

// Errors of Emit.
var (
	ErrEventTooBig = errors.New("agloop: event is larger than MaxEvent")
	ErrRunEnded    = errors.New("agloop: run has had its terminal event")
)

// PanicError is a panic of the agent, or of the code that encodes and sends its events.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("agloop: run panicked: %v", e.Value) }

// Run is one run, as its agent sees it. All methods may be called from any goroutine; events are
// sent in the order of the calls.
//
// RUN_STARTED has been sent before the agent is called. When the agent returns nil, RUN_FINISHED
// follows, unless the agent has emitted a terminal event itself, as it does to give a result or an
// interrupt. When it returns an error or panics, or leaves something open, or ends its goroutine
// with runtime.Goexit, RUN_ERROR follows: with what an *agui.PublicError says, or else with an id
// under which the log has the error. When its context was cancelled, because somebody stopped it,
// nobody follows it any more, or the server shuts down (context.Cause says which), whatever is open
// is closed and RUN_FINISHED with outcome cancelled follows. An agent that does not return within
// ten seconds then is not waited for, where the run has a log.
type Run struct {
	// Input is what the client sent. It belongs to the run.
	Input *agui.RunAgentInput
	// Principal is who asked for the run. It is zero for who is anonymous.
	Principal auth.Principal

	// Immutable.
	ctx context.Context // within which Emit waits
	up  *Run            // nil: events go to the sink, see With
	via EventFilter     // they pass through it to up; nil: they go there at once

	// Any goroutine.
	emitting emitLock // held by the Emit that waits for the sink and sends
	relay    *relay   // under emitting; nil: EmitJSON has not been called

	*core
}

// core is what all views of a run have in common, see With.
type core struct {
	// Immutable.
	cancel   context.CancelCauseFunc
	values   []any
	enc      Encoder
	sink     Sink
	maxEvent int
	log      *slog.Logger
	live     *Live // nil: the run has no log, and dies with its connection

	// Any goroutine, under mu.
	mu     sync.Mutex
	order  agui.Order
	thread *agui.Thread // what its events come to; nil: nobody asks for that
	buf    []byte       // scratch for encoding
	ended  bool         // a terminal event was sent, or could not be: nothing follows
	usage  []agui.TokenUsage
	result json.RawMessage // of RUN_FINISHED

	// The goroutine of Do.
	exited error // how the run ended whose agent has called runtime.Goexit; nil for others
}

// Value returns what was granted under key, nil for a key that is unknown.
func (r *Run) Value(key any) any {
	for i := 0; i+1 < len(r.values); i += 2 {
		if r.values[i] == key {
			return r.values[i+1]
		}
	}
	return nil
}

// errSinkGone cancels a run whose events nobody receives any more, and errNotSent is what send says
// of such an event.
var (
	errSinkGone = errors.New("agloop: connection is gone")
	errNotSent  = context.Canceled
)

// Encoder encodes events. AppendEvent appends one to dst, as event.Append does.
type Encoder interface {
	AppendEvent(dst []byte, ev agui.Event) ([]byte, error)
}

// Setup is what a run needs besides its input.
type Setup struct {
	Agent     Agent
	Scope     string         // whose run it is
	Principal auth.Principal // becomes Run.Principal
	Values    []any          // keys and values in turn, for Run.Value
	Encoder   Encoder
	Sink      Sink
	Live      *Live        // the run, where a Hub has it: then it is the Sink as well. nil: it has no log
	MaxEvent  int          // the largest encoded event, in bytes; Emit refuses larger ones
	Log       *slog.Logger // receives what the client may not read; nil is slog.Default

	// Started is called before RUN_STARTED, Ended after the terminal event: once each, by Do's
	// goroutine, whatever happens. nil is skipped.
	Started func(RunInfo)
	Ended   func(RunEnd)
}

// Do runs the agent on input, sending its events to the sink, and returns after the terminal event.
// It only reads with. The error is the agent's, a *PanicError if it panicked, the cause when it was
// cancelled, nil when it ended well. An input that does not fit into RUN_STARTED is answered
// with RUN_ERROR alone, and the error says so. When the agent calls runtime.Goexit, Do sends the
// terminal event and the goroutine ends.
func Do(ctx context.Context, input *agui.RunAgentInput, with *Setup) (err error) {
	r := newRun(ctx, input, with)
	defer r.cancel(nil)
	info := with.info(input)
	defer func() {
		if with.Ended != nil {
			with.Ended(RunEnd{*info, err, r.conversation()})
		}
	}()
	done := false
	defer func() {
		switch v := recover(); {
		case done:
		case v != nil:
			err = &PanicError{Value: v, Stack: debug.Stack()}
			r.failInternal(err)
		case r.exited != nil:
			err = r.exited
		default:
			err = errGoexit
			r.failInternal(err)
		}
	}()
	if r.live != nil {
		r.live.bind(r)
	}
	if with.Started != nil {
		with.Started(*info)
	}
	err = r.do(with.Agent)
	done = true
	return err
}

func newRun(ctx context.Context, input *agui.RunAgentInput, with *Setup) *Run {
	r := &Run{Input: input, Principal: with.Principal, core: &core{
		values: with.Values, enc: with.Encoder, sink: with.Sink, maxEvent: with.MaxEvent, log: with.Log,
	}}
	if r.log == nil {
		r.log = slog.Default()
	}
	if r.live = with.Live; r.live != nil {
		r.sink = r.live
		started := runStarted(input) // the hub has put it into the log
		started.Input = &agui.RunAgentInput{Messages: input.Messages}
		_ = r.order.Check(started) // the owners of these messages count for who joins, see prelude
	}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.emitting.pass = make(chan struct{}, 1)
	if with.Ended != nil {
		r.thread = agui.NewThread(input)
		if r.live != nil {
			_ = r.thread.Apply(runStarted(input))
		}
	}
	return r
}

// conversation is what the run's events came to, which nobody adds to any more.
func (r *Run) conversation() *agui.Thread {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.thread
}

// info says what a run of input is, where somebody asks for that. It lies on the heap, since a run
// has little on its stack.
func (with *Setup) info(input *agui.RunAgentInput) *RunInfo {
	if with.Started == nil && with.Ended == nil {
		return nil
	}
	return &RunInfo{RunKey{with.Scope, input.ThreadID, input.RunID}, with.Principal, time.Now()}
}

func (r *Run) do(agent Agent) error {
	if r.live != nil {
		return r.doLogged(agent)
	}
	if err := r.emit(runStarted(r.Input)); err != nil {
		// The ids that it repeats are too long. If nobody receives events, Refuse does nothing.
		Refuse(r.sink, CodeBadInput, err.Error())
		return err
	}
	return r.finish(r.callAgent(agent))
}

// doLogged is do for a run whose log has RUN_STARTED already.
func (r *Run) doLogged(agent Agent) error {
	if r.ctx.Err() != nil { // it was cancelled before it began
		return r.finish(nil)
	}
	r.live.noteCalled()
	return r.finish(r.callAgent(agent))
}

// runStarted is the first event of a run.
func runStarted(input *agui.RunAgentInput) *agui.RunStarted {
	return &agui.RunStarted{
		ThreadID: input.ThreadID, RunID: input.RunID, ParentRunID: input.ParentRunID,
		ProtocolVersion: new(agui.ProtocolVersion),
	}
}

// callAgent calls the agent. When that calls runtime.Goexit, the run is finished on the way out.
func (r *Run) callAgent(agent Agent) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
			return
		}
		r.exited = r.finish(errGoexit)
	}()
	err = agent.Run(r.ctx, r)
	returned = true
	return err
}

// Emit sends one event of any type. It waits while the connection is above its soft limit, so an
// agent is as fast as its reader. The event may be reused when Emit returns.
//
// RunFinished with empty ids gets those of the run; after it, or RunError, the agent should return.
// Errors: a *event.FieldError for a malformed event, an *agui.OrderError for one out of order,
// ErrEventTooBig, ErrRunEnded; nothing is sent then and the run goes on. When the run is over or
// cancelled, the context's error.
func (r *Run) Emit(ev agui.Event) error { return r.emitWithin(r.ctx, ev) }

// EmitContext is Emit for who is not the agent: it gives up when ctx ends, with ctx's error. The
// error is ErrRunEnded when the run is over or cancelled.
func (r *Run) EmitContext(ctx context.Context, ev agui.Event) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	err := r.emitWithin(within, ev)
	if err != nil && r.ctx.Err() != nil {
		return ErrRunEnded
	}
	return err
}

// emitWithin is Emit that waits until ctx ends, which it does when the run's does.
func (r *Run) emitWithin(ctx context.Context, ev agui.Event) error {
	// A sink that is ready accepts one event, so the next Emit must ask after this one has sent.
	// That needs a lock of its own, because the end of the run locks mu and must not wait here.
	if err := r.emitting.acquire(ctx); err != nil {
		return err
	}
	defer r.emitting.release()
	return r.pass(ctx, ev)
}

// pass waits for room and sends. The caller holds emitting.
func (r *Run) pass(ctx context.Context, ev agui.Event) error {
	if r.up != nil {
		return r.passUp(ctx, ev)
	}
	if err := r.sink.AwaitDrain(ctx); err != nil {
		return err
	}
	return r.emit(ev)
}

// emit sends an event of the agent's, or RUN_STARTED.
func (r *Run) emit(ev agui.Event) error {
	if e, ok := ev.(*agui.RunFinished); ok && e.ThreadID == "" && e.RunID == "" {
		e.ThreadID, e.RunID = r.Input.ThreadID, r.Input.RunID
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return ErrRunEnded
	}
	return r.send(ev, KindPlain)
}

func isTerminal(ev agui.Event) bool {
	switch ev.(type) {
	case *agui.RunFinished, *agui.RunError:
		return true
	}
	return false
}

// send encodes, checks and queues one event, of a kind that is at least that. Under mu.
func (r *Run) send(ev agui.Event, kind Kind) error {
	terminal := isTerminal(ev)
	if terminal {
		ev = r.withTotals(ev)
	}
	b, err := r.enc.AppendEvent(r.buf[:0], ev)
	if err != nil {
		return err
	}
	if err := CheckSize(ev, len(b), r.maxEvent); err != nil {
		return err
	}
	if err := r.order.Check(ev); err != nil {
		return err
	}
	if r.thread != nil {
		_ = r.thread.Apply(ev) // what it skips, clients skip
	}
	if cap(b) <= maxScratch {
		r.buf = b
	}
	if terminal {
		r.ended, kind = true, KindTerminal
	}
	if r.live != nil {
		r.live.noteEvent(ev, kind == KindTerminal)
	}
	if !r.sink.Send(b, kind) {
		r.cancel(errSinkGone)
		return errNotSent
	}
	return nil
}

// CheckSize returns an error that wraps ErrEventTooBig and names ev when size, its length in bytes
// when encoded, is above most.
func CheckSize(ev agui.Event, size, most int) error {
	if size <= most {
		return nil
	}
	return fmt.Errorf("%w: %s takes %d bytes, and Limits.MaxEvent is %d", ErrEventTooBig, ev.Type(), size, most)
}

// maxScratch is how much encoding memory a run keeps between events, in bytes.
const maxScratch = 64 << 10
