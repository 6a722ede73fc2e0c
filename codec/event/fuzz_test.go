package event_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/agloop/agloop/codec/event"
)

// seedEvents adds what the targets below begin with: events of the protocol, good and bad, and one
// of each type with every member set.
func seedEvents(f *testing.F) {
	f.Helper()
	for _, line := range dataLines(f, "events.ndjson") {
		f.Add(line)
	}
	for _, line := range dataLines(f, "invalid.ndjson") {
		var c struct{ Event json.RawMessage }
		if err := json.Unmarshal(line, &c); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(c.Event))
	}
	for _, ev := range samples() {
		f.Add(mustEncode(f, ev))
	}
}

// FuzzSerializers: both serializers read whatever arrives alike, and write what they read alike.
func FuzzSerializers(f *testing.F) {
	seedEvents(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		pair := newSerializerPair(t)
		ev, err := pair.decode(t, data)
		if err != nil || ev == nil {
			return
		}
		if _, err := pair.encode(t, ev); err != nil {
			t.Fatalf("%v on encoding what was decoded from %q", err, data)
		}
	})
}

// FuzzDecodeEvent: what is accepted is JSON, keeps nothing of the caller's bytes, and comes back
// the same.
func FuzzDecodeEvent(f *testing.F) {
	seedEvents(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		borrowed := append([]byte(nil), data...)
		var d event.Decoder
		ev, _, err := d.DecodeEvent(borrowed)
		clear(borrowed) // whatever still points there shows below
		if err != nil {
			if _, ok := err.(*event.FieldError); !ok || ev != nil {
				t.Fatalf("event %v with error %T %v", ev, err, err)
			}
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted what is not JSON: %q", data)
		}
		if ev == nil {
			return
		}
		wire, err := event.Append(nil, ev)
		if err != nil {
			t.Fatalf("%v on encoding what was decoded from %q", err, data)
		}
		if !json.Valid(wire) || !utf8.Valid(wire) {
			t.Fatalf("wrote %q", wire)
		}
		again, notes, err := d.DecodeEvent(wire)
		if err != nil || notes != nil && notes[0].Kind != event.NoteWarned {
			t.Fatalf("error %v, notes %v on decoding %q", err, notes, wire)
		}
		if !reflect.DeepEqual(ev, again) {
			t.Fatalf("%q became\n%+v, then by %q\n%+v", data, ev, wire, again)
		}
	})
}

func FuzzDecodeRunAgentInput(f *testing.F) {
	for _, line := range dataLines(f, "run_inputs.ndjson") {
		if len(line) < 2048 {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		borrowed := append([]byte(nil), data...)
		in, _, err := event.DecodeRunAgentInput(borrowed)
		clear(borrowed)
		if err != nil {
			if _, ok := err.(*event.FieldError); !ok || in != nil {
				t.Fatalf("input %v with error %T %v", in, err, err)
			}
			return
		}
		wire, err := event.AppendRunAgentInput(nil, in)
		if err != nil {
			t.Fatalf("%v on encoding what was decoded from %q", err, data)
		}
		again, notes, err := event.DecodeRunAgentInput(wire)
		if err != nil || notes != nil && notes[0].Kind != event.NoteWarned {
			t.Fatalf("error %v, notes %v on decoding %q", err, notes, wire)
		}
		if !reflect.DeepEqual(in, again) {
			t.Fatalf("%q became\n%+v, then by %q\n%+v", data, in, wire, again)
		}
	})
}
