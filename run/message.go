package run

import (
	"crypto/rand"
	"unicode/utf8"

	"github.com/agloop/agloop/agui"
)

// TextMessage is a message that is being streamed. Use it from one goroutine at a time.
type TextMessage struct {
	owner  owner
	event  agui.TextMessageContent
	text   splitter
	closed bool
}

// TextMessage starts a message of the assistant: TEXT_MESSAGE_START with a fresh id. Errors as
// Emit.
func (r *Run) TextMessage() (*TextMessage, error) { return r.StartTextMessage(agui.TextMessageStart{}) }

// StartTextMessage is TextMessage for a message of another role, with a name or an id of the
// agent's: it sends start. An empty MessageID is a fresh one, an absent Role is the assistant. Errors
// as Emit.
func (r *Run) StartTextMessage(start agui.TextMessageStart) (*TextMessage, error) {
	return owner{run: r}.textMessage(start)
}

func (o owner) textMessage(start agui.TextMessageStart) (*TextMessage, error) {
	if start.MessageID == "" {
		start.MessageID = newID("msg-")
	}
	if start.Role == "" {
		start.Role = agui.RoleAssistant
	}
	if err := o.emit(&start); err != nil {
		return nil, err
	}
	m := &TextMessage{owner: owner{o.run, start.SubagentRunID}}
	m.event.MessageID, m.event.SubagentRunID = start.MessageID, start.SubagentRunID
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
	return m.owner.run.Emit(&m.event)
}

// ToolCall starts a call of the named tool that belongs to the message, as Run.ToolCall does; the
// message may be closed. Errors as Emit.
func (m *TextMessage) ToolCall(name string) (*ToolCall, error) {
	return m.owner.toolCall(agui.ToolCallStart{ToolCallName: name, ParentMessageID: new(m.ID())})
}

// Encrypt attaches a value to the message that only the provider can read:
// REASONING_ENCRYPTED_VALUE. The message may be closed. Errors as Emit.
func (m *TextMessage) Encrypt(value string) error {
	return m.owner.encrypt(agui.EncryptedMessage, m.ID(), value)
}

// Close ends the message: TEXT_MESSAGE_END. Once it has, it does nothing. Errors as Emit.
func (m *TextMessage) Close() error {
	if m.closed {
		return nil
	}
	if m.event.Delta = m.text.flush(); m.event.Delta != "" {
		if err := m.owner.run.Emit(&m.event); err != nil {
			return err
		}
	}
	err := m.owner.emit(&agui.TextMessageEnd{MessageID: m.ID()})
	m.closed = err == nil
	return err
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

// owner is who events belong to: the agent of a run, or one of its subagents.
type owner struct {
	run *Run
	tag *string // nil: the agent
}

// emit sends an event of the owner's. One that names an owner already keeps that.
func (o owner) emit(ev agui.Event) error {
	if base := ev.Common(); base.SubagentRunID == nil {
		base.SubagentRunID = o.tag
	}
	return o.run.Emit(ev)
}

// encrypt sends a value that belongs to a message or a call.
func (o owner) encrypt(of agui.EncryptedSubtype, id, value string) error {
	return o.emit(&agui.ReasoningEncryptedValue{Subtype: of, EntityID: id, EncryptedValue: value})
}
