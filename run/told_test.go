package run_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/run"
)

// TestStartedAndEnded: one Ended for each Started, with what became of the run, after the terminal
// event.
func TestStartedAndEnded(t *testing.T) {
	boom, gone := errors.New("boom"), errors.New("gone")
	type agent = func(cancel context.CancelCauseFunc, r *run.Run) error
	for _, tc := range []struct {
		name    string
		encoder run.Encoder
		started func()
		agent   agent
		sent    string
		is      func(error) bool
	}{
		{
			"well", encoder, nil, func(context.CancelCauseFunc, *run.Run) error { return nil },
			"RUN_STARTED RUN_FINISHED", func(err error) bool { return err == nil },
		},
		{
			"error", encoder, nil, func(context.CancelCauseFunc, *run.Run) error { return boom },
			"RUN_STARTED RUN_ERROR", func(err error) bool { return errors.Is(err, boom) },
		},
		{
			"panic", encoder, nil, func(context.CancelCauseFunc, *run.Run) error { panic("boom") },
			"RUN_STARTED RUN_ERROR", isPanic("boom"),
		},
		{
			"Goexit", encoder, nil, func(context.CancelCauseFunc, *run.Run) error { runtime.Goexit(); return nil },
			"RUN_STARTED RUN_ERROR", func(err error) bool { return err != nil && strings.Contains(err.Error(), "goroutine") },
		},
		{
			"cancelled", encoder, nil, func(cancel context.CancelCauseFunc, _ *run.Run) error { cancel(gone); return boom },
			"RUN_STARTED RUN_FINISHED", func(err error) bool { return err == gone },
		},
		{
			"cancelled Goexit", encoder, nil, func(cancel context.CancelCauseFunc, _ *run.Run) error {
				cancel(gone)
				runtime.Goexit()
				return nil
			},
			"RUN_STARTED RUN_FINISHED", func(err error) bool { return err == gone },
		},
		{
			"left open", encoder, nil, func(_ context.CancelCauseFunc, r *run.Run) error {
				return r.Emit(&agui.StepStarted{StepName: "s"})
			},
			"RUN_STARTED STEP_STARTED RUN_ERROR", func(err error) bool { _, ok := errors.AsType[*agui.OrderError](err); return ok },
		},
		{
			"no RUN_STARTED",
			sourStart{encoder},
			nil, nil, "RUN_ERROR",
			func(err error) bool { return errors.Is(err, errSour) },
		},
		{
			"encoder panics",
			fragile{encoder, "RUN_FINISHED", false},
			nil,
			func(context.CancelCauseFunc, *run.Run) error { return nil },
			"RUN_STARTED RUN_ERROR", isPanic("fragile"),
		},
		{
			"Started panics", encoder, func() { panic("hook") }, nil, "RUN_ERROR", isPanic("hook"),
		},
		{
			"Started ends its goroutine", encoder, runtime.Goexit, nil,
			"RUN_ERROR", func(err error) bool { return err != nil },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			s, over := &sink{}, make(chan struct{})
			with := setup(func(_ context.Context, r *run.Run) error {
				if tc.agent == nil {
					t.Error("the agent was called")
					return nil
				}
				return tc.agent(cancel, r)
			}, s)
			with.Encoder = tc.encoder
			with.Scope, with.Principal = "ann", auth.Principal{Key: "ann", Value: 7}
			var began []run.RunInfo
			var ended []run.RunEnd
			with.Started = func(info run.RunInfo) {
				if began = append(began, info); len(s.events) != 0 {
					t.Errorf("after %s", s.types(t))
				}
				if tc.started != nil {
					tc.started()
				}
			}
			with.Ended = func(end run.RunEnd) {
				if ended = append(ended, end); s.types(t) != tc.sent {
					t.Errorf("after %s, want %s", s.types(t), tc.sent)
				}
			}
			go func() {
				defer close(over)
				_ = run.Do(ctx, input, with)
			}()
			<-over
			key := run.RunKey{Scope: "ann", Thread: "t", Run: "r"}
			if len(began) != 1 || len(ended) != 1 {
				t.Fatalf("begun %v, ended %v", began, ended)
			}
			if began[0] != ended[0].RunInfo || began[0].RunKey != key || began[0].Principal != with.Principal || began[0].Started.IsZero() {
				t.Errorf("begun %v, ended %v", began, ended)
			}
			if !tc.is(ended[0].Err) {
				t.Errorf("ended with %v", ended[0].Err)
			}
		})
	}
}

func isPanic(v any) func(error) bool {
	return func(err error) bool {
		pe, ok := errors.AsType[*run.PanicError](err)
		return ok && pe.Value == v && len(pe.Stack) > 0
	}
}

var errSour = errors.New("sour")

// sourStart is an encoder that does not like RUN_STARTED.
type sourStart struct{ run.Encoder }

func (e sourStart) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	if ev.Type() == agui.EventTypeRunStarted {
		return dst, errSour
	}
	return e.Encoder.AppendEvent(dst, ev)
}

// TestWhoAsked: an agent learns who it works for, and what was granted.
func TestWhoAsked(t *testing.T) {
	type key struct{}
	s := &sink{}
	with := setup(func(_ context.Context, r *run.Run) error {
		if r.Principal.Key != "ann" || r.Principal.Value != 7 {
			t.Errorf("the principal is %+v", r.Principal)
		}
		for _, tc := range []struct{ key, want any }{
			{"plan", "gold"}, {key{}, 3}, {"second", nil}, {"gold", nil}, {"odd", nil}, {nil, nil},
		} {
			if got := r.Value(tc.key); got != tc.want {
				t.Errorf("%v: %v, want %v", tc.key, got, tc.want)
			}
		}
		return nil
	}, s)
	with.Scope, with.Principal = "ann", auth.Principal{Key: "ann", Value: 7}
	with.Values = []any{"plan", "gold", key{}, 3, "plan", "lead", "odd"}
	if err := run.Do(t.Context(), input, with); err != nil {
		t.Error(err)
	}
	s, err := do(func(_ context.Context, r *run.Run) error {
		if r.Principal != (auth.Principal{}) || r.Value("plan") != nil {
			t.Errorf("%+v, %v", r.Principal, r.Value("plan"))
		}
		return nil
	})
	if err != nil || s.types(t) != "RUN_STARTED RUN_FINISHED" {
		t.Error(err, s.events)
	}
}

// TestEndHasTheConversation: what the input and the events came to, for a run without a log and for
// one that has one.
func TestEndHasTheConversation(t *testing.T) {
	input := &agui.RunAgentInput{ThreadID: "t", RunID: "r", Messages: []agui.Message{
		{ID: "q", Role: agui.RoleUser, Content: agui.TextContent("hi?")},
	}, State: []byte(`{"n":1}`)}
	agent := run.AgentFunc(func(ctx context.Context, r *run.Run) error {
		if err := message(3, nil)(ctx, r); err != nil {
			return err
		}
		return r.Emit(&agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchReplace, Path: "/n", Value: []byte("2")}}})
	})
	check := func(end run.RunEnd) {
		t.Helper()
		m := end.Thread.Messages()
		if end.Err != nil || len(m) != 2 || m[0].ID != "q" || m[1].Content.Text != pieces(0, 3) ||
			string(end.Thread.State()) != `{"n":2}` || end.Thread.Run().RunID != "r" || end.Thread.Run().Active {
			t.Errorf("ended with %v, %+v, %s", end.Err, m, end.Thread.State())
		}
	}
	ends := make(chan run.RunEnd, 1)
	with := setup(agent, &sink{})
	with.Ended = func(end run.RunEnd) { ends <- end }
	if err := run.Do(t.Context(), input, with); err != nil {
		t.Error(err)
	}
	check(<-ends)

	h := hubOf(t, run.HubConfig{})
	s := startInput(input, nil)
	s.Do = func(ctx context.Context, l *run.Live) error {
		with := setup(agent, nil)
		with.Live, with.Ended = l, func(end run.RunEnd) { ends <- end }
		return run.Do(ctx, input, with)
	}
	mustStart(t, h, s, nil)
	check(<-ends)
}
