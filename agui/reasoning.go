package agui

// ReasoningStart opens a reasoning span. A message within may share its id.
type ReasoningStart struct {
	Base
	MessageID string `json:"messageId"`
}

// Type returns [EventTypeReasoningStart].
func (*ReasoningStart) Type() EventType { return EventTypeReasoningStart }

// ReasoningEnd closes an open reasoning span.
type ReasoningEnd struct {
	Base
	MessageID string `json:"messageId"`
}

// Type returns [EventTypeReasoningEnd].
func (*ReasoningEnd) Type() EventType { return EventTypeReasoningEnd }

// ReasoningMessageStart opens a reasoning message, or reopens a closed one.
type ReasoningMessageStart struct {
	Base
	MessageID string `json:"messageId"`
	// Role is always reasoning on the wire; the zero value is written as that.
	Role Role `json:"role"`
}

// Type returns [EventTypeReasoningMessageStart].
func (*ReasoningMessageStart) Type() EventType { return EventTypeReasoningMessageStart }

// ReasoningMessageContent appends Delta, which may be empty, to an open reasoning message.
type ReasoningMessageContent struct {
	Base
	MessageID string `json:"messageId"`
	Delta     string `json:"delta"`
}

// Type returns [EventTypeReasoningMessageContent].
func (*ReasoningMessageContent) Type() EventType { return EventTypeReasoningMessageContent }

// ReasoningMessageEnd closes an open reasoning message.
type ReasoningMessageEnd struct {
	Base
	MessageID string `json:"messageId"`
}

// Type returns [EventTypeReasoningMessageEnd].
func (*ReasoningMessageEnd) Type() EventType { return EventTypeReasoningMessageEnd }

// ReasoningMessageChunk stands for the start, content and end of a reasoning message; see
// [Expander].
type ReasoningMessageChunk struct {
	Base
	// MessageID is needed on the first chunk of a message.
	MessageID *string `json:"messageId,omitempty"`
	Delta     *string `json:"delta,omitempty"`
}

// Type returns [EventTypeReasoningMessageChunk].
func (*ReasoningMessageChunk) Type() EventType { return EventTypeReasoningMessageChunk }

// EncryptedSubtype says what an encrypted value belongs to. The zero value is neither.
type EncryptedSubtype string

// The subtypes of an encrypted value.
const (
	EncryptedToolCall EncryptedSubtype = "tool-call"
	EncryptedMessage  EncryptedSubtype = "message"
)

// ReasoningEncryptedValue attaches an opaque value to a tool call or a message. A value for an
// unknown entity is skipped by its reader, never fatal.
type ReasoningEncryptedValue struct {
	Base
	Subtype        EncryptedSubtype `json:"subtype"`
	EntityID       string           `json:"entityId"`
	EncryptedValue string           `json:"encryptedValue"`
}

// Type returns [EventTypeReasoningEncryptedValue].
func (*ReasoningEncryptedValue) Type() EventType { return EventTypeReasoningEncryptedValue }
