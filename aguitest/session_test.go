package aguitest_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// TestAnHourTakesNoTime: in a bubble the clock is the test's.
func TestAnHourTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := aguitest.Start(t, aguitest.Script{
			aguitest.Say("one"), aguitest.Sleep(time.Hour), aguitest.Say("two"),
		}, aguitest.Input())
		aguitest.Await[*agui.TextMessageEnd](s)
		if d := time.Since(start); d != 0 {
			t.Errorf("the first message took %v", d)
		}
		if aguitest.Await[*agui.TextMessageContent](s); time.Since(start) != time.Hour {
			t.Errorf("the second message came after %v", time.Since(start))
		}
		s.Wait().WantText("one", "two")
	})
}

// TestTimeoutOfAContext: what the agent is given may have a deadline of the bubble's clock.
func TestTimeoutOfAContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		got := aguitest.Config{Context: ctx}.Run(t, aguitest.Script{aguitest.Until(nil)}, aguitest.Input())
		got.WantCancelled()
		if d := time.Since(start); d != time.Minute || !errors.Is(got.Err, context.DeadlineExceeded) {
			t.Errorf("ended after %v with %v", d, got.Err)
		}
	})
}

// TestCancelInTheMiddle: what is open is closed, and the agent reads the cause.
func TestCancelInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		enough := errors.New("enough")
		for cause, want := range map[error]error{nil: run.ErrCancelled, enough: enough} {
			s := aguitest.Start(t, endless(time.Second), aguitest.Input())
			for range 3 {
				aguitest.Await[*agui.TextMessageContent](s)
			}
			s.Cancel(cause)
			got := s.Wait()
			got.WantCancelled()
			got.WantInOrder("TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED")
			got.WantText("...")
			if got.Err != want || s.Wait() != got || s.Next() != nil {
				t.Errorf("the run ended with %v, and goes on with %v", got.Err, s.Next())
			}
		}
	})
}

// endless is an agent that says a word now and then until it is cancelled.
func endless(every time.Duration) run.Agent {
	return run.AgentFunc(func(ctx context.Context, r *run.Run) error {
		m, err := r.TextMessage()
		for err == nil {
			if err = m.Write("."); err == nil {
				err = aguitest.Sleep(every)(ctx, r)
			}
		}
		return err
	})
}

// TestSlowReader: an agent is as fast as its reader.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := aguitest.Config{Window: 1}.Start(t, endless(0), aguitest.Input())
		for sent := 1; sent < 6; sent++ {
			synctest.Wait() // the agent waits in Emit
			if got := s.Sent(); got != sent {
				t.Fatalf("%d events sent, %d read", got, sent-1)
			}
			if s.Next() == nil {
				t.Fatal("the run has ended")
			}
		}
		synctest.Wait()
		s.Cancel(nil)
		synctest.Wait()
		if got := s.Sent(); got != 8 { // six, what closes the message, and the end
			t.Errorf("%d events in the end", got)
		}
		s.Wait().WantCancelled()
	})
}

func TestWindowOpens(t *testing.T) {
	s := aguitest.Config{Window: 2}.Start(t, aguitest.Script{aguitest.Say("a b c d e f g h")}, aguitest.Input())
	aguitest.Await[*agui.TextMessageStart](s)
	s.Wait().WantText("a b c d e f g h")
}

// TestReaderLeaves: the next event has nobody who receives it.
func TestReaderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := aguitest.Start(t, endless(time.Second), aguitest.Input())
		aguitest.Await[*agui.TextMessageContent](s)
		s.Leave()
		got := s.Wait()
		if got.Err == nil || len(got.Refused) > 0 {
			t.Errorf("the run ended with %v, refused %v", got.Err, got.Refused)
		}
		got.WantTypes("RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT")
		if s.Next() != nil {
			t.Error("an event came behind the end")
		}
	})
}

// TestTheEndOfTheTestEndsTheRun: nobody reads it, and no goroutine stays: the bubble says so.
func TestTheEndOfTheTestEndsTheRun(t *testing.T) {
	var why error
	synctest.Test(t, func(t *testing.T) {
		aguitest.Config{Window: 1}.Start(t, run.AgentFunc(func(ctx context.Context, r *run.Run) error {
			<-ctx.Done()
			why = context.Cause(ctx)
			return why
		}), aguitest.Input())
		synctest.Wait()
	})
	if why == nil {
		t.Error("the agent was not cancelled")
	}
}

func TestWaitsThatEndInVain(t *testing.T) {
	short := aguitest.Config{Patience: 10 * time.Millisecond}
	stuck := aguitest.Script{aguitest.Say("so far"), aguitest.Until(nil)}
	for name, wait := range map[string]struct {
		f   func(*aguitest.Session)
		say string
	}{
		"Next": {func(s *aguitest.Session) {
			for range 6 {
				s.Next()
			}
		}, "no event came, though the run goes on"},
		"Wait": {func(s *aguitest.Session) { s.Wait() }, "the agent has not returned"},
	} {
		t.Run(name, func(t *testing.T) {
			r := testkit.Record(t, func(t testing.TB) { wait.f(short.Start(t, stuck, aguitest.Input())) })
			// On a busy machine the agent may not return in time either.
			if len(r.Errors) == 0 || !strings.Contains(r.Errors[0], wait.say) || !r.Ended {
				t.Errorf("errors %q, ended %v", r.Errors, r.Ended)
			}
		})
		t.Run(name+" in a bubble", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := testkit.Record(t, func(t testing.TB) { wait.f(aguitest.Start(t, stuck, aguitest.Input())) })
				r.WantFailure(t, wait.say, `"so far"`)
			})
		})
	}
	r := testkit.Record(t, func(t testing.TB) {
		aguitest.Await[*agui.Raw](aguitest.Start(t, aguitest.Script{aguitest.Say("so far")}, aguitest.Input()))
	})
	r.WantFailure(t, "the run ended before a *agui.Raw came", `"so far"`)
}

// TestAgentThatHeedsNoContext is told of when the test ends.
func TestAgentThatHeedsNoContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := testkit.Record(t, func(t testing.TB) {
			aguitest.Start(t, agent(func(*run.Run) error {
				<-release
				return nil
			}), aguitest.Input())
		})
		close(release)
		r.WantFailure(t, "the agent goes on though its context has ended", "RUN_STARTED")
	})
}

// TestAgentsThatBreak: whatever the agent does, the run has an end.
func TestAgentsThatBreak(t *testing.T) {
	got := aguitest.Run(quiet{t}, aguitest.Script{aguitest.Panic("boom")}, aguitest.Input())
	got.WantError(run.CodePanic)
	if pe, ok := errors.AsType[*run.PanicError](got.Err); !ok || pe.Value != "boom" {
		t.Errorf("the error is %v", got.Err)
	}
	got = aguitest.Run(quiet{t}, agent(func(*run.Run) error { runtime.Goexit(); return nil }), aguitest.Input())
	got.WantError(run.CodeAgent)
	if got.Err == nil {
		t.Error("no error of an agent that ended its goroutine")
	}
	got = aguitest.Run(quiet{t}, emit(&agui.TextMessageStart{MessageID: "m"}), aguitest.Input())
	if end := got.WantError(run.CodeIncomplete); !strings.Contains(end.Message, `RUN_FINISHED "m"`) {
		t.Errorf("message %q", end.Message)
	}
}

func TestRefusedEventsAreNamed(t *testing.T) {
	got := aguitest.Config{MaxEvent: 4 << 10}.Run(t, agent(func(r *run.Run) error {
		for _, ev := range []agui.Event{
			&agui.StateSnapshot{},
			&agui.Custom{Name: "big", Value: []byte(`"` + strings.Repeat("x", 5000) + `"`)},
			&agui.TextMessageEnd{MessageID: "m"},
			&agui.Custom{Name: "good", Value: []byte("1")},
		} {
			_ = r.Emit(ev)
		}
		return nil
	}), aguitest.Input())
	got.WantTypes("RUN_STARTED", "CUSTOM", "RUN_FINISHED")
	if len(got.Refused) != 3 || !errors.Is(got.Refused[1], run.ErrEventTooBig) {
		t.Fatalf("refused: %v", got.Refused)
	}
	for i, part := range []string{"snapshot", "5", "it is not open"} {
		if !strings.Contains(got.Refused[i].Error(), part) {
			t.Errorf("%v does not say %q", got.Refused[i], part)
		}
	}
}

// TestTotalsAreNoRefusals: Usage and Result encode an end that is not sent then.
func TestTotalsAreNoRefusals(t *testing.T) {
	got := aguitest.Run(t, agent(func(r *run.Run) error {
		m, err := r.TextMessage()
		if err != nil {
			return err
		}
		if err := errors.Join(r.Usage(agui.TokenUsage{InputTokens: new(int64(7))}), r.Result("fine")); err != nil {
			return err
		}
		return m.Close()
	}), aguitest.Input())
	got.WantSuccess()
	if end := got.Thread.Run(); string(end.Result) != `"fine"` || len(end.Usage) != 1 {
		t.Errorf("the run has come to %+v", end)
	}
}

// TestWhatAnAgentIsGiven: the input as a client sends it, and what the config says.
func TestWhatAnAgentIsGiven(t *testing.T) {
	type key struct{}
	in := aguitest.Input("hello")
	cfg := aguitest.Config{Values: []any{key{}, "granted"}}
	cfg.Principal.Key = "ann"
	cfg.Run(t, agent(func(r *run.Run) error {
		if r.Input == in || r.Input.Messages[0].Content.Text != "hello" || r.Input.RunID != in.RunID {
			t.Errorf("the input is %+v", r.Input)
		}
		if r.Principal.Key != "ann" || r.Value(key{}) != "granted" {
			t.Errorf("principal %v, value %v", r.Principal, r.Value(key{}))
		}
		return nil
	}), in).WantSuccess()

	r := testkit.Record(t, func(t testing.TB) {
		bad := aguitest.Input()
		bad.Messages = []agui.Message{{ID: "m", Role: "nobody"}}
		aguitest.Run(t, emit(), bad)
		t.Errorf("an input that no client can send")
	})
	r.WantFailure(t, "no client could send this input", "messages[0].role")
	if !r.Ended {
		t.Error("the test goes on")
	}
}
