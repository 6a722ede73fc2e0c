package run

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// Codes of the RUN_ERROR events that agloop sends by itself.
const (
	CodeBadInput   = "invalid_input"
	CodeTooLarge   = "input_too_large"
	CodeRefused    = "input_refused" // the host does not take it
	CodeRate       = "rate_limited"
	CodeBusy       = "too_many_inputs" // more wait on the connection than may
	CodeManyRuns   = "too_many_runs"   // more are active than may
	CodeShutdown   = "shutting_down"   // the server starts no runs any more
	CodeAgent      = "agent_error"     // unless an *agui.PublicError has another
	CodePanic      = "agent_panic"
	CodeInternal   = "internal_error"
	CodeConflict   = "conflict"       // a run of that name has another input
	CodeGone       = "gone"           // the run is not there any more, or not for this client
	CodeThreadBusy = "thread_busy"    // the thread has a run, and as many wait as may
	CodeIncomplete = "incomplete_run" // the agent returned with something still open
	CodeTimeout    = "timeout"        // the agent took longer than Timeout lets it
)

// Refuse sends the RUN_ERROR for an input for which no run is started.
func Refuse(sink Sink, code, message string) { sink.Send(Refusal(code, message), KindTerminal) }

// Refusal is the RUN_ERROR that Refuse sends, encoded.
func Refusal(code, message string) []byte {
	// The only possible error is text that is not UTF-8.
	b, _ := event.Append(nil, &agui.RunError{Message: toUTF8(message), Code: &code})
	return b
}

// Hidden is the text for a client of what went wrong on the host's side: only what, and a fresh id
// under which the log has the rest.
func Hidden(what string) (text, id string) {
	var b [6]byte
	_, _ = rand.Read(b[:]) // it never fails
	id = hex.EncodeToString(b[:])
	return what + " (id " + id + ")", id
}

// errGoexit is the error of an agent that calls runtime.Goexit, as FailNow of a test does.
var errGoexit = errors.New("agloop: agent ended its goroutine")

const logPanic = "agloop: panic in a run"

// ending is how a run ended.
type ending struct {
	err error  // what Do returns
	log string // what the log says of err; "" for nothing
	id  string // names it in the text that the client reads; "" where that has none

	sent bool // the terminal event was this ending's
}

// finish sends the terminal event that the agent's result asks for.
func (r *Run) finish(err error) error {
	if r.live == nil { // a log has room
		_ = r.sink.AwaitDrain(r.ctx) // the terminal event is sent in any case
	}
	e := r.end(err)
	r.logEnding(e)
	return e.err
}

// abandon ends a run that was cancelled and whose agent does not return. It reports whether the run
// had not ended by itself.
func (r *Run) abandon() bool {
	e := r.end(nil)
	r.logEnding(e)
	return e.sent
}

// end is the part of finish under mu.
func (r *Run) end(err error) ending {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := ending{err: err, sent: !r.ended}
	_, panicked := errors.AsType[*PanicError](err)
	cause := context.Cause(r.ctx)
	switch {
	case panicked:
		e.log = logPanic
	case err != nil && cause == nil && !isPublic(err):
		e.log = "agloop: an agent failed"
	}
	switch {
	case r.ended:
	case panicked:
		e.id = r.failHidden("the agent failed", CodePanic)
	case cause != nil:
		e.err = cause
		r.finishCancelled(&e)
	case err != nil:
		e.id = r.failAgent(err)
	default:
		r.finishWell(&e)
	}
	r.ended = true // whatever became of the terminal event: the encoder goes to another run
	return e
}

// isPublic reports whether the client may read all that err says, which what wraps a PublicError
// does not claim.
func isPublic(err error) bool {
	public, ok := err.(*agui.PublicError)
	return ok && public != nil
}

// failAgent ends the run with an error of its agent. Under mu.
func (r *Run) failAgent(err error) (id string) {
	public, ok := errors.AsType[*agui.PublicError](err)
	if !ok || public == nil {
		return r.failHidden("the agent failed", CodeAgent)
	}
	r.fail(publicText(public, "the agent failed"))
	return ""
}

// publicText is what a client reads of an error, which is what is said where that has no message.
func publicText(e *agui.PublicError, what string) (message, code string) {
	message, code = toUTF8(e.Message), toUTF8(e.Code)
	if message == "" {
		message = what
	}
	if code == "" {
		code = CodeAgent
	}
	return message, code
}

// finishWell ends a run whose agent has returned nil, unless something is open. Under mu.
func (r *Run) finishWell(e *ending) {
	e.err = r.send(&agui.RunFinished{ThreadID: r.Input.ThreadID, RunID: r.Input.RunID}, KindTerminal)
	switch e.err {
	case nil:
		return
	case errNotSent: // the reader has left this moment, which is no mistake of the agent's
		e.err = context.Cause(r.ctx)
		return
	}
	e.log = "agloop: an agent left its run incomplete"
	if order, ok := errors.AsType[*agui.OrderError](e.err); ok {
		r.fail(order.Error(), CodeIncomplete) // it names what the client has been sent
		return
	}
	e.id = r.failHidden("the agent left its run incomplete", CodeIncomplete)
}

// finishCancelled closes everything that is open and ends the run. Under mu.
func (r *Run) finishCancelled(e *ending) {
	err := r.closeCancelled()
	if err == nil || err == errNotSent {
		return
	}
	e.err, e.log = fmt.Errorf("%w: %w", e.err, err), "agloop: a cancelled run could not be closed"
	e.id = r.failHidden("the run was cancelled", CodeIncomplete)
}

// closeCancelled sends what finishCancelled does when all goes well. What closes is longer than
// what opens, and may be above the limit where that was not. Under mu.
func (r *Run) closeCancelled() error {
	for _, end := range r.order.Open() {
		if err := r.send(end, KindClosing); err != nil {
			return err
		}
	}
	return r.send(&agui.RunFinished{
		ThreadID: r.Input.ThreadID, RunID: r.Input.RunID,
		Outcome: &agui.Outcome{Type: agui.OutcomeCancelled},
	}, KindTerminal)
}

// failInternal ends a run after a panic, or runtime.Goexit, outside the agent.
func (r *Run) failInternal(err error) {
	e := ending{err: err, log: "agloop: a run failed"}
	if _, panicked := errors.AsType[*PanicError](err); panicked {
		e.log = logPanic
	}
	var text string
	text, e.id = Hidden("the run failed")
	r.refuseRest(text)
	r.logEnding(e)
}

// refuseRest ends the run by RUN_ERROR, without the run's encoder, unless it has ended.
func (r *Run) refuseRest(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended = true
		Refuse(r.sink, CodeInternal, message)
	}
}

// failHidden ends the run with RUN_ERROR and a text that says nothing of the host's. Under mu.
func (r *Run) failHidden(what, code string) (id string) {
	text, id := Hidden(what)
	r.fail(text, code)
	return id
}

// fail ends the run with RUN_ERROR, which may come at any time, also where the run's encoder does not
// encode that. Under mu.
func (r *Run) fail(message, code string) {
	ev := &agui.RunError{Message: toUTF8(message), Code: new(toUTF8(code))}
	err := r.send(ev, KindTerminal)
	if errors.Is(err, ErrEventTooBig) {
		most := r.maxEvent / 16 // an escaped byte takes six, and there are two texts
		ev.Message, ev.Code = cut(ev.Message, most), new(cut(*ev.Code, most))
		err = r.send(ev, KindTerminal)
	}
	if err != nil && err != errNotSent {
		Refuse(r.sink, *ev.Code, ev.Message)
	}
}

// cut returns at most so many bytes of text, and a sign where more were.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return toUTF8(text[:most]) + " …"
}

// logEnding logs what the client may not read. The stack of a panic has an attribute of its own.
func (r *Run) logEnding(e ending) {
	if e.log == "" {
		return
	}
	attrs := make([]slog.Attr, 0, 5)
	if e.id != "" {
		attrs = append(attrs, slog.String("id", e.id))
	}
	attrs = append(attrs, slog.String("thread", r.Input.ThreadID), slog.String("run", r.Input.RunID))
	if pe, ok := errors.AsType[*PanicError](e.err); ok {
		attrs = append(attrs, slog.Any("panic", pe.Value), slog.String("stack", string(pe.Stack)))
	} else {
		attrs = append(attrs, slog.Any("err", e.err))
	}
	r.log.LogAttrs(context.Background(), slog.LevelError, e.log, attrs...)
}

func toUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
