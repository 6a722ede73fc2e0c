package eventpb

import (
	"strconv"
	"unicode/utf8"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"google.golang.org/protobuf/encoding/protowire"
)

// Decoder decodes the events of one stream. The zero value is ready. It keeps a buffer. Only one
// goroutine may use a Decoder at a time, and it must not be copied after first use.
type Decoder struct {
	// Limits are those of [event.Decoder].
	Limits event.Limits

	json   event.Decoder
	text   []byte // the JSON of an event, between two calls for its room
	lastID string // most events name the same message as the one before
}

// keptText is the largest buffer that a Decoder keeps.
const keptText = 64 << 10

// DecodeEvent decodes one event. What is no protobuf, has no event or more than one, or carries
// what its type or role does not use, is an error. What is left is judged by
// [event.Decoder.DecodeEvent] as its JSON is, with the same notes. Of an envelope that has only
// fields nobody knows the event is dropped (ev and err are nil); other unknown fields are stripped.
// Both have a note that names the field by its number, as in "#40" or "messages[2].#14".
//
// data is borrowed: nothing returned points into it. The error is a [*event.FieldError] and fatal to
// the run.
func (d *Decoder) DecodeEvent(data []byte) (ev agui.Event, notes []event.Note, err error) {
	if ev := d.frequent(data); ev != nil {
		return ev, nil, nil
	}
	w := textWriter{dst: d.text[:0]}
	shape, body := w.envelope(data)
	if shape != nil {
		w.event(shape, body)
	}
	if cap(w.dst) <= keptText {
		d.text = w.dst
	}
	switch {
	case w.reason != "":
		return nil, nil, &event.FieldError{Event: w.name, Reason: w.reason}
	case shape == nil:
		return nil, []event.Note{{Kind: event.NoteDropped, Event: w.name}}, nil
	}
	d.json.Limits = d.Limits
	ev, notes, err = d.json.DecodeEvent(w.dst)
	if err == nil && w.kindless != "" {
		notes = append(notes, event.Note{Kind: event.NoteStripped, Event: w.name, Path: w.kindless})
	}
	return ev, notes, err
}

// envelope returns the event in the envelope and its fields; no shape where that is unknown.
func (w *textWriter) envelope(data []byte) (found *shape, body []byte) {
	var unknown protowire.Number // that may be an event of a later version
	var arm merged
	for len(data) > 0 {
		f, ok := w.next(&data)
		if !ok {
			return nil, nil
		}
		switch {
		case f.number <= protowire.Number(len(shapes)) && f.typ != protowire.BytesType:
			w.fail("the field of an event is no message")
		case f.number <= protowire.Number(len(shapes)):
			is := &shapes[f.number-1]
			if found != nil && found != is {
				w.fail("more than one event")
			}
			found = is
			arm.add(f.payload, true)
		case f.typ == protowire.BytesType && unknown == 0 && isMessage(f.payload):
			unknown = f.number
		}
	}
	switch {
	case w.reason != "":
		return nil, nil
	case found != nil:
		w.name = string(found.event)
		return found, arm.payload
	case unknown == 0:
		w.fail("no event")
		return nil, nil
	}
	w.name = "#" + strconv.Itoa(int(unknown))
	return nil, nil
}

// isMessage reports whether data are the fields of a message.
func isMessage(data []byte) bool {
	for len(data) > 0 {
		_, _, n := protowire.ConsumeField(data)
		if n < 0 {
			return false
		}
		data = data[n:]
	}
	return true
}

// quickFields is how many fields of its own a frequent event has at most.
const quickFields = 5

// frequent decodes an event of those that a stream consists of, or returns nil: for others, and where
// anything is unusual.
func (d *Decoder) frequent(data []byte) agui.Event {
	arm, typ, n := protowire.ConsumeTag(data)
	if n < 0 || typ != protowire.BytesType || int(arm) > len(shapes) || !shapes[arm-1].frequent {
		return nil
	}
	shape := &shapes[arm-1]
	body, m := protowire.ConsumeBytes(data[n:])
	if m < 0 || n+m != len(data) {
		return nil
	}
	var base agui.Base
	var based bool
	var own [quickFields][]byte
	for len(body) > 0 {
		number, typ, n := protowire.ConsumeTag(body)
		if n < 0 || typ != protowire.BytesType {
			return nil
		}
		value, m := protowire.ConsumeBytes(body[n:])
		if m < 0 {
			return nil
		}
		body = body[n+m:]
		if number == baseNumber {
			if based || !frequentBase(value, shape.enum, &base) {
				return nil
			}
			based = true
			continue
		}
		i := shape.find(number, protowire.BytesType)
		if i < 0 || own[i] != nil || !utf8.Valid(value) {
			return nil
		}
		own[i] = value
	}
	if !based {
		return nil
	}
	return d.build(shape, &base, &own)
}

// frequentBase reads a base that has nothing but the right type and a time.
func frequentBase(data []byte, enum uint64, base *agui.Base) bool {
	var got uint64
	for len(data) > 0 {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 || typ != protowire.VarintType {
			return false
		}
		v, m := protowire.ConsumeVarint(data[n:])
		if m < 0 {
			return false
		}
		data = data[n+m:]
		switch {
		case number == typeNumber:
			got = v
		case number == timeNumber && int64(v) <= maxInteger && int64(v) >= -maxInteger:
			base.Timestamp = new(int64(v))
		default:
			return false
		}
	}
	return got == enum
}

// maxInteger is how large an integer of the protocol may be, either way.
const maxInteger = 1<<53 - 1

// build makes a frequent event of its fields in the order of the table, or returns nil where one
// has a value that needs a closer look.
func (d *Decoder) build(shape *shape, base *agui.Base, own *[quickFields][]byte) agui.Event {
	base.SubagentRunID = optionalOf(own[shape.subagent])
	switch shape.event {
	case agui.EventTypeTextMessageContent:
		return &agui.TextMessageContent{Base: *base, MessageID: d.id(own[0]), Delta: string(own[1])}
	case agui.EventTypeToolCallArgs:
		return &agui.ToolCallArgs{Base: *base, ToolCallID: d.id(own[0]), Delta: string(own[1])}
	case agui.EventTypeReasoningMessageContent:
		return &agui.ReasoningMessageContent{Base: *base, MessageID: d.id(own[1]), Delta: string(own[2])}
	case agui.EventTypeTextMessageStart:
		role, ok := textRole(own[1])
		if !ok {
			return nil
		}
		return &agui.TextMessageStart{Base: *base, MessageID: d.id(own[0]), Role: role, Name: optionalOf(own[2])}
	case agui.EventTypeTextMessageEnd:
		return &agui.TextMessageEnd{Base: *base, MessageID: d.id(own[0])}
	case agui.EventTypeTextMessageChunk:
		role, ok := textRole(own[1])
		if !ok {
			return nil
		}
		return &agui.TextMessageChunk{
			Base: *base, MessageID: optionalOf(own[0]), Role: role, Delta: optionalOf(own[2]), Name: optionalOf(own[3]),
		}
	case agui.EventTypeToolCallStart:
		return &agui.ToolCallStart{
			Base: *base, ToolCallID: d.id(own[0]), ToolCallName: string(own[1]), ParentMessageID: optionalOf(own[2]),
		}
	case agui.EventTypeToolCallEnd:
		return &agui.ToolCallEnd{Base: *base, ToolCallID: d.id(own[0])}
	case agui.EventTypeToolCallChunk:
		return &agui.ToolCallChunk{
			Base: *base, ToolCallID: optionalOf(own[0]), ToolCallName: optionalOf(own[1]),
			ParentMessageID: optionalOf(own[2]), Delta: optionalOf(own[3]),
		}
	case agui.EventTypeReasoningMessageStart:
		if string(own[2]) != string(agui.RoleReasoning) {
			return nil
		}
		return &agui.ReasoningMessageStart{Base: *base, MessageID: d.id(own[1]), Role: agui.RoleReasoning}
	case agui.EventTypeReasoningMessageEnd:
		return &agui.ReasoningMessageEnd{Base: *base, MessageID: d.id(own[1])}
	case agui.EventTypeReasoningMessageChunk:
		return &agui.ReasoningMessageChunk{Base: *base, MessageID: optionalOf(own[1]), Delta: optionalOf(own[2])}
	}
	return nil
}

// textRole is the role of a text message without allocating for it.
func textRole(b []byte) (role agui.Role, ok bool) {
	for _, role := range textRoles {
		if string(b) == string(role) {
			return role, true
		}
	}
	return "", b == nil
}

var textRoles = [...]agui.Role{agui.RoleAssistant, agui.RoleUser, agui.RoleSystem, agui.RoleDeveloper}

func optionalOf(b []byte) *string {
	if b == nil {
		return nil
	}
	return new(string(b))
}

// id is an identifier: the string of the event before if that is equal, to save an allocation.
func (d *Decoder) id(b []byte) string {
	if string(b) != d.lastID {
		d.lastID = string(b)
	}
	return d.lastID
}
