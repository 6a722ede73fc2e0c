package eventpb

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/agloop/agloop/codec/event"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// maxDepth is how deep values may nest on the wire. The limit of the protocol is judged in JSON.
	maxDepth = 1000
	// maxElements is how many messages the lists of an event may have: an empty one takes two bytes,
	// and a hundred times that as a struct.
	maxElements = 1 << 16
)

// textWriter turns an event of the wire into its JSON. It keeps the first failure in reason; what it
// wrote must then not be used. Every member begins with its comma, and the brace of an object
// replaces the comma of its first member.
type textWriter struct {
	dst      []byte
	name     string // of the event
	reason   string
	depth    int
	elements int
	member   string // of the event, that is being written
	kindless string // the member in which a value of no known kind was left out
}

func (w *textWriter) fail(reason string) {
	if w.reason == "" {
		w.reason = reason
	}
}

// wireField is a field as it stands on the wire.
type wireField struct {
	number  protowire.Number
	typ     protowire.Type
	payload []byte // of BytesType
	bits    uint64 // of VarintType and Fixed64Type
}

// next reads the next field of b and moves b behind it.
func (w *textWriter) next(b *[]byte) (f wireField, ok bool) {
	number, typ, n := protowire.ConsumeTag(*b)
	if n < 0 || number > protowire.MaxValidNumber {
		w.fail("not valid protobuf")
		return f, false
	}
	f.number, f.typ = number, typ
	rest := (*b)[n:]
	switch typ {
	case protowire.VarintType:
		f.bits, n = protowire.ConsumeVarint(rest)
	case protowire.Fixed64Type:
		f.bits, n = protowire.ConsumeFixed64(rest)
	case protowire.BytesType:
		f.payload, n = protowire.ConsumeBytes(rest)
	default:
		n = protowire.ConsumeFieldValue(number, typ, rest)
	}
	if n < 0 {
		w.fail("not valid protobuf")
		return f, false
	}
	*b = rest[n:]
	return f, true
}

// merged is a field that may stand several times: messages are merged, which is what their bytes
// one after another are; of others the last one counts.
type merged struct {
	count   int
	payload []byte
	bits    uint64
	own     bool // payload is a copy
}

func (m *merged) add(payload []byte, merge bool) {
	switch m.count++; {
	case m.count == 1 || !merge:
		m.payload = payload
	case m.own:
		m.payload = append(m.payload, payload...)
	default:
		m.payload, m.own = slices.Concat(m.payload, payload), true
	}
}

// wireType is how a field of a kind stands on the wire.
func (k kind) wireType() protowire.Type {
	switch k {
	case kindBool, kindInteger, kindVerb:
		return protowire.VarintType
	}
	return protowire.BytesType
}

// merges reports whether fields of a kind are merged.
func (k kind) merges() bool {
	return k == kindValue || k == kindStruct || k == kindObject || k == kindMessage
}

// find is the index of a field, or -1.
func (m *message) find(number protowire.Number, typ protowire.Type) int {
	return findField(m.fields, number, typ)
}

func findField(fields []field, number protowire.Number, typ protowire.Type) int {
	for i := range fields {
		if fields[i].number == number && fields[i].kind.wireType() == typ {
			return i
		}
	}
	return -1
}

// event writes an event.
func (w *textWriter) event(shape *shape, data []byte) {
	var own [maxFields]merged
	var base merged
	w.dst = append(w.dst, `{"type":"`...)
	w.dst = append(w.dst, shape.event...)
	w.dst = append(w.dst, '"')
	for rest := data; len(rest) > 0; {
		f, ok := w.next(&rest)
		switch {
		case !ok:
			return
		case f.number == baseNumber && f.typ == protowire.BytesType:
			base.add(f.payload, true)
		default:
			w.collect(&shape.message, shape.fields, &own, f, "#")
		}
	}
	if base.count == 0 {
		w.fail("base_event is missing")
		return
	}
	w.base(shape, base.payload)
	if shape.outer != "" {
		w.outcome(shape, data, &own)
		return
	}
	w.fields(&shape.message, data, &own)
	w.dst = append(w.dst, '}')
}

// base writes what is common to all events.
func (w *textWriter) base(shape *shape, data []byte) {
	var got [maxFields]merged
	var enum uint64
	for len(data) > 0 {
		f, ok := w.next(&data)
		switch {
		case !ok:
			return
		case f.number == typeNumber && f.typ == protowire.VarintType:
			enum = f.bits
		default:
			w.collect(&message{}, baseFields, &got, f, "#1.")
		}
	}
	if uint32(enum) != uint32(shape.enum) { // an enum has 32 bits
		w.fail("base_event is of type " + strconv.Itoa(int(int32(enum))) + ", the field of the event of type " + strconv.Itoa(int(shape.enum)))
		return
	}
	for i := range baseFields {
		if got[i].count > 0 {
			w.member = baseFields[i].name
			w.field(&baseFields[i], &got[i], nil)
		}
	}
	w.member = ""
}

// collect notes a field, or writes a member for one that is unknown, which is then stripped with a
// note.
func (w *textWriter) collect(m *message, fields []field, got *[maxFields]merged, f wireField, unknown string) {
	i := findField(fields, f.number, f.typ)
	switch {
	case i >= 0:
		got[i].bits = f.bits
		got[i].add(f.payload, fields[i].kind.merges())
	case !m.open:
		w.dst = append(w.dst, `,"`...)
		w.dst = append(w.dst, unknown...)
		w.dst = strconv.AppendInt(w.dst, int64(f.number), 10)
		w.dst = append(w.dst, `":0`...)
	}
}

// message writes an object of the fields in data.
func (w *textWriter) message(m *message, data []byte) {
	if len(m.union) > 0 {
		w.one(m, data)
		return
	}
	start := len(w.dst)
	w.members(m, data)
	w.closeObject(start)
}

// members writes the members of an object.
func (w *textWriter) members(m *message, data []byte) {
	var got [maxFields]merged
	for rest := data; len(rest) > 0; {
		f, ok := w.next(&rest)
		if !ok {
			return
		}
		w.collect(m, m.fields, &got, f, "#")
	}
	w.fields(m, data, &got)
}

// closeObject puts braces around the members that begin at start.
func (w *textWriter) closeObject(start int) {
	if len(w.dst) == start {
		w.dst = append(w.dst, '{', '}')
		return
	}
	w.dst[start] = '{'
	w.dst = append(w.dst, '}')
}

// one writes the one of a union that data holds. One that is unknown gets a type that nobody knows.
func (w *textWriter) one(m *message, data []byte) {
	var found *variant
	var arm merged
	var unknown protowire.Number
	for len(data) > 0 {
		f, ok := w.next(&data)
		if !ok {
			return
		}
		i := slices.IndexFunc(m.union, func(v variant) bool { return v.number == f.number && f.typ == protowire.BytesType })
		switch {
		case i < 0:
			unknown = f.number
		case found != nil && found != &m.union[i]:
			w.fail("several kinds of a content part or a source in one")
			return
		default:
			found = &m.union[i]
			arm.add(f.payload, true)
		}
	}
	start := len(w.dst)
	if found == nil {
		w.dst = append(w.dst, `,"type":"#`...)
		w.dst = strconv.AppendInt(w.dst, int64(unknown), 10)
		w.dst = append(w.dst, '"')
	} else {
		w.dst = append(w.dst, `,"type":"`...)
		w.dst = append(w.dst, found.name...)
		w.dst = append(w.dst, '"')
		w.members(found.message, arm.payload)
	}
	w.closeObject(start)
}

// fields writes the members for the fields of data that got notes.
func (w *textWriter) fields(m *message, data []byte, got *[maxFields]merged) {
	top := w.depth == 0 && w.member == ""
	contents := false
	for i := range m.fields {
		f := &m.fields[i]
		if top {
			w.member = f.name
		}
		switch {
		case w.reason != "":
			return
		case f.kind == kindPlain || f.kind == kindParts || f.kind == kindObject:
			contents = true
		case got[i].count > 0 || f.kind == kindText || f.kind == kindVerb || f.always:
			w.field(f, &got[i], data)
		}
	}
	if contents {
		w.content(m, data, got)
	}
	if top {
		w.member = ""
	}
}

// field writes the member for a field. data are the fields around it, where lists are looked up.
func (w *textWriter) field(f *field, got *merged, data []byte) {
	start := len(w.dst)
	w.dst = append(w.dst, `,"`...)
	w.dst = append(w.dst, f.name...)
	w.dst = append(w.dst, `":`...)
	w.inner(f, got, data, start)
}

func (w *textWriter) inner(f *field, got *merged, data []byte, start int) {
	switch f.kind {
	case kindText, kindOptional, kindPlain:
		w.text(got.payload)
	case kindBool:
		w.dst = strconv.AppendBool(w.dst, got.bits != 0)
	case kindInteger:
		w.dst = strconv.AppendInt(w.dst, int64(got.bits), 10)
	case kindVerb:
		w.dst = append(w.dst, '"')
		if verb := int32(got.bits); verb >= 0 && int(verb) < len(verbs) {
			w.dst = append(w.dst, verbs[verb]...)
		} else {
			w.dst = strconv.AppendInt(w.dst, int64(verb), 10)
		}
		w.dst = append(w.dst, '"')
	case kindValue:
		if !w.value(got.payload) {
			w.dst = w.dst[:start]
			w.kindless = w.member
		}
	case kindStruct, kindObject:
		w.object(got.payload)
	case kindMessage:
		w.message(f.message, got.payload)
	case kindTexts, kindList, kindParts:
		w.list(f, data)
	}
}

// list writes the elements that data has of a list.
func (w *textWriter) list(f *field, data []byte) {
	w.dst = append(w.dst, '[')
	first := true
	for len(data) > 0 && w.reason == "" {
		e, ok := w.next(&data)
		if !ok {
			return
		}
		if e.number != f.number || e.typ != protowire.BytesType {
			continue
		}
		if !first {
			w.dst = append(w.dst, ',')
		}
		first = false
		if f.kind == kindTexts {
			w.text(e.payload)
			continue
		}
		if w.elements++; w.elements > maxElements {
			w.fail("more than 65536 elements in lists")
			return
		}
		w.message(f.message, e.payload)
	}
	w.dst = append(w.dst, ']')
}

// text writes a string. Bytes that are no UTF-8 stay as they are, for the decoder of JSON to find.
func (w *textWriter) text(b []byte) {
	w.dst = append(w.dst, '"')
	if plainText(b) {
		w.dst = append(w.dst, b...)
	} else {
		s := string(b)
		if utf8.ValidString(s) {
			w.dst, _ = event.AppendText(w.dst, s)
		} else {
			w.dst = append(w.dst, 0xff)
		}
	}
	w.dst = append(w.dst, '"')
}

// plainText reports whether b is ASCII without what JSON escapes.
func plainText(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
