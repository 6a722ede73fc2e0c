package event

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"sync"

	"github.com/agloop/agloop/agui"
	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/decoder"
)

// sonicJSON fills structs from documents that a schemaWalk has judged and
// cleaned, so its own laxness does not matter. Strings are copied one by one: a
// kept string must not pin the message it came in.
var sonicJSON = sonic.Config{CopyString: true}.Froze()

// Decoder decodes the events of one stream. The zero value is ready. It keeps
// the ids it minted for retired events, and buffers. Two goroutines may not use
// one at once, and it must not be copied after first use.
type Decoder struct {
	walk     schemaWalk
	thinking thinking
	lastID   string // most events name the same message as the one before
}

// DecodeEvent decodes one event. Retired forms are translated first, then the
// event is judged: an event of unknown type, or one with an unknown value where
// it cannot do without, is dropped (ev and err are nil); unknown members and
// elements are stripped; each with a note. Integers may be spelled with a
// fraction or an exponent, and of a member that stands twice the last counts.
//
// data is borrowed: nothing returned points into it. The error is a [*FieldError]
// and fatal to the run: a known member is malformed or missing, an array of
// patch operations has more than 1024, values nest deeper than 64 levels, or
// data is not one JSON object with a type.
func (d *Decoder) DecodeEvent(data []byte) (ev agui.Event, notes []Note, err error) {
	w := &d.walk
	w.reset(data, false)
	shape, verdict := d.judge()
	if verdict != schemaKeep {
		// Perhaps only because the first of two members of the same name was judged.
		if last, twice := dedup(data); twice {
			w.reset(last, false)
			shape, verdict = d.judge()
		}
	}
	switch verdict {
	case schemaFatal:
		err = w.error()
	case schemaKeep:
		ev, err = d.build(shape)
	}
	if err == nil {
		notes = w.notes
	}
	w.release()
	return ev, notes, err
}

// judge finds the shape of the document and walks it. A document whose event
// disappears has its note and is schemaUnknown.
func (d *Decoder) judge() (*schemaShape, schemaVerdict) {
	w := &d.walk
	tag, verdict := w.eventType()
	if verdict == schemaFatal {
		return nil, verdict
	}
	shape := schemaEvents[string(w.data[tag.start:tag.end])]
	if shape == nil {
		plain := w.string(tag)
		if shape = schemaEvents[plain]; shape == nil {
			if r, ok := retiredTypes[plain]; ok {
				return d.judgeRetired(plain, r)
			}
			return nil, w.drop(plain)
		}
	}
	w.event = string(shape.event)
	verdict = w.object(shape.object, true)
	if verdict == schemaFatal || !w.finish() {
		return nil, schemaFatal
	}
	if verdict == schemaUnknown {
		w.notes = append(w.notes[:0], Note{Kind: NoteDropped, Event: w.event})
	}
	return shape, verdict
}

func (d *Decoder) judgeRetired(plain string, r retired) (*schemaShape, schemaVerdict) {
	w := &d.walk
	data, err := d.thinking.translate(w.data, r)
	if err != nil {
		w.reason = err.Error()
		if field, ok := errors.AsType[*FieldError](err); ok {
			w.reason = field.Reason
		}
		return nil, schemaFatal
	}
	w.reset(data, false)
	w.notes = append(w.notes, Note{Kind: NoteTranslated, Event: plain})
	return d.judge()
}

// eventType reads the type of the event and leaves pos at the brace.
func (w *schemaWalk) eventType() (scanText, schemaVerdict) {
	if w.peek() != '{' {
		if w.jsonScan.skipValue() && w.finish() {
			w.fail("an event must be a JSON object")
		}
		return scanText{}, schemaFatal
	}
	tag, ok := w.lookup("type")
	if !ok {
		return tag, schemaFatal
	}
	if tag.start == tag.end {
		w.push("type", 0)
		return tag, w.fatal("must not be empty")
	}
	return tag, schemaKeep
}

// drop checks that a document of unknown type is JSON at all.
func (w *schemaWalk) drop(plain string) schemaVerdict {
	if !w.jsonScan.skipValue() || !w.finish() {
		return schemaFatal
	}
	if len(plain) > 64 {
		plain = strings.ToValidUTF8(plain[:64], "")
	}
	w.notes = append(w.notes, Note{Kind: NoteDropped, Event: strings.Clone(plain)})
	return schemaUnknown
}

// build makes the event from the document just judged. Where it takes members by
// their place, the edits need not be made: what they remove has no place.
func (d *Decoder) build(shape *schemaShape) (agui.Event, error) {
	w := &d.walk
	switch shape.event {
	case agui.EventTypeTextMessageContent:
		return &agui.TextMessageContent{Base: d.base(), MessageID: d.id(schemaOwn), Delta: d.str(schemaOwn + 1)}, nil
	case agui.EventTypeToolCallArgs:
		return &agui.ToolCallArgs{Base: d.base(), ToolCallID: d.id(schemaOwn), Delta: d.str(schemaOwn + 1)}, nil
	case agui.EventTypeReasoningMessageContent:
		return &agui.ReasoningMessageContent{Base: d.base(), MessageID: d.id(schemaOwn), Delta: d.str(schemaOwn + 1)}, nil
	case agui.EventTypeTextMessageStart:
		return &agui.TextMessageStart{
			Base: d.base(), MessageID: d.id(schemaOwn),
			Role: agui.Role(d.str(schemaOwn + 1)), Name: d.optional(schemaOwn + 2),
		}, nil
	case agui.EventTypeTextMessageEnd:
		return &agui.TextMessageEnd{Base: d.base(), MessageID: d.id(schemaOwn)}, nil
	case agui.EventTypeTextMessageChunk:
		return &agui.TextMessageChunk{
			Base: d.base(), MessageID: d.optional(schemaOwn),
			Role: agui.Role(d.str(schemaOwn + 1)), Delta: d.optional(schemaOwn + 2), Name: d.optional(schemaOwn + 3),
		}, nil
	case agui.EventTypeToolCallEnd:
		return &agui.ToolCallEnd{Base: d.base(), ToolCallID: d.id(schemaOwn)}, nil
	case agui.EventTypeToolCallStart:
		return &agui.ToolCallStart{
			Base: d.base(), ToolCallID: d.id(schemaOwn),
			ToolCallName: d.str(schemaOwn + 1), ParentMessageID: d.optional(schemaOwn + 2),
		}, nil
	case agui.EventTypeStateSnapshot:
		return &agui.StateSnapshot{Base: d.base(), Snapshot: d.raw(schemaOwn)}, nil
	case agui.EventTypeStateDelta:
		if len(w.edits) == 0 {
			return &agui.StateDelta{Base: d.base(), Delta: d.patch(schemaOwn)}, nil
		}
	case agui.EventTypeActivityDelta:
		if len(w.edits) == 0 {
			return &agui.ActivityDelta{
				Base: d.base(), MessageID: d.id(schemaOwn),
				ActivityType: d.str(schemaOwn + 1), Patch: d.patch(schemaOwn + 2),
			}, nil
		}
	case agui.EventTypeCustom:
		return &agui.Custom{Base: d.base(), Name: d.str(schemaOwn), Value: d.raw(schemaOwn + 1)}, nil
	case agui.EventTypeRunStarted:
		d.thinking = thinking{}
	}
	ev := agui.New(shape.event)
	if err := sonicJSON.Unmarshal(w.clean(), ev); err != nil {
		return nil, &FieldError{Event: w.event, Reason: "cannot be decoded: " + err.Error()}
	}
	if started, ok := ev.(*agui.RunStarted); ok {
		w.warnVersion(started.ProtocolVersion)
	}
	return ev, nil
}

func (w *schemaWalk) warnVersion(version *string) {
	if newer, err := agui.CheckProtocolVersion(version); err == nil && newer {
		w.notes = append(w.notes, Note{Kind: NoteWarned, Event: w.event, Path: "protocolVersion"})
	}
}

func (d *Decoder) base() agui.Base {
	var b agui.Base
	if d.walk.members[schemaTime].end != 0 {
		b.Timestamp = new(d.walk.time)
	}
	b.SubagentRunID = d.optional(schemaTag)
	b.RawEvent = d.raw(schemaRaw)
	b.Metadata = d.raw(schemaMeta)
	return b
}

// id is str for an identifier: the string of the event before is used again if equal.
func (d *Decoder) id(member int) string {
	t := d.walk.members[member]
	if t.escaped || string(d.walk.data[t.start:t.end]) != d.lastID {
		d.lastID = d.str(member)
	}
	return d.lastID
}

func (d *Decoder) str(member int) string {
	return d.walk.string(d.walk.members[member])
}

func (d *Decoder) optional(member int) *string {
	if d.walk.members[member].end == 0 {
		return nil
	}
	return new(d.str(member))
}

func (d *Decoder) raw(member int) []byte {
	t := d.walk.members[member]
	if t.end == 0 {
		return nil
	}
	return bytes.Clone(d.walk.data[t.start:t.end])
}

func (d *Decoder) patch(member int) []agui.PatchOp {
	t := d.walk.members[member]
	return patchOf(d.walk.data[t.start:t.end])
}

// warm makes encoding/json, which stands behind content parts, prepare itself too.
const warm = `{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"","role":"user",` +
	`"content":[{"type":"image","source":{"type":"url","value":""}}]}]}`

// Pretouch compiles what decoding needs, which otherwise happens at first use of
// each type. The first call takes some 120 ms, later ones nothing: call it at start,
// not on an event loop. The error comes from the compiler and leaves decoding usable.
func Pretouch() error { return pretouch() }

var pretouch = sync.OnceValue(func() error {
	for _, t := range agui.EventTypes() {
		if err := decoder.Pretouch(reflect.TypeOf(agui.New(t)).Elem()); err != nil {
			return err
		}
	}
	if err := decoder.Pretouch(reflect.TypeFor[agui.RunAgentInput]()); err != nil {
		return err
	}
	_, _, err := new(Decoder).DecodeEvent([]byte(warm))
	return err
})
