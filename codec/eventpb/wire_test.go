package eventpb_test

import (
	"encoding/hex"
	"math"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// What a test puts on the wire by hand.

func cat(fields ...[]byte) (out []byte) {
	for _, f := range fields {
		out = append(out, f...)
	}
	return out
}

func length[T string | []byte](number protowire.Number, payload T) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), string(payload))
}

func varint(number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
}

func double(number protowire.Number, f float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), math.Float64bits(f))
}

func group(number protowire.Number, inside ...[]byte) []byte {
	out := append(protowire.AppendTag(nil, number, protowire.StartGroupType), cat(inside...)...)
	return protowire.AppendTag(out, number, protowire.EndGroupType)
}

// base is the base of an event of a type.
func base(enum uint64, more ...[]byte) []byte {
	if enum == 0 {
		return length(1, cat(more...))
	}
	return length(1, cat(append([][]byte{varint(1, enum)}, more...)...))
}

// envelope is an event in its field of the envelope.
func envelope(arm protowire.Number, enum uint64, fields ...[]byte) []byte {
	return length(arm, cat(base(enum), cat(fields...)))
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decoded is an event with the notes about it, as JSON and text.
func decoded(t testing.TB, data []byte) (text string, notes []event.Note) {
	t.Helper()
	var d eventpb.Decoder
	ev, notes, err := d.DecodeEvent(data)
	if err != nil {
		t.Fatalf("%v on %x", err, data)
	}
	if ev == nil {
		return "", notes
	}
	return string(encoded(t, ev)), notes
}

func encoded(t testing.TB, ev agui.Event) []byte {
	t.Helper()
	out, err := event.Append(nil, ev)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refused is the error of what must not be decoded.
func refused(t testing.TB, data []byte) string {
	t.Helper()
	var d eventpb.Decoder
	ev, notes, err := d.DecodeEvent(data)
	wrong, ok := err.(*event.FieldError)
	if !ok || ev != nil || notes != nil {
		t.Fatalf("%x: event %v, notes %v, error %v, want a FieldError", data, ev, notes, err)
	}
	return wrong.Error()
}
