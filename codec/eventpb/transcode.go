package eventpb

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/agloop/agloop/codec/event"
	"google.golang.org/protobuf/encoding/protowire"
)

// AppendJSON appends the protobuf encoding of an event to dst, given its JSON as [event.Append]
// writes it or [event.Decoder] has accepted it: what was checked before is not checked here. Members
// may stand in any order, of doubled ones the last counts, and those that the wire has no field for
// are left out. It allocates nothing when dst has room, but for numbers of more than 32 digits.
// jsonEvent is borrowed.
//
// The error is a [*event.FieldError], for what is no JSON or of no known type; then dst is returned
// as it was.
func AppendJSON(dst, jsonEvent []byte) ([]byte, error) {
	for _, last := range [...]bool{false, true} {
		t, ok := tag(jsonEvent, last)
		if !ok {
			return dst, &event.FieldError{Reason: "not the JSON of an event"}
		}
		shape := shapeOfType(t)
		if shape == nil && !last {
			continue
		}
		if shape == nil {
			return dst, &event.FieldError{Event: string(t.Inside[:min(len(t.Inside), 64)]), Reason: "not an event type"}
		}
		e := encoder{dst: dst}
		other, ok := e.event(shape, jsonEvent)
		switch {
		case !ok:
			return dst, &event.FieldError{Event: string(shape.event), Reason: "not valid JSON"}
		case !other:
			return e.dst, nil
		}
	}
	return dst, &event.FieldError{Field: "type", Reason: "must be a string"}
}

func shapeOfType(t event.Text) *shape {
	if t.Escaped {
		return shapeOf[string(t.Append(nil))]
	}
	return shapeOf[string(t.Inside)]
}

// tag finds the type of an event, or of one of a union: the first member of that name, or the last.
func tag(data []byte, last bool) (t event.Text, found bool) {
	s := event.NewScanner(data)
	if s.Peek() != '{' {
		return t, false
	}
	for more, _ := s.Enter('}'); more; more, _ = s.Next('}') {
		key, ok := s.Key()
		switch {
		case !ok:
			return t, false
		case key.Is("type") && s.Peek() == '"':
			if t, found = s.Text(); !last || !found {
				return t, found
			}
		default:
			if _, ok = s.Value(); !ok {
				return t, false
			}
		}
	}
	return t, found
}

// encoder appends an event to dst, from JSON. A method returns false where that is none.
type encoder struct{ dst []byte }

// members are the values of an object in JSON, by the fields that they stand for.
type members [maxFields]event.Value

// begin begins what has its length before it, of about hint bytes.
func (e *encoder) begin(number protowire.Number, hint int) (start int) {
	e.dst = protowire.AppendTag(e.dst, number, protowire.BytesType)
	e.dst = protowire.AppendVarint(e.dst, uint64(hint))
	return len(e.dst)
}

// end puts the length in.
func (e *encoder) end(start, hint int) {
	n := len(e.dst) - start
	if n < 0x80 && hint < 0x80 { // as most are
		e.dst[start-1] = byte(n)
		return
	}
	was, is := protowire.SizeVarint(uint64(hint)), protowire.SizeVarint(uint64(n))
	if is > was {
		e.dst = append(e.dst, make([]byte, is-was)...)
	}
	if is != was {
		copy(e.dst[start+is-was:], e.dst[start:start+n])
		e.dst = e.dst[:start+is-was+n]
	}
	protowire.AppendVarint(e.dst[:start-was], uint64(n))
}

// event appends the envelope of an event, unless the type stands twice and the last one is another.
func (e *encoder) event(shape *shape, data []byte) (other, ok bool) {
	var base [commonCount]event.Value
	var own members
	s := event.NewScanner(data)
	if !read(&s, "", &shape.message, own[:], commonFields[:], base[:]) || s.Peek() != 0 {
		return false, false
	}
	if !base[len(baseFields)].Text.Is(string(shape.event)) {
		return true, true
	}
	arm := e.begin(shape.arm, len(data))
	start := e.begin(baseNumber, 0)
	if shape.enum != 0 {
		e.dst = protowire.AppendTag(e.dst, typeNumber, protowire.VarintType)
		e.dst = protowire.AppendVarint(e.dst, shape.enum)
	}
	if !e.fields(baseFields, base[:]) {
		return false, false
	}
	e.end(start, 0)
	if !e.fields(shape.fields, own[:]) {
		return false, false
	}
	e.end(arm, len(data))
	return false, true
}

// read notes the members of the object at which s stands. Those of the message's outer object are
// read as its own, and so is more.
func read(s *event.Scanner, prefix string, m *message, own []event.Value, more []field, others []event.Value) bool {
	if s.Peek() != '{' {
		return false
	}
	again, ok := s.Enter('}')
	for again {
		key, isKey := s.Key()
		if !isKey {
			return false
		}
		isOuter := m.outer != "" && prefix == "" && key.Is(m.outer)
		for i := range m.fields { // of two of that name the last counts
			if isOuter && strings.HasPrefix(m.fields[i].name, m.outer) {
				own[i] = event.Value{}
			}
		}
		if isOuter && s.Peek() == '{' {
			if !read(s, m.outer, m, own, nil, nil) {
				return false
			}
		} else {
			value, isValue := s.Value()
			if !isValue {
				return false
			}
			note(m.fields, own, prefix, key, value)
			note(more, others, "", key, value)
		}
		again, ok = s.Next('}')
	}
	return ok
}

// note keeps a value for the fields that it stands for.
func note(fields []field, values []event.Value, prefix string, key event.Text, value event.Value) {
	for i := range fields {
		name := fields[i].name
		if prefix != "" {
			if len(name) <= len(prefix) || name[:len(prefix)] != prefix {
				continue
			}
			name = name[len(prefix)+1:]
		}
		if key.Is(name) {
			values[i] = value
		}
	}
}

func (e *encoder) fields(fields []field, values []event.Value) bool {
	for i := range fields {
		if len(values[i].Raw) > 0 && !e.field(&fields[i], values[i]) {
			return false
		}
	}
	return true
}

func (e *encoder) field(f *field, v event.Value) bool {
	value := v.Raw
	c := value[0]
	if c == 'n' && f.kind != kindValue {
		return true
	}
	switch f.kind {
	case kindText, kindOptional:
		e.text(f.number, v, f.kind == kindText)
	case kindPlain:
		e.text(f.number, v, false)
	case kindVerb:
		return c == '"' && e.verb(f.number, v.Text)
	case kindBool:
		e.dst = protowire.AppendTag(e.dst, f.number, protowire.VarintType)
		e.dst = protowire.AppendVarint(e.dst, protowire.EncodeBool(c == 't'))
	case kindInteger:
		e.dst = protowire.AppendTag(e.dst, f.number, protowire.VarintType)
		e.dst = protowire.AppendVarint(e.dst, uint64(integer(value)))
	case kindValue:
		s := event.NewScanner(value)
		start := e.begin(f.number, len(value))
		if !e.value(&s) {
			return false
		}
		e.end(start, len(value))
	case kindStruct:
		s := event.NewScanner(value)
		return c == '{' && e.object(f.number, &s, len(value))
	case kindObject:
		s := event.NewScanner(value)
		return c != '{' || e.object(f.number, &s, len(value))
	case kindMessage:
		return e.message(f, value)
	case kindParts:
		return c != '[' || e.list(f, value)
	case kindTexts, kindList:
		return e.list(f, value)
	}
	return true
}

// text appends a string; an empty one only if it has presence. What is no string is an extra member of
// a patch operation, and left out.
func (e *encoder) text(number protowire.Number, v event.Value, omitEmpty bool) {
	if v.Raw[0] == '"' && (len(v.Text.Inside) > 0 || !omitEmpty) {
		e.plain(number, v.Text)
	}
}

func (e *encoder) plain(number protowire.Number, t event.Text) {
	start := e.begin(number, len(t.Inside))
	e.dst = t.Append(e.dst)
	if t.Escaped {
		e.end(start, len(t.Inside))
	}
}

func (e *encoder) verb(number protowire.Number, t event.Text) bool {
	for i, verb := range verbs {
		if t.Is(verb) {
			if i > 0 { // the first is 0, which is left out
				e.dst = protowire.AppendTag(e.dst, number, protowire.VarintType)
				e.dst = protowire.AppendVarint(e.dst, uint64(i))
			}
			return true
		}
	}
	return false
}

func (e *encoder) list(f *field, value []byte) bool {
	s := event.NewScanner(value)
	if s.Peek() != '[' {
		return false
	}
	again, ok := s.Enter(']')
	for again {
		item, isValue := s.Value()
		switch {
		case !isValue:
			return false
		case f.kind == kindTexts:
			e.text(f.number, item, false)
		case !e.message(f, item.Raw):
			return false
		}
		again, ok = s.Next(']')
	}
	return ok
}

// message appends a message. One that is none of a union is left out.
func (e *encoder) message(f *field, value []byte) bool {
	var values members
	s := event.NewScanner(value)
	m := f.message
	if len(m.union) > 0 {
		t, ok := tag(value, true)
		i := slices.IndexFunc(m.union, func(v variant) bool { return t.Is(v.name) })
		if i < 0 {
			return ok
		}
		start := e.begin(f.number, len(value))
		one := field{number: m.union[i].number, message: m.union[i].message}
		if !e.message(&one, value) {
			return false
		}
		e.end(start, len(value))
		return true
	}
	if !read(&s, "", m, values[:], nil, nil) {
		return false
	}
	start := e.begin(f.number, len(value))
	if !e.fields(m.fields, values[:]) {
		return false
	}
	e.end(start, len(value))
	return true
}

// The fields of google.protobuf.Value, Struct, its entries, and ListValue.
const (
	valueNull   protowire.Number = 1
	valueNumber protowire.Number = 2
	valueString protowire.Number = 3
	valueBool   protowire.Number = 4
	valueStruct protowire.Number = 5
	valueList   protowire.Number = 6

	structFields protowire.Number = 1
	entryKey     protowire.Number = 1
	entryValue   protowire.Number = 2
	listValues   protowire.Number = 1
)

// value appends the inside of a Value.
func (e *encoder) value(s *event.Scanner) bool {
	switch c := s.Peek(); c {
	case '"':
		t, ok := s.Text()
		if ok {
			e.plain(valueString, t)
		}
		return ok
	case '{':
		return e.object(valueStruct, s, 0)
	case '[':
		start := e.begin(valueList, 0)
		again, ok := s.Enter(']')
		for again {
			item := e.begin(listValues, 0)
			if !e.value(s) {
				return false
			}
			e.end(item, 0)
			again, ok = s.Next(']')
		}
		e.end(start, 0)
		return ok
	case 't', 'f':
		if _, ok := s.Value(); !ok {
			return false
		}
		e.dst = protowire.AppendTag(e.dst, valueBool, protowire.VarintType)
		e.dst = protowire.AppendVarint(e.dst, protowire.EncodeBool(c == 't'))
	case 'n':
		if _, ok := s.Value(); !ok {
			return false
		}
		e.dst = protowire.AppendTag(e.dst, valueNull, protowire.VarintType)
		e.dst = protowire.AppendVarint(e.dst, 0)
	default:
		v, ok := s.Value()
		if !ok {
			return false
		}
		e.dst = protowire.AppendTag(e.dst, valueNumber, protowire.Fixed64Type)
		e.dst = protowire.AppendFixed64(e.dst, math.Float64bits(number(v.Raw)))
	}
	return true
}

// object appends a Struct.
func (e *encoder) object(number protowire.Number, s *event.Scanner, hint int) bool {
	if s.Peek() != '{' {
		return false
	}
	start := e.begin(number, hint)
	again, ok := s.Enter('}')
	for again {
		key, isKey := s.Key()
		if !isKey {
			return false
		}
		entry := e.begin(structFields, 0)
		if len(key.Inside) > 0 {
			e.plain(entryKey, key)
		}
		value := e.begin(entryValue, 0)
		if !e.value(s) {
			return false
		}
		e.end(value, 0)
		e.end(entry, 0)
		again, ok = s.Next('}')
	}
	e.end(start, hint)
	return ok
}

// small reads an integer of at most 15 digits.
func small(text []byte) (n int64, ok bool) {
	digits := text
	if digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) != len(text) {
		return -n, n != 0 // -0 is no integer
	}
	return n, true
}

// number is what a number of JSON is as a double; beyond the largest it is infinite.
func number(text []byte) float64 {
	if n, ok := small(text); ok {
		return float64(n)
	}
	f, _ := strconv.ParseFloat(string(text), 64)
	return f
}

func integer(text []byte) int64 {
	if n, ok := small(text); ok {
		return n
	}
	return int64(number(text))
}
