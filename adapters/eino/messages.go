package eino

import (
	"encoding/json"
	"fmt"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/answer"
	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/schema"
)

// CodeContent is the code of RUN_ERROR for an input that has what Eino has no place for.
const CodeContent = "unsupported_content"

// Messages are the messages of a conversation as Eino has them, in the form of answer.History.
// Developers speak as the system. The error is a *agui.PublicError that names the message.
func Messages(messages []agui.Message) ([]adk.Message, error) {
	var list []adk.Message
	for _, m := range answer.History(messages) {
		own := &schema.Message{Content: answer.Text(&m)}
		if m.Name != nil {
			own.Name = *m.Name
		}
		switch m.Role {
		case agui.RoleSystem, agui.RoleDeveloper:
			own.Role = schema.System
		case agui.RoleUser:
			own.Role = schema.User
			if err := addParts(own, &m); err != nil {
				return nil, err
			}
		case agui.RoleAssistant:
			own.Role = schema.Assistant
			for i, call := range m.ToolCalls {
				own.ToolCalls = append(own.ToolCalls, schema.ToolCall{
					Index: &i, ID: call.ID, Type: agui.ToolCallFunction,
					Function: schema.FunctionCall{Name: call.Function.Name, Arguments: call.Function.Arguments},
				})
			}
		case agui.RoleTool:
			own.Role, own.ToolCallID, own.ToolName = schema.Tool, *m.ToolCallID, toolName(list, *m.ToolCallID)
		}
		list = append(list, own)
	}
	return list, nil
}

// toolName is the name of the tool that a call of the last message of the assistant is of.
func toolName(list []adk.Message, id string) string {
	for i := len(list) - 1; i >= 0; i-- {
		for _, call := range list[i].ToolCalls {
			if call.ID == id {
				return call.Function.Name
			}
		}
	}
	return ""
}

// addParts adds the parts of what a user says, unless it is text alone.
func addParts(to *schema.Message, m *agui.Message) error {
	if m.Content == nil || m.Content.Parts == nil {
		return nil
	}
	to.Content = ""
	for i := range m.Content.Parts {
		part, err := inputPart(&m.Content.Parts[i])
		if err != nil {
			return &agui.PublicError{Code: CodeContent, Message: fmt.Sprintf("message %q, content[%d]: %v", m.ID, i, err)}
		}
		to.UserInputMultiContent = append(to.UserInputMultiContent, part)
	}
	return nil
}

func inputPart(p *agui.ContentPart) (part schema.MessageInputPart, err error) {
	if p.Type == agui.PartText && p.Text != nil {
		return schema.MessageInputPart{Type: schema.ChatMessagePartTypeText, Text: *p.Text}, nil
	}
	if p.Source == nil {
		return part, fmt.Errorf("%s has no source", p.Type)
	}
	var at schema.MessagePartCommon
	switch p.Source.Type {
	case agui.SourceURL:
		at.URL = &p.Source.Value
	case agui.SourceData:
		at.Base64Data = &p.Source.Value
	default:
		return part, fmt.Errorf("%s as %s has no place in Eino", p.Type, p.Source.Type)
	}
	if p.Source.MimeType != nil {
		at.MIMEType = *p.Source.MimeType
	}
	switch p.Type {
	case agui.PartImage:
		return schema.MessageInputPart{Type: schema.ChatMessagePartTypeImageURL, Image: &schema.MessageInputImage{MessagePartCommon: at}}, nil
	case agui.PartAudio:
		return schema.MessageInputPart{Type: schema.ChatMessagePartTypeAudioURL, Audio: &schema.MessageInputAudio{MessagePartCommon: at}}, nil
	case agui.PartVideo:
		return schema.MessageInputPart{Type: schema.ChatMessagePartTypeVideoURL, Video: &schema.MessageInputVideo{MessagePartCommon: at}}, nil
	}
	var metadata struct{ Filename string }
	_ = json.Unmarshal(p.Metadata, &metadata) // where AG-UI puts the name of a file
	return schema.MessageInputPart{
		Type: schema.ChatMessagePartTypeFileURL, File: &schema.MessageInputFile{MessagePartCommon: at, Name: metadata.Filename},
	}, nil
}
