package event_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// dataLines reads a file of the sample data. Lines end at LF only: strings hold U+2028.
func dataLines(t testing.TB, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "agui", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

func jsonValue(t testing.TB, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %.200s", err, data)
	}
	return v
}

func mustDecode(t testing.TB, data []byte) (agui.Event, []event.Note) {
	t.Helper()
	var d event.Decoder
	ev, notes, err := d.DecodeEvent(data)
	if err != nil {
		t.Fatalf("%v in %.200s", err, data)
	}
	return ev, notes
}

func mustEncode(t testing.TB, ev agui.Event) []byte {
	t.Helper()
	out, err := event.Append(nil, ev)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDataRoundTrips(t *testing.T) {
	seen := map[agui.EventType]bool{}
	for _, line := range dataLines(t, "events.ndjson") {
		ev, notes := mustDecode(t, line)
		want := jsonValue(t, line)
		if members := want.(map[string]any); members["futureField"] != nil {
			delete(members, "futureField")
			if len(notes) != 1 || notes[0] != (event.Note{Kind: event.NoteStripped, Event: "TEXT_MESSAGE_CONTENT", Path: "futureField"}) {
				t.Errorf("notes %v for a member of the future", notes)
			}
		} else if notes != nil {
			t.Errorf("notes %v for %.200s", notes, line)
		}
		seen[ev.Type()] = true
		if got := mustEncode(t, ev); !reflect.DeepEqual(jsonValue(t, got), want) {
			t.Errorf("\n got %s\nwant %s", got, line)
		}
	}
	for _, typ := range agui.EventTypes() {
		if !seen[typ] {
			t.Errorf("%s does not occur in the data", typ)
		}
	}
}

func TestRunAgentInputDataRoundTrips(t *testing.T) {
	for _, line := range dataLines(t, "run_inputs.ndjson") {
		in, notes, err := event.DecodeRunAgentInput(line)
		if err != nil || notes != nil {
			t.Fatalf("%v, notes %v in %.200s", err, notes, line)
		}
		got, err := event.AppendRunAgentInput(nil, in)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(jsonValue(t, got), jsonValue(t, line)) {
			t.Errorf("\n got %.2000s\nwant %.2000s", got, line)
		}
	}
}

func TestInvalidDataGetsItsVerdict(t *testing.T) {
	for _, line := range dataLines(t, "invalid.ndjson") {
		var c struct {
			Why, Spec string
			After     map[string]any
			Event     json.RawMessage
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.Why, func(t *testing.T) {
			var d event.Decoder
			ev, notes, err := d.DecodeEvent(c.Event)
			if c.Spec == "fatal" {
				if _, ok := err.(*event.FieldError); !ok || ev != nil {
					t.Fatalf("event %v, error %v, want a FieldError", ev, err)
				}
				return
			}
			if err != nil || len(notes) != 1 {
				t.Fatalf("error %v, notes %v, want one note", err, notes)
			}
			wantKind := map[string]event.NoteKind{
				"drop": event.NoteDropped, "strip": event.NoteStripped, "translate": event.NoteTranslated,
			}[c.Spec]
			if notes[0].Kind != wantKind {
				t.Errorf("note %v, want %v", notes[0], wantKind)
			}
			if c.Spec == "drop" {
				if ev != nil {
					t.Errorf("%v was not dropped", ev)
				}
				return
			}
			got := jsonValue(t, mustEncode(t, ev)).(map[string]any)
			want := maps.Clone(c.After)
			for key, value := range want {
				if value == "*" && got[key] != "" {
					want[key] = got[key]
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
