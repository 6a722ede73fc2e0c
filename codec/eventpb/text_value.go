package eventpb

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// value writes a Value. It reports whether that is of a known kind; else it has written nothing. Of
// several kinds the last one counts.
func (w *textWriter) value(data []byte) bool {
	var arm protowire.Number
	var got merged
	for len(data) > 0 {
		f, ok := w.next(&data)
		if !ok {
			return true // what is written does not matter any more
		}
		if f.number > valueList || f.typ != valueTypes[f.number] {
			continue
		}
		if f.number != arm {
			arm, got = f.number, merged{}
		}
		got.bits = f.bits
		got.add(f.payload, arm == valueStruct || arm == valueList)
	}
	switch arm {
	case valueNull:
		w.dst = append(w.dst, "null"...)
	case valueNumber:
		w.number(math.Float64frombits(got.bits))
	case valueString:
		w.text(got.payload)
	case valueBool:
		w.dst = strconv.AppendBool(w.dst, got.bits != 0)
	case valueStruct:
		w.object(got.payload)
	case valueList:
		w.values(got.payload)
	}
	return arm != 0
}

// valueTypes are how the kinds of a Value stand on the wire, by their numbers.
var valueTypes = [...]protowire.Type{
	valueNull: protowire.VarintType, valueNumber: protowire.Fixed64Type, valueString: protowire.BytesType,
	valueBool: protowire.VarintType, valueStruct: protowire.BytesType, valueList: protowire.BytesType,
}

func (w *textWriter) descend() bool {
	if w.depth++; w.depth > maxDepth {
		w.fail("nested deeper than 1000 levels")
	}
	return w.reason == ""
}

// values writes a ListValue.
func (w *textWriter) values(data []byte) {
	if !w.descend() {
		return
	}
	w.dst = append(w.dst, '[')
	first := true
	for len(data) > 0 && w.reason == "" {
		f, ok := w.next(&data)
		if !ok {
			return
		}
		if f.number != listValues || f.typ != protowire.BytesType {
			continue
		}
		start := len(w.dst)
		if !first {
			w.dst = append(w.dst, ',')
		}
		if !w.value(f.payload) {
			w.dst = w.dst[:start]
			w.kindless = w.member
			continue
		}
		first = false
	}
	w.dst = append(w.dst, ']')
	w.depth--
}

// object writes a Struct.
func (w *textWriter) object(data []byte) {
	if !w.descend() {
		return
	}
	start := len(w.dst)
	for len(data) > 0 && w.reason == "" {
		f, ok := w.next(&data)
		if !ok {
			return
		}
		if f.number == structFields && f.typ == protowire.BytesType {
			w.entry(f.payload)
		}
	}
	w.closeObject(start)
	w.depth--
}

// entry writes a member of a Struct.
func (w *textWriter) entry(data []byte) {
	var key []byte
	var value merged
	for len(data) > 0 {
		f, ok := w.next(&data)
		switch {
		case !ok:
			return
		case f.typ != protowire.BytesType:
		case f.number == entryKey:
			key = f.payload
		case f.number == entryValue:
			value.add(f.payload, true)
		}
	}
	start := len(w.dst)
	w.dst = append(w.dst, ',')
	w.text(key)
	w.dst = append(w.dst, ':')
	if !w.value(value.payload) {
		w.dst = w.dst[:start]
		w.kindless = w.member
	}
}

// number writes a double as JSON has it. Infinity is a number that no double holds, and so reads as
// infinity again.
func (w *textWriter) number(f float64) {
	switch {
	case math.IsNaN(f):
		w.fail("a number is NaN, which JSON does not have")
	case math.IsInf(f, 1):
		w.dst = append(w.dst, "1e999"...)
	case math.IsInf(f, -1):
		w.dst = append(w.dst, "-1e999"...)
	case f != 0 && (math.Abs(f) < 1e-6 || math.Abs(f) >= 1e21):
		w.dst = strconv.AppendFloat(w.dst, f, 'e', -1, 64)
	default:
		w.dst = strconv.AppendFloat(w.dst, f, 'f', -1, 64)
	}
}
