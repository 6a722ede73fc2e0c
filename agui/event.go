package agui

import "encoding/json"

// EventType names a kind of event: the value of its member "type".
type EventType string

// The event types of AG-UI 1.0.
const (
	EventTypeRunStarted  EventType = "RUN_STARTED"
	EventTypeRunFinished EventType = "RUN_FINISHED"
	EventTypeRunError    EventType = "RUN_ERROR"

	EventTypeStepStarted  EventType = "STEP_STARTED"
	EventTypeStepFinished EventType = "STEP_FINISHED"

	EventTypeTextMessageStart   EventType = "TEXT_MESSAGE_START"
	EventTypeTextMessageContent EventType = "TEXT_MESSAGE_CONTENT"
	EventTypeTextMessageEnd     EventType = "TEXT_MESSAGE_END"
	EventTypeTextMessageChunk   EventType = "TEXT_MESSAGE_CHUNK"

	EventTypeToolCallStart  EventType = "TOOL_CALL_START"
	EventTypeToolCallArgs   EventType = "TOOL_CALL_ARGS"
	EventTypeToolCallEnd    EventType = "TOOL_CALL_END"
	EventTypeToolCallChunk  EventType = "TOOL_CALL_CHUNK"
	EventTypeToolCallResult EventType = "TOOL_CALL_RESULT"

	EventTypeStateSnapshot    EventType = "STATE_SNAPSHOT"
	EventTypeStateDelta       EventType = "STATE_DELTA"
	EventTypeMessagesSnapshot EventType = "MESSAGES_SNAPSHOT"

	EventTypeActivitySnapshot EventType = "ACTIVITY_SNAPSHOT"
	EventTypeActivityDelta    EventType = "ACTIVITY_DELTA"

	EventTypeRaw    EventType = "RAW"
	EventTypeCustom EventType = "CUSTOM"

	EventTypeReasoningStart          EventType = "REASONING_START"
	EventTypeReasoningEnd            EventType = "REASONING_END"
	EventTypeReasoningMessageStart   EventType = "REASONING_MESSAGE_START"
	EventTypeReasoningMessageContent EventType = "REASONING_MESSAGE_CONTENT"
	EventTypeReasoningMessageEnd     EventType = "REASONING_MESSAGE_END"
	EventTypeReasoningMessageChunk   EventType = "REASONING_MESSAGE_CHUNK"
	EventTypeReasoningEncryptedValue EventType = "REASONING_ENCRYPTED_VALUE"

	EventTypeSubagentStarted  EventType = "SUBAGENT_STARTED"
	EventTypeSubagentFinished EventType = "SUBAGENT_FINISHED"
	EventTypeSubagentError    EventType = "SUBAGENT_ERROR"
)

// EventTypes returns the 31 event types in the order of their families. The array is a copy and may
// be kept.
func EventTypes() [31]EventType {
	return [31]EventType{
		EventTypeRunStarted, EventTypeRunFinished, EventTypeRunError,
		EventTypeStepStarted, EventTypeStepFinished,
		EventTypeTextMessageStart, EventTypeTextMessageContent, EventTypeTextMessageEnd, EventTypeTextMessageChunk,
		EventTypeToolCallStart, EventTypeToolCallArgs, EventTypeToolCallEnd, EventTypeToolCallChunk, EventTypeToolCallResult,
		EventTypeStateSnapshot, EventTypeStateDelta, EventTypeMessagesSnapshot,
		EventTypeActivitySnapshot, EventTypeActivityDelta,
		EventTypeRaw, EventTypeCustom,
		EventTypeReasoningStart, EventTypeReasoningEnd,
		EventTypeReasoningMessageStart, EventTypeReasoningMessageContent, EventTypeReasoningMessageEnd,
		EventTypeReasoningMessageChunk, EventTypeReasoningEncryptedValue,
		EventTypeSubagentStarted, EventTypeSubagentFinished, EventTypeSubagentError,
	}
}

// Event is one AG-UI event: a pointer to one of the event structs of this package.
type Event interface {
	// Type returns the event's type.
	Type() EventType
	// Common returns the members every event may carry; changes to them change the event.
	Common() *Base
}

// Base holds the optional members common to all events. The zero value has none of them.
type Base struct {
	// Timestamp is Unix milliseconds by convention, at most 2^53-1 either way. It never decides
	// order: arrival does.
	Timestamp *int64 `json:"timestamp,omitempty"`

	// SubagentRunID names the subagent the event belongs to; nil is the parent agent. It must be
	// nil on RUN_STARTED, RUN_FINISHED, RUN_ERROR and MESSAGES_SNAPSHOT, where the protocol has no
	// such member, and on SUBAGENT_STARTED, SUBAGENT_FINISHED and SUBAGENT_ERROR, whose own field
	// of this name holds it. [Owner] reads either.
	SubagentRunID *string `json:"subagentRunId,omitempty"`

	// RawEvent is the provider's own event, verbatim: any JSON value except null.
	RawEvent json.RawMessage `json:"rawEvent,omitempty"`

	// Metadata is a JSON object, open by key; the key "ag-ui" is reserved.
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// Common returns b itself, so that structs embedding Base implement [Event].
func (b *Base) Common() *Base { return b }

// Owner returns the subagent ev belongs to. ok is false when it belongs to the parent agent or is
// of a type that has no owner.
func Owner(ev Event) (subagentRunID string, ok bool) {
	switch e := ev.(type) {
	case *SubagentStarted:
		return e.SubagentRunID, true
	case *SubagentFinished:
		return e.SubagentRunID, true
	case *SubagentError:
		return e.SubagentRunID, true
	}
	if tag := ev.Common().SubagentRunID; tag != nil {
		return *tag, true
	}
	return "", false
}

// New returns a zero event of type t, or nil when t is not an event type of AG-UI 1.0.
func New(t EventType) Event {
	switch t {
	case EventTypeRunStarted:
		return new(RunStarted)
	case EventTypeRunFinished:
		return new(RunFinished)
	case EventTypeRunError:
		return new(RunError)
	case EventTypeStepStarted:
		return new(StepStarted)
	case EventTypeStepFinished:
		return new(StepFinished)
	case EventTypeTextMessageStart:
		return new(TextMessageStart)
	case EventTypeTextMessageContent:
		return new(TextMessageContent)
	case EventTypeTextMessageEnd:
		return new(TextMessageEnd)
	case EventTypeTextMessageChunk:
		return new(TextMessageChunk)
	case EventTypeToolCallStart:
		return new(ToolCallStart)
	case EventTypeToolCallArgs:
		return new(ToolCallArgs)
	case EventTypeToolCallEnd:
		return new(ToolCallEnd)
	case EventTypeToolCallChunk:
		return new(ToolCallChunk)
	case EventTypeToolCallResult:
		return new(ToolCallResult)
	case EventTypeStateSnapshot:
		return new(StateSnapshot)
	case EventTypeStateDelta:
		return new(StateDelta)
	case EventTypeMessagesSnapshot:
		return new(MessagesSnapshot)
	case EventTypeActivitySnapshot:
		return new(ActivitySnapshot)
	case EventTypeActivityDelta:
		return new(ActivityDelta)
	case EventTypeRaw:
		return new(Raw)
	case EventTypeCustom:
		return new(Custom)
	case EventTypeReasoningStart:
		return new(ReasoningStart)
	case EventTypeReasoningEnd:
		return new(ReasoningEnd)
	case EventTypeReasoningMessageStart:
		return new(ReasoningMessageStart)
	case EventTypeReasoningMessageContent:
		return new(ReasoningMessageContent)
	case EventTypeReasoningMessageEnd:
		return new(ReasoningMessageEnd)
	case EventTypeReasoningMessageChunk:
		return new(ReasoningMessageChunk)
	case EventTypeReasoningEncryptedValue:
		return new(ReasoningEncryptedValue)
	case EventTypeSubagentStarted:
		return new(SubagentStarted)
	case EventTypeSubagentFinished:
		return new(SubagentFinished)
	case EventTypeSubagentError:
		return new(SubagentError)
	}
	return nil
}
