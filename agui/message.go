package agui

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// MessagesSnapshot restates the conversation: messages are matched by id, new ones appended and
// missing ones dropped.
type MessagesSnapshot struct {
	Base
	// Messages may be empty; nil is empty.
	Messages []Message `json:"messages"`
}

// Type returns [EventTypeMessagesSnapshot].
func (*MessagesSnapshot) Type() EventType { return EventTypeMessagesSnapshot }

// Message is one message of a conversation. Role decides which members it has.
type Message struct {
	ID   string `json:"id"`
	Role Role   `json:"role"`

	// Content is text for developer, system, assistant and reasoning, text or parts for user and
	// tool, an object for activity. Only an assistant may lack it (nil).
	Content *Content `json:"content,omitempty"`

	// Name belongs to developer, system, assistant and user.
	Name *string `json:"name,omitempty"`
	// ToolCalls belongs to assistant; empty and nil differ on the wire.
	ToolCalls []ToolCall `json:"toolCalls,omitzero"`
	// ToolCallID belongs to tool, which needs it; Error belongs to tool.
	ToolCallID *string `json:"toolCallId,omitempty"`
	Error      *string `json:"error,omitempty"`
	// ActivityType belongs to activity, which needs it.
	ActivityType *string `json:"activityType,omitempty"`
	// EncryptedValue belongs to every role but activity.
	EncryptedValue *string `json:"encryptedValue,omitempty"`

	SubagentRunID *string `json:"subagentRunId,omitempty"`
	// Metadata is a JSON object.
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// ToolCallFunction is the only type a [ToolCall] has.
const ToolCallFunction = "function"

// ToolCall is a call an assistant message made. It has its message's owner.
type ToolCall struct {
	ID string `json:"id"`
	// Type is always [ToolCallFunction].
	Type           string       `json:"type"`
	Function       FunctionCall `json:"function"`
	EncryptedValue *string      `json:"encryptedValue,omitempty"`
	// Metadata is a JSON object.
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// FunctionCall names a function and its arguments.
type FunctionCall struct {
	Name string `json:"name"`
	// Arguments is JSON text as the model wrote it; it need not be valid.
	Arguments string `json:"arguments"`
}

// Content is text, a list of parts, or an object. The zero value is the empty text.
type Content struct {
	// Text counts when Parts and Object are nil.
	Text string
	// Parts, when not nil, makes the content a list, possibly empty.
	Parts []ContentPart
	// Object, when not empty and Parts is nil, makes the content a JSON object.
	Object json.RawMessage
}

// TextContent returns a new content of text, for [Message].
func TextContent(text string) *Content { return &Content{Text: text} }

// MarshalJSON writes the text, the list or the object. It fails when a string is not valid UTF-8,
// which encoding/json would quietly repair.
func (c Content) MarshalJSON() ([]byte, error) {
	switch {
	case c.Parts != nil:
		for i := range c.Parts {
			if !c.Parts[i].validText() {
				return nil, errNotUTF8
			}
		}
		return encodeJSON(nil, c.Parts)
	case len(c.Object) > 0:
		return c.Object, nil
	}
	return appendJSON(make([]byte, 0, len(c.Text)+2), c.Text)
}

// UnmarshalJSON reads a string, an array of parts or an object. Any other value is an error.
func (c *Content) UnmarshalJSON(data []byte) error {
	switch data = bytes.TrimSpace(data); {
	case len(data) == 0:
		return errors.New("agloop: content is empty")
	case data[0] == '"':
		*c = Content{}
		if last := len(data) - 1; last > 0 && data[last] == '"' && plainText(data[1:last]) {
			c.Text = string(data[1:last])
			return nil
		}
		return json.Unmarshal(data, &c.Text)
	case data[0] == '[':
		*c = Content{}
		return json.Unmarshal(data, &c.Parts)
	case data[0] == '{':
		*c = Content{Object: bytes.Clone(data)}
		return nil
	}
	return errors.New("agloop: content is neither a string, an array nor an object")
}

// PartType is the kind of a content part. The zero value is none.
type PartType string

// The kinds of content parts.
const (
	PartText     PartType = "text"
	PartImage    PartType = "image"
	PartAudio    PartType = "audio"
	PartVideo    PartType = "video"
	PartDocument PartType = "document"
)

// ContentPart is one piece of a content.
type ContentPart struct {
	Type PartType `json:"type"`
	// Text belongs to PartText, which needs it.
	Text *string `json:"text,omitempty"`
	// Source belongs to all the others, which need it.
	Source *Source `json:"source,omitempty"`
	ID     *string `json:"id,omitempty"`
	// Metadata is any JSON value except null.
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// SourceType says what the value of a source is. The zero value is none.
type SourceType string

// The kinds of sources.
const (
	SourceData SourceType = "data"
	SourceURL  SourceType = "url"
	SourceFile SourceType = "file"
)

// Source is where the bytes of a media part are.
type Source struct {
	Type SourceType `json:"type"`
	// Value is Base64 data, a URL, or a provider's opaque handle that is never fetched.
	Value string `json:"value"`
	// Provider belongs to SourceFile.
	Provider *string `json:"provider,omitempty"`
	// MimeType is needed by SourceData.
	MimeType *string `json:"mimeType,omitempty"`
}

func (p *ContentPart) validText() bool {
	valid := func(s *string) bool { return s == nil || utf8.ValidString(*s) }
	if p.Source != nil && !(utf8.ValidString(p.Source.Value) && valid(p.Source.Provider) && valid(p.Source.MimeType)) {
		return false
	}
	return valid(p.Text) && valid(p.ID) && utf8.Valid(p.Metadata)
}

var errNotUTF8 = errors.New("agloop: string is not valid UTF-8")

// appendJSON appends s as a JSON string. Invalid UTF-8 is an error.
func appendJSON(dst []byte, s string) ([]byte, error) {
	if plainText(s) {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"'), nil
	}
	if !utf8.ValidString(s) {
		return dst, errNotUTF8
	}
	return encodeJSON(dst, s)
}

// plainText reports whether s stands in a JSON string as it is.
func plainText[S string | []byte](s S) bool {
	ascii := true
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == '"' || s[i] == '\\' {
			return false
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	return ascii || utf8.ValidString(string(s))
}

// encodeJSON appends v without escaping HTML.
func encodeJSON(dst []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return dst, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
