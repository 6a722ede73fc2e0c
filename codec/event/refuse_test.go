package event_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// foreign is an event that the protocol does not have.
type foreign struct{ agui.Base }

func (*foreign) Type() agui.EventType { return "PING" }

// Whatever a peer would refuse never reaches the wire.
func TestAppendRefuses(t *testing.T) {
	const broken = "a\xffb"
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	message := func(m agui.Message) agui.Event { return &agui.MessagesSnapshot{Messages: []agui.Message{m}} }
	patch := func(op agui.PatchOp) agui.Event { return &agui.StateDelta{Delta: []agui.PatchOp{op}} }
	end := func(o agui.Outcome) agui.Event { return &agui.RunFinished{Outcome: &o} }
	deep := raw(strings.Repeat("[", 64) + strings.Repeat("]", 64))

	tests := []struct {
		name  string
		ev    agui.Event
		field string
	}{
		{"nothing", nil, ""},
		{"an event of no known type", new(foreign), ""},
		{"invalid UTF-8 in a delta", &agui.TextMessageContent{Delta: broken}, "delta"},
		{"invalid UTF-8 after other text", &agui.ToolCallArgs{Delta: "é and \"more\" " + broken}, "delta"},
		{"invalid UTF-8 in an id", &agui.TextMessageEnd{MessageID: broken}, "messageId"},
		{"invalid UTF-8 in a tag", &agui.TextMessageEnd{Base: agui.Base{SubagentRunID: new(broken)}}, "subagentRunId"},
		{"invalid UTF-8 in an error", &agui.RunError{Message: broken}, "message"},
		{"invalid UTF-8 in a part", &agui.ToolCallResult{Content: agui.Content{Parts: []agui.ContentPart{{Type: agui.PartText, Text: new(broken)}}}}, "content[0].text"},
		{"invalid UTF-8 in a value", &agui.Custom{Value: raw(`"` + broken + `"`)}, "value"},
		{"timestamp", &agui.TextMessageEnd{Base: agui.Base{Timestamp: new(int64(1 << 53))}}, "timestamp"},
		{"timestamp of an error", &agui.RunError{Base: agui.Base{Timestamp: new(int64(-1 << 53))}}, "timestamp"},
		{"raw event null", &agui.TextMessageEnd{Base: agui.Base{RawEvent: raw(`null`)}}, "rawEvent"},
		{"raw event not JSON", &agui.TextMessageEnd{Base: agui.Base{RawEvent: raw(`{`)}}, "rawEvent"},
		{"raw event with a member behind it", &agui.TextMessageEnd{Base: agui.Base{RawEvent: raw(`1,"delta":"x"`)}}, "rawEvent"},
		{"the same in an error", &agui.RunError{Base: agui.Base{RawEvent: raw(`1,"code":"x"`)}}, "rawEvent"},
		{"metadata not an object", &agui.TextMessageEnd{Base: agui.Base{Metadata: raw(`[]`)}}, "metadata"},
		{"too deep", &agui.StateSnapshot{Snapshot: deep}, "snapshot"},
		{"result too deep", &agui.RunFinished{Result: deep}, "result"},
		{"snapshot missing", &agui.StateSnapshot{}, "snapshot"},
		{"value missing", &agui.Custom{}, "value"},
		{"event missing", &agui.Raw{}, "event"},
		{"activity content missing", &agui.ActivitySnapshot{}, "content"},
		{"activity content not an object", &agui.ActivitySnapshot{Content: raw(`1`)}, "content"},

		{"role of a text message", &agui.TextMessageStart{Role: agui.RoleTool}, "role"},
		{"role of a chunk", &agui.TextMessageChunk{Role: "bot"}, "role"},
		{"role of a reasoning message", &agui.ReasoningMessageStart{Role: agui.RoleAssistant}, "role"},
		{"role of a result", &agui.ToolCallResult{Role: agui.RoleUser}, "role"},
		{"subtype", &agui.ReasoningEncryptedValue{}, "subtype"},

		{"tag on RUN_STARTED", &agui.RunStarted{Base: agui.Base{SubagentRunID: new("s")}}, "subagentRunId"},
		{"tag on RUN_FINISHED", &agui.RunFinished{Base: agui.Base{SubagentRunID: new("s")}}, "subagentRunId"},
		{"tag on RUN_ERROR", &agui.RunError{Base: agui.Base{SubagentRunID: new("s")}}, "subagentRunId"},
		{"tag on MESSAGES_SNAPSHOT", &agui.MessagesSnapshot{Base: agui.Base{SubagentRunID: new("s")}}, "subagentRunId"},
		{"tag in the wrong place", &agui.SubagentError{Base: agui.Base{SubagentRunID: new("s")}}, "subagentRunId"},

		{"outcome of no kind", end(agui.Outcome{}), "outcome.type"},
		{"outcome of a subagent", end(agui.Outcome{Type: agui.OutcomeSuspended}), "outcome.type"},
		{"interrupt without interrupts", end(agui.Outcome{Type: agui.OutcomeInterrupt}), "outcome.interrupts"},
		{"interrupts of a success", end(agui.Outcome{Type: agui.OutcomeSuccess, Interrupts: []agui.Interrupt{{}}}), "outcome.interrupts"},
		{"negative tokens", &agui.RunError{Usage: []agui.TokenUsage{{InputTokens: new(int64(-1))}}}, "usage[0].inputTokens"},

		{"patch of no kind", patch(agui.PatchOp{Path: "/a"}), "delta"},
		{"path without slash", patch(agui.PatchOp{Op: agui.PatchRemove, Path: "a"}), "delta"},
		{"path with a bad escape", patch(agui.PatchOp{Op: agui.PatchRemove, Path: "/a~2"}), "delta"},
		{"add without value", patch(agui.PatchOp{Op: agui.PatchAdd, Path: "/a"}), "delta"},
		{"move without from", patch(agui.PatchOp{Op: agui.PatchMove, Path: "/a"}), "delta"},
		{"add with from", patch(agui.PatchOp{Op: agui.PatchAdd, Path: "/a", From: new("/b"), Value: raw("1")}), "delta"},
		{"value not JSON", patch(agui.PatchOp{Op: agui.PatchTest, Path: "/a", Value: raw("1}")}), "delta"},
		{"extra not JSON", patch(agui.PatchOp{Op: agui.PatchRemove, Extra: map[string]json.RawMessage{"x": nil}}), "delta"},
		{"too many operations", &agui.ActivityDelta{Patch: slices.Repeat([]agui.PatchOp{{Op: agui.PatchRemove}}, 1025)}, "patch"},

		{"message of no role", message(agui.Message{ID: "1"}), "messages[0].role"},
		{"user without content", message(agui.Message{Role: agui.RoleUser}), "messages[0].content"},
		{"system with parts", message(agui.Message{Role: agui.RoleSystem, Content: &agui.Content{Parts: []agui.ContentPart{}}}), "messages[0].content"},
		{"tool with a name", message(agui.Message{Role: agui.RoleTool, Content: agui.TextContent(""), ToolCallID: new("c"), Name: new("n")}), "messages[0].name"},
		{"call of no type", message(agui.Message{Role: agui.RoleAssistant, ToolCalls: []agui.ToolCall{{ID: "c"}}}), "messages[0].toolCalls[0].type"},
		{"part without source", message(agui.Message{Role: agui.RoleUser, Content: &agui.Content{Parts: []agui.ContentPart{{Type: agui.PartImage}}}}), "messages[0].content[0].source"},
		{"data without MIME type", &agui.ToolCallResult{Content: agui.Content{Parts: []agui.ContentPart{{Type: agui.PartImage, Source: &agui.Source{Type: agui.SourceData}}}}}, "content[0].source.mimeType"},
		{"no part of a content", &agui.ToolCallResult{Content: agui.Content{Object: raw(`[{"type":"text","text":1}]`)}}, "content[0].text"},
		{"invalid UTF-8 in a list", end(agui.Outcome{Type: agui.OutcomeSuccess, PendingToolCallIDs: []string{"c", broken}}), "outcome.pendingToolCallIds[1]"},
		{"a member behind metadata", message(agui.Message{Role: agui.RoleAssistant, Metadata: raw(`{},"name":"x"`)}), "messages[0].metadata"},
		{"name of a called function", message(agui.Message{Role: agui.RoleAssistant, ToolCalls: []agui.ToolCall{{Type: agui.ToolCallFunction}, {Type: agui.ToolCallFunction, Function: agui.FunctionCall{Name: broken}}}}), "messages[0].toolCalls[1].function.name"},
		{"answer in the input", &agui.RunStarted{Input: &agui.RunAgentInput{Resume: []agui.ResumeEntry{{Status: agui.ResumeResolved}, {}}}}, "input.resume[1].status"},
		{"the first of two", &agui.RunError{Message: broken, Usage: []agui.TokenUsage{{TotalTokens: new(int64(-1))}}}, "message"},
		{"result with an object", &agui.ToolCallResult{Content: agui.Content{Object: raw(`{}`)}}, "content"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := make([]byte, 3, 256)
			copy(dst, "abc")
			out, err := event.Append(dst, tt.ev)
			field, ok := errors.AsType[*event.FieldError](err)
			if !ok {
				t.Fatalf("error %v, wrote %s", err, out)
			}
			if string(out) != "abc" {
				t.Errorf("dst is now %q", out)
			}
			if field.Field != tt.field {
				t.Errorf("field %q, want %q: %v", field.Field, tt.field, err)
			}
			if tt.ev != nil && field.Event != string(tt.ev.Type()) {
				t.Errorf("event %q", field.Event)
			}
		})
	}
}

func TestAppendRefusesNilPointers(t *testing.T) {
	for _, typ := range agui.EventTypes() {
		ev := reflect.Zero(reflect.TypeOf(agui.New(typ))).Interface().(agui.Event)
		out, err := event.Append([]byte("abc"), ev)
		field, _ := errors.AsType[*event.FieldError](err)
		if string(out) != "abc" || field == nil || field.Event != string(typ) || field.Field != "" {
			t.Errorf("%s: wrote %s, error %v", typ, out, err)
		}
	}
}

// Wherever a free value stands, it may be as deep on writing as on reading.
func TestAppendDepth(t *testing.T) {
	pair := newSerializerPair(t)
	for name, with := range map[string]func(v json.RawMessage) agui.Event{
		"rawEvent": func(v json.RawMessage) agui.Event { return &agui.StepStarted{Base: agui.Base{RawEvent: v}} },
		"result":   func(v json.RawMessage) agui.Event { return &agui.RunFinished{Result: v} },
		"patch": func(v json.RawMessage) agui.Event {
			return &agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchAdd, Value: v}}}
		},
		"extra": func(v json.RawMessage) agui.Event {
			return &agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchRemove, Extra: map[string]json.RawMessage{"x": v}}}}
		},
		"part": func(v json.RawMessage) agui.Event {
			return &agui.ToolCallResult{Content: agui.Content{Parts: []agui.ContentPart{{Type: agui.PartText, Text: new(""), Metadata: v}}}}
		},
		"input": func(v json.RawMessage) agui.Event { return &agui.RunStarted{Input: &agui.RunAgentInput{State: v}} },
		"tool": func(v json.RawMessage) agui.Event {
			return &agui.RunStarted{Input: &agui.RunAgentInput{Tools: []agui.Tool{{Parameters: v}}}}
		},
	} {
		deepest := 0
		for n := 55; n <= 64; n++ {
			if _, err := pair.encode(t, with(json.RawMessage(strings.Repeat("[", n)+strings.Repeat("]", n)))); err == nil {
				deepest = n
			}
		}
		if deepest < 58 || deepest == 64 {
			t.Errorf("%s: %d levels are written", name, deepest)
		}
	}
}

func TestDecodeEventLimits(t *testing.T) {
	nest := func(n int) string {
		return `{"type":"RAW","event":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	ops := func(n int) string {
		return `{"type":"STATE_DELTA","delta":[` +
			strings.TrimSuffix(strings.Repeat(`{"op":"remove","path":""},`, n), ",") + `]}`
	}
	tests := []struct {
		name, data, reason string
	}{
		{"64 levels", nest(63), ""},
		{"65 levels", nest(64), "nested deeper than 64 levels"},
		{"a million brackets", strings.Repeat("[", 1e6), "nested deeper than 64 levels"},
		{"a million brackets inside", `{"type":"RAW","event":` + strings.Repeat("[", 1e6), "nested deeper than 64 levels"},
		{"a million braces", strings.Repeat(`{"type":`, 1e6), "nested deeper than 64 levels"},
		{"65 levels behind another mistake", `{"type":"RAW","source":1,` + nest(64)[len(`{"type":"RAW",`):], "nested deeper than 64 levels"},
		{"1024 operations", ops(1024), ""},
		{"1025 operations", ops(1025), "more than 1024 elements"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d event.Decoder
			_, _, err := d.DecodeEvent([]byte(tt.data))
			field, _ := errors.AsType[*event.FieldError](err)
			if got := ""; field != nil {
				if got = field.Reason; got != tt.reason {
					t.Errorf("reason %q, want %q", got, tt.reason)
				}
			} else if tt.reason != "" {
				t.Errorf("error %v, want %q", err, tt.reason)
			}
		})
	}
}

func TestDecodeEventIsStrict(t *testing.T) {
	for _, data := range []string{
		``, ` `, `{`, `[]`, `true`, `"RAW"`, `{"type":""}`, `{"type":"RAW"`, `{"type":"RAW","event":1}x`,
		`{"type":"RAW","event":1}{}`, `{"type":"RAW","event":1,}`, `{,"type":"RAW","event":1}`,
		`{"type":"RAW","event":[1,]}`, `{"type":"RAW","event":01}`, `{"type":"RAW","event":1.}`, `{"type":"RAW","event":-}`,
		`{"type":"RAW","event":.5}`, `{"type":"RAW","event":1e}`, `{"type":"RAW","event":+1}`, `{"type":"RAW","event":NaN}`,
		`{"type":"RAW","event":'x'}`, `{"type":"RAW","event":tru}`, `{"type":"RAW","event":nul}`, `{"type":"RAW" "event":1}`,
		`{"type":"RAW","event":"\x"}`, `{"type":"RAW","event":"\u12g4"}`, `{"type":"RAW","event":"\u12"}`, `{"type":"RAW","event":"`,
		"{\"type\":\"RAW\",\"event\":\"a\nb\"}", "{\"type\":\"RAW\",\"event\":\"12345678\x1f\"}", "{\"type\":\"RAW\",\"event\":\"\xff\"}",
		"{\"type\":\"RAW\",\"event\":\"\xed\xa0\x80\"}", "\ufeff{\"type\":\"RAW\",\"event\":1}", `{"type":"UNKNOWN","x":01}`,
		`{type:"RAW"}`, `{"type":"RAW","event":1}` + "\x00",
	} {
		var d event.Decoder
		if ev, notes, err := d.DecodeEvent([]byte(data)); err == nil {
			t.Errorf("%q became %v with notes %v", data, ev, notes)
		}
	}
}
