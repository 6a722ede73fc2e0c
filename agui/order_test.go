package agui_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
)

func tagged(id string) agui.Base { return agui.Base{SubagentRunID: new(id)} }

func start() agui.Event { return &agui.RunStarted{ThreadID: "t", RunID: "r"} }

func finish() agui.Event { return &agui.RunFinished{ThreadID: "t", RunID: "r"} }

func checkAll(o *agui.Order, events []agui.Event) error {
	for _, ev := range events {
		if err := o.Check(ev); err != nil {
			return err
		}
	}
	return nil
}

// twice is a message that stands twice, with a call, under two owners.
func twice(role agui.Role) []agui.Message {
	var list []agui.Message
	for _, owner := range []string{"s", "z"} {
		m := agui.Message{ID: "m", Role: role, SubagentRunID: new(owner)}
		if role == agui.RoleAssistant {
			m.ToolCalls = []agui.ToolCall{{ID: "c"}}
		}
		list = append(list, m)
	}
	return list
}

func seeded(role agui.Role) agui.Event {
	return &agui.RunStarted{ThreadID: "t", RunID: "r", Input: &agui.RunAgentInput{Messages: twice(role)}}
}

func TestOrderRules(t *testing.T) {
	text := func(id string) agui.Event { return &agui.TextMessageStart{MessageID: id} }
	textOf := func(owner, id string) agui.Event { return &agui.TextMessageStart{Base: tagged(owner), MessageID: id} }
	delta := func(id string) agui.Event { return &agui.TextMessageContent{MessageID: id} }
	deltaOf := func(owner, id string) agui.Event {
		return &agui.TextMessageContent{Base: tagged(owner), MessageID: id}
	}
	end := func(id string) agui.Event { return &agui.TextMessageEnd{MessageID: id} }
	span := func(id string) agui.Event { return &agui.ReasoningStart{MessageID: id} }
	announce := func(id string) agui.Event { return &agui.SubagentStarted{SubagentRunID: id} }
	retire := func(id string) agui.Event { return &agui.SubagentFinished{SubagentRunID: id} }
	fail := func() agui.Event { return &agui.RunError{Message: "x"} }

	tests := []struct {
		name   string
		events []agui.Event // all but the last are legal
		rule   string       // of the last; "" is legal too
		id     string
	}{
		{"content first", []agui.Event{delta("m")}, agui.RuleFirstEvent, ""},
		{"error first", []agui.Event{fail()}, "", ""},
		{"run after error", []agui.Event{fail(), start()}, "", ""},
		{"error twice", []agui.Event{fail(), fail()}, agui.RuleRunFailed, ""},
		{"run in run", []agui.Event{start(), start()}, agui.RuleRunActive, ""},
		{"content after the end", []agui.Event{start(), finish(), delta("m")}, agui.RuleRunFinished, ""},
		{"late error", []agui.Event{start(), finish(), fail()}, "", ""},
		{"finish twice", []agui.Event{start(), finish(), finish()}, agui.RuleRunFinished, ""},
		{"other run", []agui.Event{start(), &agui.RunFinished{ThreadID: "t", RunID: "x"}}, agui.RuleOtherRun, "x"},
		{"other thread", []agui.Event{start(), &agui.RunFinished{ThreadID: "x", RunID: "r"}}, agui.RuleOtherThread, "x"},
		{"second run on another thread", []agui.Event{start(), finish(), &agui.RunStarted{ThreadID: "x", RunID: "r2"}}, agui.RuleOtherThread, "x"},
		{"interrupts of one id", []agui.Event{start(), &agui.RunFinished{ThreadID: "t", RunID: "r", Outcome: &agui.Outcome{
			Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{{ID: "i"}, {ID: "j"}, {ID: "i"}},
		}}}, agui.RuleInterruptTwice, "i"},

		{"message opened twice", []agui.Event{start(), text("m"), text("m")}, agui.RuleAlreadyOpen, "m"},
		{"message reopened", []agui.Event{start(), text("m"), end("m"), text("m")}, "", ""},
		{"content after end", []agui.Event{start(), text("m"), end("m"), delta("m")}, agui.RuleNotOpen, "m"},
		{"message and call of one id", []agui.Event{start(), text("x"), &agui.ToolCallStart{ToolCallID: "x"}}, "", ""},
		{"message left open", []agui.Event{start(), text("m"), finish()}, agui.RuleStillOpen, "m"},
		{"error with all open", []agui.Event{start(), text("m"), span("s"), fail()}, "", ""},
		{"tracking starts anew", []agui.Event{start(), text("m"), fail(), start(), delta("m")}, agui.RuleNotOpen, "m"},
		{"span and message of one id", []agui.Event{start(), span("x"), &agui.ReasoningMessageStart{MessageID: "x"}}, "", ""},
		{"span opened twice", []agui.Event{start(), span("x"), span("x")}, agui.RuleAlreadyOpen, "x"},
		{"span ended twice", []agui.Event{start(), span("x"), &agui.ReasoningEnd{MessageID: "x"}, &agui.ReasoningEnd{MessageID: "x"}}, agui.RuleNotOpen, "x"},
		{"span left open", []agui.Event{start(), span("s"), finish()}, agui.RuleStillOpen, "s"},
		{"reasoning message is not the span", []agui.Event{start(), span("x"), &agui.ReasoningMessageContent{MessageID: "x"}}, agui.RuleNotOpen, "x"},
		{"result of an unknown call", []agui.Event{start(), &agui.ToolCallResult{MessageID: "m", ToolCallID: "c"}}, "", ""},
		{"delta of an unknown activity", []agui.Event{start(), &agui.ActivityDelta{MessageID: "a"}}, "", ""},

		{"continuation without tag", []agui.Event{start(), textOf("s", "m"), delta("m")}, "", ""},
		{"continuation of another", []agui.Event{start(), textOf("s", "m"), deltaOf("z", "m")}, agui.RuleOwner, "m"},
		{"tag on the parent's message", []agui.Event{start(), text("m"), deltaOf("s", "m")}, agui.RuleOwner, "m"},
		{"the empty id is a subagent", []agui.Event{start(), text("m"), deltaOf("", "m")}, agui.RuleOwner, "m"},
		{"reopened by another", []agui.Event{start(), textOf("s", "m"), end("m"), textOf("z", "m")}, agui.RuleOwner, "m"},
		{"reopened without tag", []agui.Event{start(), textOf("s", "m"), end("m"), text("m"), deltaOf("s", "m")}, "", ""},
		{"span and message of two owners", []agui.Event{start(), span("x"), &agui.ReasoningMessageStart{Base: tagged("s"), MessageID: "x"}}, agui.RuleOwner, "x"},
		{"encrypted value of another", []agui.Event{start(), textOf("s", "m"), &agui.ReasoningEncryptedValue{Base: tagged("z"), Subtype: agui.EncryptedMessage, EntityID: "m"}}, agui.RuleOwner, "m"},
		{"encrypted value of nobody", []agui.Event{start(), &agui.ReasoningEncryptedValue{Base: tagged("z"), Subtype: agui.EncryptedToolCall, EntityID: "c"}}, "", ""},

		{"call of another than its message", []agui.Event{start(), textOf("s", "m"), &agui.ToolCallStart{Base: tagged("z"), ToolCallID: "c", ParentMessageID: new("m")}}, agui.RuleParentOwner, "c"},
		{"call inherits", []agui.Event{start(), textOf("s", "m"), &agui.ToolCallStart{ToolCallID: "c", ParentMessageID: new("m")}, &agui.ToolCallArgs{Base: tagged("s"), ToolCallID: "c"}}, "", ""},
		{"call moves to another parent", []agui.Event{
			start(), textOf("s", "m"), text("n"), &agui.ToolCallStart{ToolCallID: "c", ParentMessageID: new("m")}, &agui.ToolCallEnd{ToolCallID: "c"},
			&agui.ToolCallStart{ToolCallID: "c", ParentMessageID: new("n")},
		}, agui.RuleParentOwner, "c"},
		{"result makes a message", []agui.Event{start(), &agui.ToolCallResult{Base: tagged("s"), MessageID: "m"}, textOf("z", "m")}, agui.RuleOwner, "m"},
		{"snapshot restates owners", []agui.Event{
			start(), textOf("s", "m"), end("m"),
			&agui.MessagesSnapshot{Messages: []agui.Message{{ID: "m", Role: agui.RoleAssistant, SubagentRunID: new("z")}}}, textOf("z", "m"),
		}, "", ""},
		{"input seeds owners", []agui.Event{
			&agui.RunStarted{ThreadID: "t", RunID: "r", Input: &agui.RunAgentInput{Messages: []agui.Message{
				{ID: "m", Role: agui.RoleAssistant, SubagentRunID: new("s"), ToolCalls: []agui.ToolCall{{ID: "c"}}},
			}}}, &agui.ToolCallStart{Base: tagged("z"), ToolCallID: "c"},
		}, agui.RuleOwner, "c"},
		{"first owner in the input", []agui.Event{seeded(agui.RoleAssistant), textOf("s", "m")}, "", ""},
		{"second owner in the input", []agui.Event{seeded(agui.RoleAssistant), textOf("z", "m")}, agui.RuleOwner, "m"},
		{"second owner of a call in the input", []agui.Event{seeded(agui.RoleAssistant), &agui.ToolCallStart{Base: tagged("z"), ToolCallID: "c"}}, agui.RuleOwner, "c"},
		{"second owner of reasoning in the input", []agui.Event{seeded(agui.RoleReasoning), &agui.ReasoningStart{Base: tagged("z"), MessageID: "m"}}, agui.RuleOwner, "m"},
		{"second owner of an activity in the input", []agui.Event{seeded(agui.RoleActivity), &agui.ActivityDelta{Base: tagged("z"), MessageID: "m"}}, agui.RuleOwner, "m"},
		{"last owner in a snapshot", []agui.Event{start(), &agui.MessagesSnapshot{Messages: twice(agui.RoleAssistant)}, textOf("s", "m")}, agui.RuleOwner, "m"},
		{"activity of another", []agui.Event{start(), &agui.ActivitySnapshot{MessageID: "a"}, &agui.ActivityDelta{Base: tagged("s"), MessageID: "a"}}, agui.RuleOwner, "a"},
		{"activity taken over", []agui.Event{start(), &agui.ActivitySnapshot{MessageID: "a"}, &agui.ActivitySnapshot{Base: tagged("s"), MessageID: "a"}, &agui.ActivityDelta{Base: tagged("s"), MessageID: "a"}}, "", ""},
		{"activity kept", []agui.Event{start(), &agui.ActivitySnapshot{MessageID: "a"}, &agui.ActivitySnapshot{Base: tagged("s"), MessageID: "a", Replace: new(false)}, &agui.ActivityDelta{Base: tagged("s"), MessageID: "a"}}, agui.RuleOwner, "a"},

		{"step of two owners", []agui.Event{start(), &agui.StepStarted{StepName: "a"}, &agui.StepStarted{Base: tagged("s"), StepName: "a"}}, "", ""},
		{"step ended by another", []agui.Event{start(), &agui.StepStarted{StepName: "a"}, &agui.StepFinished{Base: tagged("s"), StepName: "a"}}, agui.RuleOwner, "a"},
		{"step ended unstarted", []agui.Event{start(), &agui.StepFinished{StepName: "a"}}, agui.RuleNotOpen, "a"},
		{"step left open", []agui.Event{start(), &agui.StepStarted{StepName: "a"}, finish()}, agui.RuleStillOpen, "a"},

		{"subagent again", []agui.Event{start(), announce("s"), retire("s"), announce("s")}, agui.RuleSubagentReused, "s"},
		{"subagent of the next run", []agui.Event{start(), announce("s"), retire("s"), finish(), start(), announce("s")}, "", ""},
		{"subagent of nobody", []agui.Event{start(), &agui.SubagentStarted{SubagentRunID: "s", ParentSubagentRunID: new("p")}}, agui.RuleSubagentUnknown, "p"},
		{"subagent of a finished one", []agui.Event{start(), announce("p"), retire("p"), &agui.SubagentStarted{SubagentRunID: "s", ParentSubagentRunID: new("p")}}, "", ""},
		{"subagent failed twice", []agui.Event{start(), announce("s"), &agui.SubagentError{SubagentRunID: "s"}, &agui.SubagentError{SubagentRunID: "s"}}, agui.RuleNotOpen, "s"},
		{"subagent left open", []agui.Event{start(), announce("s"), finish()}, agui.RuleStillOpen, "s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o agui.Order
			last := len(tt.events) - 1
			if err := checkAll(&o, tt.events[:last]); err != nil {
				t.Fatalf("on the way: %v", err)
			}
			err := o.Check(tt.events[last])
			if tt.rule == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			want := &agui.OrderError{Event: tt.events[last].Type(), Rule: tt.rule, ID: tt.id}
			if got, ok := errors.AsType[*agui.OrderError](err); !ok || *got != *want {
				t.Fatalf("got %v, want %v", err, want)
			}
			// The state is as before: what was wrong is wrong again.
			if again := o.Check(tt.events[last]); !reflect.DeepEqual(again, err) {
				t.Errorf("then %v", again)
			}
		})
	}
}

func TestOrderErrorText(t *testing.T) {
	for want, err := range map[string]agui.OrderError{
		"agloop: RUN_STARTED: a run is active already": {Event: agui.EventTypeRunStarted, Rule: agui.RuleRunActive},
		`agloop: STEP_FINISHED "a\n": it is not open`:  {Event: agui.EventTypeStepFinished, Rule: agui.RuleNotOpen, ID: "a\n"},
	} {
		if err.Error() != want {
			t.Errorf("got %s, want %s", err.Error(), want)
		}
	}
	long := agui.OrderError{Event: agui.EventTypeRaw, Rule: agui.RuleOwner, ID: strings.Repeat("x", 1<<20)}
	if n := len(long.Error()); n > 256 {
		t.Errorf("an error text of %d bytes", n)
	}
}

// A result is a message of its own. One with the id of a message that chunks have open may not give
// that to another owner: the END that a reader makes of the chunks would name the first.
func TestOrderKeepsTheOwnerOfChunks(t *testing.T) {
	for _, tc := range []struct {
		chunk, result agui.Base
		rule          string
	}{
		{chunk: tagged("s"), rule: agui.RuleOwner},
		{chunk: tagged("s"), result: tagged("s2"), rule: agui.RuleOwner},
		{chunk: tagged("s"), result: tagged("s")}, // it closes the message first
		{},
		{result: tagged("s")}, // the END names nobody
	} {
		var o agui.Order
		err := checkAll(&o, []agui.Event{
			start(),
			&agui.TextMessageChunk{Base: tc.chunk, MessageID: new("m")},
			&agui.ToolCallResult{Base: tc.result, MessageID: "m", ToolCallID: "c"},
		})
		if order, ok := errors.AsType[*agui.OrderError](err); tc.rule == "" && err != nil || tc.rule != "" && (!ok || order.Rule != tc.rule) {
			t.Errorf("chunk of %v, result of %v: error %v, want rule %q", tc.chunk.SubagentRunID, tc.result.SubagentRunID, err, tc.rule)
		}
		if err := o.Check(finish()); err != nil {
			t.Error(err)
		}
	}
}

func TestOrderTellsTheEnd(t *testing.T) {
	var o agui.Order
	if o.Active() || o.Done() || o.Failed() {
		t.Error("a stream without events has a run")
	}
	steps := []struct {
		ev                   agui.Event
		active, done, failed bool
	}{
		{start(), true, false, false},
		{finish(), false, true, false},
		{&agui.RunError{Message: "late"}, false, true, true},
		{&agui.RunStarted{ThreadID: "t", RunID: "r2"}, true, false, false},
		{&agui.TextMessageStart{MessageID: "m"}, true, false, false},
	}
	for _, s := range steps {
		if err := o.Check(s.ev); err != nil {
			t.Fatal(err)
		}
		if o.Active() != s.active || o.Done() != s.done || o.Failed() != s.failed {
			t.Errorf("after %s: active %v, done %v, failed %v", s.ev.Type(), o.Active(), o.Done(), o.Failed())
		}
	}
	if o.ThreadID() != "t" || o.RunID() != "r2" {
		t.Errorf("thread %q, run %q", o.ThreadID(), o.RunID())
	}
}

// A cancelled run closes everything and then ends in order.
func TestOrderOpenClosesEverything(t *testing.T) {
	var o agui.Order
	err := checkAll(&o, []agui.Event{
		start(),
		&agui.SubagentStarted{SubagentRunID: "s"},
		&agui.SubagentStarted{SubagentRunID: "s2", ParentSubagentRunID: new("s")},
		&agui.StepStarted{StepName: "a"},
		&agui.StepStarted{Base: tagged("s"), StepName: "a"},
		&agui.ReasoningStart{MessageID: "x"},
		&agui.ReasoningMessageStart{MessageID: "x"},
		&agui.TextMessageStart{Base: tagged("s"), MessageID: "m"},
		&agui.TextMessageStart{MessageID: "done"},
		&agui.TextMessageEnd{MessageID: "done"},
		&agui.ToolCallStart{ToolCallID: "c", ParentMessageID: new("m")},
		&agui.TextMessageChunk{Base: tagged("s2"), MessageID: new("chunks"), Delta: new("x")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []agui.Event{
		&agui.TextMessageEnd{Base: tagged("s"), MessageID: "m"},
		&agui.ToolCallEnd{Base: tagged("s"), ToolCallID: "c"},
		&agui.ReasoningMessageEnd{MessageID: "x"},
		&agui.ReasoningEnd{MessageID: "x"},
		&agui.StepFinished{Base: tagged("s"), StepName: "a"},
		&agui.StepFinished{StepName: "a"},
		&agui.SubagentFinished{SubagentRunID: "s2"},
		&agui.SubagentFinished{SubagentRunID: "s"},
	}
	got := o.Open()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if err := checkAll(&o, got); err != nil {
		t.Fatal(err)
	}
	if left := o.Open(); left != nil {
		t.Errorf("still open: %v", left)
	}
	cancelled := &agui.RunFinished{ThreadID: "t", RunID: "r", Outcome: &agui.Outcome{Type: agui.OutcomeCancelled}}
	if err := o.Check(cancelled); err != nil {
		t.Fatal(err)
	}
}

func TestOrderCheckDoesNotAllocate(t *testing.T) {
	var o agui.Order
	err := checkAll(&o, []agui.Event{
		start(), &agui.TextMessageStart{Base: tagged("s"), MessageID: "m"},
		&agui.ToolCallStart{ToolCallID: "c"}, &agui.ReasoningMessageStart{MessageID: "r"},
	})
	if err != nil {
		t.Fatal(err)
	}
	hot := []agui.Event{
		&agui.TextMessageContent{Base: tagged("s"), MessageID: "m", Delta: "x"},
		&agui.ToolCallArgs{ToolCallID: "c", Delta: "{}"},
		&agui.ReasoningMessageContent{MessageID: "r", Delta: "x"},
	}
	for _, ev := range hot {
		if n := testing.AllocsPerRun(100, func() { _ = o.Check(ev) }); n != 0 {
			t.Errorf("%s: %v allocations", ev.Type(), n)
		}
	}
	chunk := &agui.TextMessageChunk{MessageID: new("k"), Delta: new("x")}
	if err := o.Check(chunk); err != nil {
		t.Fatal(err)
	}
	// With a chunk item open the way is longer, but no more expensive in memory.
	for _, ev := range []agui.Event{chunk, hot[0]} {
		if n := testing.AllocsPerRun(100, func() { _ = o.Check(ev) }); n != 0 {
			t.Errorf("%s beside a chunk item: %v allocations", ev.Type(), n)
		}
	}
}

func BenchmarkOrderCheck(b *testing.B) {
	var o agui.Order
	if err := checkAll(&o, []agui.Event{start(), &agui.TextMessageStart{MessageID: "msg-0123456789"}}); err != nil {
		b.Fatal(err)
	}
	var ev agui.Event = &agui.TextMessageContent{MessageID: "msg-0123456789", Delta: "x"}
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Check(ev); err != nil {
			b.Fatal(err)
		}
	}
}
