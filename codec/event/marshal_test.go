package event_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// marshalled are the ways in which a host hands an event to encoding/json.
func marshalled(t *testing.T, ev agui.Event) []string {
	t.Helper()
	value := reflect.ValueOf(ev).Elem().Interface() // no pointer, and not addressable
	var all []string
	for _, v := range []any{ev, value} {
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%T: %v", v, err)
		}
		all = append(all, string(out))
	}
	return all
}

// TestMarshalJSONWritesWhatAppendWrites: of every type, with its type, as a pointer and as a value.
func TestMarshalJSONWritesWhatAppendWrites(t *testing.T) {
	events := samples()
	for _, line := range dataLines(t, "events.ndjson") {
		ev, _ := mustDecode(t, line)
		events = append(events, ev)
	}
	for _, typ := range agui.EventTypes() { // zero values, where Append takes them
		if _, err := event.Append(nil, agui.New(typ)); err == nil {
			events = append(events, agui.New(typ))
		}
	}
	events = append(events, &agui.RunStarted{Input: &agui.RunAgentInput{}})
	seen := map[agui.EventType]bool{}
	for _, ev := range events {
		seen[ev.Type()] = true
		want := serializerValue(t, mustEncode(t, ev))
		for _, got := range marshalled(t, ev) {
			if !reflect.DeepEqual(serializerValue(t, []byte(got)), want) {
				t.Errorf("%T:\n got %s\nwant %s", ev, got, mustEncode(t, ev))
			}
			back, notes := mustDecode(t, []byte(got))
			if notes != nil || !reflect.DeepEqual(back, reload(t, ev)) {
				t.Errorf("%s is read as %s, %v", got, serializerDump(back), notes)
			}
		}
	}
	for _, typ := range agui.EventTypes() {
		if !seen[typ] {
			t.Errorf("%s was not written", typ)
		}
	}
}

// reload is ev as it comes back from the wire.
func reload(t *testing.T, ev agui.Event) agui.Event {
	t.Helper()
	back, _ := mustDecode(t, mustEncode(t, ev))
	return back
}

// TestMarshalJSONReadsBack: by encoding/json into the same struct.
func TestMarshalJSONReadsBack(t *testing.T) {
	for _, ev := range samples() {
		out, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		back := agui.New(ev.Type())
		if err := json.Unmarshal(out, back); err != nil || !reflect.DeepEqual(back, ev) {
			t.Errorf("%s is read as %s, %v", out, serializerDump(back), err)
		}
	}
}

// TestMarshalJSONOfAnInput: lists that are absent, and the one that must be there.
func TestMarshalJSONOfAnInput(t *testing.T) {
	for in, want := range map[*agui.RunAgentInput]string{
		{}: `{"threadId":"","runId":"","messages":[]}`,
		{ThreadID: "t", RunID: "r", Tools: []agui.Tool{}, State: json.RawMessage(`{"a":"<&>"}`)}: `{"threadId":"t","runId":"r","messages":[],"state":{"a":"<&>"},"tools":[]}`,
	} {
		for _, v := range []any{in, *in} {
			got, err := json.Marshal(v)
			if err != nil || !reflect.DeepEqual(jsonValue(t, got), jsonValue(t, []byte(want))) {
				t.Errorf("wrote %s, %v, want %s", got, err, want)
			}
		}
		if in.Messages != nil {
			t.Error("the input was written to")
		}
	}
}

// TestMarshalJSONOfBrokenJSON: is an error, and does not become another document.
func TestMarshalJSONOfBrokenJSON(t *testing.T) {
	for _, raw := range []string{"{", "01", "1}", `1,"delta":"x"`, "nul"} {
		for _, ev := range []agui.Event{
			&agui.StateSnapshot{Snapshot: json.RawMessage(raw)},
			&agui.Custom{Name: "n", Value: json.RawMessage(raw)},
			&agui.TextMessageEnd{Base: agui.Base{Metadata: json.RawMessage(raw)}},
			&agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchAdd, Path: "/a", Value: json.RawMessage(raw)}}},
		} {
			if out, err := json.Marshal(ev); err == nil || !strings.Contains(err.Error(), "json") {
				t.Errorf("%T with %s: %s, %v", ev, raw, out, err)
			}
		}
	}
}

// foreignEvent is no type of package agui, whatever name it gives itself.
type foreignEvent struct{ agui.Base }

func (foreignEvent) Type() agui.EventType { return agui.EventTypeCustom }

func TestSerializersRefuseForeignTypes(t *testing.T) {
	pair := newSerializerPair(t)
	for _, ev := range []agui.Event{&foreignEvent{}, (*agui.RunStarted)(nil), nil} {
		if _, err := pair.encode(t, ev); err == nil {
			t.Errorf("%T was taken", ev)
		}
	}
}
