package agui

// The methods MarshalJSON of the events write an event with its member "type", which is no field,
// for hosts that keep or print events by encoding/json. What they write has the value of what
// package codec/event writes, which is faster and checks the event: these do not, except that JSON
// within it must be valid. They have value receivers, so that an event that is no pointer gets its
// type as well. The error comes from encoding/json.

// marshalEvent writes the event of type t. members is a struct that encodes as an object.
func marshalEvent(t EventType, members any) ([]byte, error) {
	dst := append(make([]byte, 0, 128), `{"type":"`...)
	dst = append(dst, t...)
	dst = append(dst, '"')
	at := len(dst)
	dst, err := encodeJSON(dst, members)
	if err != nil {
		return nil, err
	}
	if dst[at+1] == '}' {
		return append(dst[:at], '}'), nil
	}
	dst[at] = ','
	return dst, nil
}

// present returns list, or an empty one in place of nil, where the protocol needs a list.
func present[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// MarshalJSON writes the type and the members.
func (e RunStarted) MarshalJSON() ([]byte, error) {
	type members RunStarted
	return marshalEvent(EventTypeRunStarted, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e RunFinished) MarshalJSON() ([]byte, error) {
	type members RunFinished
	return marshalEvent(EventTypeRunFinished, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e RunError) MarshalJSON() ([]byte, error) {
	type members RunError
	return marshalEvent(EventTypeRunError, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e StepStarted) MarshalJSON() ([]byte, error) {
	type members StepStarted
	return marshalEvent(EventTypeStepStarted, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e StepFinished) MarshalJSON() ([]byte, error) {
	type members StepFinished
	return marshalEvent(EventTypeStepFinished, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e TextMessageStart) MarshalJSON() ([]byte, error) {
	type members TextMessageStart
	return marshalEvent(EventTypeTextMessageStart, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e TextMessageContent) MarshalJSON() ([]byte, error) {
	type members TextMessageContent
	return marshalEvent(EventTypeTextMessageContent, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e TextMessageEnd) MarshalJSON() ([]byte, error) {
	type members TextMessageEnd
	return marshalEvent(EventTypeTextMessageEnd, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e TextMessageChunk) MarshalJSON() ([]byte, error) {
	type members TextMessageChunk
	return marshalEvent(EventTypeTextMessageChunk, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ToolCallStart) MarshalJSON() ([]byte, error) {
	type members ToolCallStart
	return marshalEvent(EventTypeToolCallStart, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ToolCallArgs) MarshalJSON() ([]byte, error) {
	type members ToolCallArgs
	return marshalEvent(EventTypeToolCallArgs, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ToolCallEnd) MarshalJSON() ([]byte, error) {
	type members ToolCallEnd
	return marshalEvent(EventTypeToolCallEnd, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ToolCallChunk) MarshalJSON() ([]byte, error) {
	type members ToolCallChunk
	return marshalEvent(EventTypeToolCallChunk, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ToolCallResult) MarshalJSON() ([]byte, error) {
	type members ToolCallResult
	return marshalEvent(EventTypeToolCallResult, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e StateSnapshot) MarshalJSON() ([]byte, error) {
	type members StateSnapshot
	return marshalEvent(EventTypeStateSnapshot, (*members)(&e))
}

// MarshalJSON writes the type and the members; a nil Delta is an empty list.
func (e StateDelta) MarshalJSON() ([]byte, error) {
	type members StateDelta
	e.Delta = present(e.Delta)
	return marshalEvent(EventTypeStateDelta, (*members)(&e))
}

// MarshalJSON writes the type and the members; nil Messages are an empty list.
func (e MessagesSnapshot) MarshalJSON() ([]byte, error) {
	type members MessagesSnapshot
	e.Messages = present(e.Messages)
	return marshalEvent(EventTypeMessagesSnapshot, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ActivitySnapshot) MarshalJSON() ([]byte, error) {
	type members ActivitySnapshot
	return marshalEvent(EventTypeActivitySnapshot, (*members)(&e))
}

// MarshalJSON writes the type and the members; a nil Patch is an empty list.
func (e ActivityDelta) MarshalJSON() ([]byte, error) {
	type members ActivityDelta
	e.Patch = present(e.Patch)
	return marshalEvent(EventTypeActivityDelta, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e Raw) MarshalJSON() ([]byte, error) {
	type members Raw
	return marshalEvent(EventTypeRaw, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e Custom) MarshalJSON() ([]byte, error) {
	type members Custom
	return marshalEvent(EventTypeCustom, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ReasoningStart) MarshalJSON() ([]byte, error) {
	type members ReasoningStart
	return marshalEvent(EventTypeReasoningStart, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ReasoningEnd) MarshalJSON() ([]byte, error) {
	type members ReasoningEnd
	return marshalEvent(EventTypeReasoningEnd, (*members)(&e))
}

// MarshalJSON writes the type and the members; an absent Role is reasoning.
func (e ReasoningMessageStart) MarshalJSON() ([]byte, error) {
	type members ReasoningMessageStart
	if e.Role == "" {
		e.Role = RoleReasoning
	}
	return marshalEvent(EventTypeReasoningMessageStart, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ReasoningMessageContent) MarshalJSON() ([]byte, error) {
	type members ReasoningMessageContent
	return marshalEvent(EventTypeReasoningMessageContent, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ReasoningMessageEnd) MarshalJSON() ([]byte, error) {
	type members ReasoningMessageEnd
	return marshalEvent(EventTypeReasoningMessageEnd, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ReasoningMessageChunk) MarshalJSON() ([]byte, error) {
	type members ReasoningMessageChunk
	return marshalEvent(EventTypeReasoningMessageChunk, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e ReasoningEncryptedValue) MarshalJSON() ([]byte, error) {
	type members ReasoningEncryptedValue
	return marshalEvent(EventTypeReasoningEncryptedValue, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e SubagentStarted) MarshalJSON() ([]byte, error) {
	type members SubagentStarted
	return marshalEvent(EventTypeSubagentStarted, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e SubagentFinished) MarshalJSON() ([]byte, error) {
	type members SubagentFinished
	return marshalEvent(EventTypeSubagentFinished, (*members)(&e))
}

// MarshalJSON writes the type and the members.
func (e SubagentError) MarshalJSON() ([]byte, error) {
	type members SubagentError
	return marshalEvent(EventTypeSubagentError, (*members)(&e))
}

// MarshalJSON writes the members; nil Messages are an empty list.
func (in RunAgentInput) MarshalJSON() ([]byte, error) {
	type members RunAgentInput
	in.Messages = present(in.Messages)
	return encodeJSON(nil, (*members)(&in))
}
