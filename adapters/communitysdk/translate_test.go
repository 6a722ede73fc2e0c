package communitysdk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/ag-ui-protocol/ag-ui/sdks/community/go/pkg/core/events"
	"github.com/ag-ui-protocol/ag-ui/sdks/community/go/pkg/core/types"
	"github.com/ag-ui-protocol/ag-ui/sdks/community/go/pkg/encoding/sse"
	"github.com/agloop/agloop/adapters/communitysdk"
	"github.com/agloop/agloop/codec/event"
)

// written is what the SDK writes for ev, which has no timestamp then.
func written(t *testing.T, ev events.Event) []byte {
	t.Helper()
	ev.GetBaseEvent().TimestampMs = nil
	raw, err := ev.ToJSON()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestTranslate: each form that the SDK writes and AG-UI 1.0 refuses, and what a reader makes of it.
func TestTranslate(t *testing.T) {
	base := &events.BaseEvent{EventType: events.EventTypeRaw, RawEvent: map[string]any{"id": 1}}
	baseJSON, err := base.ToJSON()
	if err != nil {
		t.Fatal(err)
	}
	failure := &sse.CustomEvent{BaseEvent: events.BaseEvent{EventType: events.EventTypeCustom}}
	failure.SetData(map[string]any{"error": true, "message": "boom"})
	withRaw := events.NewTextMessageEndEvent("m")
	withRaw.RawEvent = "as it is"
	ops := []events.JSONPatchOperation{
		{Op: "add", Path: "/a"},
		{Op: "test", Path: "/b", Value: 1},
		{Op: "replace", Path: "/c"},
		{Op: "move", Path: "/d"},
		{Op: "copy", Path: "/e", From: "/f"},
		{Op: "remove", Path: "/g"},
	}
	const patched = `[{"op":"add","path":"/a","value":null},{"op":"test","path":"/b","value":1},{"op":"replace","path":"/c","value":null},` +
		`{"op":"move","path":"/d","from":""},{"op":"copy","path":"/e","from":"/f"},{"op":"remove","path":"/g"}]`
	patchNotes := func(event, member string) []communitysdk.Note {
		return []communitysdk.Note{
			{Event: event, Path: member + "[0].value", What: "missing, taken as null"},
			{Event: event, Path: member + "[2].value", What: "missing, taken as null"},
			{Event: event, Path: member + "[3].from", What: "missing, taken as the root"},
		}
	}
	for _, tc := range []struct {
		name  string
		raw   []byte
		want  string // as a reader of AG-UI 1.0 has it
		notes []communitysdk.Note
	}{
		{
			"rawEvent as data",
			bytes.Replace(baseJSON, []byte(`"type"`), []byte(`"event":1,"type"`), 1),
			`{"type":"RAW","rawEvent":{"id":1},"event":1}`,
			[]communitysdk.Note{{Event: "RAW", Path: "rawEvent", What: "data, which is called so here"}},
		},
		{
			"rawEvent beside data", []byte(`{"type":"RAW","event":1,"rawEvent":2,"data":3}`),
			`{"type":"RAW","rawEvent":2,"event":1}`, nil, // data is unknown then, and the reader's to leave out
		},
		{
			"data that is null", []byte(`{"type":"RAW","event":1,"data":null}`), `{"type":"RAW","event":1}`,
			[]communitysdk.Note{{Event: "RAW", Path: "rawEvent", What: "data, which is called so here"}},
		},
		{
			"error of an SSEWriter", written(t, failure),
			`{"type":"CUSTOM","name":"data","value":{"error":true,"message":"boom"}}`,
			[]communitysdk.Note{{Event: "CUSTOM", Path: "value", What: "data, which is called so here"}},
		},
		{
			"custom event without a value", written(t, events.NewCustomEvent("ping")), `{"type":"CUSTOM","name":"ping","value":null}`,
			[]communitysdk.Note{{Event: "CUSTOM", Path: "value", What: "missing, taken as null"}},
		},
		{
			"messages that are null", written(t, events.NewMessagesSnapshotEvent(nil)), `{"type":"MESSAGES_SNAPSHOT","messages":[]}`,
			[]communitysdk.Note{{Event: "MESSAGES_SNAPSHOT", Path: "messages", What: "null, taken as an empty list"}},
		},
		{
			"delta that is null", written(t, events.NewStateDeltaEvent(nil)), `{"type":"STATE_DELTA","delta":[]}`,
			[]communitysdk.Note{{Event: "STATE_DELTA", Path: "delta", What: "null, taken as an empty list"}},
		},
		{"delta", written(t, events.NewStateDeltaEvent(ops)), `{"type":"STATE_DELTA","delta":` + patched + `}`, patchNotes("STATE_DELTA", "delta")},
		{
			"patch", written(t, events.NewActivityDeltaEvent("m", "PLAN", ops)),
			`{"type":"ACTIVITY_DELTA","messageId":"m","activityType":"PLAN","patch":` + patched + `}`, patchNotes("ACTIVITY_DELTA", "patch"),
		},
		{
			"role of reasoning", written(t, events.NewReasoningMessageStartEvent("m", "assistant")),
			`{"type":"REASONING_MESSAGE_START","messageId":"m","role":"reasoning"}`,
			[]communitysdk.Note{{Event: "REASONING_MESSAGE_START", Path: "role", What: "assistant, taken as reasoning"}},
		},
		{
			"runId of an error", written(t, events.NewRunErrorEvent("m", events.WithRunID("r"), events.WithErrorCode("c"))),
			`{"type":"RUN_ERROR","message":"m","code":"c"}`,
			[]communitysdk.Note{{Event: "RUN_ERROR", Path: "runId", What: "unknown, left out"}},
		},
		{"rawEvent", written(t, withRaw), `{"type":"TEXT_MESSAGE_END","rawEvent":"as it is","messageId":"m"}`, nil},
		{"text that says data", written(t, events.NewTextMessageContentEvent("m", `"data" null`)), `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"\"data\" null"}`, nil},
		{"large numbers", []byte(`{"type":"CUSTOM","name":"n","value":9007199254740993,"data":1.10}`), `{"type":"CUSTOM","rawEvent":1.10,"name":"n","value":9007199254740993}`, []communitysdk.Note{{Event: "CUSTOM", Path: "rawEvent", What: "data, which is called so here"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, notes := communitysdk.Translate(tc.raw)
			if !slices.Equal(notes, tc.notes) {
				t.Errorf("notes %v, want %v", notes, tc.notes)
			}
			ev, _, err := new(event.Decoder).DecodeEvent(out)
			if err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			if got, err := event.Append(nil, ev); string(got) != tc.want || err != nil {
				t.Errorf("\n got %s, %v\nwant %s", got, err, tc.want)
			}
			if tc.notes == nil && !bytes.Equal(out, tc.raw) {
				t.Errorf("changed without a note: %s", out)
			}
		})
	}
}

// TestNotTranslated: what is wrong in another way is for EmitJSON to refuse.
func TestNotTranslated(t *testing.T) {
	for _, raw := range []string{
		``, `null`, `[null]`, `{"data":1}`, `{"type":1,"data":1}`, `{"type":"CUSTOM"`, `{"type":"STATE_DELTA","delta":[null]}`,
		`{"type":"STATE_DELTA","delta":{}}`, `{"type":"STATE_DELTA","delta":[{"op":"add"},null]}`,
		`{"type":"ACTIVITY_SNAPSHOT","messageId":"m","activityType":"P","content":null}`,
		`{"type":"REASONING_MESSAGE_START","messageId":"m","role":"user"}`,
	} {
		out, notes := communitysdk.Translate([]byte(raw))
		if _, _, err := new(event.Decoder).DecodeEvent(out); err == nil {
			t.Errorf("%s is taken as %s, with notes %v", raw, out, notes)
		}
	}
}

// TestWhatTheSDKWrites: of the valid events that the SDK reads, none is refused once it has written
// it.
func TestWhatTheSDKWrites(t *testing.T) {
	data, err := os.ReadFile("../../agui/testdata/events.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for line := range bytes.Lines(data) {
		ev, err := events.EventFromJSON(line)
		if err != nil {
			continue // it does not know the event
		}
		read++
		raw, err := ev.ToJSON()
		if err != nil {
			t.Fatal(err)
		}
		out, _ := communitysdk.Translate(raw)
		if _, _, err := new(event.Decoder).DecodeEvent(out); err != nil {
			t.Errorf("%s\nwritten as %s\n%v", line, raw, err)
		}
	}
	if read < 50 {
		t.Errorf("the SDK has read %d events", read)
	}
}

func message(role types.Role, content any) types.Message {
	return types.Message{ID: "m", Role: role, Content: content}
}

// TestFromInput: null lists are empty lists, and each is noted.
func TestFromInput(t *testing.T) {
	parent := "r0"
	for _, tc := range []struct {
		name  string
		in    types.RunAgentInput
		want  string
		notes string
	}{
		{
			"nothing set",
			types.RunAgentInput{ThreadID: "t", RunID: "r"},
			`{"threadId":"t","runId":"r","messages":[],"tools":[],"context":[]}`,
			"messages: null, taken as an empty list; tools: null, taken as an empty list; context: null, taken as an empty list; " +
				"forwardedProps: null, taken as absent; ",
		},
		{
			"all set",
			types.RunAgentInput{
				ThreadID: "t", RunID: "r", ParentRunID: &parent, State: map[string]any{"n": 1},
				Messages:       []types.Message{message(types.RoleUser, "hello")},
				Tools:          []types.Tool{{Name: "f", Parameters: map[string]any{}}},
				Context:        []types.Context{{Description: "d", Value: "v"}},
				ForwardedProps: map[string]any{"k": nil},
				Resume:         []types.ResumeEntry{{InterruptID: "i", Status: types.ResumeStatusResolved, Payload: true}},
			},
			`{"threadId":"t","runId":"r","messages":[{"id":"m","role":"user","content":"hello"}],"parentRunId":"r0","state":{"n":1},` +
				`"tools":[{"name":"f","description":"","parameters":{}}],"context":[{"description":"d","value":"v"}],"forwardedProps":{"k":null},` +
				`"resume":[{"interruptId":"i","status":"resolved","payload":true}]}`,
			"",
		},
		{
			"within the lists",
			types.RunAgentInput{
				ThreadID: "t", RunID: "r", State: 1, ForwardedProps: 1, Context: []types.Context{},
				Messages: []types.Message{{ID: "m", Role: types.RoleAssistant, EncryptedContent: "x"}},
				Tools:    []types.Tool{{Name: "f"}},
			},
			`{"threadId":"t","runId":"r","messages":[{"id":"m","role":"assistant"}],"state":1,"tools":[{"name":"f","description":""}],` +
				`"context":[],"forwardedProps":1}`,
			"tools[0].parameters: null, taken as absent; messages[0].encryptedContent: unknown, left out; ",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in, notes, err := communitysdk.FromInput(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			var said string
			for _, n := range notes {
				said += n.Path + ": " + n.What + "; "
				if n.Event != "RunAgentInput" {
					t.Errorf("note %+v", n)
				}
			}
			if !sameParts(said, tc.notes) {
				t.Errorf("notes %q, want %q", said, tc.notes)
			}
			if got, err := event.AppendRunAgentInput(nil, in); string(got) != tc.want || err != nil {
				t.Errorf("\n got %s, %v\nwant %s", got, err, tc.want)
			}
		})
	}
	for _, bad := range []any{
		types.RunAgentInput{Messages: []types.Message{message(types.RoleUser, nil)}}, make(chan int), 7, json.RawMessage(`{"threadId":"t"}`),
	} {
		if _, _, err := communitysdk.FromInput(bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
	if _, notes, err := communitysdk.FromInput(json.RawMessage(`{"threadId":"t","runId":"r","messages":[],"resume":null}`)); err != nil || len(notes) != 1 {
		t.Errorf("resume that is null: %v, %v", notes, err)
	}
}

// sameParts compares lists that are separated by "; ", in any order.
func sameParts(a, b string) bool {
	split := func(s string) []string {
		parts := []string{}
		for p := range bytes.SplitSeq([]byte(s), []byte("; ")) {
			parts = append(parts, string(p))
		}
		slices.Sort(parts)
		return parts
	}
	return slices.Equal(split(a), split(b))
}

// TestToInput: valid inputs become the SDK's, and come back with what it knows.
func TestToInput(t *testing.T) {
	data, err := os.ReadFile("../../agui/testdata/run_inputs.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(data) {
		in, _, err := event.DecodeRunAgentInput(line)
		if err != nil {
			t.Fatal(err)
		}
		var theirs types.RunAgentInput
		if err := communitysdk.ToInput(in, &theirs); err != nil {
			t.Errorf("%s\n%v", line, err)
			continue
		}
		n++
		back, _, err := communitysdk.FromInput(theirs)
		if err != nil {
			t.Errorf("%s\n%v", line, err)
			continue
		}
		if back.ThreadID != in.ThreadID || back.RunID != in.RunID || len(back.Messages) != len(in.Messages) ||
			len(back.Tools) != len(in.Tools) || len(back.Context) != len(in.Context) || len(back.Resume) != len(in.Resume) {
			t.Errorf("%s\nis %+v", line, back)
		}
		for i := range back.Messages {
			if got, want := fmt.Sprint(back.Messages[i].Role, back.Messages[i].ToolCallID == nil), fmt.Sprint(in.Messages[i].Role, in.Messages[i].ToolCallID == nil); got != want {
				t.Errorf("message %d: %s, want %s", i, got, want)
			}
		}
	}
	if n == 0 {
		t.Error("no input was taken")
	}
	in, _, err := event.DecodeRunAgentInput([]byte(`{"threadId":"t","runId":"r","messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := communitysdk.ToInput(in, new(int)); err == nil {
		t.Error("a number took an input")
	}
	if err := communitysdk.ToInput(nil, new(types.RunAgentInput)); err == nil {
		t.Error("no input was taken")
	}
}
