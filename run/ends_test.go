package run_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

// TestGoexit: an agent that ends its goroutine has its terminal event all the same.
func TestGoexit(t *testing.T) {
	for _, tc := range []struct {
		agent func(cancel func(), r *run.Run)
		want  string
		last  string
	}{
		{func(func(), *run.Run) {}, "RUN_STARTED RUN_ERROR", run.CodeAgent},
		{func(_ func(), r *run.Run) { r.TextMessage() }, "RUN_STARTED TEXT_MESSAGE_START RUN_ERROR", run.CodeAgent},
		{func(_ func(), r *run.Run) { r.Emit(&agui.RunFinished{}) }, "RUN_STARTED RUN_FINISHED", `"r"`},
		{func(cancel func(), _ *run.Run) { cancel() }, "RUN_STARTED RUN_FINISHED", "cancelled"},
	} {
		s, over, returned := &sink{}, make(chan struct{}), false
		var kept *run.Run
		go func() {
			defer close(over)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			_ = run.Do(ctx, input, setup(func(_ context.Context, r *run.Run) error {
				kept = r
				tc.agent(cancel, r)
				runtime.Goexit()
				return nil
			}, s))
			returned = true
		}()
		<-over
		if got := s.types(t); got != tc.want || !strings.Contains(s.last(), tc.last) || returned {
			t.Errorf("sent %s, the last %s, returned %v", got, s.last(), returned)
		}
		if err := kept.Emit(&agui.RunError{Message: "late"}); err == nil {
			t.Error("the run goes on")
		}
	}
}

// fragile is an encoder that does not survive some events.
type fragile struct {
	event.Serializer
	types string // on which it panics
	exit  bool   // or ends its goroutine
}

func (f fragile) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	if strings.Contains(f.types, string(ev.Type())) {
		if f.exit {
			runtime.Goexit()
		}
		panic("fragile")
	}
	return f.Serializer.AppendEvent(dst, ev)
}

// TestPanicOutsideTheAgent: what goes wrong below it ends the run in order, too.
func TestPanicOutsideTheAgent(t *testing.T) {
	for _, tc := range []struct{ types, want, code string }{
		{"RUN_STARTED", "RUN_ERROR", run.CodeInternal},
		{"CUSTOM", "RUN_STARTED RUN_ERROR", run.CodePanic},
		{"RUN_FINISHED", "RUN_STARTED CUSTOM RUN_ERROR", run.CodeInternal},
		{"CUSTOM RUN_ERROR", "RUN_STARTED RUN_ERROR", run.CodeInternal},
	} {
		for _, exit := range []bool{false, true} {
			s, over := &sink{}, make(chan error, 1)
			with := setup(func(_ context.Context, r *run.Run) error { return r.Emit(custom) }, s)
			with.Encoder = fragile{encoder, tc.types, exit}
			go func() {
				defer close(over)
				over <- run.Do(context.Background(), input, with)
			}()
			err, returned := <-over
			if pe, ok := errors.AsType[*run.PanicError](err); ok == exit || returned == exit || ok && pe.Value != "fragile" {
				t.Errorf("%s: Do returned %v, %v", tc.types, returned, err)
			}
			if got := s.types(t); got != tc.want || !exit && !strings.Contains(s.last(), tc.code) {
				t.Errorf("%s: sent %s, the last %s", tc.types, got, s.last())
			}
		}
	}
}

// TestEndsThatAreTooBig: a run has its terminal event even when that had to be cut, or when what is
// open cannot be closed.
func TestEndsThatAreTooBig(t *testing.T) {
	huge := strings.Repeat("\x01é", maxEvent)
	for _, err := range []agui.PublicError{{Message: huge}, {Code: huge}, {Code: huge, Message: huge}} {
		s, _ := do(func(context.Context, *run.Run) error { return &err })
		if got := s.types(t); got != "RUN_STARTED RUN_ERROR" || len(s.last()) > maxEvent || !strings.Contains(s.last(), " …") {
			t.Errorf("sent %s, the last with %d bytes", got, len(s.last()))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &sink{}
	_ = run.Do(ctx, input, setup(func(_ context.Context, r *run.Run) error {
		started := `{"type":"STEP_STARTED","stepName":""}`
		err := r.Emit(&agui.StepStarted{StepName: strings.Repeat("s", maxEvent-len(started))})
		cancel()
		return err
	}, s))
	if got := s.types(t); got != "RUN_STARTED STEP_STARTED RUN_ERROR" {
		t.Errorf("sent %s", got)
	}
}

// TestInputTooBigToStart: an input whose RUN_STARTED cannot be sent gets its end as well.
func TestInputTooBigToStart(t *testing.T) {
	s, parent := &sink{}, strings.Repeat("p", maxEvent)
	err := run.Do(context.Background(), &agui.RunAgentInput{
		ThreadID: "t", RunID: "r", ParentRunID: &parent,
	}, setup(func(context.Context, *run.Run) error {
		t.Error("the agent was called")
		return nil
	}, s))
	if !errors.Is(err, run.ErrEventTooBig) {
		t.Errorf("Do returned %v", err)
	}
	if got := s.types(t); got != "RUN_ERROR" || !strings.Contains(s.last(), run.CodeBadInput) || !s.urgent[0] {
		t.Errorf("sent %s, urgent %v", got, s.urgent)
	}
}
