package agui

// ToolCallStart opens a tool call, or reopens a closed one to append to it.
type ToolCallStart struct {
	Base
	ToolCallID   string `json:"toolCallId"`
	ToolCallName string `json:"toolCallName"`
	// ParentMessageID names the message the call belongs to; an untagged call inherits that
	// message's owner.
	ParentMessageID *string `json:"parentMessageId,omitempty"`
}

// Type returns [EventTypeToolCallStart].
func (*ToolCallStart) Type() EventType { return EventTypeToolCallStart }

// ToolCallArgs appends Delta, a piece of JSON text that may be empty, to the arguments of an open
// tool call.
type ToolCallArgs struct {
	Base
	ToolCallID string `json:"toolCallId"`
	Delta      string `json:"delta"`
}

// Type returns [EventTypeToolCallArgs].
func (*ToolCallArgs) Type() EventType { return EventTypeToolCallArgs }

// ToolCallEnd closes an open tool call.
type ToolCallEnd struct {
	Base
	ToolCallID string `json:"toolCallId"`
}

// Type returns [EventTypeToolCallEnd].
func (*ToolCallEnd) Type() EventType { return EventTypeToolCallEnd }

// ToolCallChunk stands for the start, arguments and end of a tool call; see [Expander].
type ToolCallChunk struct {
	Base
	// ToolCallID and ToolCallName are needed on the first chunk of a call.
	ToolCallID      *string `json:"toolCallId,omitempty"`
	ToolCallName    *string `json:"toolCallName,omitempty"`
	ParentMessageID *string `json:"parentMessageId,omitempty"`
	Delta           *string `json:"delta,omitempty"`
}

// Type returns [EventTypeToolCallChunk].
func (*ToolCallChunk) Type() EventType { return EventTypeToolCallChunk }

// ToolCallResult adds a tool message. The call need not be open or known.
type ToolCallResult struct {
	Base
	MessageID  string `json:"messageId"`
	ToolCallID string `json:"toolCallId"`
	// Content is text or parts; the zero value is the empty text.
	Content Content `json:"content"`
	// Role is tool or absent.
	Role Role `json:"role,omitempty"`
}

// Type returns [EventTypeToolCallResult].
func (*ToolCallResult) Type() EventType { return EventTypeToolCallResult }
