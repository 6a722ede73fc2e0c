package aguitest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// play is an agent with some of everything that succeeds.
var play = aguitest.Script{
	aguitest.Emit(&agui.StateSnapshot{Snapshot: json.RawMessage(`{"n":9007199254740993,"list":[1.0,{"a":null}]}`)}),
	aguitest.Say("Let me look."),
	aguitest.Call("search", `{"q": "x", "n": 1}`, "found"),
	aguitest.Emit(
		&agui.ReasoningMessageStart{MessageID: "r1"}, &agui.ReasoningMessageContent{MessageID: "r1", Delta: "hm"},
		&agui.ReasoningMessageEnd{MessageID: "r1"},
		&agui.TextMessageChunk{MessageID: new("m2"), Delta: new("Done")}, &agui.TextMessageChunk{Delta: new(".")},
	),
}

// interrupted ends with a question.
var interrupted = aguitest.Script{aguitest.Emit(&agui.RunFinished{Outcome: &agui.Outcome{
	Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{{ID: "i", Reason: "approval"}},
}})}

// TestWhatIsWantedPasses: no assertion fails that holds.
func TestWhatIsWantedPasses(t *testing.T) {
	got := aguitest.Run(t, play, aguitest.Input("hello"))
	got.WantSuccess()
	got.WantText("Let me look.", "Done.")
	got.WantTypes("RUN_STARTED", "STATE_SNAPSHOT", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END",
		"TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END", "TOOL_CALL_RESULT",
		"REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT", "REASONING_MESSAGE_END", "TEXT_MESSAGE_CHUNK", "RUN_FINISHED")
	got.WantInOrder("RUN_STARTED", "TOOL_CALL_RESULT", "RUN_FINISHED")
	got.WantInOrder()
	if call := got.WantToolCall("search", `{"n":1,"q":"x"}`); call.Result == nil || call.Result.Text != "found" {
		t.Errorf("the call's result is %v", call.Result)
	}
	got.WantState(`{"list":[1,{"a":null}],"n":9007199254740993}`)
	if r := got.Reasoning(); len(r) != 1 || r[0] != "hm" {
		t.Errorf("reasoning %q", r)
	}
	var state struct{ N json.Number }
	if got.State(&state); state.N != "9007199254740993" {
		t.Errorf("state %v", state)
	}
	if pieces := aguitest.EventsOf[*agui.TextMessageContent](got); len(pieces) != 3 {
		t.Errorf("%d pieces", len(pieces))
	}

	asked := aguitest.Run(t, interrupted, aguitest.Input())
	if pending := asked.WantInterrupts("approval"); len(pending) != 1 || pending[0].ID != "i" {
		t.Errorf("interrupts %v", pending)
	}
	asked.WantInterrupts()
	failed := aguitest.Run(t, aguitest.Script{aguitest.Fail(&agui.PublicError{Code: "c", Message: "why"})}, aguitest.Input())
	if end := failed.WantError("c"); end.Message != "why" {
		t.Errorf("message %q", end.Message)
	}
	failed.WantError("")
}

// TestEachAssertionFails: and says what came, what was wanted, and what the run did.
func TestEachAssertionFails(t *testing.T) {
	secret := errors.New("secret")
	broken := aguitest.Script{aguitest.Say("so far"), aguitest.Fail(secret)}
	for _, tc := range []struct {
		name  string
		agent run.Agent
		want  func(*aguitest.Result)
		say   []string
	}{
		{"success of what failed", broken, (*aguitest.Result).WantSuccess, []string{
			"end of the run", "got  RUN_ERROR", `"code":"agent_error"`, "want success", `"so far"`, "error: secret",
		}},
		{"success of an interrupt", interrupted, (*aguitest.Result).WantSuccess, []string{"got  interrupt", "want success"}},
		{
			"success of an agent whose error came late", agent(func(r *run.Run) error {
				return errors.Join(r.Emit(&agui.RunFinished{}), secret)
			}),
			(*aguitest.Result).WantSuccess,
			[]string{"the agent's error", "got  secret", "want none"},
		},
		{
			"success of an agent that ignores a refusal", agent(func(r *run.Run) error {
				_ = r.Emit(&agui.TextMessageContent{MessageID: "m", Delta: "x"})
				return nil
			}),
			(*aguitest.Result).WantSuccess,
			[]string{"refused events", `TEXT_MESSAGE_CONTENT "m": it is not open`, "want none"},
		},
		{"success with what clients skip", emit(&agui.StateDelta{
			Delta: []agui.PatchOp{{Op: agui.PatchRemove, Path: "/nowhere"}},
		}), (*aguitest.Result).WantSuccess, []string{"events that clients skip", "STATE_DELTA", "/nowhere", "want none"}},
		{"cancelled", play, (*aguitest.Result).WantCancelled, []string{"outcome", "got  success", "want cancelled"}},
		{"interrupt of what succeeded", play, func(r *aguitest.Result) { r.WantInterrupts() }, []string{"got  success", "want interrupt"}},
		{"other interrupts", interrupted, func(r *aguitest.Result) { r.WantInterrupts("payment") }, []string{
			"reasons", `got  ["approval"]`, `want ["payment"]`,
		}},
		{"error of what succeeded", play, func(r *aguitest.Result) { r.WantError("c") }, []string{"got  RUN_FINISHED", "want RUN_ERROR c"}},
		{"another code", broken, func(r *aguitest.Result) { r.WantError("c") }, []string{"code", "got  agent_error", "want c"}},
		{
			"no code", emit(&agui.RunError{Message: "m"}), func(r *aguitest.Result) { r.WantError("c") },
			[]string{"code", "got  none", "want c"},
		},
		{"text", play, func(r *aguitest.Result) { r.WantText("Let me look") }, []string{
			`got  ["Let me look." "Done."]`, `want ["Let me look"]`, `"Let me look.", in 3 pieces`,
		}},
		{"text that never came", emit(), func(r *aguitest.Result) { r.WantText("x") }, []string{`got  []`, `want ["x"]`}},
		{"types", interrupted, func(r *aguitest.Result) { r.WantTypes("RUN_STARTED", "RUN_ERROR") }, []string{
			"got  RUN_STARTED RUN_FINISHED", "want RUN_STARTED RUN_ERROR",
		}},
		{"order", play, func(r *aguitest.Result) { r.WantInOrder("TOOL_CALL_START", "STATE_SNAPSHOT") }, []string{
			"got  no STATE_SNAPSHOT behind TOOL_CALL_START", "want TOOL_CALL_START STATE_SNAPSHOT",
		}},
		{"order of what never came", play, func(r *aguitest.Result) { r.WantInOrder("RAW") }, []string{"got  no RAW at all"}},
		{"tool", play, func(r *aguitest.Result) { r.WantToolCall("find", `{"q":"x","n":1}`) }, []string{
			`got  ["search({\"q\": \"x\", \"n\": 1})"]`, `want find({"q":"x","n":1})`,
		}},
		{"arguments", play, func(r *aguitest.Result) { r.WantToolCall("search", `{"q":"x","n":2}`) }, []string{`want search({"q":"x","n":2})`}},
		{"state", play, func(r *aguitest.Result) { r.WantState(`{"n":9007199254740992,"list":[1,{"a":null}]}`) }, []string{
			`"/n" is 9007199254740993, not 9007199254740992`, "got  {", "want {",
		}},
		{"state that is no struct", play, func(r *aguitest.Result) { r.State(new(int)) }, []string{"the state is no *int", "state: {"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := testkit.Record(t, func(t testing.TB) { tc.want(aguitest.Run(t, tc.agent, aguitest.Input())) })
			r.WantFailure(t, append(tc.say, "events:\n   0 RUN_STARTED")...)
		})
	}
}

func TestStatesDiffer(t *testing.T) {
	state := json.RawMessage(`{"a":[1,2],"b":{"c":"d"}}`)
	for want, say := range map[string]string{
		`{"a":[1,2],"b":{"c":"e"}}`:       `"/b/c" is "d", not "e"`,
		`{"a":[1,2],"b":{}}`:              `"/b" has "c", which was not wanted`,
		`{"a":[1,2],"b":{"c":"d","x":1}}`: `"/b" has no "x"`,
		`{"a":[1],"b":{"c":"d"}}`:         `"/a" has 2 elements, not 1`,
		`{"a":[1,2.5],"b":{"c":"d"}}`:     `"/a/1" is 2, not 2.5`,
		`{"a":{},"b":{"c":"d"}}`:          `"/a" is [1,2], not {}`,
		`[]`:                              `"" is {`,
		`{"a":[1,2],"b":null}`:            `"/b" is {"c":"d"}, not null`,
		`{`:                               "what was wanted is no JSON",
		`{} {}`:                           "what was wanted is no JSON",
	} {
		r := testkit.Record(t, func(t testing.TB) {
			aguitest.Run(t, emit(&agui.StateSnapshot{Snapshot: state}), aguitest.Input()).WantState(want)
		})
		r.WantFailure(t, say)
	}
}

// sequence is what a client would yield.
func sequence(err error, events ...agui.Event) iter.Seq2[agui.Event, error] {
	return func(yield func(agui.Event, error) bool) {
		for _, ev := range events {
			if !yield(ev, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func TestCollect(t *testing.T) {
	started, finished := &agui.RunStarted{ThreadID: "t", RunID: "r"}, &agui.RunFinished{ThreadID: "t", RunID: "r"}
	in := aguitest.Input("hello")
	aguitest.Collect(t, in, sequence(nil, started, finished)).WantSuccess()

	r := testkit.Record(t, func(t testing.TB) {
		aguitest.Collect(t, nil, sequence(nil, started, &agui.TextMessageEnd{MessageID: "m"}, finished))
	})
	r.WantFailure(t, `order: event 1 of 3: agloop: TEXT_MESSAGE_END "m": it is not open`, "   2 RUN_FINISHED")

	cut := errors.New("cut")
	r = testkit.Record(t, func(t testing.TB) {
		got := aguitest.Collect(t, nil, sequence(cut, started))
		if got.Err != cut {
			t.Errorf("the error is %v", got.Err)
		}
		got.WantError("")
	})
	r.WantFailure(t, "got  none: aguitest: the stream ends within a run", "want RUN_ERROR", "error: cut")
	r = testkit.Record(t, func(t testing.TB) { aguitest.Collect(t, nil, sequence(nil)).WantCancelled() })
	r.WantFailure(t, "got  none", "want cancelled", "events: none")
}

func TestCheckOrder(t *testing.T) {
	started := &agui.RunStarted{ThreadID: "t", RunID: "r"}
	if err := aguitest.CheckOrder([]agui.Event{started, &agui.RunFinished{ThreadID: "t", RunID: "r"}}); err != nil {
		t.Error(err)
	}
	if err := aguitest.CheckOrder([]agui.Event{started}); !errors.Is(err, aguitest.ErrTruncated) {
		t.Errorf("a stream without an end: %v", err)
	}
	err := aguitest.CheckOrder([]agui.Event{started, &agui.TextMessageChunk{Delta: new("x")}})
	if order, ok := errors.AsType[*agui.OrderError](err); !ok || order.Rule != agui.RuleChunkAmbiguous && order.Rule != agui.RuleChunkID {
		t.Errorf("a chunk that continues nothing: %v", err)
	}
}

// TestNext: the next input has the conversation, the tools and the answers.
func TestNext(t *testing.T) {
	in := aguitest.Input("book it")
	in.Tools = []agui.Tool{{Name: "look", Description: ""}}
	got := aguitest.Run(t, append(aguitest.Script{aguitest.Say("May I?")}, interrupted...), in)
	next := got.Next([]agui.ResumeEntry{{InterruptID: "i", Status: agui.ResumeResolved}}, "thanks")
	if next.ThreadID != in.ThreadID || next.RunID == in.RunID || len(next.Tools) != 1 || len(next.Resume) != 1 {
		t.Errorf("next input %+v", next)
	}
	var said []string
	for _, m := range next.Messages {
		said = append(said, string(m.Role)+" "+m.Content.Text)
	}
	if text := strings.Join(said, ", "); text != "user book it, assistant May I?, user thanks" {
		t.Errorf("messages: %s", text)
	}
	if n := len(got.Thread.Messages()); n != 2 {
		t.Errorf("the thread has %d messages now", n)
	}
	r := testkit.Record(t, func(t testing.TB) {
		aguitest.Run(t, interrupted, aguitest.Input()).Next(nil)
		t.Errorf("an input without its answers")
	})
	r.WantFailure(t, `no answer to ["i"]`, "RUN_FINISHED")
}

// TestLongRunsAreCut: a failure shows the first and the last events.
func TestLongRunsAreCut(t *testing.T) {
	many := agent(func(r *run.Run) error {
		for i := range 200 {
			if err := r.Emit(&agui.Custom{Name: fmt.Sprint("n", i), Value: json.RawMessage(`"` + strings.Repeat("x", 1000) + `"`)}); err != nil {
				return err
			}
		}
		return nil
	})
	r := testkit.Record(t, func(t testing.TB) { aguitest.Run(t, many, aguitest.Input()).WantText("x") })
	r.WantFailure(t, `"n0"`, `"n199"`, "… 142 lines …", "xxx…", " 201 RUN_FINISHED")
	if n := len(r.Errors[0]); n > 20_000 {
		t.Errorf("the failure has %d bytes", n)
	}
}
