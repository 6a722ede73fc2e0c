package event_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
)

var update = flag.Bool("update", false, "write the golden files of the events anew")

// samples has one event of each type with every member set.
func samples() []agui.Event {
	base := func() agui.Base {
		return agui.Base{
			Timestamp: new(int64(1769904000123)),
			RawEvent:  json.RawMessage(`{"id":"chatcmpl-1"}`),
			Metadata:  json.RawMessage(`{"ag-ui":{},"k":[1,null]}`),
		}
	}
	owned := func() agui.Base {
		b := base()
		b.SubagentRunID = new("sub-1")
		return b
	}
	usage := []agui.TokenUsage{{
		Provider: new("acme"), Model: new("acme-large"),
		InputTokens: new(int64(1200)), OutputTokens: new(int64(345)), TotalTokens: new(int64(1545)),
		ReasoningTokens: new(int64(20)), CachedInputTokens: new(int64(0)), CacheWriteInputTokens: new(int64(64)),
	}}
	patch := []agui.PatchOp{
		{Op: agui.PatchAdd, Path: "/a~1b", Value: json.RawMessage(`null`)},
		{Op: agui.PatchMove, Path: "/to", From: new("")},
		{Op: agui.PatchRemove, Path: "", Extra: map[string]json.RawMessage{"from": json.RawMessage(`1`), "x": json.RawMessage(`{}`)}},
	}
	parts := []agui.ContentPart{
		{Type: agui.PartText, Text: new("see"), ID: new("p1"), Metadata: json.RawMessage(`7`)},
		{Type: agui.PartImage, Source: &agui.Source{Type: agui.SourceData, Value: "AA==", MimeType: new("image/png")}},
		{Type: agui.PartDocument, Source: &agui.Source{Type: agui.SourceFile, Value: "file-1", Provider: new("acme")}},
	}
	call := agui.ToolCall{
		ID: "tc-1", Type: agui.ToolCallFunction,
		Function:       agui.FunctionCall{Name: "search", Arguments: `{"q":"x"}`},
		EncryptedValue: new("c2Vj"), Metadata: json.RawMessage(`{"ms":12}`),
	}
	messages := []agui.Message{
		{ID: "1", Role: agui.RoleSystem, Content: agui.TextContent("Be brief."), Name: new("lead")},
		{ID: "2", Role: agui.RoleUser, Content: &agui.Content{Parts: parts}, SubagentRunID: new("sub-1")},
		{ID: "3", Role: agui.RoleAssistant, ToolCalls: []agui.ToolCall{call}, Metadata: json.RawMessage(`{}`)},
		{ID: "4", Role: agui.RoleTool, Content: agui.TextContent(""), ToolCallID: new("tc-1"), Error: new("none")},
		{ID: "5", Role: agui.RoleActivity, Content: &agui.Content{Object: json.RawMessage(`{"n":null}`)}, ActivityType: new("PLAN")},
		{ID: "6", Role: agui.RoleReasoning, Content: agui.TextContent("hm"), EncryptedValue: new("")},
		{ID: "7", Role: agui.RoleAssistant, ToolCalls: []agui.ToolCall{}},
	}
	input := &agui.RunAgentInput{
		ThreadID: "t", RunID: "r", Messages: messages, ProtocolVersion: new("1.0"), ParentRunID: new("r0"),
		State:          json.RawMessage(`{"cart":[]}`),
		Tools:          []agui.Tool{{Name: "search", Description: "", Parameters: json.RawMessage(`{"type":"object"}`), Metadata: json.RawMessage(`{}`)}},
		Context:        []agui.Context{},
		ForwardedProps: json.RawMessage(`"any"`),
		Resume: []agui.ResumeEntry{
			{InterruptID: "i", Status: agui.ResumeResolved, Payload: json.RawMessage(`{"approved":true}`), Metadata: json.RawMessage(`{}`)},
		},
	}
	interrupt := agui.Interrupt{
		ID: "i", Reason: "approval", Message: new("may I?"), ToolCallID: new("tc-1"), SubagentRunID: new("sub-1"),
		ResponseSchema: json.RawMessage(`{}`), ExpiresAt: new("soon"), Metadata: json.RawMessage(`{}`),
	}
	return []agui.Event{
		&agui.RunStarted{Base: base(), ThreadID: "t", RunID: "r", ProtocolVersion: new(agui.ProtocolVersion), ParentRunID: new("r0"), Input: input},
		&agui.RunFinished{Base: base(), ThreadID: "t", RunID: "r", Result: json.RawMessage(`[1.5,null]`), Usage: usage, Outcome: &agui.Outcome{Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{interrupt}}},
		&agui.RunError{Base: base(), Message: "upstream timed out", Code: new("E_TIME"), Usage: usage},
		&agui.StepStarted{Base: owned(), StepName: "plan"},
		&agui.StepFinished{Base: owned(), StepName: "plan"},
		&agui.TextMessageStart{Base: owned(), MessageID: "m", Role: agui.RoleDeveloper, Name: new("")},
		&agui.TextMessageContent{Base: owned(), MessageID: "m", Delta: "\"\\/\b\f\n\r\t\x00\x1f\x7f\u2028\u2029<b>&é 🙂"},
		&agui.TextMessageEnd{Base: owned(), MessageID: "m"},
		&agui.TextMessageChunk{Base: owned(), MessageID: new("m"), Role: agui.RoleUser, Delta: new(""), Name: new("Zoë")},
		&agui.ToolCallStart{Base: owned(), ToolCallID: "c", ToolCallName: "search", ParentMessageID: new("m")},
		&agui.ToolCallArgs{Base: owned(), ToolCallID: "c", Delta: `{"q":`},
		&agui.ToolCallEnd{Base: owned(), ToolCallID: "c"},
		&agui.ToolCallChunk{Base: owned(), ToolCallID: new("c"), ToolCallName: new("search"), ParentMessageID: new("m"), Delta: new("{}")},
		&agui.ToolCallResult{Base: owned(), MessageID: "m", ToolCallID: "c", Content: agui.Content{Parts: parts}, Role: agui.RoleTool},
		&agui.StateSnapshot{Base: owned(), Snapshot: json.RawMessage(`null`)},
		&agui.StateDelta{Base: owned(), Delta: patch},
		&agui.MessagesSnapshot{Base: base(), Messages: messages},
		&agui.ActivitySnapshot{Base: owned(), MessageID: "a", ActivityType: "PLAN", Content: json.RawMessage(`{}`), Replace: new(false)},
		&agui.ActivityDelta{Base: owned(), MessageID: "a", ActivityType: "PLAN", Patch: patch},
		&agui.Raw{Base: owned(), Event: json.RawMessage(`null`), Source: new("openai")},
		&agui.Custom{Base: owned(), Name: "ping", Value: json.RawMessage(`null`)},
		&agui.ReasoningStart{Base: owned(), MessageID: "s"},
		&agui.ReasoningEnd{Base: owned(), MessageID: "s"},
		&agui.ReasoningMessageStart{Base: owned(), MessageID: "s", Role: agui.RoleReasoning},
		&agui.ReasoningMessageContent{Base: owned(), MessageID: "s", Delta: "Let me think…"},
		&agui.ReasoningMessageEnd{Base: owned(), MessageID: "s"},
		&agui.ReasoningMessageChunk{Base: owned(), MessageID: new("s"), Delta: new("because")},
		&agui.ReasoningEncryptedValue{Base: owned(), Subtype: agui.EncryptedToolCall, EntityID: "c", EncryptedValue: ""},
		&agui.SubagentStarted{Base: base(), SubagentRunID: "sub-2", Name: "n", Description: new("d"), ParentSubagentRunID: new("sub-1"), ParentToolCallID: new("c"), ParentMessageID: new("m")},
		&agui.SubagentFinished{Base: base(), SubagentRunID: "sub-2", Result: json.RawMessage(`false`), Outcome: &agui.SubagentOutcome{Type: agui.OutcomeSuspended, InterruptIDs: []string{}}},
		&agui.SubagentError{Base: base(), SubagentRunID: "sub-2", Message: "", Code: new("E")},
	}
}

// A difference here is a change of the protocol.
func TestGolden(t *testing.T) {
	for _, ev := range samples() {
		name := strings.ToLower(string(ev.Type()))
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", "golden", name+".json")
			got := append(mustEncode(t, ev), '\n')
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
			back, notes := mustDecode(t, want)
			if notes != nil || !reflect.DeepEqual(back, ev) {
				t.Errorf("decoded with notes %v to\n%+v, want\n%+v", notes, back, ev)
			}
		})
	}
}

// Every event type has a sample, with every member of its schema in it.
func TestSamplesAreComplete(t *testing.T) {
	samples := samples()
	types := agui.EventTypes()
	if len(samples) != len(types) {
		t.Fatalf("%d samples of %d types", len(samples), len(types))
	}
	for i, ev := range samples {
		if ev.Type() != types[i] || agui.New(types[i]).Type() != types[i] {
			t.Errorf("sample %d is %s, New makes %s, want %s", i, ev.Type(), agui.New(types[i]).Type(), types[i])
		}
		v := reflect.ValueOf(ev).Elem()
		for j := range v.NumField() {
			if f := v.Type().Field(j); !f.Anonymous && v.Field(j).IsZero() && f.Type.Kind() != reflect.String {
				t.Errorf("%s: the sample has no %s", ev.Type(), f.Name)
			}
		}
	}
}
