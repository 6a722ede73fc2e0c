package eventpb_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
)

// FuzzDecodeEvent: what is accepted keeps nothing of the caller's bytes, and comes back the same.
func FuzzDecodeEvent(f *testing.F) {
	for _, c := range protobufData(f) {
		f.Add(mustHex(f, c.Hex))
	}
	f.Add(length(40, base(50)))
	f.Add(envelope(1, 0, group(9, varint(1, 1))))
	f.Add(envelope(7, 6, length(2, length(6, cat(length(1, double(2, 1e300)), length(1, varint(1, 0)))))))
	f.Fuzz(func(t *testing.T, data []byte) {
		borrowed := append([]byte(nil), data...)
		var d eventpb.Decoder
		ev, notes, err := d.DecodeEvent(borrowed)
		clear(borrowed) // whatever still points there shows below
		if err != nil {
			if _, ok := err.(*event.FieldError); !ok || ev != nil {
				t.Fatalf("event %v with error %T %v", ev, err, err)
			}
			return
		}
		if ev == nil {
			if len(notes) != 1 {
				t.Fatalf("dropped with notes %v", notes)
			}
			return
		}
		wire, err := eventpb.Append(nil, ev)
		if err != nil {
			t.Fatalf("%v on encoding what was decoded from %x", err, data)
		}
		again, more, err := d.DecodeEvent(wire)
		if err != nil || more != nil && more[0].Kind != event.NoteWarned {
			t.Fatalf("error %v, notes %v on decoding %x", err, more, wire)
		}
		if !reflect.DeepEqual(ev, again) {
			t.Fatalf("%x became\n%+v, then by %x\n%+v", data, ev, wire, again)
		}
		if judged := judge(data); notes == nil && judged != nil && !bytes.Equal(judged, judge(wire)) {
			t.Fatalf("%x and %x are two messages", data, wire)
		}
	})
}

// FuzzAppendJSON: whatever JSON an event is written in, the same event arrives.
func FuzzAppendJSON(f *testing.F) {
	for _, c := range protobufData(f) {
		f.Add([]byte(c.Event))
	}
	invalid, err := os.ReadFile(filepath.Join("..", "..", "agui", "testdata", "invalid.ndjson"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(invalid) {
		var c struct{ Event json.RawMessage }
		if err := json.Unmarshal(line, &c); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(c.Event))
	}
	f.Add([]byte(`{"type":"RUN_STARTED","type":"STEP_STARTED","stepName":"a","stepName":"b\ud83d"}`))
	f.Add([]byte(`{"type":"RUN_FINISHED","outcome":{"type":"success"},"threadId":"","runId":"","outcome":{"type":"cancelled"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var judged event.Decoder
		ev, notes, err := judged.DecodeEvent(data)
		wire, wireErr := eventpb.AppendJSON([]byte("x"), data)
		if err != nil || ev == nil || len(notes) > 0 && notes[0].Kind != event.NoteWarned {
			if wireErr != nil && string(wire) != "x" {
				t.Fatalf("%v, and %q is left", wireErr, wire)
			}
			return
		}
		if wireErr != nil {
			t.Fatalf("%v on %q", wireErr, data)
		}
		byEvent, err := eventpb.Append(nil, ev)
		if err != nil {
			t.Fatal(err)
		}
		var a, b eventpb.Decoder
		fromJSON, _, err := a.DecodeEvent(wire[1:])
		if err != nil {
			t.Fatalf("%v on decoding %x of %q", err, wire[1:], data)
		}
		fromEvent, _, err := b.DecodeEvent(byEvent)
		if err != nil || !reflect.DeepEqual(fromJSON, fromEvent) {
			t.Fatalf("%q arrives as\n%+v, the event as\n%+v, %v", data, fromJSON, fromEvent, err)
		}
	})
}
