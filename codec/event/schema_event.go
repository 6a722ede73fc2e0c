package event

import "github.com/agloop/agloop/agui"

// The places of the members common to all events. An event's own members follow from schemaOwn on.
// Events without an owner do not have schemaTag, and their own members begin there.
const (
	schemaType = iota
	schemaTime
	schemaRaw
	schemaMeta
	schemaTag
	schemaOwn
	schemaMembers = 12 // more than any event has
)

// schemaShape is an event type with its schema.
type schemaShape struct {
	event  agui.EventType
	object *schemaObject
}

func schemaCommon(own ...schemaField) *schemaObject {
	return schemaOf(append([]schemaField{
		mustField(plainField("type", schemaString)),
		plainField("timestamp", schemaInteger),
		retiredField(plainField("rawEvent", schemaData)),
		plainField("metadata", schemaOpen),
	}, own...)...)
}

func schemaOwned(own ...schemaField) *schemaObject {
	return schemaCommon(append([]schemaField{plainField("subagentRunId", schemaString)}, own...)...)
}

func schemaSubagent(own ...schemaField) *schemaObject {
	return schemaCommon(append([]schemaField{mustField(plainField("subagentRunId", schemaString))}, own...)...)
}

// schemaEvents holds the shape of every event by its type.
var schemaEvents = func() map[string]*schemaShape {
	str := func(name string) schemaField { return plainField(name, schemaString) }
	textRole := setField("role", "developer", "system", "assistant", "user")
	messageID := mustField(str("messageId"))
	callID := mustField(str("toolCallId"))
	delta := mustField(str("delta"))
	usage := listField("usage", schemaUsage)
	result := plainField("result", schemaData)
	parent := str("parentMessageId")

	shapes := map[agui.EventType]*schemaObject{
		agui.EventTypeRunStarted: schemaCommon(mustField(str("threadId")), mustField(str("runId")),
			str("protocolVersion"), str("parentRunId"), objectField("input", schemaInput)),
		agui.EventTypeRunFinished: schemaCommon(mustField(str("threadId")), mustField(str("runId")),
			retiredField(result), retiredField(unionField("outcome", schemaOutcome)), usage),
		agui.EventTypeRunError: schemaCommon(mustField(str("message")), str("code"), usage),

		agui.EventTypeStepStarted:  schemaOwned(mustField(str("stepName"))),
		agui.EventTypeStepFinished: schemaOwned(mustField(str("stepName"))),

		agui.EventTypeTextMessageStart:   schemaOwned(messageID, textRole, str("name")),
		agui.EventTypeTextMessageContent: schemaOwned(messageID, delta),
		agui.EventTypeTextMessageEnd:     schemaOwned(messageID),
		agui.EventTypeTextMessageChunk:   schemaOwned(str("messageId"), textRole, str("delta"), str("name")),

		agui.EventTypeToolCallStart: schemaOwned(callID, mustField(str("toolCallName")), retiredField(parent)),
		agui.EventTypeToolCallArgs:  schemaOwned(callID, delta),
		agui.EventTypeToolCallEnd:   schemaOwned(callID),
		agui.EventTypeToolCallChunk: schemaOwned(str("toolCallId"), str("toolCallName"), retiredField(parent), str("delta")),
		agui.EventTypeToolCallResult: schemaOwned(messageID, callID,
			mustField(contentField(schemaParts(false))), fixedField("role", "tool")),

		agui.EventTypeStateSnapshot:    schemaOwned(mustField(plainField("snapshot", schemaAny))),
		agui.EventTypeStateDelta:       schemaOwned(mustField(schemaPatch("delta"))),
		agui.EventTypeMessagesSnapshot: schemaCommon(mustField(listField("messages", schemaMessage))),

		agui.EventTypeActivitySnapshot: schemaOwned(messageID, mustField(str("activityType")),
			mustField(plainField("content", schemaOpen)), plainField("replace", schemaBool)),
		agui.EventTypeActivityDelta: schemaOwned(messageID, mustField(str("activityType")), mustField(schemaPatch("patch"))),

		agui.EventTypeRaw:    schemaOwned(mustField(plainField("event", schemaAny)), str("source")),
		agui.EventTypeCustom: schemaOwned(mustField(str("name")), mustField(plainField("value", schemaAny))),

		agui.EventTypeReasoningStart:          schemaOwned(messageID),
		agui.EventTypeReasoningEnd:            schemaOwned(messageID),
		agui.EventTypeReasoningMessageStart:   schemaOwned(messageID, mustField(fixedField("role", "reasoning"))),
		agui.EventTypeReasoningMessageContent: schemaOwned(messageID, delta),
		agui.EventTypeReasoningMessageEnd:     schemaOwned(messageID),
		agui.EventTypeReasoningMessageChunk:   schemaOwned(str("messageId"), str("delta")),
		agui.EventTypeReasoningEncryptedValue: schemaOwned(mustField(setField("subtype", "tool-call", "message")),
			mustField(str("entityId")), mustField(str("encryptedValue"))),

		agui.EventTypeSubagentStarted: schemaSubagent(mustField(str("name")), str("description"),
			str("parentSubagentRunId"), str("parentToolCallId"), parent),
		agui.EventTypeSubagentFinished: schemaSubagent(retiredField(result), unionField("outcome", schemaSubagentOutcome)),
		agui.EventTypeSubagentError:    schemaSubagent(mustField(str("message")), str("code")),
	}
	events := make(map[string]*schemaShape, len(shapes))
	for event, object := range shapes {
		events[string(event)] = &schemaShape{event, object}
	}
	return events
}()
