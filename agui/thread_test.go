package agui_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// threadCase is a stream with what the official client makes of it; e2e/thread.test.mjs holds the
// file to that.
type threadCase struct {
	Name   string
	Input  *agui.RunAgentInput
	Events []json.RawMessage
	Want   conversation
}

// conversation is what a Thread and the official client can be compared by.
type conversation struct {
	Messages   []agui.Message   `json:"messages"`
	State      json.RawMessage  `json:"state"`
	Interrupts []agui.Interrupt `json:"pendingInterrupts"`
	Ends       []threadEnd      `json:"ends"` // one for each RUN_FINISHED
}

type threadEnd struct {
	Outcome agui.OutcomeType  `json:"outcome"`
	Result  json.RawMessage   `json:"result,omitempty"`
	Pending []string          `json:"pendingToolCallIds,omitempty"`
	Usage   []agui.TokenUsage `json:"usage,omitempty"`
}

func threadCases(t testing.TB) []threadCase {
	t.Helper()
	var list []threadCase
	for _, line := range dataLines(t, "threads.ndjson") {
		var c threadCase
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

func decode(t testing.TB, raw json.RawMessage) agui.Event {
	t.Helper()
	var head struct{ Type agui.EventType }
	if err := json.Unmarshal(raw, &head); err != nil {
		t.Fatal(err)
	}
	ev := agui.New(head.Type)
	if err := json.Unmarshal(raw, ev); err != nil {
		t.Fatal(err)
	}
	return ev
}

// values is v as JSON values, so that only what is written counts.
func values(t testing.TB, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func converse(t testing.TB, thread *agui.Thread, events []agui.Event) conversation {
	t.Helper()
	c := conversation{Interrupts: []agui.Interrupt{}, Ends: []threadEnd{}}
	for _, ev := range events {
		thread.Apply(ev)
		if _, ok := ev.(*agui.RunFinished); ok {
			run := thread.Run()
			c.Ends = append(c.Ends, threadEnd{run.Outcome, run.Result, run.PendingToolCallIDs, run.Usage})
		}
	}
	c.Messages, c.State = thread.Messages(), thread.State()
	c.Interrupts = append(c.Interrupts, thread.PendingInterrupts()...)
	return c
}

func TestThreadAsTheOfficialClient(t *testing.T) {
	for _, c := range threadCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			var events []agui.Event
			for _, raw := range c.Events {
				events = append(events, decode(t, raw))
			}
			got := converse(t, agui.NewThread(c.Input), events)
			if got, want := values(t, got), values(t, c.Want); !reflect.DeepEqual(got, want) {
				t.Errorf("\n got %v\nwant %v", got, want)
			}
		})
	}
}

// Events of a decoder may be used again: nothing that was applied may change when they are.
func TestThreadKeepsNothingOfAnEvent(t *testing.T) {
	for _, c := range threadCases(t) {
		thread := agui.NewThread(c.Input)
		if c.Input != nil {
			scribble(reflect.ValueOf(c.Input))
		}
		var events []agui.Event
		for _, raw := range c.Events {
			ev := decode(t, raw)
			thread.Apply(ev)
			scribble(reflect.ValueOf(ev))
			events = append(events, ev)
		}
		for _, ev := range events { // chunks too are done with by now
			scribble(reflect.ValueOf(ev))
		}
		got := conversation{Messages: thread.Messages(), State: thread.State(), Interrupts: thread.PendingInterrupts()}
		want := c.Want
		want.Ends = nil
		if len(want.Interrupts) == 0 {
			want.Interrupts = nil
		}
		if got, want := values(t, got), values(t, want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", c.Name, got, want)
		}
	}
}

// scribble overwrites all memory that v reaches, as a caller may that reuses it.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			scribble(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			scribble(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			scribble(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			scribble(v.MapIndex(key))
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString("overwritten")
		}
	case reflect.Uint8:
		v.SetUint('#')
	case reflect.Int64:
		v.SetInt(-1)
	}
}

// What a Thread has returned stays as it is while the conversation goes on.
func TestThreadReturnsWhatStays(t *testing.T) {
	thread := new(agui.Thread)
	apply := func(events ...agui.Event) {
		for _, ev := range events {
			if err := thread.Apply(ev); err != nil {
				t.Fatal(err)
			}
		}
	}
	apply(start(),
		&agui.TextMessageStart{MessageID: "m", Base: agui.Base{Metadata: json.RawMessage(`{"a":1}`)}},
		&agui.TextMessageContent{MessageID: "m", Delta: "one"},
		&agui.ToolCallStart{ToolCallID: "c", ToolCallName: "find", ParentMessageID: new("m")},
		&agui.ToolCallArgs{ToolCallID: "c", Delta: "{"},
		&agui.StateSnapshot{Snapshot: json.RawMessage(`{"a":1}`)},
		&agui.SubagentStarted{SubagentRunID: "s", Name: "n"},
	)
	messages, state, run := thread.Messages(), thread.State(), thread.Run()
	before := fmt.Sprint(values(t, messages), string(state), values(t, run))
	apply(
		&agui.TextMessageContent{MessageID: "m", Delta: strings.Repeat(" two", 100), Base: agui.Base{Metadata: json.RawMessage(`{"a":2}`)}},
		&agui.ToolCallArgs{ToolCallID: "c", Delta: "}"},
		&agui.ToolCallStart{ToolCallID: "d", ToolCallName: "find", ParentMessageID: new("m")},
		&agui.ReasoningEncryptedValue{Subtype: agui.EncryptedMessage, EntityID: "m", EncryptedValue: "e"},
		&agui.ToolCallResult{MessageID: "x", ToolCallID: "c"},
		&agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchReplace, Path: "/a", Value: json.RawMessage(`2`)}}},
		&agui.SubagentFinished{SubagentRunID: "s"},
		finish(),
	)
	if after := fmt.Sprint(values(t, messages), string(state), values(t, run)); after != before {
		t.Errorf("\n was %s\n  is %s", before, after)
	}
}

func TestThreadRun(t *testing.T) {
	thread := agui.NewThread(&agui.RunAgentInput{
		ThreadID: "t", RunID: "r", ParentRunID: new("p"),
		Resume: []agui.ResumeEntry{{InterruptID: "i", Status: agui.ResumeResolved}},
	})
	want := func(what string, run agui.ThreadRun) {
		t.Helper()
		if got := thread.Run(); !reflect.DeepEqual(values(t, got), values(t, run)) {
			t.Errorf("%s:\n got %+v\nwant %+v", what, got, run)
		}
	}
	resume := []agui.ResumeEntry{{InterruptID: "i", Status: agui.ResumeResolved}}
	want("before", agui.ThreadRun{RunID: "r", ParentRunID: new("p"), Resume: resume})

	thread.Apply(&agui.RunStarted{ThreadID: "t", RunID: "r"})
	thread.Apply(&agui.StepStarted{StepName: "a"})
	thread.Apply(&agui.StepStarted{StepName: "b", Base: tagged("s")})
	thread.Apply(&agui.StepStarted{StepName: "c"})
	thread.Apply(&agui.StepFinished{StepName: "a"})
	thread.Apply(&agui.SubagentStarted{SubagentRunID: "s", Name: "n"})
	thread.Apply(&agui.SubagentStarted{SubagentRunID: "u", Name: "m", ParentSubagentRunID: new("s")})
	thread.Apply(&agui.SubagentFinished{SubagentRunID: "u", Outcome: &agui.SubagentOutcome{Type: agui.OutcomeSuspended, InterruptIDs: []string{"i"}}})
	subagents := []agui.ThreadSubagent{
		{SubagentRunID: "s", Name: "n", Active: true},
		{SubagentRunID: "u", Name: "m", ParentSubagentRunID: new("s"), Outcome: agui.OutcomeSuspended, InterruptIDs: []string{"i"}},
	}
	run := agui.ThreadRun{
		RunID: "r", ParentRunID: new("p"), Resume: resume, Active: true,
		Steps:     []agui.ThreadStep{{Name: "b", SubagentRunID: new("s")}, {Name: "c"}},
		Subagents: subagents,
	}
	want("within", run)

	thread.Apply(&agui.SubagentError{SubagentRunID: "s", Message: "x"})
	thread.Apply(&agui.RunFinished{ThreadID: "t", RunID: "r", Result: json.RawMessage(`1`), Usage: []agui.TokenUsage{{InputTokens: new(int64(3))}}})
	run.Active, run.Steps, run.Outcome, run.Result = false, nil, agui.OutcomeSuccess, json.RawMessage(`1`)
	run.Usage = []agui.TokenUsage{{InputTokens: new(int64(3))}}
	subagents[0].Active, subagents[0].Error = false, &agui.SubagentError{SubagentRunID: "s", Message: "x"}
	want("finished", run)

	thread.Apply(&agui.RunError{Message: "late", Code: new("c")})
	run.Outcome, run.Result, run.Usage, run.Error = "", nil, nil, &agui.RunError{Message: "late", Code: new("c")}
	want("failed late", run)

	thread.Apply(&agui.RunStarted{ThreadID: "t", RunID: "q", Input: &agui.RunAgentInput{}})
	want("the next", agui.ThreadRun{RunID: "q", Active: true})
}

func TestThreadToolCall(t *testing.T) {
	thread := new(agui.Thread)
	thread.Apply(start())
	thread.Apply(&agui.ToolCallStart{ToolCallID: "c", ToolCallName: "find"})
	thread.Apply(&agui.ToolCallArgs{ToolCallID: "c", Delta: "{}"})
	call, ok := thread.ToolCall("c")
	if !ok || call.Function != (agui.FunctionCall{Name: "find", Arguments: "{}"}) {
		t.Errorf("call %+v, %v", call, ok)
	}
	if call, ok := thread.ToolCall("d"); ok {
		t.Errorf("a call that is not there: %+v", call)
	}
}

func TestThreadSaysWhatItSkips(t *testing.T) {
	fail := []agui.PatchOp{{Op: agui.PatchRemove, Path: "/x"}}
	for _, tc := range []struct {
		ev     agui.Event
		reason string
	}{
		{&agui.TextMessageContent{MessageID: "x"}, agui.SkipNoMessage},
		{&agui.TextMessageEnd{MessageID: "x"}, agui.SkipNoMessage},
		{&agui.ReasoningMessageContent{MessageID: "x"}, agui.SkipNoMessage},
		{&agui.TextMessageStart{MessageID: "a"}, agui.SkipActivity},
		{&agui.TextMessageContent{MessageID: "a"}, agui.SkipActivity},
		{&agui.ToolCallArgs{ToolCallID: "x"}, agui.SkipNoCall},
		{&agui.ReasoningEncryptedValue{Subtype: agui.EncryptedToolCall, EntityID: "x"}, agui.SkipNoCall},
		{&agui.ReasoningEncryptedValue{Subtype: agui.EncryptedMessage, EntityID: "x"}, agui.SkipNoMessage},
		{&agui.ReasoningEncryptedValue{Subtype: agui.EncryptedMessage, EntityID: "a"}, agui.SkipActivity},
		{&agui.ActivityDelta{MessageID: "x"}, agui.SkipNoMessage},
		{&agui.ActivityDelta{MessageID: "m"}, agui.SkipNoActivity},
		{&agui.ActivitySnapshot{MessageID: "m", Replace: new(false)}, agui.SkipNoActivity},
		{&agui.ActivityDelta{MessageID: "a", Patch: fail}, `/x`},
		{&agui.ActivityDelta{MessageID: "a", Patch: []agui.PatchOp{{Op: agui.PatchReplace, Value: json.RawMessage(`1`)}}}, "object"},
		{&agui.StateDelta{Delta: fail}, `/x`},
		{&agui.TextMessageChunk{}, agui.RuleChunkID},

		{&agui.TextMessageStart{MessageID: "m"}, ""},
		{&agui.ReasoningStart{MessageID: "x"}, ""},
		{&agui.Custom{Name: "n"}, ""},
		{nil, ""},
	} {
		thread := new(agui.Thread)
		thread.Apply(start())
		thread.Apply(&agui.TextMessageStart{MessageID: "m"})
		thread.Apply(&agui.ActivitySnapshot{MessageID: "a", ActivityType: "t", Content: json.RawMessage(`{}`)})
		before := values(t, thread.Messages())
		err := thread.Apply(tc.ev)
		if tc.reason == "" {
			if err != nil {
				t.Errorf("%+v: %v", tc.ev, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.reason) || !strings.HasPrefix(err.Error(), "agloop: "+string(tc.ev.Type())) {
			t.Errorf("%+v: error %v, want one with %q", tc.ev, err, tc.reason)
		}
		if after := values(t, thread.Messages()); !reflect.DeepEqual(before, after) {
			t.Errorf("%+v changed the messages: %v", tc.ev, after)
		}
	}
}

// Text of any length costs a copy now and then, when its buffer grows, and nothing else.
func TestThreadAppendsWithoutAllocating(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	for _, tc := range []struct {
		start, more agui.Event
	}{
		{&agui.TextMessageStart{MessageID: "m"}, &agui.TextMessageContent{MessageID: "m", Delta: "token"}},
		{&agui.ReasoningMessageStart{MessageID: "m"}, &agui.ReasoningMessageContent{MessageID: "m", Delta: "token"}},
		{&agui.ToolCallStart{ToolCallID: "c"}, &agui.ToolCallArgs{ToolCallID: "c", Delta: "token"}},
	} {
		thread := new(agui.Thread)
		thread.Apply(start())
		thread.Apply(tc.start)
		const deltas = 100_000
		per := testing.AllocsPerRun(1, func() {
			for range deltas {
				thread.Apply(tc.more)
			}
		})
		if per > 50 { // 1 MB in steps of a quarter
			t.Errorf("%s: %v allocations for %d deltas", tc.more.Type(), per, deltas)
		}
	}
}

func BenchmarkThreadText(b *testing.B) {
	thread := new(agui.Thread)
	thread.Apply(start())
	thread.Apply(&agui.TextMessageStart{MessageID: "m"})
	ev := &agui.TextMessageContent{MessageID: "m", Delta: "token"}
	b.ReportAllocs()
	for b.Loop() {
		thread.Apply(ev)
	}
}

func BenchmarkThreadState(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			var cards []map[string]any
			for i := range size / 64 {
				cards = append(cards, map[string]any{"id": i, "title": "a card of the board", "done": false})
			}
			state, err := json.Marshal(map[string]any{"cards": cards})
			if err != nil {
				b.Fatal(err)
			}
			thread := new(agui.Thread)
			thread.Apply(&agui.StateSnapshot{Snapshot: state})
			ev := &agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchReplace, Path: "/cards/3/done", Value: json.RawMessage(`true`)}}}
			b.ReportAllocs()
			for b.Loop() {
				if err := thread.Apply(ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
