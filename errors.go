package agloop

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
	"github.com/agloop/agloop/tune"
)

// All errors of the library, on one screen. Those of lower packages are aliased.
var (
	// ErrServerClosed is returned by Serve and ServeListener after Shutdown or Close.
	ErrServerClosed = fmt.Errorf("agloop: server closed: %w", net.ErrClosed)
	// ErrRunActive is yielded by Client.Run on a bare wire while another run of the client is active.
	ErrRunActive = errors.New("agloop: a run is active on this client")
	// ErrTruncated is yielded by Client.Run when the rest of a run that has begun does not come; it
	// comes with why: the *CloseError of a bare wire, ErrGone, the last error of dialling again.
	ErrTruncated = errors.New("agloop: run truncated before its terminal event")
	// ErrSlowConsumer is yielded by Client.Run on a bare wire when events waited that the caller did
	// not take; see ClientConfig.MaxPending.
	ErrSlowConsumer = errors.New("agloop: events arrive faster than they are taken")
	// ErrStartUnknown is yielded by Client.Run when the connection ended before the server answered,
	// and there is no other one or it leads to another server: whether the run has begun is not
	// known, so it is not started again.
	ErrStartUnknown = errors.New("agloop: whether the run was started is not known")
	// ErrInputTooBig is the error of an input or a text that is larger than the server takes. Nothing
	// was sent.
	ErrInputTooBig = errors.New("agloop: larger than the server takes")
	// ErrNoResume is the error of what only a server of agloop.v1 can do.
	ErrNoResume = fmt.Errorf("agloop: the server does not speak agloop.v1: %w", errors.ErrUnsupported)
	// ErrClientClosed is yielded by Client.Run after Close.
	ErrClientClosed = fmt.Errorf("agloop: client closed: %w", net.ErrClosed)

	// ErrTransportClosed is returned by everything that needs a running transport before Start and
	// after Stop.
	ErrTransportClosed = fmt.Errorf("agloop: transport is not running: %w", net.ErrClosed)
	// ErrTransportStarted is returned by Start when the transport runs already.
	ErrTransportStarted = errors.New("agloop: transport is started")
	// ErrEventsOneWay is returned by SendEvent where the server speaks agloop.v1, whose clients send
	// no events: the server would take one for an input.
	ErrEventsOneWay = fmt.Errorf("agloop: agloop.v1 carries no events to a server: %w", errors.ErrUnsupported)
	// ErrEventDropped is returned by SendEvent when the connection ended with the event unsent; it
	// comes with the *CloseError where that is known. A connection cut for reading too slowly is
	// one of them.
	ErrEventDropped = fmt.Errorf("agloop: event was not sent: %w", net.ErrClosed)

	// ErrTooManyRuns is returned by StartRun when as many runs are active as Quotas.Runs allows.
	ErrTooManyRuns = errors.New("agloop: as many runs are active as Quotas.Runs allows")
	// ErrNoConn is the error of what was asked of a connection that is not there, or is closing.
	ErrNoConn = fmt.Errorf("agloop: no such connection is open: %w", net.ErrClosed)
	// ErrTooManyTopics is returned by Subscribe when a connection has as many topics as
	// Quotas.TopicsPerConn allows.
	ErrTooManyTopics = errors.New("agloop: the connection has as many topics as Quotas.TopicsPerConn allows")
	ErrGone          = run.ErrGone       // a run, or what is behind a cursor, is not there, or not for who asks
	ErrConflict      = run.ErrConflict   // a run of that name was started with another input
	ErrThreadBusy    = run.ErrThreadBusy // the thread has a run, and as many wait as RunsConfig.OnBusyThread says

	// Causes of the context of a run, which is cancelled: they are context.Canceled.
	ErrCancelled = run.ErrCancelled // somebody stopped it
	ErrAbandoned = run.ErrAbandoned // nobody follows it any more
	ErrShutdown  = run.ErrShutdown  // the server shuts down

	// ErrAuthLater is returned by Authorize for a client that is to send its token later.
	ErrAuthLater = auth.ErrAuthLater

	ErrEngineClosed = loop.ErrEngineClosed // a loop was needed after its engine stopped
	ErrEventTooBig  = run.ErrEventTooBig   // Emit, SendEvent: the encoded event exceeds Limits.MaxEvent
	ErrRunEnded     = run.ErrRunEnded      // Emit: the run has had its terminal event
	ErrStateNested  = agui.ErrStateNested  // State.Update: within a change of the same State

	// ErrSerializerUnavailable is a serializer asked for that is not there.
	ErrSerializerUnavailable = event.ErrSerializerUnavailable
)

type (
	// ConfigError is a setting that makes no sense; Serve and Dial return it.
	ConfigError = tune.ConfigError
	// CloseError says how a connection ended. It wraps net.ErrClosed.
	CloseError = loop.CloseError
	// ProtocolError is what a peer did wrong at the level of frames.
	ProtocolError = frame.ProtocolError
	// RefusedError refuses a request; Authorize may return one.
	RefusedError = auth.RefusedError
	// DialError says why a server did not accept an opening handshake, or a proxy on the way.
	DialError = handshake.DialError
	// FieldError is a malformed event or input: event, field, reason.
	FieldError = event.FieldError
	// OrderError is an event out of order: event and rule.
	OrderError = agui.OrderError
	// PublicError is an agent's error whose code and message the client may read.
	PublicError = agui.PublicError
	// ToolError is a call of a tool that AllowTools does not allow; see run.ToolError.
	ToolError = run.ToolError
	// PanicError is what a run panicked with: its agent, or what is below it.
	PanicError = run.PanicError
)

// joinErrors is errors.Join with a text of one line, as a log wants it.
func joinErrors(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return &joinedError{errs}
}

// joinedError is several errors as one.
type joinedError struct{ errs []error }

func (e *joinedError) Error() string {
	text := e.errs[0].Error()
	for _, err := range e.errs[1:] {
		text += "; " + err.Error()
	}
	return strings.ReplaceAll(text, "\n", "; ") // of an errors.Join below
}

func (e *joinedError) Unwrap() []error { return e.errs }

// GoneError is ErrGone for a client: a run, or what is behind a cursor, is not there, or not for it.
type GoneError struct {
	Thread, Run string
	Reason      string // one of control.Reason…, for who may know; else ""
}

func (e *GoneError) Error() string {
	text := fmt.Sprintf("%v: thread %q, run %q", ErrGone, e.Thread, e.Run)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Is reports whether target is ErrGone.
func (e *GoneError) Is(target error) bool { return target == ErrGone }

// RejectedError says that a server does not carry out what a client has asked for.
type RejectedError struct {
	Code    string // one of control.Code… or run.Code…; "" where a server over HTTP has said none
	Field   string // which member is wrong, and how; "" for none
	Status  int    // of the response; 0 where that was none over HTTP
	Message string // for people; of HTTP alone, at most 256 bytes of another's text
}

func (e *RejectedError) Error() string {
	text := "agloop: the server refused"
	if e.Status != 0 {
		text += ": " + strconv.Itoa(e.Status)
	}
	for _, part := range [...]string{e.Code, e.Field, e.Message} {
		if part != "" {
			text += ": " + part
		}
	}
	return text
}
