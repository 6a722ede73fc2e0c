package eino_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/agloop/agloop/adapters/eino"
	"github.com/agloop/agloop/agui"
)

func TestMessages(t *testing.T) {
	text := agui.TextContent
	data := &agui.Source{Type: agui.SourceData, Value: "AA==", MimeType: new("image/png")}
	url := &agui.Source{Type: agui.SourceURL, Value: "https://example.com/x"}
	got, err := eino.Messages([]agui.Message{
		{Role: agui.RoleSystem, Content: text("s")},
		{Role: agui.RoleDeveloper, Content: text("d")},
		{Role: agui.RoleUser, Content: text("u"), Name: new("ann")},
		{Role: agui.RoleReasoning, Content: text("hm")},
		{Role: agui.RoleAssistant, Content: text("a"), ToolCalls: []agui.ToolCall{{ID: "c", Function: agui.FunctionCall{Name: "f", Arguments: "{}"}}}},
		{Role: agui.RoleTool, ToolCallID: new("c"), Content: text("r")},
		{Role: agui.RoleUser, Content: &agui.Content{Parts: []agui.ContentPart{
			{Type: agui.PartText, Text: new("see")},
			{Type: agui.PartImage, Source: data},
			{Type: agui.PartAudio, Source: url},
			{Type: agui.PartVideo, Source: url},
			{Type: agui.PartDocument, Source: data, Metadata: []byte(`{"filename":"a.pdf"}`)},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"role":"system","content":"s"},{"role":"system","content":"d"},{"role":"user","content":"u","name":"ann"},` +
		`{"role":"assistant","content":"a","tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},` +
		`{"role":"tool","content":"r","tool_call_id":"c","tool_name":"f"},{"role":"user","content":"","user_input_multi_content":[` +
		`{"type":"text","text":"see"},{"type":"image_url","image":{"base64data":"AA==","mime_type":"image/png"}},` +
		`{"type":"audio_url","audio":{"url":"https://example.com/x"}},{"type":"video_url","video":{"url":"https://example.com/x"}},` +
		`{"type":"file_url","file":{"base64data":"AA==","mime_type":"image/png","name":"a.pdf"}}]}]`
	if string(b) != want {
		t.Errorf("\n got %s\nwant %s", b, want)
	}
	for _, part := range []agui.ContentPart{{Type: agui.PartImage}, {Type: agui.PartDocument, Source: &agui.Source{Type: agui.SourceFile, Value: "f"}}} {
		_, err := eino.Messages([]agui.Message{{ID: "m", Role: agui.RoleUser, Content: &agui.Content{Parts: []agui.ContentPart{part}}}})
		if public, ok := errors.AsType[*agui.PublicError](err); !ok || public.Code != eino.CodeContent || !strings.Contains(public.Message, `message "m", content[0]`) {
			t.Errorf("%+v: %v", part, err)
		}
	}
}
