package event

import (
	"reflect"
	"strconv"
	"sync"

	"github.com/agloop/agloop/agui"
)

// walks are reused by functions that have no Decoder.
var walks = sync.Pool{New: func() any { return new(schemaWalk) }}

// The reasons why an event must not name a subagent in its Base.
const (
	noTag = "no such member here"
	// The event has a field of the same name, which hides that of Base, so it would be lost
	// unnoticed.
	hiddenTag = "set in Base, where this event does not keep it"
)

// Append appends the JSON of ev to dst. Whatever a reader would strip, drop or refuse is a
// [*FieldError]; then dst is returned as it was, though its spare capacity may have been written
// to. ev is not changed. The limits are the defaults of [Limits].
func Append(dst []byte, ev agui.Event) ([]byte, error) { return appendEvent(dst, ev, Limits{}) }

func appendEvent(dst []byte, ev agui.Event, limits Limits) ([]byte, error) {
	if ev == nil {
		return dst, &FieldError{Reason: "no event"}
	}
	if isNil(ev) {
		return dst, &FieldError{Event: string(ev.Type()), Reason: "no event"}
	}
	a := appender{dst: dst, depth: 1, limits: limits}
	switch e := ev.(type) {
	case *agui.TextMessageContent:
		a.open(`{"type":"TEXT_MESSAGE_CONTENT"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
		a.text(`,"delta":"`, e.Delta)
	case *agui.ToolCallArgs:
		a.open(`{"type":"TOOL_CALL_ARGS"`, &e.Base)
		a.text(`,"toolCallId":"`, e.ToolCallID)
		a.text(`,"delta":"`, e.Delta)
	case *agui.ReasoningMessageContent:
		a.open(`{"type":"REASONING_MESSAGE_CONTENT"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
		a.text(`,"delta":"`, e.Delta)
	case *agui.TextMessageChunk:
		a.open(`{"type":"TEXT_MESSAGE_CHUNK"`, &e.Base)
		a.optionalText(`,"messageId":"`, e.MessageID)
		a.textRole(e.Role)
		a.optionalText(`,"delta":"`, e.Delta)
		a.optionalText(`,"name":"`, e.Name)
	case *agui.ToolCallChunk:
		a.open(`{"type":"TOOL_CALL_CHUNK"`, &e.Base)
		a.optionalText(`,"toolCallId":"`, e.ToolCallID)
		a.optionalText(`,"toolCallName":"`, e.ToolCallName)
		a.optionalText(`,"parentMessageId":"`, e.ParentMessageID)
		a.optionalText(`,"delta":"`, e.Delta)
	case *agui.ReasoningMessageChunk:
		a.open(`{"type":"REASONING_MESSAGE_CHUNK"`, &e.Base)
		a.optionalText(`,"messageId":"`, e.MessageID)
		a.optionalText(`,"delta":"`, e.Delta)
	case *agui.TextMessageStart:
		a.open(`{"type":"TEXT_MESSAGE_START"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
		a.textRole(e.Role)
		a.optionalText(`,"name":"`, e.Name)
	case *agui.TextMessageEnd:
		a.open(`{"type":"TEXT_MESSAGE_END"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
	case *agui.ToolCallStart:
		a.open(`{"type":"TOOL_CALL_START"`, &e.Base)
		a.text(`,"toolCallId":"`, e.ToolCallID)
		a.text(`,"toolCallName":"`, e.ToolCallName)
		a.optionalText(`,"parentMessageId":"`, e.ParentMessageID)
	case *agui.ToolCallEnd:
		a.open(`{"type":"TOOL_CALL_END"`, &e.Base)
		a.text(`,"toolCallId":"`, e.ToolCallID)
	case *agui.ReasoningMessageStart:
		a.open(`{"type":"REASONING_MESSAGE_START"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
		if e.Role != "" && e.Role != agui.RoleReasoning {
			a.fail(`,"role":"`, "must be reasoning")
		}
		a.dst = append(a.dst, `,"role":"reasoning"`...)
	case *agui.ReasoningMessageEnd:
		a.open(`{"type":"REASONING_MESSAGE_END"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
	case *agui.StateSnapshot:
		a.open(`{"type":"STATE_SNAPSHOT"`, &e.Base)
		a.raw(`,"snapshot":"`, e.Snapshot, &anyValue)
	case *agui.StateDelta:
		a.open(`{"type":"STATE_DELTA"`, &e.Base)
		a.patch(`,"delta":"`, e.Delta)
	case *agui.ActivityDelta:
		a.open(`{"type":"ACTIVITY_DELTA"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
		a.text(`,"activityType":"`, e.ActivityType)
		a.patch(`,"patch":"`, e.Patch)
	case *agui.Custom:
		a.open(`{"type":"CUSTOM"`, &e.Base)
		a.text(`,"name":"`, e.Name)
		a.raw(`,"value":"`, e.Value, &anyValue)
	case *agui.StepStarted:
		a.open(`{"type":"STEP_STARTED"`, &e.Base)
		a.text(`,"stepName":"`, e.StepName)
	case *agui.StepFinished:
		a.open(`{"type":"STEP_FINISHED"`, &e.Base)
		a.text(`,"stepName":"`, e.StepName)
	case *agui.RunStarted:
		a.openUntagged(`{"type":"RUN_STARTED"`, &e.Base, noTag)
		a.text(`,"threadId":"`, e.ThreadID)
		a.text(`,"runId":"`, e.RunID)
		a.optionalText(`,"protocolVersion":"`, e.ProtocolVersion)
		a.optionalText(`,"parentRunId":"`, e.ParentRunID)
		if e.Input != nil {
			start := a.beginObject(`,"input":"`)
			a.input(e.Input)
			a.endObject(`,"input":"`, start)
		}
	case *agui.RunFinished:
		a.openUntagged(`{"type":"RUN_FINISHED"`, &e.Base, noTag)
		a.text(`,"threadId":"`, e.ThreadID)
		a.text(`,"runId":"`, e.RunID)
		a.optionalRaw(`,"result":"`, e.Result, &dataValue)
		a.outcome(e.Outcome)
		a.usage(e.Usage)
	case *agui.RunError:
		a.openUntagged(`{"type":"RUN_ERROR"`, &e.Base, noTag)
		a.text(`,"message":"`, e.Message)
		a.optionalText(`,"code":"`, e.Code)
		a.usage(e.Usage)
	case *agui.ToolCallResult:
		a.open(`{"type":"TOOL_CALL_RESULT"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
		a.text(`,"toolCallId":"`, e.ToolCallID)
		a.content(&e.Content, &resultContent)
		if e.Role != "" {
			a.oneOf(`,"role":"`, string(e.Role), "tool")
		}
	case *agui.MessagesSnapshot:
		a.openUntagged(`{"type":"MESSAGES_SNAPSHOT"`, &e.Base, noTag)
		a.messages(e.Messages)
	case *agui.ActivitySnapshot:
		a.open(`{"type":"ACTIVITY_SNAPSHOT"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
		a.text(`,"activityType":"`, e.ActivityType)
		a.raw(`,"content":"`, e.Content, &openValue)
		if e.Replace != nil {
			a.name(`,"replace":"`)
			a.dst = strconv.AppendBool(a.dst, *e.Replace)
		}
	case *agui.Raw:
		a.open(`{"type":"RAW"`, &e.Base)
		a.raw(`,"event":"`, e.Event, &anyValue)
		a.optionalText(`,"source":"`, e.Source)
	case *agui.ReasoningStart:
		a.open(`{"type":"REASONING_START"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
	case *agui.ReasoningEnd:
		a.open(`{"type":"REASONING_END"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
	case *agui.ReasoningEncryptedValue:
		a.open(`{"type":"REASONING_ENCRYPTED_VALUE"`, &e.Base)
		a.oneOf(`,"subtype":"`, string(e.Subtype), "tool-call", "message")
		a.text(`,"entityId":"`, e.EntityID)
		a.text(`,"encryptedValue":"`, e.EncryptedValue)
	case *agui.SubagentStarted:
		a.openUntagged(`{"type":"SUBAGENT_STARTED"`, &e.Base, hiddenTag)
		a.text(`,"subagentRunId":"`, e.SubagentRunID)
		a.text(`,"name":"`, e.Name)
		a.optionalText(`,"description":"`, e.Description)
		a.optionalText(`,"parentSubagentRunId":"`, e.ParentSubagentRunID)
		a.optionalText(`,"parentToolCallId":"`, e.ParentToolCallID)
		a.optionalText(`,"parentMessageId":"`, e.ParentMessageID)
	case *agui.SubagentFinished:
		a.openUntagged(`{"type":"SUBAGENT_FINISHED"`, &e.Base, hiddenTag)
		a.text(`,"subagentRunId":"`, e.SubagentRunID)
		a.optionalRaw(`,"result":"`, e.Result, &dataValue)
		a.subagentOutcome(e.Outcome)
	case *agui.SubagentError:
		a.openUntagged(`{"type":"SUBAGENT_ERROR"`, &e.Base, hiddenTag)
		a.text(`,"subagentRunId":"`, e.SubagentRunID)
		a.text(`,"message":"`, e.Message)
		a.optionalText(`,"code":"`, e.Code)
	default:
		return dst, &FieldError{Event: string(ev.Type()), Reason: "not an event type"}
	}
	if a.reason != "" {
		return dst, &FieldError{Event: string(ev.Type()), Field: a.field, Reason: a.reason}
	}
	return append(a.dst, '}'), nil
}

// isNil reports whether ev, which is not nil itself, is a nil pointer.
func isNil(ev agui.Event) bool {
	v := reflect.ValueOf(ev)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
