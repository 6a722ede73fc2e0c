package event_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
)

// Values that break an event, or nearly, by the kind of the member they are put in.
var (
	serializerStrings = []string{"", "x", "/a", "~", "a\xffb", "\ufffd", `\ufffd`, "<&>\u2028\x00\"\\", "tool", "user", "success", "add", "move", "function"}
	serializerNumbers = []int64{-1, 0, 1<<53 - 1, 1 << 53, -1 << 53}
	serializerRaws    = []string{
		"", "null", "1", `"a"`, `"\ufffd"`, `"\ud800"`, "\"a\xffb\"", "\"\u2028\ufffd\"", "[]", "{}", ` { "a" : [ 1.50 , 1E400 ] } `, `{"a":1,"a":2}`,
		"{", "01", "1}", `1,"delta":"x"`, strings.Repeat("[", 61) + strings.Repeat("]", 61), strings.Repeat("[", 64) + strings.Repeat("]", 64),
	}
)

// serializerMutate puts every bad value in every place of v, one at a time, and calls check with v
// in that state. In the end v is as it was.
func serializerMutate(v reflect.Value, check func()) {
	try := func(value any) {
		old := reflect.ValueOf(v.Interface())
		v.Set(reflect.ValueOf(value).Convert(v.Type()))
		check()
		v.Set(old)
	}
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		for _, raw := range serializerRaws {
			try(json.RawMessage(raw))
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		for _, s := range serializerStrings {
			try(s)
		}
	case reflect.Int64:
		for _, n := range serializerNumbers {
			try(n)
		}
	case reflect.Bool:
		try(!v.Bool())
	case reflect.Struct:
		for i := range v.NumField() {
			serializerMutate(v.Field(i), check)
		}
	case reflect.Pointer:
		old := reflect.ValueOf(v.Interface())
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
			check()
			serializerMutate(v.Elem(), check)
		} else {
			serializerMutate(v.Elem(), check)
			v.SetZero()
			check()
		}
		v.Set(old)
	case reflect.Slice:
		for i := range v.Len() {
			serializerMutate(v.Index(i), check)
		}
		old := reflect.ValueOf(v.Interface())
		for _, n := range []int{0, 1} {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			check()
		}
		v.SetZero()
		check()
		v.Set(old)
	case reflect.Map:
		old := reflect.ValueOf(v.Interface())
		try := func(extra map[string]json.RawMessage) {
			v.Set(reflect.ValueOf(extra))
			check()
		}
		for _, key := range serializerStrings {
			try(map[string]json.RawMessage{key: json.RawMessage("7"), "from": json.RawMessage("8"), "value": nil})
		}
		for _, raw := range serializerRaws {
			try(map[string]json.RawMessage{"x": json.RawMessage(raw)})
		}
		v.Set(old)
	default:
		panic("no mutation of a " + v.Type().String())
	}
}

// Both serializers judge every event with one thing wrong alike, in the same words, and what is
// written reads back alike.
func TestSerializersAgreeOnMutations(t *testing.T) {
	events := append(samples(),
		&agui.RunFinished{Outcome: &agui.Outcome{Type: agui.OutcomeSuccess, PendingToolCallIDs: []string{"c"}}},
		&agui.StateDelta{Delta: []agui.PatchOp{
			{Op: agui.PatchReplace, Value: json.RawMessage("1")},
			{Op: agui.PatchTest, Value: json.RawMessage("1")},
			{Op: agui.PatchCopy, From: new("/a")},
		}},
	)
	pair := newSerializerPair(t)
	written, refused := 0, 0
	for _, ev := range events {
		serializerMutate(reflect.ValueOf(ev).Elem(), func() {
			out, err := pair.encode(t, ev)
			if err != nil {
				refused++
				return
			}
			written++
			if _, err := pair.decode(t, out); err != nil {
				t.Fatalf("%v on reading %s", err, out)
			}
		})
	}
	t.Logf("%d written, %d refused", written, refused)
	if written < 1000 || refused < 1000 {
		t.Errorf("%d written, %d refused: too few to mean anything", written, refused)
	}
}

func TestSerializersRefuseAlike(t *testing.T) {
	pair := newSerializerPair(t)
	for _, ev := range []agui.Event{
		nil, new(foreign), (*agui.RunError)(nil),
		&agui.StateDelta{Delta: slices.Repeat([]agui.PatchOp{{Op: agui.PatchRemove}}, 1025)},
		&agui.ActivityDelta{Patch: []agui.PatchOp{{Op: agui.PatchAdd, From: new("/b"), Value: json.RawMessage("1")}}},
		&agui.SubagentError{Base: agui.Base{SubagentRunID: new("s")}},
	} {
		if out, err := pair.encode(t, ev); err == nil {
			t.Errorf("wrote %s", out)
		}
	}
}
