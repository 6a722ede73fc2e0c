// Package run runs an agent on one input, from RUN_STARTED to the terminal event. Hosts may rely on
// its API.
//
// It knows an agent and a sink, and no socket. It enforces the order of events, slows an agent that
// is faster than its reader, and ends every run with exactly one terminal event, whatever the agent
// does.
package run

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
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
	// Send queues a copy of one event and reports whether somebody still receives events. urgent
	// marks the events that end a run: they must not wait for others, nor be refused for a limit.
	Send(event []byte, urgent bool) bool
	// AwaitDrain waits until the sink accepts another event, or returns ctx's error when ctx ends
	// first.
	AwaitDrain(ctx context.Context) error
}

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
// with runtime.Goexit, RUN_ERROR follows. When its context was cancelled, because the peer went
// away or the server shuts down, whatever is open is closed and RUN_FINISHED with outcome cancelled
// follows.
type Run struct {
	// Input is what the client sent. It belongs to the run.
	Input *agui.RunAgentInput
	// User is what Authorize returned for the connection, or nil.
	User any

	// Immutable.
	ctx      context.Context
	cancel   context.CancelCauseFunc
	enc      Encoder
	sink     Sink
	maxEvent int

	// Any goroutine.
	emitting emitLock // held by the Emit that waits for the sink and sends

	// Any goroutine, under mu.
	mu    sync.Mutex
	order agui.Order
	buf   []byte // scratch for encoding
	ended bool   // a terminal event was sent

	// The goroutine of Do.
	exited bool // the agent has called runtime.Goexit
}

// errGoexit is the error of an agent that calls runtime.Goexit, as FailNow of a test does.
var errGoexit = errors.New("agloop: agent ended its goroutine")

// errSinkGone cancels a run whose events nobody receives any more.
var errSinkGone = errors.New("agloop: connection is gone")

// Encoder encodes events. AppendEvent appends one to dst, as event.Append does.
type Encoder interface {
	AppendEvent(dst []byte, ev agui.Event) ([]byte, error)
}

// Setup is what a run needs besides its input.
type Setup struct {
	Agent    Agent
	User     any // becomes Run.User
	Encoder  Encoder
	Sink     Sink
	MaxEvent int // the largest encoded event, in bytes; Emit refuses larger ones
}

// Do runs the agent on input, sending its events to the sink, and returns after the terminal event.
// The error is the agent's, a *PanicError if it panicked, the cause when the run was cancelled, nil
// when it ended well. An input that does not fit into RUN_STARTED is answered with RUN_ERROR alone,
// and the error says so. When the agent calls runtime.Goexit, Do sends the terminal event and the
// goroutine ends.
func Do(ctx context.Context, input *agui.RunAgentInput, with Setup) (err error) {
	r := &Run{Input: input, User: with.User, enc: with.Encoder, sink: with.Sink, maxEvent: with.MaxEvent}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.emitting.pass = make(chan struct{}, 1)
	defer r.cancel(nil)
	done := false
	defer func() {
		if done {
			return
		}
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		r.failInternal()
	}()
	err = r.do(with.Agent)
	done = true
	return err
}

func (r *Run) do(agent Agent) error {
	input := r.Input
	defer func() {
		if r.exited {
			_ = r.finish(errGoexit)
		}
	}()
	started := &agui.RunStarted{
		ThreadID: input.ThreadID, RunID: input.RunID, ParentRunID: input.ParentRunID,
		ProtocolVersion: new(agui.ProtocolVersion),
	}
	if err := r.emit(started); err != nil {
		// The ids that it repeats are too long. If nobody receives events, Refuse does nothing.
		Refuse(r.sink, CodeBadInput, err.Error())
		return err
	}
	return r.finish(r.callAgent(agent))
}

// Refuse sends the RUN_ERROR for an input for which no run is started.
func Refuse(sink Sink, code, message string) { sink.Send(Refusal(code, message), true) }

// Refusal is the RUN_ERROR that Refuse sends, encoded.
func Refusal(code, message string) []byte {
	// The only possible error is text that is not UTF-8.
	b, _ := event.Append(nil, &agui.RunError{Message: toUTF8(message), Code: &code})
	return b
}

// Codes of the RUN_ERROR events that agloop sends by itself.
const (
	CodeBadInput   = "invalid_input"
	CodeTooLarge   = "input_too_large"
	CodeRate       = "rate_limited"
	CodeBusy       = "too_many_inputs" // more wait on the connection than may
	CodeShutdown   = "shutting_down"   // the server starts no runs any more
	CodeAgent      = "agent_error"
	CodePanic      = "agent_panic"
	CodeInternal   = "internal_error"
	CodeIncomplete = "incomplete_run" // the agent returned with something still open
)

func (r *Run) callAgent(agent Agent) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		v := recover()
		if r.exited = v == nil; !r.exited {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	err = agent.Run(r.ctx, r)
	returned = true
	return err
}

// failInternal ends a run after a panic outside the agent.
func (r *Run) failInternal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended = true
		Refuse(r.sink, CodeInternal, "the run failed")
	}
}

// finish sends the terminal event that the agent's result asks for.
func (r *Run) finish(err error) error {
	_ = r.sink.AwaitDrain(r.ctx) // the terminal event is sent in any case
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return err
	}
	if _, panicked := errors.AsType[*PanicError](err); panicked {
		r.fail("the agent failed", CodePanic)
		return err
	}
	if cause := context.Cause(r.ctx); cause != nil {
		r.finishCancelled()
		return cause
	}
	if err != nil {
		r.fail(err.Error(), CodeAgent)
		return err
	}
	if err := r.send(&agui.RunFinished{ThreadID: r.Input.ThreadID, RunID: r.Input.RunID}, true); err != nil {
		r.fail(err.Error(), CodeIncomplete)
		return err
	}
	return nil
}

// finishCancelled closes everything that is open and ends the run. Under mu.
func (r *Run) finishCancelled() {
	for _, end := range r.order.Open() {
		if err := r.send(end, true); err != nil {
			// STEP_FINISHED is longer than STEP_STARTED and may exceed the limit where that did
			// not.
			r.fail(err.Error(), CodeIncomplete)
			return
		}
	}
	_ = r.send(&agui.RunFinished{
		ThreadID: r.Input.ThreadID, RunID: r.Input.RunID,
		Outcome: &agui.Outcome{Type: agui.OutcomeCancelled},
	}, true)
}

// fail ends the run with RUN_ERROR, which may come at any time. Under mu.
func (r *Run) fail(message, code string) {
	ev := &agui.RunError{Message: toUTF8(message), Code: &code}
	if err := r.send(ev, true); errors.Is(err, ErrEventTooBig) {
		ev.Message = toUTF8(ev.Message[:r.maxEvent/8]) + " …" // an escaped byte takes six
		_ = r.send(ev, true)
	}
}

// Emit sends one event of any type. It waits while the connection is above its soft limit, so an
// agent is as fast as its reader. The event may be reused when Emit returns.
//
// RunFinished with empty ids gets those of the run; after it, or RunError, the agent should return.
// Errors: a *event.FieldError for a malformed event, an *agui.OrderError for one out of order,
// ErrEventTooBig, ErrRunEnded; nothing is sent then and the run goes on. When the run is over or
// cancelled, the context's error.
func (r *Run) Emit(ev agui.Event) error {
	// A sink that is ready accepts one event, so the next Emit must ask after this one has sent.
	// That needs a lock of its own, because the end of the run locks mu and must not wait here.
	if err := r.emitting.acquire(r.ctx); err != nil {
		return err
	}
	defer r.emitting.release()
	if err := r.sink.AwaitDrain(r.ctx); err != nil {
		return err
	}
	if e, ok := ev.(*agui.RunFinished); ok && e.ThreadID == "" && e.RunID == "" {
		e.ThreadID, e.RunID = r.Input.ThreadID, r.Input.RunID
	}
	return r.emit(ev)
}

// emit sends an event of the agent's, or RUN_STARTED.
func (r *Run) emit(ev agui.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return ErrRunEnded
	}
	return r.send(ev, isTerminal(ev))
}

func isTerminal(ev agui.Event) bool {
	switch ev.(type) {
	case *agui.RunFinished, *agui.RunError:
		return true
	}
	return false
}

// send encodes, checks and queues one event. Under mu.
func (r *Run) send(ev agui.Event, urgent bool) error {
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
	if cap(b) <= maxScratch {
		r.buf = b
	}
	r.ended = r.ended || isTerminal(ev)
	if !r.sink.Send(b, urgent) {
		r.cancel(errSinkGone)
		return context.Canceled
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
