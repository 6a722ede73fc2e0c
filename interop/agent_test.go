package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
)

type agentFunc = server.AgentFunc

// story is an agent that uses most of what a run offers.
func story(_ context.Context, run *server.Run) error {
	emit := func(evs ...agui.Event) error {
		for _, ev := range evs {
			if err := run.Emit(ev); err != nil {
				return err
			}
		}
		return nil
	}
	msg, err := run.TextMessage()
	if err != nil {
		return err
	}
	for _, piece := range []string{"Hel", "lo \xE2\x82", "\xAC"} { // a character cut by the tokenizer
		if err := msg.Write(piece); err != nil {
			return err
		}
	}
	if err := msg.Close(); err != nil {
		return err
	}
	call, err := run.ToolCall("search")
	if err != nil {
		return err
	}
	if err := errors.Join(call.Write(`{"q":`), call.Write(`1}`), call.Close()); err != nil {
		return err
	}
	return emit(
		&agui.StepStarted{StepName: "step"},
		&agui.StateSnapshot{Snapshot: json.RawMessage(`{"a":1}`)},
		&agui.StepFinished{StepName: "step"},
		&agui.Custom{Name: "user", Value: fmt.Appendf(nil, "%q", fmt.Sprint(run.User))},
	)
}

var storyTypes = []string{
	"RUN_STARTED",
	"TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END",
	"TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_ARGS", "TOOL_CALL_END",
	"STEP_STARTED", "STATE_SNAPSHOT", "STEP_FINISHED", "CUSTOM",
	"RUN_FINISHED",
}

func TestAgentRun(t *testing.T) {
	_, url := serve(t, server.Config{
		Agent:     agentFunc(story),
		Authorize: func(*server.UpgradeRequest) (any, error) { return "ann", nil },
	})
	each(t, func(t *testing.T, open opener) {
		p := dial(t, open, url)
		for i := range 3 { // one after another
			run := fmt.Sprint("run-", i)
			if err := p.sendInPieces(true, input(run), 10); err != nil {
				t.Fatal(err)
			}
			var types []string
			var text string
			var ev wireEvent
			for ev.Type != "RUN_FINISHED" {
				ev = nextEvent(t, p)
				types = append(types, ev.Type)
				switch ev.Type {
				case "TEXT_MESSAGE_CONTENT":
					text += ev.Delta
				case "RUN_STARTED", "RUN_FINISHED":
					if ev.RunID != run || ev.ThreadID != "thread" {
						t.Errorf("%s of run %q, thread %q", ev.Type, ev.RunID, ev.ThreadID)
					}
				case "CUSTOM":
					if string(ev.Value) != `"ann"` {
						t.Errorf("User is %s", ev.Value)
					}
				}
			}
			if !slices.Equal(types, storyTypes) || text != "Hello €" {
				t.Errorf("got %q, text %q", types, text)
			}
		}
		if err := p.close(1000, ""); err != nil {
			t.Error(err)
		}
	})
}

// TestAgentEnds: how a run ends, and whether the connection is good for another.
func TestAgentEnds(t *testing.T) {
	interrupt := &agui.RunFinished{Outcome: &agui.Outcome{Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{{ID: "i", Reason: "ask"}}}}
	tests := []struct {
		name    string
		agent   agentFunc
		types   string
		code    string // of RUN_ERROR
		message string
		outcome string
		closed  int // the code that follows, 0 for none
	}{
		{"nothing", func(context.Context, *server.Run) error { return nil }, "RUN_STARTED RUN_FINISHED", "", "", "", 0},
		{"error", func(context.Context, *server.Run) error { return errors.New("no \xFF luck") }, "RUN_STARTED RUN_ERROR", "agent_error", "no \uFFFD luck", "", 0},
		{"error with a message open", func(_ context.Context, run *server.Run) error {
			_, err := run.TextMessage()
			return errors.Join(err, errors.New("broke"))
		}, "RUN_STARTED TEXT_MESSAGE_START RUN_ERROR", "agent_error", "broke", "", 0},
		{"message left open", func(_ context.Context, run *server.Run) error {
			_, err := run.TextMessage()
			return err
		}, "RUN_STARTED TEXT_MESSAGE_START RUN_ERROR", "incomplete_run", "", "", 0},
		{"step left open", func(_ context.Context, run *server.Run) error {
			return run.Emit(&agui.StepStarted{StepName: "s"})
		}, "RUN_STARTED STEP_STARTED RUN_ERROR", "incomplete_run", "", "", 0},
		{"own interrupt", func(_ context.Context, run *server.Run) error { return run.Emit(interrupt) }, "RUN_STARTED RUN_FINISHED", "", "", "interrupt", 0},
		{"own error", func(_ context.Context, run *server.Run) error { return run.Emit(&agui.RunError{Message: "mine"}) }, "RUN_STARTED RUN_ERROR", "", "mine", "", 0},
		{"error after the end", func(_ context.Context, run *server.Run) error {
			return errors.Join(run.Emit(&agui.RunFinished{}), errors.New("too late"))
		}, "RUN_STARTED RUN_FINISHED", "", "", "", 0},
		{"events nobody may send", func(_ context.Context, run *server.Run) error {
			bad := []error{
				run.Emit(&agui.TextMessageContent{MessageID: "none", Delta: "x"}),
				run.Emit(&agui.RunStarted{ThreadID: "thread", RunID: "again"}),
				run.Emit(&agui.Custom{Name: "no value"}),
				run.Emit(&agui.Custom{Name: "big", Value: fmt.Appendf(nil, "%q", strings.Repeat("x", 1<<20))}),
			}
			_, field := errors.AsType[*agloop.FieldError](bad[2])
			_, order := errors.AsType[*agloop.OrderError](bad[0])
			if !field || !order || bad[1] == nil || !errors.Is(bad[3], agloop.ErrEventTooBig) {
				return errors.Join(bad...)
			}
			return nil
		}, "RUN_STARTED RUN_FINISHED", "", "", "", 0},
		{"panic", func(context.Context, *server.Run) error { panic("agent") }, "RUN_STARTED RUN_ERROR", "agent_panic", "the agent failed", "", 1011},
		{"panic with a message open", func(_ context.Context, run *server.Run) error {
			_, err := run.TextMessage()
			panic(err)
		}, "RUN_STARTED TEXT_MESSAGE_START RUN_ERROR", "agent_panic", "", "", 1011},
	}
	var now atomic.Pointer[agentFunc]
	srv, url := serve(t, server.Config{Agent: agentFunc(func(ctx context.Context, run *server.Run) error {
		return (*now.Load())(ctx, run)
	})})
	each(t, func(t *testing.T, open opener) {
		for _, tt := range tests {
			now.Store(&tt.agent)
			p := dial(t, open, url)
			for range 2 {
				panics := srv.Stats().Panics
				if err := p.send(true, input("run")); err != nil {
					t.Fatal(err)
				}
				types, last := events(t, p)
				if got := strings.Join(types, " "); got != tt.types || last.Code != tt.code || last.Outcome.Type != tt.outcome || tt.message != "" && last.Message != tt.message {
					t.Errorf("%s: got %s, ending with %+v", tt.name, got, last)
				}
				if tt.closed == 0 {
					continue
				}
				_, _, err := p.receive()
				if code, _ := closedWith(err); code != tt.closed {
					t.Errorf("%s: closed with %v, want %d", tt.name, err, tt.closed)
				}
				if n := srv.Stats().Panics - panics; n != 1 {
					t.Errorf("%s: %d panics counted", tt.name, n)
				}
				break
			}
			p.drop()
		}
	})
}

// TestAgentInputs: an input that is no RunAgentInput is answered with RUN_ERROR and no
// run; what is not even JSON text ends the connection.
func TestAgentInputs(t *testing.T) {
	var runs atomic.Int64
	_, url := serve(t, server.Config{Agent: agentFunc(func(context.Context, *server.Run) error {
		runs.Add(1)
		return nil
	})})
	good := string(input("run"))
	refused := []string{
		`{}`, `[]`, `"input"`, `null`, `7`,
		`{"threadId":"t","runId":"r"}`,
		`{"threadId":1,"runId":"r","messages":[]}`,
		`{"threadId":"t","runId":"r","messages":{}}`,
		`{"threadId":"t","runId":"r","messages":[{"id":"m","role":"user"}]}`,
		strings.Replace(good, "{", `{"protocolVersion":"2.0",`, 1),
		strings.Replace(good, "{", `{"protocolVersion":"new",`, 1),
		strings.Replace(good, "{", `{"resume":[{"interruptId":7,"status":"resolved"}],`, 1),
	}
	taken := []string{
		strings.Replace(good, "{", `{"protocolVersion":"1.7","unknown":[1,2],`, 1),
		`{"threadId":"t","runId":"r","messages":[]}`,
	}
	each(t, func(t *testing.T, open opener) {
		p := dial(t, open, url)
		before := runs.Load()
		for _, in := range refused {
			if err := p.send(true, []byte(in)); err != nil {
				t.Fatal(err)
			}
			if ev := nextEvent(t, p); ev.Type != "RUN_ERROR" || ev.Code != "invalid_input" || ev.Message == "" {
				t.Errorf("%s: got %+v", in, ev)
			}
		}
		if n := runs.Load() - before; n != 0 {
			t.Errorf("%d runs of refused inputs", n)
		}
		for _, in := range taken {
			if err := p.send(true, []byte(in)); err != nil {
				t.Fatal(err)
			}
			if types, _ := events(t, p); len(types) != 2 || types[1] != "RUN_FINISHED" {
				t.Errorf("%s: got %q", in, types)
			}
		}
		p.drop()
		for _, in := range []struct {
			text bool
			raw  string
		}{{true, "hello"}, {true, good + "}"}, {true, ""}, {false, good}} {
			p := dial(t, open, url)
			if err := p.send(in.text, []byte(in.raw)); err != nil {
				t.Fatal(err)
			}
			_, b, err := p.receive()
			if code, _ := closedWith(err); code != 1003 {
				t.Errorf("%q (text: %t): got %q, %v, want close 1003", in.raw, in.text, b, err)
			}
			p.drop()
		}
	})
}

// TestAgentWaitingInputs: eight inputs wait behind a run; the ninth is refused when its
// turn comes, and the connection stays.
func TestAgentWaitingInputs(t *testing.T) {
	gate := make(chan struct{})
	var atOnce, most atomic.Int64
	srv, url := serve(t, server.Config{Agent: agentFunc(func(ctx context.Context, _ *server.Run) error {
		most.Store(max(most.Load(), atOnce.Add(1)))
		defer atOnce.Add(-1)
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})})
	each(t, func(t *testing.T, open opener) {
		sendInputs := func(n int) peer {
			p, before := dial(t, open, url), srv.Stats().MessagesIn
			for i := range n {
				if err := p.send(true, input(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				if i == 0 { // it no longer waits
					if ev := nextEvent(t, p); ev.Type != "RUN_STARTED" {
						t.Fatalf("got %+v", ev)
					}
				}
			}
			testkit.Await(t, "the inputs to arrive", func() bool { return srv.Stats().MessagesIn == before+uint64(n) })
			return p
		}
		p := sendInputs(10)
		for i := range 9 {
			gate <- struct{}{}
			types, last := events(t, p)
			if last.RunID != fmt.Sprint(i) || last.Type != "RUN_FINISHED" || last.Outcome.Type != "" {
				t.Errorf("run %d: got %q ending with %+v", i, types, last)
			}
		}
		if ev := nextEvent(t, p); ev.Type != "RUN_ERROR" || ev.Code != "too_many_inputs" {
			t.Errorf("the tenth input: got %+v", ev)
		}
		if err := p.send(true, input("after")); err != nil {
			t.Fatal(err)
		}
		if ev := nextEvent(t, p); ev.RunID != "after" {
			t.Errorf("got %+v", ev)
		}
		p.drop()
		testkit.Await(t, "the run to be cancelled", func() bool { return atOnce.Load() == 0 })
	})
	if n := most.Load(); n != 1 {
		t.Errorf("%d runs at once on one connection", n)
	}
}

// TestAgentClientGone: the agent's context ends with the connection, and says why.
func TestAgentClientGone(t *testing.T) {
	causes := make(chan error, 1)
	srv, url := serve(t, server.Config{Agent: agentFunc(func(ctx context.Context, run *server.Run) error {
		<-ctx.Done()
		causes <- errors.Join(context.Cause(ctx), run.Emit(&agui.StepStarted{StepName: "late"}))
		return ctx.Err()
	})})
	each(t, func(t *testing.T, open opener) {
		for _, leave := range []func(peer) error{
			func(p peer) error { p.drop(); return nil },
			func(p peer) error { return p.close(1001, "") },
		} {
			p := dial(t, open, url)
			if err := p.send(true, input("run")); err != nil {
				t.Fatal(err)
			}
			nextEvent(t, p)
			if err := leave(p); err != nil {
				t.Error(err)
			}
			cause := <-causes
			if !errors.Is(cause, net.ErrClosed) || !errors.Is(cause, context.Canceled) {
				t.Errorf("the context ended with %v", cause)
			}
			if ce, ok := errors.AsType[*server.CloseError](cause); !ok || ce.Code != 1001 && ce.Code != 1006 {
				t.Errorf("the context ended with %v, want a CloseError", cause)
			}
			testkit.Await(t, "the run to be over", func() bool { return srv.Stats().Runs == 0 })
		}
	})
}

// TestAgentSlowReader: Emit waits for a client that does not read, and nothing is lost.
func TestAgentSlowReader(t *testing.T) {
	const total, size = 1000, 20_000
	var emitted atomic.Int64
	_, url := serve(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		filler := strings.Repeat("x", size)
		for i := range total {
			if err := run.Emit(&agui.Custom{Name: fmt.Sprint(i), Value: []byte(`"` + filler + `"`)}); err != nil {
				return err
			}
			emitted.Add(1)
		}
		return nil
	})})
	each(t, func(t *testing.T, open opener) {
		emitted.Store(0)
		p := dial(t, open, url)
		if err := p.send(true, input("run")); err != nil {
			t.Fatal(err)
		}
		stopped := int64(-1)
		testkit.Await(t, "Emit to wait", func() bool {
			before := stopped
			time.Sleep(100 * time.Millisecond) // the slow reader: nothing tells that nothing happens
			stopped = emitted.Load()
			return stopped > 0 && stopped == before
		})
		if stopped >= total*4/5 {
			t.Errorf("%d of %d events left without a reader", stopped, total)
		}
		for i := -1; i < total; i++ {
			ev := nextEvent(t, p)
			if i >= 0 && (ev.Name != fmt.Sprint(i) || len(ev.Value) != size+2) {
				t.Fatalf("event %d: got %s %q with %d bytes", i, ev.Type, ev.Name, len(ev.Value))
			}
		}
		if ev := nextEvent(t, p); ev.Type != "RUN_FINISHED" {
			t.Errorf("got %+v", ev)
		}
		p.drop()
	})
}

// TestAgentLargeEvent: a run may end right behind an event of the greatest size, which
// fills the connection's outbox by itself.
func TestAgentLargeEvent(t *testing.T) {
	large := &agui.Custom{Name: "large", Value: []byte(`""`)}
	frame, err := event.Append(nil, large)
	if err != nil {
		t.Fatal(err)
	}
	large.Value = []byte(`"` + strings.Repeat("x", 1<<20-len(frame)) + `"`)
	_, url := serve(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		return run.Emit(large)
	})})
	each(t, func(t *testing.T, open opener) {
		p := dial(t, open, url)
		for range 5 {
			if err := p.send(true, input("run")); err != nil {
				t.Fatal(err)
			}
			if types, last := events(t, p); len(types) != 3 || last.Type != "RUN_FINISHED" {
				t.Errorf("got %q ending with %+v", types, last)
			}
		}
		p.drop()
	})
}

// TestAgentLateEmit: what a goroutine emits after its agent returned is refused and
// does not reach the next run.
func TestAgentLateEmit(t *testing.T) {
	late := make(chan error, 1)
	over := make(chan struct{})
	_, url := serve(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		if run.Input.RunID == "first" {
			go func() {
				<-over
				late <- run.Emit(&agui.StepStarted{StepName: "late"})
			}()
		}
		return nil
	})})
	p := dial(t, dialCoder, url)
	for _, id := range []string{"first", "second"} {
		if err := p.send(true, input(id)); err != nil {
			t.Fatal(err)
		}
		if types, last := events(t, p); len(types) != 2 || last.RunID != id {
			t.Errorf("run %s: got %q of %s", id, types, last.RunID)
		}
		if id == "first" {
			close(over)
			if err := <-late; err == nil {
				t.Error("an event after the end was taken")
			}
		}
	}
	p.drop()
}

// TestAgentManyGoroutines: Emit may be called from any goroutine; every event arrives whole.
func TestAgentManyGoroutines(t *testing.T) {
	const senders, events = 8, 100
	_, url := serve(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		errs := make(chan error, senders)
		for i := range senders {
			go func() {
				var err error
				for j := range events {
					err = errors.Join(err, run.Emit(&agui.Custom{Name: fmt.Sprint(i), Value: fmt.Append(nil, j)}))
				}
				errs <- err
			}()
		}
		var all error
		for range senders {
			all = errors.Join(all, <-errs)
		}
		return all
	})})
	p := dial(t, dialCoder, url)
	if err := p.send(true, input("run")); err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for ev := nextEvent(t, p); ev.Type != "RUN_FINISHED"; ev = nextEvent(t, p) {
		if ev.Type == "CUSTOM" {
			if string(ev.Value) != fmt.Sprint(next[ev.Name]) {
				t.Fatalf("sender %s: event %s came where %d was due", ev.Name, ev.Value, next[ev.Name])
			}
			next[ev.Name]++
		}
	}
	for i := range senders {
		if n := next[fmt.Sprint(i)]; n != events {
			t.Errorf("sender %d: %d of %d events", i, n, events)
		}
	}
	p.drop()
}
