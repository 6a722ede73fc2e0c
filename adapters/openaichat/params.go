package openaichat

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/answer"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
)

// ContentError is something of an input for which a chat completion has no place.
type ContentError struct {
	// Field is the place, such as `message "m1", content[0]`.
	Field string
	// Reason says what has no place.
	Reason string
}

// Error names the place and the reason.
func (e *ContentError) Error() string { return "adapters/openaichat: " + e.Field + ": " + e.Reason }

// Params is the request for an answer to in by model: its context, messages and tools, and usage at
// the end of the stream. What is not of the conversation is left out, such as activities and reasoning,
// state and forwarded properties. The error is a *ContentError.
func Params(model string, in *agui.RunAgentInput) (openai.ChatCompletionNewParams, error) {
	p := openai.ChatCompletionNewParams{
		Model:         model,
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
	if len(in.Context) > 0 {
		p.Messages = append(p.Messages, contextMessage(in.Context))
	}
	messages, err := Messages(in.Messages)
	if err != nil {
		return p, err
	}
	p.Messages = append(p.Messages, messages...)
	p.Tools, err = Tools(in.Tools)
	return p, err
}

// contextMessage tells the model what the frontend says of itself.
func contextMessage(list []agui.Context) openai.ChatCompletionMessageParamUnion {
	var b strings.Builder
	b.WriteString("What the application tells you:")
	for _, c := range list {
		fmt.Fprintf(&b, "\n\n%s: %s", c.Description, c.Value)
	}
	return openai.SystemMessage(b.String())
}

// Tools are tools of the frontend as a request names them. The error is a *ContentError: parameters
// must be a JSON object.
func Tools(tools []agui.Tool) ([]openai.ChatCompletionToolUnionParam, error) {
	var list []openai.ChatCompletionToolUnionParam
	for i := range tools {
		f := openai.FunctionDefinitionParam{Name: tools[i].Name}
		if tools[i].Description != "" {
			f.Description = openai.String(tools[i].Description)
		}
		if raw := tools[i].Parameters; len(raw) > 0 {
			if err := json.Unmarshal(raw, &f.Parameters); err != nil || f.Parameters == nil {
				return nil, &ContentError{fmt.Sprintf("tools[%d].parameters", i), "must be a JSON object"}
			}
		}
		list = append(list, openai.ChatCompletionFunctionTool(f))
	}
	return list, nil
}

// Messages are the messages of a conversation as a request has them, in the form of answer.History.
// The error is a *ContentError.
func Messages(messages []agui.Message) ([]openai.ChatCompletionMessageParamUnion, error) {
	var list []openai.ChatCompletionMessageParamUnion
	for _, m := range answer.History(messages) {
		field := fmt.Sprintf("message %q", m.ID)
		switch m.Role {
		case agui.RoleSystem:
			list = append(list, openai.SystemMessage(answer.Text(&m)))
			list[len(list)-1].OfSystem.Name = optional(m.Name)
		case agui.RoleDeveloper:
			list = append(list, openai.DeveloperMessage(answer.Text(&m)))
			list[len(list)-1].OfDeveloper.Name = optional(m.Name)
		case agui.RoleUser:
			user, err := userMessage(&m, field)
			if err != nil {
				return nil, err
			}
			list = append(list, user)
		case agui.RoleAssistant:
			list = append(list, assistantMessage(&m))
		case agui.RoleTool:
			if err := onlyText(&m, field); err != nil {
				return nil, err
			}
			list = append(list, openai.ToolMessage(answer.Text(&m), *m.ToolCallID))
		}
	}
	return list, nil
}

func assistantMessage(m *agui.Message) openai.ChatCompletionMessageParamUnion {
	own := &openai.ChatCompletionAssistantMessageParam{Name: optional(m.Name)}
	switch text := answer.Text(m); {
	case text == "":
	case isRefusal(m):
		own.Refusal = openai.String(text)
	default:
		own.Content.OfString = openai.String(text)
	}
	for _, call := range m.ToolCalls {
		own.ToolCalls = append(own.ToolCalls, toolCallParam(call.ID, call.Function.Name, call.Function.Arguments))
	}
	return openai.ChatCompletionMessageParamUnion{OfAssistant: own}
}

// isRefusal reports whether a message was emitted as a refusal.
func isRefusal(m *agui.Message) bool {
	var metadata struct{ Refusal bool }
	return json.Unmarshal(m.Metadata, &metadata) == nil && metadata.Refusal
}

// onlyText refuses a result of a tool that is not text.
func onlyText(m *agui.Message, field string) error {
	if m.Content == nil {
		return nil
	}
	for i, part := range m.Content.Parts {
		if part.Type != agui.PartText {
			return &ContentError{fmt.Sprintf("%s, content[%d]", field, i), "a result of a tool may be text alone"}
		}
	}
	return nil
}

func userMessage(m *agui.Message, field string) (openai.ChatCompletionMessageParamUnion, error) {
	if m.Content == nil || m.Content.Parts == nil {
		user := openai.UserMessage(answer.Text(m))
		user.OfUser.Name = optional(m.Name)
		return user, nil
	}
	parts := make([]openai.ChatCompletionContentPartUnionParam, 0, len(m.Content.Parts))
	for i := range m.Content.Parts {
		part, reason := contentPart(&m.Content.Parts[i])
		if reason != "" {
			return openai.ChatCompletionMessageParamUnion{}, &ContentError{fmt.Sprintf("%s, content[%d]", field, i), reason}
		}
		parts = append(parts, part)
	}
	user := openai.UserMessage(parts)
	user.OfUser.Name = optional(m.Name)
	return user, nil
}

// contentPart is one part of what a user says, or why it has no place.
func contentPart(p *agui.ContentPart) (part openai.ChatCompletionContentPartUnionParam, reason string) {
	if p.Type == agui.PartText && p.Text != nil {
		return openai.TextContentPart(*p.Text), ""
	}
	if p.Source == nil {
		return part, "has no source"
	}
	s := p.Source
	mime := ""
	if s.MimeType != nil {
		mime = *s.MimeType
	}
	switch {
	case p.Type == agui.PartImage && s.Type == agui.SourceURL:
		return openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: s.Value}), ""
	case p.Type == agui.PartImage && s.Type == agui.SourceData:
		return openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: dataURL(mime, s.Value)}), ""
	case p.Type == agui.PartAudio && s.Type == agui.SourceData && audioFormats[mime] != "":
		return openai.InputAudioContentPart(openai.ChatCompletionContentPartInputAudioInputAudioParam{
			Data: s.Value, Format: audioFormats[mime],
		}), ""
	case p.Type == agui.PartDocument && s.Type == agui.SourceData:
		return openai.FileContentPart(openai.ChatCompletionContentPartFileFileParam{
			FileData: openai.String(dataURL(mime, s.Value)), Filename: openai.String(filenameOf(p)),
		}), ""
	case p.Type == agui.PartDocument && s.Type == agui.SourceFile:
		return openai.FileContentPart(openai.ChatCompletionContentPartFileFileParam{FileID: openai.String(s.Value)}), ""
	}
	return part, strings.TrimSpace(fmt.Sprintf("%s as %s %s", p.Type, s.Type, mime)) + " has no place in a chat completion"
}

// audioFormats are the formats that the API takes, by MIME type.
var audioFormats = map[string]string{
	"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3",
}

func dataURL(mime, base64 string) string { return "data:" + mime + ";base64," + base64 }

// filenameOf is the name of a file, which the API wants: that of the metadata, where AG-UI puts it.
func filenameOf(p *agui.ContentPart) string {
	var metadata struct{ Filename string }
	if json.Unmarshal(p.Metadata, &metadata) == nil && metadata.Filename != "" {
		return metadata.Filename
	}
	return "document"
}

func optional(s *string) param.Opt[string] {
	if s == nil {
		return param.Opt[string]{}
	}
	return openai.String(*s)
}

func toolCallParam(id, name, arguments string) openai.ChatCompletionMessageToolCallUnionParam {
	return openai.ChatCompletionMessageToolCallUnionParam{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
		ID: id, Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: name, Arguments: arguments},
	}}
}
