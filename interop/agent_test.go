package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
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
		&agui.Custom{Name: "user", Value: fmt.Appendf(nil, "%q", fmt.Sprint(run.Principal.Value))},
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
		Agent: agentFunc(story),
		Authorize: func(context.Context, *server.Request) (server.Grant, error) {
			return server.Grant{Principal: server.Principal{Value: "ann"}}, nil
		},
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
						t.Errorf("the user is %s", ev.Value)
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
		message string // how it begins
		outcome string
		closed  int // the code that follows, 0 for none
	}{
		{"nothing", func(context.Context, *server.Run) error { return nil }, "RUN_STARTED RUN_FINISHED", "", "", "", 0},
		{"error", func(context.Context, *server.Run) error { return errors.New("no luck") }, "RUN_STARTED RUN_ERROR", "agent_error", "the agent failed (id ", "", 0},
		{"public error", func(context.Context, *server.Run) error {
			return fmt.Errorf("wrapped: %w", &server.PublicError{Code: "luck", Message: "no \xFF luck"})
		}, "RUN_STARTED RUN_ERROR", "luck", "no \uFFFD luck", "", 0},
		{"error with a message open", func(_ context.Context, run *server.Run) error {
			_, err := run.TextMessage()
			return errors.Join(err, errors.New("broke"))
		}, "RUN_STARTED TEXT_MESSAGE_START RUN_ERROR", "agent_error", "the agent failed (id ", "", 0},
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
		{"panic", func(context.Context, *server.Run) error { panic("agent") }, "RUN_STARTED RUN_ERROR", "agent_panic", "the agent failed (id ", "", 1011},
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
				if got := strings.Join(types, " "); got != tt.types || last.Code != tt.code || last.Outcome.Type != tt.outcome || !strings.HasPrefix(last.Message, tt.message) {
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

// TestAgentInputs: an input that is no RunAgentInput is answered with RUN_ERROR and no run; what is
// not even JSON text ends the connection.
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
		strings.Replace(good, "{", `{"resume":[{"interruptId":7,"status":"resolved"}],`, 1),
	}
	taken := []string{
		strings.Replace(good, "{", `{"protocolVersion":"new",`, 1),
		strings.Replace(good, "{", `{"protocolVersion":"1.99999999999999999999",`, 1),
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
