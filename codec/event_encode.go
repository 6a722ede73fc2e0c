package codec

import (
	"strconv"
	"sync"

	"github.com/agloop/agloop/agui"
	"github.com/bytedance/sonic/encoder"
)

// eventWalks lends walks to functions that belong to no stream.
var eventWalks = sync.Pool{New: func() any { return new(schemaWalk) }}

// AppendEvent appends ev in its wire form to dst. It judges the event as a reader
// would, and stricter: whatever a reader would strip, drop or refuse is a
// [*FieldError], and dst is then returned as it was. Its spare capacity may have
// been written to. ev is only read.
func AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	start := len(dst)
	out, err := eventAppend(dst, ev)
	if err != nil {
		return dst[:start], err
	}
	return out, nil
}

func eventAppend(dst []byte, ev agui.Event) ([]byte, error) {
	a := eventAppender{dst: dst}
	switch e := ev.(type) {
	case nil:
		return dst, &FieldError{Reason: "no event"}
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
		a.optional(`,"messageId":"`, e.MessageID)
		a.speaker(e.Role)
		a.optional(`,"delta":"`, e.Delta)
		a.optional(`,"name":"`, e.Name)
	case *agui.ToolCallChunk:
		a.open(`{"type":"TOOL_CALL_CHUNK"`, &e.Base)
		a.optional(`,"toolCallId":"`, e.ToolCallID)
		a.optional(`,"toolCallName":"`, e.ToolCallName)
		a.optional(`,"parentMessageId":"`, e.ParentMessageID)
		a.optional(`,"delta":"`, e.Delta)
	case *agui.ReasoningMessageChunk:
		a.open(`{"type":"REASONING_MESSAGE_CHUNK"`, &e.Base)
		a.optional(`,"messageId":"`, e.MessageID)
		a.optional(`,"delta":"`, e.Delta)
	case *agui.TextMessageStart:
		a.open(`{"type":"TEXT_MESSAGE_START"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
		a.speaker(e.Role)
		a.optional(`,"name":"`, e.Name)
	case *agui.TextMessageEnd:
		a.open(`{"type":"TEXT_MESSAGE_END"`, &e.Base)
		a.text(`,"messageId":"`, e.MessageID)
	case *agui.ToolCallStart:
		a.open(`{"type":"TOOL_CALL_START"`, &e.Base)
		a.text(`,"toolCallId":"`, e.ToolCallID)
		a.text(`,"toolCallName":"`, e.ToolCallName)
		a.optional(`,"parentMessageId":"`, e.ParentMessageID)
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
		a.raw(`,"snapshot":"`, e.Snapshot, schemaAny)
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
		a.raw(`,"value":"`, e.Value, schemaAny)
	case *agui.StepStarted:
		a.open(`{"type":"STEP_STARTED"`, &e.Base)
		a.text(`,"stepName":"`, e.StepName)
	case *agui.StepFinished:
		a.open(`{"type":"STEP_FINISHED"`, &e.Base)
		a.text(`,"stepName":"`, e.StepName)
	default:
		return eventAppendJudged(dst, ev)
	}
	if a.reason != "" {
		return dst, &FieldError{Event: string(ev.Type()), Field: a.field, Reason: a.reason}
	}
	return append(a.dst, '}'), nil
}

// eventAppendJudged encodes by sonic and judges what came out.
func eventAppendJudged(dst []byte, ev agui.Event) ([]byte, error) {
	name := string(ev.Type())
	shape := schemaEvents[name]
	if shape == nil {
		return dst, &FieldError{Event: name, Reason: "not an event type"}
	}
	switch ev.(type) {
	case *agui.SubagentStarted, *agui.SubagentFinished, *agui.SubagentError:
		// The field of Base hides behind the event's own and would vanish in silence.
		if ev.Common().SubagentRunID != nil {
			return dst, &FieldError{Event: name, Field: "subagentRunId", Reason: "set in Base, where this event does not keep it"}
		}
	}
	start := len(dst)
	dst = append(dst, `{"type":"`...)
	dst = append(dst, name...)
	dst = append(dst, '"')
	at := len(dst)
	dst, err := eventEncode(dst, ev)
	if err != nil {
		return dst, &FieldError{Event: name, Reason: "cannot be encoded: " + err.Error()}
	}
	// The members follow the type in the same object.
	if len(dst) < at+2 || dst[at] != '{' {
		return dst, &FieldError{Event: name, Reason: "not encoded as an object"}
	}
	if dst[at+1] == '}' {
		dst = append(dst[:at], '}')
	} else {
		dst[at] = ','
	}
	w := eventWalks.Get().(*schemaWalk)
	defer eventWalks.Put(w)
	defer w.release()
	w.reset(dst[start:], true)
	w.event = name
	w.peek()
	if w.object(shape.object, true) == schemaFatal || !w.finish() {
		return dst, w.error()
	}
	return dst, nil
}

func eventEncode(dst []byte, v any) ([]byte, error) {
	err := encoder.EncodeInto(&dst, v, encoder.NoNullSliceOrMap|encoder.NoEncoderNewline)
	return dst, err
}

// AppendRunAgentInput appends in as JSON to dst, with the guarantees of [AppendEvent].
func AppendRunAgentInput(dst []byte, in *agui.RunAgentInput) ([]byte, error) {
	if in == nil {
		return dst, &FieldError{Event: eventInputName, Reason: "no input"}
	}
	start := len(dst)
	out, err := eventEncode(dst, in)
	if err != nil {
		return dst[:start], &FieldError{Event: eventInputName, Reason: "cannot be encoded: " + err.Error()}
	}
	w := eventWalks.Get().(*schemaWalk)
	defer eventWalks.Put(w)
	defer w.release()
	if w.judgeInput(out[start:], true); w.reason != "" {
		return dst[:start], w.error()
	}
	return out, nil
}

// eventAppender writes an event member by member. The first failure stays in
// reason and field, and the bytes are then worth nothing.
type eventAppender struct {
	dst    []byte
	field  string
	reason string
}

// fail takes the member as written, `,"name":"`.
func (a *eventAppender) fail(member, reason string) {
	if a.reason == "" {
		a.field, a.reason = member[2:len(member)-3], reason
	}
}

func (a *eventAppender) open(head string, b *agui.Base) {
	a.dst = append(a.dst, head...)
	if b.Timestamp != nil || b.SubagentRunID != nil || len(b.RawEvent) > 0 || len(b.Metadata) > 0 {
		a.base(b)
	}
}

func (a *eventAppender) base(b *agui.Base) {
	if b.Timestamp != nil {
		const member = `,"timestamp":"`
		if t := *b.Timestamp; t > schemaMaxInteger || t < -schemaMaxInteger {
			a.fail(member, "beyond the safe integers")
		}
		a.dst = append(a.dst, member[:len(member)-1]...)
		a.dst = strconv.AppendInt(a.dst, *b.Timestamp, 10)
	}
	a.optional(`,"subagentRunId":"`, b.SubagentRunID)
	if len(b.RawEvent) > 0 {
		a.raw(`,"rawEvent":"`, b.RawEvent, schemaData)
	}
	if len(b.Metadata) > 0 {
		a.raw(`,"metadata":"`, b.Metadata, schemaOpen)
	}
}

func (a *eventAppender) text(member, s string) {
	a.dst = append(a.dst, member...)
	var ok bool
	if a.dst, ok = eventAppendText(a.dst, s); !ok {
		a.fail(member, "a string is not valid UTF-8")
	}
	a.dst = append(a.dst, '"')
}

func (a *eventAppender) optional(member string, s *string) {
	if s != nil {
		a.text(member, *s)
	}
}

func (a *eventAppender) speaker(r agui.Role) {
	const member = `,"role":"`
	switch r {
	case "":
		return
	case agui.RoleDeveloper, agui.RoleSystem, agui.RoleAssistant, agui.RoleUser:
		a.dst = append(a.dst, member...)
		a.dst = append(a.dst, r...)
		a.dst = append(a.dst, '"')
	default:
		a.fail(member, "must be developer or system or assistant or user")
	}
}

// raw appends a member of the event whose value is JSON.
func (a *eventAppender) raw(member string, raw []byte, kind schemaKind) {
	a.dst = append(a.dst, member[:len(member)-1]...)
	if reason := a.json(raw, kind, 1); reason != "" {
		a.fail(member, reason)
	}
}

// json appends a value inside of depth containers, or returns what is wrong with it.
func (a *eventAppender) json(raw []byte, kind schemaKind, depth int) (reason string) {
	if len(raw) == 0 {
		return "required but missing"
	}
	w := eventWalks.Get().(*schemaWalk)
	w.reset(raw, true)
	w.depth = depth
	if w.value(&schemaField{kind: kind}) == schemaFatal || !w.finish() {
		reason = w.reason
	}
	w.release()
	eventWalks.Put(w)
	a.dst = append(a.dst, raw...)
	return reason
}
