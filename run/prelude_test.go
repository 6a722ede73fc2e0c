package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

// TestR9Prelude: the messages and the state of the input, and nothing else of it.
func TestR9Prelude(t *testing.T) {
	in := &agui.RunAgentInput{
		ThreadID: "t", RunID: "r", ParentRunID: new("p"), ProtocolVersion: new("1.9"),
		Messages:       []agui.Message{{ID: "m", Role: agui.RoleUser, Content: agui.TextContent("hello")}},
		State:          json.RawMessage(`{"a":1}`),
		Tools:          []agui.Tool{{Name: "secret"}},
		Context:        []agui.Context{{Description: "secret"}},
		ForwardedProps: json.RawMessage(`"secret"`),
		Resume:         []agui.ResumeEntry{{InterruptID: "secret", Status: agui.ResumeResolved}},
	}
	const started = `{"type":"RUN_STARTED","threadId":"t","runId":"r","protocolVersion":"1.0","parentRunId":"p","input":{"threadId":"t","runId":"r",`
	for _, tc := range []struct {
		state string
		want  []string
	}{
		{`{"a":1}`, []string{started + `"messages":[{"id":"m","role":"user","content":"hello"}]}}`, snapshot(`{"a":1}`)}},
		{``, []string{started + `"messages":[{"id":"m","role":"user","content":"hello"}]}}`}},
		{`null`, []string{started + `"messages":[{"id":"m","role":"user","content":"hello"}]}}`}},
	} {
		in.State = json.RawMessage(tc.state)
		got, err := run.Prelude(in, encoder)
		if err != nil {
			t.Fatal(err)
		}
		if g := join(got); g != strings.Join(tc.want, "\n") {
			t.Errorf("state %s:\n%s", tc.state, g)
		}
	}
	// It begins as Do does, and input has no part in that.
	in.Messages, in.ParentRunID = nil, nil
	got, err := run.Prelude(in, encoder)
	if err != nil || join(got) != `{"type":"RUN_STARTED","threadId":"t","runId":"r","protocolVersion":"1.0","input":{"threadId":"t","runId":"r","messages":[]}}` {
		t.Errorf("%s, %v", join(got), err)
	}
}

func join(events [][]byte) string {
	var list []string
	for _, e := range events {
		list = append(list, string(e))
	}
	return strings.Join(list, "\n")
}

// TestR9PreludeHasTheNewestMessages: as many as fit 256 KiB, encoded, whatever the encoder.
func TestR9PreludeHasTheNewestMessages(t *testing.T) {
	in := &agui.RunAgentInput{ThreadID: "t", RunID: "r"}
	for range 100 {
		in.Messages = append(in.Messages, agui.Message{ID: "m", Role: agui.RoleUser, Content: agui.TextContent(strings.Repeat("\n", 5000))})
	}
	in.Messages[99].ID = "last"
	for _, typ := range []event.SerializerType{event.OptimizedJSON, event.JSON} {
		enc, err := event.NewSerializer(typ)
		if err != nil {
			t.Fatal(err)
		}
		got, err := run.Prelude(in, enc)
		if err != nil {
			t.Fatal(err)
		}
		var dec event.Decoder
		ev, _, err := dec.DecodeEvent(got[0])
		if err != nil {
			t.Fatal(err)
		}
		messages := ev.(*agui.RunStarted).Input.Messages
		if len(messages) != 26 || messages[25].ID != "last" || len(got[0]) > 256<<10+200 {
			t.Errorf("%v: %d messages in %d bytes", typ, len(messages), len(got[0]))
		}
	}
	in.Messages[99].Content = agui.TextContent(strings.Repeat("x", 256<<10))
	if got, err := run.Prelude(in, encoder); err != nil || len(got[0]) > 200 {
		t.Errorf("%d bytes of a message that does not fit, %v", len(got[0]), err)
	}
	if len(in.Messages) != 100 {
		t.Error("the input was changed")
	}
	if _, err := run.Prelude(in, sourStart{encoder}); !errors.Is(err, errSour) {
		t.Errorf("an encoder's error: %v", err)
	}
}

// TestR9OwnersOfTheInputCount: who joins is told in RUN_STARTED whose the input's messages are, and
// refuses events that contradict; so the agent may not emit them, whoever watches.
func TestR9OwnersOfTheInputCount(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	input := &agui.RunAgentInput{ThreadID: "t", RunID: "r", Messages: []agui.Message{
		{ID: "m", Role: agui.RoleAssistant, SubagentRunID: new("s"), ToolCalls: []agui.ToolCall{{ID: "c", Type: "function"}}},
	}}
	o := newOutlet(-1)
	mustStart(t, h, startInput(input, func(_ context.Context, r *run.Run) error {
		other := agui.Base{SubagentRunID: new("other")}
		for _, ev := range []agui.Event{
			&agui.TextMessageStart{Base: other, MessageID: "m"},
			&agui.ToolCallStart{Base: other, ToolCallID: "c", ToolCallName: "f"},
			&agui.ToolCallStart{Base: other, ToolCallID: "d", ToolCallName: "f", ParentMessageID: new("m")},
		} {
			err := r.Emit(ev)
			if order, ok := errors.AsType[*agui.OrderError](err); !ok || order.Rule != agui.RuleOwner && order.Rule != agui.RuleParentOwner {
				t.Errorf("%s of another owner: %v", ev.Type(), err)
			}
		}
		if err := r.Emit(&agui.TextMessageStart{MessageID: "m"}); err != nil {
			t.Error(err)
		}
		return r.Emit(&agui.TextMessageEnd{Base: agui.Base{SubagentRunID: new("s")}, MessageID: "m"})
	}), o)
	if <-o.over; o.last() != 4 {
		t.Errorf("the log has %d events", o.last())
	}
}

// TestR21AnsweredInterruptsAreNotReplayed: of a RUN_FINISHED, and nothing else changes.
func TestR21AnsweredInterruptsAreNotReplayed(t *testing.T) {
	const (
		head = `{"type":"RUN_FINISHED","timestamp":5,"metadata":{"k":1},"threadId":"t","runId":"r","result":{"x":[1.50]}`
		tail = `,"usage":[{"inputTokens":3}]}`
		a    = `{"id":"a","reason":"approve","message":"<ok?>","responseSchema":{"type":"object"}}`
		b    = `{"id":"b","reason":"approve"}`
	)
	both := head + `,"outcome":{"type":"interrupt","interrupts":[` + a + `,` + b + `]}` + tail
	for _, tc := range []struct{ name, event, answered, want string }{
		{"none", both, "", both},
		{"others", both, "c", both},
		{"one", both, "b c", head + `,"outcome":{"type":"interrupt","interrupts":[` + a + `]}` + tail},
		{"all", both, "a b", head + tail},
		{"success", head + `,"outcome":{"type":"success","pendingToolCallIds":["a"]}` + tail, "a", head + `,"outcome":{"type":"success","pendingToolCallIds":["a"]}` + tail},
		{"no outcome", head + tail, "a", head + tail},
		{"another event", `{"type":"CUSTOM","name":"RUN_FINISHED","value":"RUN_FINISHED"}`, "a", `{"type":"CUSTOM","name":"RUN_FINISHED","value":"RUN_FINISHED"}`},
		{"RUN_ERROR", `{"type":"RUN_ERROR","message":"a"}`, "a", `{"type":"RUN_ERROR","message":"a"}`},
	} {
		answered := map[string]bool{}
		for _, id := range strings.Fields(tc.answered) {
			answered[id] = true
		}
		got, err := run.WithoutInterrupts([]byte(tc.event), answered, event.Limits{})
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %v\n got %s\nwant %s", tc.name, err, got, tc.want)
		}
	}
	broken := []byte(`{"type":"RUN_FINISHED","threadId":1}`)
	if got, err := run.WithoutInterrupts(broken, map[string]bool{"a": true}, event.Limits{}); err == nil || string(got) != string(broken) {
		t.Errorf("%s, %v", got, err)
	}
}
