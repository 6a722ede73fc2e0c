package aguitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

// Session is a run while it goes on. Its methods are for the goroutine of the test, except Cancel,
// Leave and Sent, which any may call.
type Session struct {
	// Immutable.
	t        testing.TB
	input    *agui.RunAgentInput
	cancel   context.CancelCauseFunc
	maxEvent int
	patience time.Duration
	done     chan struct{} // closed when the agent has returned and the run has ended

	// The goroutine of the run, until done is closed.
	err     error // the agent's
	pending []byte
	refused []error
	noted   []error
	decoder event.Decoder

	// Any goroutine, under mu.
	mu      sync.Mutex
	events  []agui.Event
	read    int           // of events
	over    bool          // the last of events ended the run
	window  int           // of events that are not read; 0 is any number
	gone    bool          // the reader has left
	changed chan struct{} // closed, and made anew, when any of these changes

	// The goroutine of the test.
	result *Result
}

// Next is the next event; it waits for it. It is nil once the run has ended, or ended without a
// reader. When no event comes it ends the test.
func (s *Session) Next() agui.Event {
	s.t.Helper()
	var next agui.Event
	ok := s.await(func() bool {
		switch {
		case s.read < len(s.events):
			next = s.events[s.read]
			s.read++
			s.notify()
			return true
		case s.over:
			return true
		}
		return s.ended()
	})
	if !ok {
		s.t.Fatalf("aguitest: no event came, though the run goes on\n%s", s.soFar())
	}
	return next
}

// Await reads on to the next event of type E and returns it. When the run ends before that, it ends
// the test.
func Await[E agui.Event](s *Session) E {
	s.t.Helper()
	for {
		ev := s.Next()
		if e, ok := ev.(E); ok {
			return e
		}
		if ev == nil {
			s.t.Fatalf("aguitest: the run ended before a %v came\n%s", reflect.TypeFor[E](), s.soFar())
		}
	}
}

// Sent is how many events the run has sent, read or not.
func (s *Session) Sent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events)
}

// Cancel cancels the run, as a client's Cancel does, and does not wait. A nil cause is
// run.ErrCancelled.
func (s *Session) Cancel(cause error) {
	if cause == nil {
		cause = run.ErrCancelled
	}
	s.cancel(cause)
}

// Leave has the reader go, as a connection does that breaks: nobody receives what is sent from now
// on, and the next event cancels the run.
func (s *Session) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	s.notify()
}

// Wait reads the rest without a window, waits for the agent and returns what came of the run. When
// the agent does not return it ends the test. Called again it returns the same.
func (s *Session) Wait() *Result {
	s.t.Helper()
	if s.result != nil {
		return s.result
	}
	s.mu.Lock()
	s.window = 0
	s.notify()
	s.mu.Unlock()
	if !s.await(s.ended) {
		s.t.Fatalf("aguitest: the agent has not returned\n%s", s.soFar())
	}
	s.result = newResult(s.t, s.input, s.events, s.err)
	s.result.Refused, s.result.Skipped = s.refused, append(s.noted, s.result.Skipped...)
	s.mu.Lock()
	s.read = len(s.events)
	s.mu.Unlock()
	return s.result
}

// stop ends the run with the test.
func (s *Session) stop() {
	s.t.Helper()
	s.cancel(errTestOver)
	if !s.await(s.ended) {
		s.t.Errorf("aguitest: the agent goes on though its context has ended\n%s", s.soFar())
	}
}

// end is called when the run has ended.
func (s *Session) end() {
	s.noteRefusal()
	close(s.done)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify()
}

func (s *Session) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// await waits until ready, which is called under mu. It reports whether that came about in time.
func (s *Session) await(ready func() bool) bool {
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	for {
		ok, changed := s.ask(ready)
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		}
	}
}

func (s *Session) ask(ready func() bool) (ok bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ready(), s.changed
}

// notify wakes who waits. Under mu.
func (s *Session) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// soFar shows the events that have come.
func (s *Session) soFar() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return show(s.events)
}

// sink receives the events of the run.
type sink struct{ *Session }

// Send keeps one event, as its reader decodes it.
func (s sink) Send(raw []byte, _ run.Kind) bool {
	s.pending = nil
	ev, notes, err := s.decoder.DecodeEvent(raw)
	if err != nil {
		s.t.Errorf("aguitest: no reader takes this event: %v\n%s", err, raw)
	}
	for _, n := range notes {
		s.noted = append(s.noted, fmt.Errorf("%s %s %s", n.Event, n.Path, n.Kind))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	if ev != nil {
		s.events = append(s.events, ev)
		switch ev.(type) {
		case *agui.RunFinished, *agui.RunError:
			s.over = true
		}
		s.notify()
	}
	return true
}

// AwaitDrain waits until fewer events than the window wait for the reader.
func (s sink) AwaitDrain(ctx context.Context) error {
	for {
		ok, changed := s.ask(func() bool { return s.gone || s.window <= 0 || len(s.events)-s.read < s.window })
		if ok {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// encoder encodes the events of the run, and notes which are refused behind it: those are encoded
// and never sent.
type encoder struct{ *Session }

// AppendEvent is called under the lock of the run.
func (e encoder) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	e.noteRefusal()
	b, err := event.Append(dst, ev)
	if err != nil {
		e.refused = append(e.refused, err)
		return b, err
	}
	e.pending = bytes.Clone(b[len(dst):])
	return b, nil
}

// noteRefusal notes why the event was refused that was encoded last, if it was not sent.
func (s *Session) noteRefusal() {
	raw := s.pending
	if raw == nil {
		return
	}
	s.pending = nil
	ev, _, err := new(event.Decoder).DecodeEvent(raw)
	if err != nil || ev == nil {
		return // it is none of agloop's own
	}
	if err = run.CheckSize(ev, len(raw), s.maxEvent); err == nil {
		err = s.orderOf(ev)
	}
	if order, ok := errors.AsType[*agui.OrderError](err); ok && order.Rule == agui.RuleStillOpen {
		return // Usage and Result try what the end will be; and a run that ends so says it
	}
	if err != nil {
		s.refused = append(s.refused, err)
	}
}

// orderOf is what is wrong with ev behind the events that were sent.
func (s *Session) orderOf(ev agui.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var order agui.Order
	for _, sent := range s.events {
		_ = order.Check(sent)
	}
	return order.Check(ev)
}
