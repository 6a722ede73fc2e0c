package run

import (
	"crypto/rand"
	"unicode/utf8"

	"github.com/agloop/agloop/agui"
)

// TextMessage is an assistant message that is being streamed. Use it from one goroutine at a time.
type TextMessage struct {
	run   *Run
	event agui.TextMessageContent
	text  splitter
}

// TextMessage starts a message of the assistant: TEXT_MESSAGE_START with a fresh id. Errors as
// Emit.
func (r *Run) TextMessage() (*TextMessage, error) {
	m := &TextMessage{run: r}
	m.event.MessageID = newID("msg-")
	if err := r.Emit(&agui.TextMessageStart{MessageID: m.event.MessageID, Role: agui.RoleAssistant}); err != nil {
		return nil, err
	}
	return m, nil
}

// ID is the message's id.
func (m *TextMessage) ID() string { return m.event.MessageID }

// Write sends the next piece of text: TEXT_MESSAGE_CONTENT. A piece may end inside a character, as
// tokens of some models do, if the next piece begins with its remaining bytes. Errors as Emit.
func (m *TextMessage) Write(text string) error {
	if m.event.Delta = m.text.complete(text); m.event.Delta == "" {
		return nil
	}
	return m.run.Emit(&m.event)
}

// Close ends the message: TEXT_MESSAGE_END. Errors as Emit.
func (m *TextMessage) Close() error {
	if m.event.Delta = m.text.flush(); m.event.Delta != "" {
		if err := m.run.Emit(&m.event); err != nil {
			return err
		}
	}
	return m.run.Emit(&agui.TextMessageEnd{MessageID: m.event.MessageID})
}

// ToolCall is a call of a tool whose arguments are being streamed. Use it from one goroutine at a
// time.
type ToolCall struct {
	run   *Run
	event agui.ToolCallArgs
	text  splitter
}

// ToolCall starts a call of the named tool: TOOL_CALL_START with a fresh id. Errors as Emit.
func (r *Run) ToolCall(name string) (*ToolCall, error) {
	c := &ToolCall{run: r}
	c.event.ToolCallID = newID("call-")
	if err := r.Emit(&agui.ToolCallStart{ToolCallID: c.event.ToolCallID, ToolCallName: name}); err != nil {
		return nil, err
	}
	return c, nil
}

// ID is the call's id.
func (c *ToolCall) ID() string { return c.event.ToolCallID }

// Write sends the next piece of the arguments' JSON: TOOL_CALL_ARGS. Pieces are treated as those of
// a TextMessage. Errors as Emit.
func (c *ToolCall) Write(args string) error {
	if c.event.Delta = c.text.complete(args); c.event.Delta == "" {
		return nil
	}
	return c.run.Emit(&c.event)
}

// Close ends the call: TOOL_CALL_END. Errors as Emit.
func (c *ToolCall) Close() error {
	if c.event.Delta = c.text.flush(); c.event.Delta != "" {
		if err := c.run.Emit(&c.event); err != nil {
			return err
		}
	}
	return c.run.Emit(&agui.ToolCallEnd{ToolCallID: c.event.ToolCallID})
}

// splitter keeps the first bytes of a character until its other bytes come.
type splitter struct{ partial string }

// complete returns the text so far without an incomplete character at its end, which is kept.
func (s *splitter) complete(text string) string {
	if s.partial != "" {
		text = s.partial + text
		s.partial = ""
	}
	// An incomplete character is at most three bytes at the end.
	for i := len(text) - 1; i >= 0 && i >= len(text)-3; i-- {
		if text[i] < utf8.RuneSelf {
			break
		}
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRuneInString(text[i:]) {
				s.partial = text[i:]
				text = text[:i]
			}
			break
		}
	}
	return text
}

// flush returns an incomplete character, for which no more bytes will come, as U+FFFD.
func (s *splitter) flush() string {
	held := s.partial
	s.partial = ""
	return toUTF8(held)
}

// newID returns an id that no other message or call has.
func newID(prefix string) string { return prefix + rand.Text() }
