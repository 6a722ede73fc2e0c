package agui

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// threadMessage is a message of a [Thread] that can grow.
type threadMessage struct {
	// head is the message without the members below.
	head Message

	kind   contentKind
	text   strings.Builder // of contentText; what it has returned stays as it is when it grows
	parts  []ContentPart   // of contentParts
	object json.RawMessage // of contentObject

	calls    []*threadCall
	hasCalls bool // an empty list and none differ
	metadata threadMetadata
}

// contentKind is what the content of a message is.
type contentKind uint8

const (
	contentNone contentKind = iota
	contentText
	contentParts
	contentObject
)

// threadCall is a tool call that can grow.
type threadCall struct {
	id        string
	name      string
	arguments strings.Builder
	encrypted *string
	metadata  threadMetadata
}

// newThreadMessage copies m, strings excepted.
func newThreadMessage(m *Message) *threadMessage {
	own := &threadMessage{
		head: Message{
			ID: m.ID, Role: m.Role, Name: clonePointer(m.Name),
			ToolCallID: clonePointer(m.ToolCallID), Error: clonePointer(m.Error),
			ActivityType: clonePointer(m.ActivityType), EncryptedValue: clonePointer(m.EncryptedValue),
			SubagentRunID: clonePointer(m.SubagentRunID),
		},
		hasCalls: m.ToolCalls != nil,
	}
	own.metadata.merge(m.Metadata)
	if m.Content != nil {
		own.setContent(*m.Content)
	}
	for i := range m.ToolCalls {
		from := &m.ToolCalls[i]
		call := &threadCall{id: from.ID, name: from.Function.Name, encrypted: clonePointer(from.EncryptedValue)}
		call.arguments.WriteString(from.Function.Arguments)
		call.metadata.merge(from.Metadata)
		own.calls = append(own.calls, call)
	}
	return own
}

func (m *threadMessage) setContent(c Content) {
	switch {
	case c.Parts != nil:
		m.kind, m.parts = contentParts, cloneParts(c.Parts)
	case len(c.Object) > 0:
		m.kind, m.object = contentObject, bytes.Clone(c.Object)
	default:
		m.kind = contentText
		m.text.WriteString(c.Text)
	}
}

// appendText adds to the text. Content that is no text gives way to it, as the official client has
// it.
func (m *threadMessage) appendText(delta string) {
	if m.kind != contentText {
		m.kind, m.parts, m.object = contentText, nil, nil
	}
	m.text.WriteString(delta)
}

// message returns m as it stands.
func (m *threadMessage) message() Message {
	out := m.head
	switch m.kind {
	case contentText:
		out.Content = TextContent(m.text.String())
	case contentParts:
		out.Content = &Content{Parts: m.parts}
	case contentObject:
		out.Content = &Content{Object: m.object}
	}
	if m.hasCalls {
		out.ToolCalls = make([]ToolCall, len(m.calls))
		for i, call := range m.calls {
			out.ToolCalls[i] = call.toolCall()
		}
	}
	out.Metadata = m.metadata.json()
	return out
}

func (c *threadCall) toolCall() ToolCall {
	return ToolCall{
		ID: c.id, Type: ToolCallFunction,
		Function:       FunctionCall{Name: c.name, Arguments: c.arguments.String()},
		EncryptedValue: c.encrypted,
		Metadata:       c.metadata.json(),
	}
}

// threadMetadata is metadata that merges key by key, the last write wins. The zero value is absent.
type threadMetadata struct {
	raw  json.RawMessage            // of keys; empty while they are newer
	keys map[string]json.RawMessage // nil until something is merged into raw
}

// merge copies what it keeps of more. What is no JSON object changes nothing.
func (m *threadMetadata) merge(more json.RawMessage) {
	switch {
	case len(more) == 0:
		return
	case m.raw == nil && m.keys == nil:
		m.raw = bytes.Clone(more)
		return
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(more, &keys) != nil || len(keys) == 0 {
		return
	}
	if m.keys == nil {
		_ = json.Unmarshal(m.raw, &m.keys) // what does not parse holds no keys
	}
	if m.keys == nil {
		m.keys = make(map[string]json.RawMessage, len(keys))
	}
	maps.Copy(m.keys, keys)
	m.raw = nil
}

// json returns the metadata as an object, or nil when it is absent.
func (m *threadMetadata) json() json.RawMessage {
	if m.raw == nil && m.keys != nil {
		m.raw, _ = encodeJSON(nil, m.keys) // the values were parsed, so they encode
	}
	return m.raw
}

func cloneParts(parts []ContentPart) []ContentPart {
	parts = slices.Clone(parts)
	for i := range parts {
		p := &parts[i]
		p.Text, p.ID, p.Metadata = clonePointer(p.Text), clonePointer(p.ID), bytes.Clone(p.Metadata)
		if p.Source != nil {
			s := *p.Source
			s.Provider, s.MimeType = clonePointer(s.Provider), clonePointer(s.MimeType)
			p.Source = &s
		}
	}
	return parts
}

// clone returns metadata that changes apart from m.
func (m *threadMetadata) clone() threadMetadata {
	return threadMetadata{raw: m.raw, keys: maps.Clone(m.keys)}
}
