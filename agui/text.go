package agui

// Role is the author of a message. The zero value is absent.
type Role string

// The roles. A text message has one of the first four; a [Message] any.
const (
	RoleDeveloper Role = "developer"
	RoleSystem    Role = "system"
	RoleAssistant Role = "assistant"
	RoleUser      Role = "user"
	RoleTool      Role = "tool"
	RoleActivity  Role = "activity"
	RoleReasoning Role = "reasoning"
)

// TextMessageStart opens a text message, or reopens a closed one to append to it.
type TextMessageStart struct {
	Base
	MessageID string `json:"messageId"`
	// Role is developer, system, assistant or user; absent reads as assistant.
	Role Role    `json:"role,omitempty"`
	Name *string `json:"name,omitempty"`
}

// Type returns [EventTypeTextMessageStart].
func (*TextMessageStart) Type() EventType { return EventTypeTextMessageStart }

// TextMessageContent appends Delta, which may be empty, to an open text message.
type TextMessageContent struct {
	Base
	MessageID string `json:"messageId"`
	Delta     string `json:"delta"`
}

// Type returns [EventTypeTextMessageContent].
func (*TextMessageContent) Type() EventType { return EventTypeTextMessageContent }

// TextMessageEnd closes an open text message.
type TextMessageEnd struct {
	Base
	MessageID string `json:"messageId"`
}

// Type returns [EventTypeTextMessageEnd].
func (*TextMessageEnd) Type() EventType { return EventTypeTextMessageEnd }

// TextMessageChunk stands for the start, content and end of a text message; see [Expander].
type TextMessageChunk struct {
	Base
	// MessageID is needed on the first chunk of a message.
	MessageID *string `json:"messageId,omitempty"`
	// Role is as in [TextMessageStart].
	Role  Role    `json:"role,omitempty"`
	Delta *string `json:"delta,omitempty"`
	Name  *string `json:"name,omitempty"`
}

// Type returns [EventTypeTextMessageChunk].
func (*TextMessageChunk) Type() EventType { return EventTypeTextMessageChunk }
