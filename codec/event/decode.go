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

// sonicJSON fills structs from documents that a schemaWalk has checked and cleaned, so it need not
// be strict itself. It copies each string, because one that is kept must not keep the whole message
// alive.
var sonicJSON = sonic.Config{CopyString: true}.Froze()

// Decoder decodes the events of one stream. The zero value is ready. It keeps buffers, and the ids
// that it has made for retired events. Only one goroutine may use a Decoder at a time, and it must
// not be copied after first use.
type Decoder struct {
	// Limits bound what is decoded. It may be set before the first use.
	Limits Limits

	walk     schemaWalk
	thinking thinking
	lastID   string // most events name the same message as the one before
}

// DecodeEvent decodes one event. It translates retired forms first. Then it drops an event of
// unknown type, or with an unknown value in a required member (ev and err are nil), and strips
// unknown members and elements; each with a note, of which 16 name their place and one more of each
// kind says how many others there were. Integers may have a fraction or an exponent of
// ten. Of a member that occurs twice the last one counts.
//
// data is borrowed: nothing returned points into it. The error is a [*FieldError] and fatal to the
// run: a known member is malformed or missing, data is beyond d.Limits, or it is not one JSON object
// with a type.
func (d *Decoder) DecodeEvent(data []byte) (ev agui.Event, notes []Note, err error) {
	w := &d.walk
	w.limits = d.Limits
	w.reset(data, false)
	shape, verdict := d.judge()
	if verdict != schemaKeep && w.again(data) {
		shape, verdict = d.judge()
	}
	switch verdict {
	case schemaFatal:
		err = w.error()
	case schemaKeep:
		ev, err = d.build(shape)
	}
	if err == nil {
		notes = w.notes.all(w.event)
	}
	w.release()
	return ev, notes, err
}

// judge finds the shape of the document and checks the document by it. An event that must be
// dropped gets a note and is schemaUnknown.
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
				if w.doubled("type") {
					return nil, w.fatal(standsTwice)
				}
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
		w.notes = noteList{kept: []Note{{Kind: NoteDropped, Event: w.event}}}
	}
	return shape, verdict
}

func (d *Decoder) judgeRetired(plain string, r retired) (*schemaShape, schemaVerdict) {
	w := &d.walk
	data, err := d.thinking.translate(w.data, r, w.most)
	if err != nil {
		w.reason = err.Error()
		if field, ok := errors.AsType[*FieldError](err); ok {
			w.reason = field.Reason
		}
		return nil, schemaFatal
	}
	w.reset(data, false)
	w.notes.add(Note{Kind: NoteTranslated, Event: plain})
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

// drop checks that a document of unknown type is JSON, and notes that it is dropped.
func (w *schemaWalk) drop(plain string) schemaVerdict {
	if !w.jsonScan.skipValue() || !w.finish() {
		return schemaFatal
	}
	if len(plain) > 64 {
		plain = strings.ToValidUTF8(plain[:64], "")
	}
	w.notes.add(Note{Kind: NoteDropped, Event: strings.Clone(plain)})
	return schemaUnknown
}

// build makes the event from the document that was just checked. The frequent types are built from
// the places of their members, which do not include what the edits remove; the others are decoded
// after the edits were made.
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
	if newer, _ := agui.CheckProtocolVersion(version); newer {
		w.notes.add(Note{Kind: NoteWarned, Event: w.event, Path: "protocolVersion"})
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

// id is str for an identifier. It returns the string of the event before if that is equal, to save
// an allocation.
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

// warm is an event whose content parts are decoded by encoding/json, which prepares itself at first
// use.
const warm = `{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"","role":"user",` +
	`"content":[{"type":"image","source":{"type":"url","value":""}}]}]}`

// Pretouch compiles the decoders of all types, which otherwise happens at the first use of each.
// The first call takes about 120 ms and later ones no time, so call it at start and not on an event
// loop. The error comes from the compiler; decoding works in spite of it.
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
