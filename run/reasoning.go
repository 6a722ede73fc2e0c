package run

import "github.com/agloop/agloop/agui"

// Reasoning is a span of reasoning with the messages in it. Use it from one goroutine at a time.
type Reasoning struct {
	owner  owner
	span   string
	event  agui.ReasoningMessageContent
	text   splitter
	count  int  // messages so far
	open   bool // the last one is
	closed bool
}

// Reasoning starts a span of reasoning: REASONING_START with a fresh id. Its first message begins
// with the first Write. Errors as Emit.
func (r *Run) Reasoning() (*Reasoning, error) { return owner{run: r}.reasoning() }

func (o owner) reasoning() (*Reasoning, error) {
	s := &Reasoning{owner: o, span: newID("reasoning-")}
	s.event.MessageID, s.event.SubagentRunID = s.span, o.tag
	if err := o.emit(&agui.ReasoningStart{MessageID: s.span}); err != nil {
		return nil, err
	}
	return s, nil
}

// ID is the id of the message that is being written, or was last. The first has that of the span,
// as the protocol allows.
func (s *Reasoning) ID() string { return s.event.MessageID }

// Write sends the next piece of text: REASONING_MESSAGE_CONTENT, and REASONING_MESSAGE_START before
// the first. Pieces are treated as those of a TextMessage. Errors as Emit.
func (s *Reasoning) Write(text string) error {
	if text = s.text.complete(text); text == "" {
		return nil
	}
	return s.send(text)
}

func (s *Reasoning) send(text string) error {
	if err := s.begin(); err != nil {
		return err
	}
	s.event.Delta = text
	return s.owner.run.Emit(&s.event)
}

// begin opens a message unless one is open.
func (s *Reasoning) begin() error {
	if s.open {
		return nil
	}
	id := s.span
	if s.count > 0 {
		id = newID("reasoning-")
	}
	if err := s.owner.emit(&agui.ReasoningMessageStart{MessageID: id, Role: agui.RoleReasoning}); err != nil {
		return err
	}
	s.event.MessageID, s.open = id, true
	s.count++
	return nil
}

// EndMessage ends the message that is being written: REASONING_MESSAGE_END. The next Write begins
// another one in the same span, as models do that summarise their reasoning in several parts. It
// does nothing where no message is open. Errors as Emit.
func (s *Reasoning) EndMessage() error {
	if rest := s.text.flush(); rest != "" {
		if err := s.send(rest); err != nil {
			return err
		}
	}
	if !s.open {
		return nil
	}
	err := s.owner.emit(&agui.ReasoningMessageEnd{MessageID: s.ID()})
	s.open = err != nil
	return err
}

// Encrypt attaches a value to the message of ID that only the provider can read:
// REASONING_ENCRYPTED_VALUE. Where there is no message yet it begins one, which stays empty when the
// provider shows no text. Errors as Emit.
func (s *Reasoning) Encrypt(value string) error {
	if s.count == 0 {
		if err := s.begin(); err != nil {
			return err
		}
	}
	return s.owner.encrypt(agui.EncryptedMessage, s.ID(), value)
}

// Close ends the message that is open and the span: REASONING_END. Once it has, it does nothing.
// Errors as Emit.
func (s *Reasoning) Close() error {
	if s.closed {
		return nil
	}
	if err := s.EndMessage(); err != nil {
		return err
	}
	err := s.owner.emit(&agui.ReasoningEnd{MessageID: s.span})
	s.closed = err == nil
	return err
}
