package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

// sink keeps what a run sends.
type sink struct {
	events []string
	urgent []bool
	gone   bool
}

func (s *sink) Send(event []byte, kind run.Kind) bool {
	if s.gone {
		return false
	}
	s.events = append(s.events, string(event))
	s.urgent = append(s.urgent, kind != run.KindPlain)
	return true
}

func (s *sink) AwaitDrain(ctx context.Context) error { return ctx.Err() }

// types are the types of the events sent, and each was valid JSON.
func (s *sink) types(t *testing.T) string {
	t.Helper()
	var types []string
	for _, e := range s.events {
		var ev struct{ Type string }
		if err := json.Unmarshal([]byte(e), &ev); err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		types = append(types, ev.Type)
	}
	return strings.Join(types, " ")
}

func (s *sink) last() string { return s.events[len(s.events)-1] }

// encoder keeps no state for encoding.
var encoder, _ = event.NewSerializer(event.OptimizedJSON)

var input = &agui.RunAgentInput{ThreadID: "t", RunID: "r"}

const maxEvent = 1 << 20

func setup(agent run.AgentFunc, s run.Sink) *run.Setup {
	return &run.Setup{Agent: agent, Encoder: encoder, Sink: s, MaxEvent: maxEvent, Log: slog.New(slog.DiscardHandler)}
}

// do runs agent and returns what was sent and Do's error.
func do(agent run.AgentFunc) (*sink, error) {
	s := &sink{}
	return s, run.Do(context.Background(), input, setup(agent, s))
}

func TestEndsOfRuns(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name  string
		agent run.AgentFunc
		types string
		last  string // part of the terminal event
		err   error
	}{
		{
			"nothing said", func(context.Context, *run.Run) error { return nil },
			"RUN_STARTED RUN_FINISHED", `"threadId":"t"`, nil,
		},
		{
			"error", func(context.Context, *run.Run) error { return boom },
			"RUN_STARTED RUN_ERROR", `"the agent failed (id `, boom,
		},
		{
			"public error", func(context.Context, *run.Run) error { return &agui.PublicError{Message: "boom"} },
			"RUN_STARTED RUN_ERROR", `"boom"`, nil,
		},
		{
			"own result", func(_ context.Context, r *run.Run) error {
				return r.Emit(&agui.RunFinished{Result: []byte(`{"n":1}`)})
			},
			"RUN_STARTED RUN_FINISHED", `"result":{"n":1}`, nil,
		},
		{
			"own error stands", func(_ context.Context, r *run.Run) error {
				if err := r.Emit(&agui.RunError{Message: "mine"}); err != nil {
					return err
				}
				return boom
			},
			"RUN_STARTED RUN_ERROR", `"mine"`, boom,
		},
		{
			"message left open", func(_ context.Context, r *run.Run) error {
				_, err := r.TextMessage()
				return err
			},
			"RUN_STARTED TEXT_MESSAGE_START RUN_ERROR", run.CodeIncomplete, nil,
		},
		{
			"wrong finish is refused, the run goes on", func(_ context.Context, r *run.Run) error {
				err := r.Emit(&agui.RunFinished{ThreadID: "t", RunID: "another"})
				if _, ok := errors.AsType[*agui.OrderError](err); !ok {
					t.Errorf("another run's id: %v", err)
				}
				return nil
			},
			"RUN_STARTED RUN_FINISHED", `"runId":"r"`, nil,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := do(tc.agent)
			if got := s.types(t); got != tc.types {
				t.Errorf("sent %s, want %s", got, tc.types)
			}
			if !strings.Contains(s.last(), tc.last) {
				t.Errorf("last event %s, want %s in it", s.last(), tc.last)
			}
			if tc.err != nil && !errors.Is(err, tc.err) {
				t.Errorf("Do returned %v", err)
			}
			for i, u := range s.urgent {
				if u != (i == len(s.urgent)-1) {
					t.Errorf("event %d: last is %v", i, u)
				}
			}
		})
	}
}

func TestPanic(t *testing.T) {
	s, err := do(func(context.Context, *run.Run) error { panic("secret") })
	if pe, ok := errors.AsType[*run.PanicError](err); !ok || pe.Value != "secret" || len(pe.Stack) == 0 {
		t.Errorf("Do returned %v", err)
	}
	if got := s.types(t); got != "RUN_STARTED RUN_ERROR" || strings.Contains(s.last(), "secret") {
		t.Errorf("sent %s, last %s", got, s.last())
	}
}

func TestMistakesReachTheAgentOnly(t *testing.T) {
	s, err := do(func(_ context.Context, r *run.Run) error {
		for _, tc := range []struct {
			ev  agui.Event
			say []string
		}{
			{&agui.TextMessageContent{MessageID: "m", Delta: "x"}, []string{"TEXT_MESSAGE_CONTENT", "m"}},
			{&agui.RunStarted{ThreadID: "t", RunID: "r"}, []string{"RUN_STARTED"}},
			{&agui.TextMessageStart{MessageID: "m", Role: "nobody"}, []string{"TEXT_MESSAGE_START", "role"}},
			{&agui.StateSnapshot{}, []string{"STATE_SNAPSHOT", "snapshot"}},
			{&agui.StateSnapshot{Snapshot: []byte(`{`)}, []string{"STATE_SNAPSHOT", "snapshot"}},
			{&agui.Custom{Name: "a\xff", Value: []byte(`1`)}, []string{"CUSTOM", "name"}},
		} {
			err := r.Emit(tc.ev)
			for _, word := range tc.say {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("%T: error %v does not name %q", tc.ev, err, word)
				}
			}
		}
		huge := &agui.Custom{Name: "n", Value: []byte(`"` + strings.Repeat("x", maxEvent) + `"`)}
		if err := r.Emit(huge); !errors.Is(err, run.ErrEventTooBig) {
			t.Errorf("a huge event: %v", err)
		}
		return nil
	})
	if got := s.types(t); got != "RUN_STARTED RUN_FINISHED" || err != nil {
		t.Errorf("sent %s, %v", got, err)
	}
}

func TestEmitAfterTheEnd(t *testing.T) {
	var kept *run.Run
	s, _ := do(func(_ context.Context, r *run.Run) error {
		kept = r
		if err := r.Emit(&agui.RunFinished{}); err != nil {
			return err
		}
		if err := r.Emit(&agui.RunError{Message: "late"}); !errors.Is(err, run.ErrRunEnded) {
			t.Errorf("after the terminal event: %v", err)
		}
		return nil
	})
	if err := kept.Emit(&agui.RunError{Message: "later"}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the run: %v", err)
	}
	if got := s.types(t); got != "RUN_STARTED RUN_FINISHED" {
		t.Errorf("sent %s", got)
	}
}

// TestCancelClosesWhatIsOpen: a cancelled run ends in order, whatever the agent returns.
func TestCancelClosesWhatIsOpen(t *testing.T) {
	cause := errors.New("peer went away")
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &sink{}
	err := run.Do(ctx, input, setup(func(ctx context.Context, r *run.Run) error {
		msg, err := r.TextMessage()
		if err != nil {
			return err
		}
		if _, err := r.ToolCall("look"); err != nil {
			return err
		}
		if err := r.Emit(&agui.StepStarted{StepName: "s"}); err != nil {
			return err
		}
		cancel(cause)
		if err := msg.Write("unheard"); !errors.Is(err, context.Canceled) {
			t.Errorf("Write after cancel: %v", err)
		}
		return errors.New("never mind")
	}, s))
	if !errors.Is(err, cause) {
		t.Errorf("Do returned %v", err)
	}
	got := s.types(t)
	if !strings.HasPrefix(got, "RUN_STARTED TEXT_MESSAGE_START TOOL_CALL_START STEP_STARTED ") ||
		!strings.HasSuffix(got, " RUN_FINISHED") || !strings.Contains(s.last(), `"cancelled"`) {
		t.Errorf("sent %s, last %s", got, s.last())
	}
	var order agui.Order
	var dec event.Decoder
	for _, e := range s.events {
		ev, _, err := dec.DecodeEvent([]byte(e))
		if err != nil {
			t.Fatal(err)
		}
		if err := order.Check(ev); err != nil {
			t.Errorf("out of order: %v", err)
		}
	}
}

// rationed is a sink with room for one event per token.
type rationed struct {
	tokens chan struct{}
	taken  atomic.Int32
}

func (s *rationed) Send([]byte, run.Kind) bool { s.taken.Add(1); return true }

func (s *rationed) AwaitDrain(ctx context.Context) error {
	select {
	case <-s.tokens:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// TestEmitWaitsForRoom: no event is taken while the sink is full, and cancelling ends the wait.
func TestEmitWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &rationed{tokens: make(chan struct{})}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		end := make(chan error, 1)
		go run.Do(ctx, input, setup(func(_ context.Context, r *run.Run) error {
			for {
				if err := r.Emit(&agui.Custom{Name: "n", Value: []byte("1")}); err != nil {
					end <- err
					return err
				}
			}
		}, s))
		for n := range int32(5) {
			synctest.Wait() // the agent waits in Emit
			if got := s.taken.Load(); got != n+1 {
				t.Fatalf("%d events taken with room for %d", got, n+1) // RUN_STARTED needs none
			}
			s.tokens <- struct{}{}
		}
		synctest.Wait()
		cancel()
		if err := <-end; !errors.Is(err, context.Canceled) {
			t.Errorf("Emit while cancelled: %v", err)
		}
		synctest.Wait()
		if got := s.taken.Load(); got != 7 { // RUN_STARTED, five, the terminal event
			t.Errorf("%d events in the end", got)
		}
	})
}

func TestGoneSinkCancels(t *testing.T) {
	s := &sink{}
	err := run.Do(context.Background(), input, setup(func(ctx context.Context, r *run.Run) error {
		s.gone = true
		err := r.Emit(&agui.Custom{Name: "n", Value: []byte("1")})
		if !errors.Is(err, context.Canceled) || ctx.Err() == nil {
			t.Errorf("Emit to nobody: %v, context %v", err, ctx.Err())
		}
		return err
	}, s))
	if err == nil {
		t.Error("Do says all is well")
	}
}

// TestTokensCutInsideCharacters: pieces may end anywhere; what is sent is valid.
func TestTokensCutInsideCharacters(t *testing.T) {
	const text = "aé€🙂z"
	for size := 1; size <= len(text); size++ {
		s, err := do(func(_ context.Context, r *run.Run) error {
			msg, err := r.TextMessage()
			if err != nil {
				return err
			}
			for rest := text; rest != ""; {
				n := min(size, len(rest))
				if err := msg.Write(rest[:n]); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return msg.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, e := range s.events {
			var ev struct{ Delta string }
			if err := json.Unmarshal([]byte(e), &ev); err != nil {
				t.Fatal(err)
			}
			got.WriteString(ev.Delta)
		}
		if got.String() != text {
			t.Errorf("pieces of %d: %q", size, got.String())
		}
	}
}

func TestNeverCompletedCharacter(t *testing.T) {
	s, err := do(func(_ context.Context, r *run.Run) error {
		call, err := r.ToolCall("f")
		if err != nil {
			return err
		}
		if err := call.Write("a\xe2\x82"); err != nil {
			return err
		}
		return call.Close()
	})
	if err != nil || !strings.Contains(strings.Join(s.events, ""), "\uFFFD") {
		t.Errorf("%v, %s", err, s.events)
	}
}

func TestRefuse(t *testing.T) {
	s := &sink{}
	run.Refuse(s, run.CodeBadInput, "threadId is missing")
	if got := s.types(t); got != "RUN_ERROR" || !strings.Contains(s.last(), "threadId") || !strings.Contains(s.last(), run.CodeBadInput) {
		t.Errorf("sent %s", s.events)
	}
}

func BenchmarkWrite(b *testing.B) {
	discard := &countSink{}
	b.ReportAllocs()
	run.Do(context.Background(), input, setup(func(_ context.Context, r *run.Run) error {
		msg, err := r.TextMessage()
		if err != nil {
			return err
		}
		for b.Loop() {
			if err := msg.Write("twenty-four bytes of txt"); err != nil {
				return err
			}
		}
		return msg.Close()
	}, discard))
}

type countSink struct{ n int }

func (s *countSink) Send([]byte, run.Kind) bool           { s.n++; return true }
func (s *countSink) AwaitDrain(ctx context.Context) error { return ctx.Err() }
