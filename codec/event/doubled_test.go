package event_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
)

// Of a member that stands twice the last one counts, also of one that says what the object is. An
// interrupt must not read as a success because a kind that nobody knows stands before it.
func TestDecodeEventDoubledTag(t *testing.T) {
	for _, tc := range []struct{ name, data, once string }{
		{
			"outcome",
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"later","type":"interrupt","interrupts":[{"id":"i","reason":"r"}]}}`,
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[{"id":"i","reason":"r"}]}}`,
		},
		{
			"outcome of a known kind",
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"success","interrupts":[{"id":"i","reason":"r"}],"\u0074ype":"interrupt"}}`,
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[{"id":"i","reason":"r"}]}}`,
		},
		{
			"outcome of a subagent",
			`{"type":"SUBAGENT_FINISHED","subagentRunId":"s","outcome":{"type":"later","type":"suspended"}}`,
			`{"type":"SUBAGENT_FINISHED","subagentRunId":"s","outcome":{"type":"suspended"}}`,
		},
		{
			"role",
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"later","role":"user","content":"x"}]}`,
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"user","content":"x"}]}`,
		},
		{
			"role that nobody knows at last",
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"user","content":"x","role":"later"}]}`,
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"later","content":"x"}]}`,
		},
		{
			"op",
			`{"type":"STATE_DELTA","delta":[{"op":"later","path":"/a","op":"remove"}]}`,
			`{"type":"STATE_DELTA","delta":[{"path":"/a","op":"remove"}]}`,
		},
		{
			"part",
			`{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[{"type":"later","type":"text","text":"x"}]}`,
			`{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[{"type":"text","text":"x"}]}`,
		},
		{
			"part of a retired kind",
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"user","content":[{"type":"binary","mimeType":"image/png","url":"u","type":"text","text":"x"}]}]}`,
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"user","content":[{"mimeType":"image/png","url":"u","type":"text","text":"x"}]}]}`,
		},
		{
			"source",
			`{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[{"type":"image","source":{"type":"later","type":"url","value":"u"}}]}`,
			`{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[{"type":"image","source":{"type":"url","value":"u"}}]}`,
		},
		{"event", `{"type":"LATER","type":"STEP_STARTED","stepName":"s"}`, `{"type":"STEP_STARTED","stepName":"s"}`},
		{"event at last", `{"type":"STEP_STARTED","stepName":"s","type":"LATER"}`, `{"type":"LATER"}`},
		{"retired event", `{"type":"THINKING_END","type":"STEP_STARTED","stepName":"s"}`, `{"type":"STEP_STARTED","stepName":"s"}`},
		{"no string before", `{"type":"STEP_STARTED","stepName":5,"stepName":"s"}`, `{"type":"STEP_STARTED","stepName":"s"}`},
	} {
		for _, typ := range []event.SerializerType{event.OptimizedJSON, event.JSON} {
			t.Run(tc.name+" "+typ.String(), func(t *testing.T) {
				s, err := event.NewSerializer(typ)
				if err != nil {
					t.Fatal(err)
				}
				want, wantNotes, err := s.DecodeEvent([]byte(tc.once))
				if err != nil {
					t.Fatal(err)
				}
				got, notes, err := s.DecodeEvent([]byte(tc.data))
				if err != nil || len(notes) != len(wantNotes) || (got == nil) != (want == nil) {
					t.Fatalf("got %v with %v, error %v, want %v with %v", got, notes, err, want, wantNotes)
				}
				if want != nil && !bytes.Equal(mustEncode(t, got), mustEncode(t, want)) {
					t.Errorf("got %s, want %s", mustEncode(t, got), mustEncode(t, want))
				}
			})
		}
	}
	in, _, err := event.DecodeRunAgentInput([]byte(
		`{"threadId":"t","runId":"q","messages":[{"id":"m","role":"later","role":"user","content":"x"}],"runId":"r"}`,
	))
	if err != nil || in.RunID != "r" || len(in.Messages) != 1 || in.Messages[0].Role != agui.RoleUser {
		t.Errorf("input %+v, error %v", in, err)
	}
}

// What it costs to leave members out that stand twice grows with the size of an event alone, however
// deep it nests and however many they are.
func TestDecodeEventDoubledMembersAreLinear(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	const size = 1 << 20
	var distinct strings.Builder
	for i := range size / 20 {
		fmt.Fprintf(&distinct, `"name of %08d":0,`, i)
	}
	for name, data := range map[string]string{
		"deep":     `{"type":"RAW","event":1,"event":` + strings.Repeat(`{"a":`, 62) + `"` + strings.Repeat("x", size) + `"` + strings.Repeat("}", 62) + `}`,
		"many":     `{"type":"RAW","event":{` + strings.Repeat(`"a":0,`, size/6) + `"a":1},"event":{` + strings.Repeat(`"a":0,`, size/6) + `"a":1}}`,
		"wide":     `{"type":"RAW","event":1,"event":[` + strings.TrimSuffix(strings.Repeat(`{"a":0,"a":1},`, size/14), ",") + `]}`,
		"distinct": `{"type":"RAW","event":1,"event":{` + distinct.String() + `"a":1}}`,
	} {
		var d event.Decoder
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, _, err := d.DecodeEvent([]byte(data)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) / uint64(len(data)); took > 12 {
			t.Errorf("%s: decoding takes %d bytes for each byte", name, took)
		}
	}
}

// A message that stands twice is decoded again within the same limits.
func TestLimitsHoldForDoubledMembers(t *testing.T) {
	d := event.Decoder{Limits: event.Limits{Depth: 200}}
	for depth, reason := range map[int]string{198: "", 200: "nested deeper than 200 levels"} {
		data := `{"type":"RAW","event":1,"event":` + string(nested(depth)) + `}`
		ev, _, err := d.DecodeEvent([]byte(data))
		wantReason(t, err, reason)
		if raw, ok := ev.(*agui.Raw); err == nil && (!ok || string(raw.Event) != string(nested(depth))) {
			t.Errorf("decoded %v", ev)
		}
	}
}
