package eventpb

import (
	"slices"

	"github.com/agloop/agloop/agui"
	"google.golang.org/protobuf/encoding/protowire"
)

// kind is what a field holds on the wire, and what stands for it in JSON.
type kind uint8

const (
	kindText     kind = iota // a string; "" is not written, and what is not there reads as ""
	kindOptional             // a string that may be absent
	kindTexts                // a list of strings
	kindBool                 // an optional bool
	kindInteger              // an optional int64
	kindValue                // a google.protobuf.Value: any JSON
	kindStruct               // a google.protobuf.Struct: a JSON object
	kindMessage              // a message
	kindList                 // a list of messages
	kindVerb                 // the enum of a patch operation, a string in JSON
	kindPlain                // the content of a message, when it is a string
	kindParts                // the same, when it is a list of parts
	kindObject               // the same, when it is an object
)

// field is one field of a message and the member of JSON that it stands for. Of a name with a dot
// the part before it is an object of the JSON that the wire does not have.
type field struct {
	number  protowire.Number
	name    string
	kind    kind
	message *message
	// always is a list that is written to JSON even when it is empty.
	always bool
}

// message is a message of the wire, in the order of its field numbers; or one that holds one of
// several others, which JSON tells apart by the member "type".
type message struct {
	fields []field
	union  []variant
	// outer is the object in JSON whose members stand among the fields here, named outer.member.
	outer string
	// open is true where JSON may have any member, so none may stand for an unknown field.
	open bool
}

type variant struct {
	name    string
	number  protowire.Number
	message *message
}

// shape is an event: its field of the envelope, its number in the enum of types, and its own fields.
type shape struct {
	event agui.EventType
	arm   protowire.Number
	enum  uint64
	message
	// frequent is an event of strings alone, of those that a stream consists of.
	frequent bool
	subagent int // the index of the field subagent_run_id of a frequent event
}

// maxFields is more than any message has.
const maxFields = 16

func text(number protowire.Number, name string) field {
	return field{number: number, name: name, kind: kindText}
}

func optional(number protowire.Number, name string) field {
	return field{number: number, name: name, kind: kindOptional}
}

func of(kind kind, number protowire.Number, name string) field {
	return field{number: number, name: name, kind: kind}
}

func nested(number protowire.Number, name string, m *message) field {
	return field{number: number, name: name, kind: kindMessage, message: m}
}

func list(number protowire.Number, name string, m *message) field {
	return field{number: number, name: name, kind: kindList, message: m}
}

func always(f field) field {
	f.always = true
	return f
}

func newMessage(fields ...field) *message { return &message{fields: fields} }

var (
	sourceMessage = &message{union: []variant{
		{"data", 1, newMessage(text(1, "value"), text(2, "mimeType"))},
		{"url", 2, newMessage(text(1, "value"), optional(2, "mimeType"))},
		{"file", 3, newMessage(text(1, "value"), optional(2, "provider"), optional(3, "mimeType"))},
	}}

	mediaMessage = newMessage(nested(1, "source", sourceMessage), of(kindValue, 2, "metadata"), optional(3, "id"))

	partMessage = &message{union: []variant{
		{"text", 1, newMessage(text(1, "text"), optional(2, "id"), of(kindValue, 3, "metadata"))},
		{"image", 2, mediaMessage},
		{"audio", 3, mediaMessage},
		{"video", 4, mediaMessage},
		{"document", 5, mediaMessage},
	}}

	functionMessage = newMessage(text(1, "name"), text(2, "arguments"))

	callMessage = newMessage(text(1, "id"), text(2, "type"), nested(3, "function", functionMessage),
		of(kindStruct, 4, "metadata"), optional(5, "encryptedValue"))

	messageMessage = newMessage(text(1, "id"), text(2, "role"), of(kindPlain, 3, "content"), optional(4, "name"),
		list(5, "toolCalls", callMessage), optional(6, "toolCallId"), optional(7, "error"),
		field{number: 8, name: "content", kind: kindParts, message: partMessage},
		of(kindStruct, 9, "metadata"), optional(10, "subagentRunId"), optional(11, "encryptedValue"),
		optional(12, "activityType"), of(kindObject, 13, "content"))

	inputMessage = newMessage(text(1, "threadId"), text(2, "runId"), optional(3, "parentRunId"), of(kindValue, 4, "state"),
		always(list(5, "messages", messageMessage)),
		always(list(6, "tools", newMessage(text(1, "name"), text(2, "description"),
			of(kindValue, 3, "parameters"), of(kindStruct, 4, "metadata")))),
		always(list(7, "context", newMessage(text(1, "description"), text(2, "value")))),
		of(kindValue, 8, "forwardedProps"),
		always(list(9, "resume", newMessage(text(1, "interruptId"), text(2, "status"),
			of(kindValue, 3, "payload"), of(kindStruct, 4, "metadata")))),
		optional(10, "protocolVersion"))

	interruptMessage = newMessage(text(1, "id"), text(2, "reason"), optional(3, "message"), optional(4, "toolCallId"),
		of(kindValue, 5, "responseSchema"), optional(6, "expiresAt"), of(kindValue, 7, "metadata"), optional(8, "subagentRunId"))

	usageMessage = newMessage(optional(1, "provider"), optional(2, "model"),
		of(kindInteger, 3, "inputTokens"), of(kindInteger, 4, "outputTokens"), of(kindInteger, 5, "totalTokens"),
		of(kindInteger, 6, "reasoningTokens"), of(kindInteger, 7, "cachedInputTokens"), of(kindInteger, 8, "cacheWriteInputTokens"))

	patchMessage = &message{open: true, fields: []field{
		of(kindVerb, 1, "op"), text(2, "path"), optional(3, "from"), of(kindValue, 4, "value"),
	}}
)

// verbs are the values of the enum of patch operations.
var verbs = [...]string{"add", "remove", "replace", "move", "copy", "test"}

const (
	subagent = "subagentRunId"
	callID   = "toolCallId"
	msgID    = "messageId"
)

// baseFields are those of the message that every event begins with, behind its type.
var baseFields = commonFields[:commonCount-1]

// commonFields are those and the type.
var commonFields = [commonCount]field{
	of(kindInteger, 2, "timestamp"), of(kindValue, 3, "rawEvent"), of(kindStruct, 4, "metadata"), {name: "type"},
}

const commonCount = 4

const (
	baseNumber protowire.Number = 1 // of the base, in every event
	typeNumber protowire.Number = 1 // of the type, in the base
	timeNumber protowire.Number = 2 // of the time, in the base
)

// shapes are the events in the order of their fields in the envelope, from 1 on.
var shapes = func() []shape {
	outcome := func(e agui.EventType, arm protowire.Number, enum uint64, fields ...field) shape {
		return shape{event: e, arm: arm, enum: enum, message: message{fields: fields, outer: "outcome"}}
	}
	event := func(e agui.EventType, arm protowire.Number, enum uint64, fields ...field) shape {
		return shape{event: e, arm: arm, enum: enum, message: message{fields: fields}}
	}
	frequent := func(e agui.EventType, arm protowire.Number, enum uint64, fields ...field) shape {
		sub := slices.IndexFunc(fields, func(f field) bool { return f.name == subagent })
		return shape{event: e, arm: arm, enum: enum, message: message{fields: fields}, frequent: true, subagent: sub}
	}
	return []shape{
		frequent(agui.EventTypeTextMessageStart, 1, 0, text(2, msgID), optional(3, "role"), optional(4, "name"), optional(5, subagent)),
		frequent(agui.EventTypeTextMessageContent, 2, 1, text(2, msgID), text(3, "delta"), optional(4, subagent)),
		frequent(agui.EventTypeTextMessageEnd, 3, 2, text(2, msgID), optional(3, subagent)),
		frequent(agui.EventTypeToolCallStart, 4, 3, text(2, callID), text(3, "toolCallName"), optional(4, "parentMessageId"), optional(5, subagent)),
		frequent(agui.EventTypeToolCallArgs, 5, 4, text(2, callID), text(3, "delta"), optional(4, subagent)),
		frequent(agui.EventTypeToolCallEnd, 6, 5, text(2, callID), optional(3, subagent)),
		event(agui.EventTypeStateSnapshot, 7, 6, of(kindValue, 2, "snapshot"), optional(3, subagent)),
		event(agui.EventTypeStateDelta, 8, 7, always(list(2, "delta", patchMessage)), optional(3, subagent)),
		event(agui.EventTypeMessagesSnapshot, 9, 8, always(list(2, "messages", messageMessage))),
		event(agui.EventTypeRaw, 10, 9, of(kindValue, 2, "event"), optional(3, "source"), optional(4, subagent)),
		event(agui.EventTypeCustom, 11, 10, text(2, "name"), of(kindValue, 3, "value"), optional(4, subagent)),
		event(agui.EventTypeRunStarted, 12, 11, text(2, "threadId"), text(3, "runId"), optional(4, "parentRunId"),
			nested(5, "input", inputMessage), optional(6, "protocolVersion")),
		outcome(agui.EventTypeRunFinished, 13, 12, text(2, "threadId"), text(3, "runId"), of(kindValue, 4, "result"),
			text(5, "outcome.type"), list(6, "outcome.interrupts", interruptMessage), list(7, "usage", usageMessage),
			of(kindTexts, 8, "outcome.pendingToolCallIds")),
		event(agui.EventTypeRunError, 14, 13, optional(2, "code"), text(3, "message"), list(4, "usage", usageMessage)),
		event(agui.EventTypeStepStarted, 15, 14, text(2, "stepName"), optional(3, subagent)),
		event(agui.EventTypeStepFinished, 16, 15, text(2, "stepName"), optional(3, subagent)),
		frequent(agui.EventTypeTextMessageChunk, 17, 19, optional(2, msgID), optional(3, "role"), optional(4, "delta"),
			optional(5, "name"), optional(6, subagent)),
		frequent(agui.EventTypeToolCallChunk, 18, 20, optional(2, callID), optional(3, "toolCallName"),
			optional(4, "parentMessageId"), optional(5, "delta"), optional(6, subagent)),
		event(agui.EventTypeSubagentStarted, 19, 16, text(2, subagent), text(3, "name"), optional(4, "description"),
			optional(5, "parentSubagentRunId"), optional(6, "parentToolCallId"), optional(7, "parentMessageId")),
		outcome(agui.EventTypeSubagentFinished, 20, 17, text(2, subagent), of(kindValue, 3, "result"),
			text(4, "outcome.type"), of(kindTexts, 5, "outcome.interruptIds")),
		event(agui.EventTypeSubagentError, 21, 18, text(2, subagent), text(3, "message"), optional(4, "code")),
		event(agui.EventTypeToolCallResult, 22, 21, optional(2, subagent), text(3, msgID), text(4, callID),
			of(kindPlain, 5, "content"), optional(6, "role"), field{number: 7, name: "content", kind: kindParts, message: partMessage}),
		event(agui.EventTypeActivitySnapshot, 23, 22, optional(2, subagent), text(3, msgID), text(4, "activityType"),
			of(kindStruct, 5, "content"), of(kindBool, 6, "replace")),
		event(agui.EventTypeActivityDelta, 24, 23, optional(2, subagent), text(3, msgID), text(4, "activityType"),
			always(list(5, "patch", patchMessage))),
		event(agui.EventTypeReasoningStart, 25, 24, optional(2, subagent), text(3, msgID)),
		frequent(agui.EventTypeReasoningMessageStart, 26, 25, optional(2, subagent), text(3, msgID), text(4, "role")),
		frequent(agui.EventTypeReasoningMessageContent, 27, 26, optional(2, subagent), text(3, msgID), text(4, "delta")),
		frequent(agui.EventTypeReasoningMessageEnd, 28, 27, optional(2, subagent), text(3, msgID)),
		frequent(agui.EventTypeReasoningMessageChunk, 29, 28, optional(2, subagent), optional(3, msgID), optional(4, "delta")),
		event(agui.EventTypeReasoningEnd, 30, 29, optional(2, subagent), text(3, msgID)),
		event(agui.EventTypeReasoningEncryptedValue, 31, 30, optional(2, subagent), text(3, "subtype"), text(4, "entityId"),
			text(5, "encryptedValue")),
	}
}()

// shapeOf holds the shapes by their type.
var shapeOf = func() map[string]*shape {
	m := make(map[string]*shape, len(shapes))
	for i := range shapes {
		m[string(shapes[i].event)] = &shapes[i]
	}
	return m
}()
