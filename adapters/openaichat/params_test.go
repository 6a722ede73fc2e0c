package openaichat_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/agloop/agloop/adapters/openaichat"
	"github.com/agloop/agloop/agui"
)

// asJSON is what is sent.
func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMessages(t *testing.T) {
	text := agui.TextContent
	call := func(id string) agui.ToolCall {
		return agui.ToolCall{ID: id, Type: agui.ToolCallFunction, Function: agui.FunctionCall{Name: "f", Arguments: "{}"}}
	}
	calls := `"tool_calls":[{"id":"c1","function":{"arguments":"{}","name":"f"},"type":"function"}]`
	for _, tc := range []struct {
		name string
		in   []agui.Message
		want string
	}{
		{"roles", []agui.Message{
			{Role: agui.RoleSystem, Content: text("s"), Name: new("n")},
			{Role: agui.RoleDeveloper, Content: text("d"), Name: new("n")},
			{Role: agui.RoleUser, Content: text("u"), Name: new("n")},
			{Role: agui.RoleAssistant, Content: text("a"), Name: new("n")},
		}, `[{"content":"s","name":"n","role":"system"},{"content":"d","name":"n","role":"developer"},` +
			`{"content":"u","name":"n","role":"user"},{"name":"n","content":"a","role":"assistant"}]`},
		{"what the API has no place for", []agui.Message{
			{Role: agui.RoleReasoning, Content: text("hm")},
			{Role: agui.RoleActivity, Content: &agui.Content{Object: []byte(`{}`)}, ActivityType: new("PLAN")},
			{Role: agui.RoleAssistant},
			{Role: agui.RoleUser, Content: text("u")},
		}, `[{"content":"u","role":"user"}]`},
		{"results go behind their calls", []agui.Message{
			{Role: agui.RoleAssistant, ToolCalls: []agui.ToolCall{call("c1")}},
			{Role: agui.RoleUser, Content: text("u")},
			{Role: agui.RoleTool, ToolCallID: new("c1"), Content: text("r")},
		}, `[{` + calls + `,"role":"assistant"},{"content":"r","tool_call_id":"c1","role":"tool"},{"content":"u","role":"user"}]`},
		{"calls without a result, and results without a call", []agui.Message{
			{Role: agui.RoleAssistant, Content: text("a"), ToolCalls: []agui.ToolCall{call("c0"), call("c1")}},
			{Role: agui.RoleTool, ToolCallID: new("c1"), Content: &agui.Content{Parts: []agui.ContentPart{{Type: agui.PartText, Text: new("x")}, {Type: agui.PartText, Text: new("y")}}}},
			{Role: agui.RoleTool, ToolCallID: new("c9"), Content: text("?")},
			{Role: agui.RoleAssistant, ToolCalls: []agui.ToolCall{call("c2")}},
		}, `[{"content":"a",` + calls + `,"role":"assistant"},{"content":"x\ny","tool_call_id":"c1","role":"tool"}]`},
		{"a call that is there twice", []agui.Message{
			{Role: agui.RoleAssistant, ToolCalls: []agui.ToolCall{call("c1")}},
			{Role: agui.RoleTool, ToolCallID: new("c1"), Content: text("r")},
			{Role: agui.RoleAssistant, ToolCalls: []agui.ToolCall{call("c1")}},
		}, `[{` + calls + `,"role":"assistant"},{"content":"r","tool_call_id":"c1","role":"tool"}]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := openaichat.Messages(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			sameJSON(t, asJSON(t, got), tc.want)
		})
	}
}

func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var a, b any
	if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(want), &b) != nil || asJSON(t, a) != asJSON(t, b) {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestContentParts(t *testing.T) {
	data := func(mime string) *agui.Source {
		return &agui.Source{Type: agui.SourceData, Value: "AA==", MimeType: &mime}
	}
	url := &agui.Source{Type: agui.SourceURL, Value: "https://example.com/x"}
	file := &agui.Source{Type: agui.SourceFile, Value: "file-1"}
	for _, tc := range []struct {
		part   agui.ContentPart
		want   string
		reason string
	}{
		{agui.ContentPart{Type: agui.PartText, Text: new("t")}, `{"text":"t","type":"text"}`, ""},
		{agui.ContentPart{Type: agui.PartImage, Source: url}, `{"image_url":{"url":"https://example.com/x"},"type":"image_url"}`, ""},
		{agui.ContentPart{Type: agui.PartImage, Source: data("image/png")}, `{"image_url":{"url":"data:image/png;base64,AA=="},"type":"image_url"}`, ""},
		{agui.ContentPart{Type: agui.PartAudio, Source: data("audio/wav")}, `{"input_audio":{"data":"AA==","format":"wav"},"type":"input_audio"}`, ""},
		{agui.ContentPart{Type: agui.PartAudio, Source: data("audio/mpeg")}, `{"input_audio":{"data":"AA==","format":"mp3"},"type":"input_audio"}`, ""},
		{agui.ContentPart{Type: agui.PartDocument, Source: data("application/pdf")}, `{"file":{"file_data":"data:application/pdf;base64,AA==","filename":"document"},"type":"file"}`, ""},
		{agui.ContentPart{Type: agui.PartDocument, Source: data("application/pdf"), Metadata: []byte(`{"filename":"a.pdf"}`)}, `{"file":{"file_data":"data:application/pdf;base64,AA==","filename":"a.pdf"},"type":"file"}`, ""},
		{agui.ContentPart{Type: agui.PartDocument, Source: file}, `{"file":{"file_id":"file-1"},"type":"file"}`, ""},

		{agui.ContentPart{Type: agui.PartImage, Source: file}, "", "image as file"},
		{agui.ContentPart{Type: agui.PartAudio, Source: data("audio/ogg")}, "", "audio as data audio/ogg"},
		{agui.ContentPart{Type: agui.PartAudio, Source: url}, "", "audio as url"},
		{agui.ContentPart{Type: agui.PartVideo, Source: url}, "", "video as url"},
		{agui.ContentPart{Type: agui.PartDocument, Source: url}, "", "document as url"},
		{agui.ContentPart{Type: agui.PartImage}, "", "has no source"},
	} {
		got, err := openaichat.Messages([]agui.Message{{ID: "m", Role: agui.RoleUser, Content: &agui.Content{Parts: []agui.ContentPart{tc.part}}}})
		if tc.reason == "" {
			if err != nil {
				t.Errorf("%+v: %v", tc.part, err)
				continue
			}
			sameJSON(t, asJSON(t, got), `[{"content":[`+tc.want+`],"role":"user"}]`)
			continue
		}
		if e, ok := errors.AsType[*openaichat.ContentError](err); !ok || e.Field != `message "m", content[0]` || !strings.Contains(err.Error(), tc.reason) {
			t.Errorf("%+v: %v, want %s", tc.part, err, tc.reason)
		}
	}
	_, err := openaichat.Messages([]agui.Message{
		{Role: agui.RoleAssistant, ToolCalls: []agui.ToolCall{{ID: "c"}}},
		{ID: "r", Role: agui.RoleTool, ToolCallID: new("c"), Content: &agui.Content{Parts: []agui.ContentPart{{Type: agui.PartImage, Source: url}}}},
	})
	if e, ok := errors.AsType[*openaichat.ContentError](err); !ok || e.Field != `message "r", content[0]` {
		t.Errorf("an image as a result: %v", err)
	}
}

func TestParams(t *testing.T) {
	in := &agui.RunAgentInput{
		Context: []agui.Context{{Description: "page", Value: "cart"}, {Description: "user", Value: "ann"}},
		Tools:   []agui.Tool{{Name: "f", Description: "does", Parameters: []byte(`{"type":"object","properties":{"n":{"maximum":10}}}`)}, {Name: "g"}},
	}
	p, err := openaichat.Params("m", in)
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, asJSON(t, p), `{"model":"m","stream_options":{"include_usage":true},`+
		`"messages":[{"role":"system","content":"What the application tells you:\n\npage: cart\n\nuser: ann"}],"tools":[`+
		`{"type":"function","function":{"name":"f","description":"does","parameters":{"type":"object","properties":{"n":{"maximum":10}}}}},`+
		`{"type":"function","function":{"name":"g"}}]}`)
	for _, bad := range []string{`7`, `[]`, `"x"`} {
		in.Tools[1].Parameters = []byte(bad)
		if e, ok := errors.AsType[*openaichat.ContentError](func() error { _, err := openaichat.Params("m", in); return err }()); !ok || e.Field != "tools[1].parameters" {
			t.Errorf("parameters %s: %v", bad, e)
		}
	}
}
