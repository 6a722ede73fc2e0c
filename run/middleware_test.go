package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/run"
)

// within runs an agent within middleware.
func within(t *testing.T, agent run.AgentFunc, around ...run.Middleware) (*sink, []record) {
	t.Helper()
	chained := run.Chain(agent, around...)
	return logged(t, setup(nil, nil), func(_ func(), r *run.Run) error { return chained.Run(t.Context(), r) })
}

// name is middleware that says when it is passed.
func name(said *[]string, who string) run.Middleware {
	return func(next run.Agent) run.Agent {
		return run.AgentFunc(func(ctx context.Context, r *run.Run) error {
			*said = append(*said, who)
			return next.Run(ctx, r.With(ctx, func(ev agui.Event, emit func(agui.Event) error) error {
				*said = append(*said, who+" "+string(ev.Type()))
				return emit(ev)
			}))
		})
	}
}

// TestChain: the first is outermost, for the call and for the events.
func TestChain(t *testing.T) {
	var said []string
	within(t, func(_ context.Context, r *run.Run) error {
		said = append(said, "agent")
		return r.Emit(custom)
	}, name(&said, "a"), name(&said, "b"))
	if got := strings.Join(said, ", "); got != "a, b, agent, b CUSTOM, a CUSTOM" {
		t.Error(got)
	}
	plain := run.AgentFunc(func(context.Context, *run.Run) error { return nil })
	if run.Chain(plain).Run(t.Context(), nil) != nil {
		t.Error("an agent without middleware is another one")
	}
}

// TestEventFilter: it observes, changes, drops, refuses and adds, whatever method emits.
func TestEventFilter(t *testing.T) {
	refused := errors.New("refused")
	filter := func(next run.Agent) run.Agent {
		return run.AgentFunc(func(ctx context.Context, r *run.Run) error {
			return next.Run(ctx, r.With(ctx, func(ev agui.Event, emit func(agui.Event) error) error {
				switch e := ev.(type) {
				case *agui.TextMessageContent:
					e.Delta = strings.ToUpper(e.Delta)
				case *agui.StepStarted:
					return refused
				case *agui.Custom:
					if e.Name == "drop" {
						return nil
					}
					return errors.Join(emit(ev), emit(&agui.Custom{Name: "more", Value: e.Value}))
				}
				return emit(ev)
			}))
		})
	}
	s, _ := within(t, func(_ context.Context, r *run.Run) error {
		m, err := r.TextMessage()
		if err := errors.Join(err, m.Write("text"), m.Close()); err != nil {
			return err
		}
		if _, err := r.Step("s"); err != refused {
			t.Errorf("Step: %v", err)
		}
		for _, n := range []string{"drop", "n"} {
			if err := r.EmitJSON(fmt.Appendf(nil, `{"type":"CUSTOM","name":%q,"value":1}`, n)); err != nil {
				return err
			}
		}
		if err := r.EmitContext(t.Context(), &agui.StepStarted{}); err != refused {
			t.Errorf("EmitContext: %v", err)
		}
		return r.Result(1)
	}, filter)
	want := []string{
		`{"type":"TEXT_MESSAGE_START","messageId":"m1","role":"assistant"}`, `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m1","delta":"TEXT"}`,
		`{"type":"TEXT_MESSAGE_END","messageId":"m1"}`, `{"type":"CUSTOM","name":"n","value":1}`, `{"type":"CUSTOM","name":"more","value":1}`,
		`{"type":"RUN_FINISHED","threadId":"t","runId":"r","result":1}`,
	}
	if got := s.between(t); !slices.Equal(got, want) {
		t.Errorf("sent\n%s", strings.Join(got, "\n"))
	}
}

// TestEventFilterIsCalledInOrder: by one goroutine at a time, though many emit.
func TestEventFilterIsCalledInOrder(t *testing.T) {
	var seen []string // without a lock
	watch := func(next run.Agent) run.Agent {
		return run.AgentFunc(func(ctx context.Context, r *run.Run) error {
			return next.Run(ctx, r.With(ctx, func(ev agui.Event, emit func(agui.Event) error) error {
				seen = append(seen, string(ev.(*agui.Custom).Value))
				return emit(ev)
			}))
		})
	}
	s, _ := within(t, func(_ context.Context, r *run.Run) error {
		done := make(chan error)
		for i := range 50 {
			go func() { done <- r.Emit(&agui.Custom{Name: "n", Value: fmt.Append(nil, i)}) }()
		}
		for range 50 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		return nil
	}, watch)
	var sent []string
	for _, e := range s.events[1 : len(s.events)-1] {
		var ev struct{ Value json.RawMessage }
		if err := json.Unmarshal([]byte(e), &ev); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, string(ev.Value))
	}
	if len(sent) != 50 || !slices.Equal(sent, seen) {
		t.Errorf("sent %v, seen %v", sent, seen)
	}
}

// TestViewsShareTheRun: usage, values and the end are the run's, not the view's.
func TestViewsShareTheRun(t *testing.T) {
	with := setup(nil, nil)
	with.Values = []any{"k", "v"}
	s, _ := logged(t, with, func(_ func(), r *run.Run) error {
		view := r.With(t.Context(), nil)
		if view.Value("k") != "v" || view.Input != r.Input {
			t.Error("the view has other values")
		}
		if err := errors.Join(r.Usage(agui.TokenUsage{TotalTokens: new(int64(1))}), view.Usage(agui.TokenUsage{TotalTokens: new(int64(2))}), view.Interrupt(agui.Interrupt{ID: "i"})); err != nil {
			return err
		}
		for _, of := range []*run.Run{r, view} {
			if err := of.Emit(custom); !errors.Is(err, run.ErrRunEnded) {
				t.Errorf("after the end: %v", err)
			}
		}
		return nil
	})
	if !strings.HasSuffix(s.last(), `"usage":[{"totalTokens":3}]}`) {
		t.Error(s.last())
	}
}

// TestTimeout: the run ends then, in order, whatever the agent does.
func TestTimeout(t *testing.T) {
	const limit = time.Minute
	timedOut := `{"type":"RUN_ERROR","message":"the agent has not finished within 1m0s","code":"timeout"}`
	for _, tc := range []struct {
		name  string
		agent func(ctx context.Context, r *run.Run) error
		last  string
		after time.Duration
		log   []string
	}{
		{"in time", func(ctx context.Context, _ *run.Run) error {
			if at, ok := ctx.Deadline(); !ok || time.Until(at) != limit {
				t.Errorf("deadline %v, %v", at, ok)
			}
			time.Sleep(limit - 1)
			return nil
		}, `{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`, limit - 1, nil},
		{"an error in time", func(context.Context, *run.Run) error { return &agui.PublicError{Message: "m"} }, `{"type":"RUN_ERROR","message":"m","code":"agent_error"}`, 0, nil},
		{"heeds its context", func(ctx context.Context, r *run.Run) error {
			if _, err := r.TextMessage(); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}, timedOut, limit, nil},
		{"says something of its own", func(ctx context.Context, _ *run.Run) error {
			<-ctx.Done()
			return fmt.Errorf("x: %w", &agui.PublicError{Message: "m", Code: "c"})
		}, `{"type":"RUN_ERROR","message":"m","code":"c"}`, limit, []string{"agloop: an agent failed"}},
		{"ignores its context", func(_ context.Context, r *run.Run) error {
			if _, err := r.Step("s"); err != nil {
				return err
			}
			time.Sleep(limit + time.Hour)
			for _, err := range []error{r.Emit(custom), r.EmitJSON([]byte(`{}`)), r.Result(1), r.Usage(agui.TokenUsage{})} {
				if err == nil {
					t.Error("an event after the end was taken")
				}
			}
			return nil
		}, timedOut, limit + time.Second, []string{"agloop: an agent ignores that its time is over; its run has ended without it"}},
		{"panics", func(context.Context, *run.Run) error { panic("x") }, `"code":"agent_panic"}`, 0, []string{"agloop: panic in a run"}},
		{"panics late", func(context.Context, *run.Run) error {
			time.Sleep(limit + 2*time.Second)
			panic("x")
		}, timedOut, limit + time.Second, []string{"agloop: panic in a run"}},
		{"ends its goroutine", func(context.Context, *run.Run) error {
			runtime.Goexit()
			return nil
		}, `"code":"agent_error"}`, 0, []string{"agloop: an agent failed"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log []record
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var over time.Duration
				with := setup(nil, nil)
				with.Ended = func(run.RunEnd) { over = time.Since(begun) }
				chained := run.Chain(run.AgentFunc(tc.agent), run.Timeout(limit))
				var text bytes.Buffer
				s := &sink{}
				with.Agent, with.Sink, with.Log = chained, s, slog.New(slog.NewJSONHandler(&text, nil))
				_ = run.Do(t.Context(), input, with)
				time.Sleep(2 * time.Hour) // what is late comes until then
				synctest.Wait()
				log = readLog(t, &text)
				if !strings.HasSuffix(s.last(), tc.last) || over != tc.after {
					t.Errorf("after %v: %s", over, s.last())
				}
				s.between(t)
			})
			var said []string
			for _, r := range log {
				said = append(said, r.Msg)
			}
			if !slices.Equal(said, tc.log) {
				t.Errorf("logged %q", said)
			}
		})
	}
}

// TestTimeoutOfACancelledRun: it ends as cancelled.
func TestTimeoutOfACancelledRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &sink{}
		agent := run.Chain(run.AgentFunc(func(ctx context.Context, _ *run.Run) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}), run.Timeout(time.Minute))
		with := setup(nil, s)
		with.Agent = agent
		if err := run.Do(ctx, input, with); !errors.Is(err, context.Canceled) || !strings.Contains(s.last(), `"cancelled"`) {
			t.Errorf("%v, %s", err, s.last())
		}
	})
}

// TestTimeoutEndsTheWaitForAReader: an Emit that waits for room returns.
func TestTimeoutEndsTheWaitForAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &rationed{tokens: make(chan struct{})}
		var emitted error
		with := setup(nil, s)
		with.Agent = run.Chain(run.AgentFunc(func(_ context.Context, r *run.Run) error {
			emitted = r.Emit(custom)
			close(s.tokens)
			return emitted
		}), run.Timeout(time.Minute))
		err := run.Do(t.Context(), input, with)
		public, ok := errors.AsType[*agui.PublicError](err)
		if !ok || public.Code != run.CodeTimeout || !errors.Is(emitted, context.DeadlineExceeded) {
			t.Errorf("Emit %v, Do %v", emitted, err)
		}
	})
}

// TestTimeoutOff: no goroutine, no deadline.
func TestTimeoutOff(t *testing.T) {
	for _, d := range []time.Duration{0, -1} {
		within(t, func(ctx context.Context, _ *run.Run) error {
			if _, ok := ctx.Deadline(); ok {
				t.Error("there is a deadline")
			}
			return nil
		}, run.Timeout(d))
	}
}

// TestRecover: the host decides what a panic comes to.
func TestRecover(t *testing.T) {
	boom := func(context.Context, *run.Run) error { panic("boom") }
	var got *run.PanicError
	public := run.Recover(func(_ context.Context, p *run.PanicError) error {
		got = p
		return &agui.PublicError{Code: "sorry", Message: "try again"}
	})
	for _, around := range [][]run.Middleware{{public}, {public, run.Trace(run.Tracer{})}, {public, run.Timeout(time.Hour)}} {
		got = nil
		s, log := within(t, boom, around...)
		if ev := s.readError(t); ev.Code != "sorry" || ev.Message != "try again" || len(log) != 0 {
			t.Errorf("sent %+v, logged %v", ev, log)
		}
		if got == nil || got.Value != "boom" || !strings.Contains(string(got.Stack), "middleware_test.go") {
			t.Errorf("told %v", got)
		}
	}
	if s, log := within(t, boom, run.Recover(nil)); s.readError(t).Code != run.CodePanic || len(log) != 1 || log[0].Panic != "boom" {
		t.Errorf("without a function: %s, %v", s.last(), log)
	}
	if s, _ := within(t, boom, run.Recover(func(context.Context, *run.PanicError) error { return nil })); s.types(t) != "RUN_STARTED RUN_FINISHED" {
		t.Errorf("forgiven: %s", s.types(t))
	}
	if s, _ := within(t, func(context.Context, *run.Run) error { return nil }, public); s.types(t) != "RUN_STARTED RUN_FINISHED" {
		t.Errorf("no panic: %s", s.types(t))
	}
}

// TestAllowTools: others are not seen and not called.
func TestAllowTools(t *testing.T) {
	allow := run.AllowTools(func(name string) bool { return name != "rm" })
	with := setup(nil, nil)
	in := &agui.RunAgentInput{ThreadID: "t", RunID: "r", Tools: []agui.Tool{{Name: "rm"}, {Name: "ls"}}}
	with.Agent = allow(run.AgentFunc(func(_ context.Context, r *run.Run) error {
		if len(r.Input.Tools) != 1 || r.Input.Tools[0].Name != "ls" {
			t.Errorf("the agent sees %v", r.Input.Tools)
		}
		c, err := r.ToolCall("ls")
		for _, refused := range []error{
			second(r.ToolCall("rm")), second(c.Write("{}"), r.Emit(&agui.ToolCallChunk{ToolCallID: new("c"), ToolCallName: new("rm")})),
			r.EmitJSON([]byte(`{"type":"TOOL_CALL_START","toolCallId":"c","toolCallName":"rm"}`)),
		} {
			if tool, ok := errors.AsType[*run.ToolError](refused); !ok || tool.Name != "rm" || !strings.Contains(refused.Error(), `"rm"`) {
				t.Errorf("a call of another tool: %v", refused)
			}
		}
		return errors.Join(err, c.Close(), r.Emit(&agui.ToolCallChunk{ToolCallID: new("d"), ToolCallName: new("ls")}), r.Emit(&agui.ToolCallChunk{Delta: new("{}")}))
	}))
	s := &sink{}
	with.Sink = s
	if err := run.Do(t.Context(), in, with); err != nil {
		t.Error(err)
	}
	if got := s.types(t); got != "RUN_STARTED TOOL_CALL_START TOOL_CALL_ARGS TOOL_CALL_END TOOL_CALL_CHUNK TOOL_CALL_CHUNK RUN_FINISHED" {
		t.Errorf("sent %s", got)
	}
	if len(in.Tools) != 2 || in.Tools[0].Name != "rm" {
		t.Errorf("the input has become %v", in.Tools)
	}
}

// TestFilterInput: the agent has another input, the run its own.
func TestFilterInput(t *testing.T) {
	in := &agui.RunAgentInput{
		ThreadID: "t", RunID: "r", Messages: []agui.Message{{ID: "1", Role: agui.RoleSystem, Content: agui.TextContent("x")}},
		Context: []agui.Context{{Description: "d"}}, Resume: []agui.ResumeEntry{{InterruptID: "i"}},
	}
	before, _ := json.Marshal(in)
	with := setup(nil, nil)
	with.Principal = auth.Principal{Key: "ann"}
	filter := run.FilterInput(func(_ context.Context, p auth.Principal, in *agui.RunAgentInput) error {
		in.Messages[0].Role = agui.RoleUser
		in.Messages = append(in.Messages, agui.Message{ID: p.Key})
		in.ThreadID, in.Context[0].Value, in.Resume[0].InterruptID, in.ForwardedProps = "other", "v", "j", json.RawMessage("1")
		return nil
	})
	with.Agent = filter(run.AgentFunc(func(_ context.Context, r *run.Run) error {
		if m := r.Input.Messages; len(m) != 2 || m[0].Role != agui.RoleUser || m[1].ID != "ann" || r.Input.ThreadID != "other" || r.Input.Resume[0].InterruptID != "j" {
			t.Errorf("the agent sees %+v", r.Input)
		}
		return r.Emit(&agui.RunFinished{})
	}))
	s := &sink{}
	with.Sink = s
	if err := run.Do(t.Context(), in, with); err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.last(), `"threadId":"t"`) {
		t.Errorf("the run ends as %s", s.last())
	}
	if after, _ := json.Marshal(in); string(after) != string(before) {
		t.Errorf("the input has become %s", after)
	}

	refused, _ := within(t, func(context.Context, *run.Run) error { t.Error("the agent is called"); return nil },
		run.FilterInput(func(context.Context, auth.Principal, *agui.RunAgentInput) error { return &agui.PublicError{Code: "no"} }))
	if refused.readError(t).Code != "no" {
		t.Error(refused.last())
	}
}

// TestTrace: start, first event and end, once each, with what was sent.
func TestTrace(t *testing.T) {
	type key struct{}
	boom := errors.New("boom")
	for _, tc := range []struct {
		name  string
		agent run.AgentFunc
		want  string
	}{
		{"events", func(_ context.Context, r *run.Run) error {
			_ = r.Emit(&agui.StepFinished{StepName: "none"}) // refused
			return errors.Join(r.Emit(custom), r.Emit(&agui.RunFinished{}), r.Emit(custom))
		}, "start r; first CUSTOM; end 2, agloop: run has had its terminal event"},
		{"none", func(context.Context, *run.Run) error { return nil }, "start r; end 0, <nil>"},
		{"error", func(context.Context, *run.Run) error { return boom }, "start r; end 0, boom"},
		{"panic", func(context.Context, *run.Run) error { panic("x") }, "start r; end 0, agloop: run panicked: x"},
		{"goexit", func(context.Context, *run.Run) error { runtime.Goexit(); return nil }, "start r; end 0, agloop: agent ended its goroutine"},
	} {
		var said []string
		say := func(ctx context.Context, format string, args ...any) {
			if ctx.Value(key{}) != "span" {
				t.Error("another context")
			}
			said = append(said, fmt.Sprintf(format, args...))
		}
		within(t, func(ctx context.Context, r *run.Run) error {
			if ctx.Value(key{}) != "span" {
				t.Error("the agent has another context")
			}
			return tc.agent(ctx, r)
		}, run.Trace(run.Tracer{
			Start: func(ctx context.Context, r *run.Run) context.Context {
				ctx = context.WithValue(ctx, key{}, "span")
				say(ctx, "start %s", r.Input.RunID)
				return ctx
			},
			FirstEvent: func(ctx context.Context, ev agui.Event) { say(ctx, "first %s", ev.Type()) },
			End:        func(ctx context.Context, sum run.TraceSum) { say(ctx, "end %d, %v", sum.Events, sum.Err) },
		}))
		if got := strings.Join(said, "; "); got != tc.want {
			t.Errorf("%s: %s", tc.name, got)
		}
	}
	if s, _ := within(t, func(_ context.Context, r *run.Run) error { return r.Emit(custom) }, run.Trace(run.Tracer{})); s.types(t) != "RUN_STARTED CUSTOM RUN_FINISHED" {
		t.Error("a tracer of nothing changes the run")
	}
}

// TestTimeoutOfARunWithALog: its viewers have the end, its name is free for a run to come, and an agent
// that goes on changes nothing.
func TestTimeoutOfARunWithALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hubOf(t, run.HubConfig{})
		returned := make(chan struct{})
		chained := run.Chain(run.AgentFunc(func(_ context.Context, r *run.Run) error {
			defer close(returned)
			_, err := r.TextMessage()
			time.Sleep(time.Hour)
			if late := r.Emit(custom); err != nil || late == nil || r.Viewers() != 0 {
				t.Errorf("after the end: %v, %v, %d viewers", err, late, r.Viewers())
			}
			return nil
		}), run.Timeout(time.Minute))
		o := newOutlet(-1)
		l, _ := mustStart(t, h, startOf("t", "r", chained.Run), o)
		err := l.Wait(t.Context())
		if public, ok := errors.AsType[*agui.PublicError](err); !ok || public.Code != run.CodeTimeout {
			t.Errorf("it ended with %v", err)
		}
		synctest.Wait()
		if got := o.got(); len(got) != 3 || !strings.Contains(string(got[2].Event), `"code":"timeout"`) {
			t.Errorf("the viewer has %d events", len(got))
		}
		next, _ := mustStart(t, h, startOf("t", "r2", func(context.Context, *run.Run) error { return nil }), newOutlet(-1))
		if err := next.Wait(t.Context()); err != nil {
			t.Errorf("the next run of the thread: %v", err)
		}
		<-returned
	})
}
