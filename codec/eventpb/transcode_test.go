package eventpb_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
)

// The bytes are those of the reference: from the JSON of an event, and from the event.
func TestBytesAreThoseOfTheReference(t *testing.T) {
	seen := map[agui.EventType]bool{}
	for _, c := range protobufData(t) {
		var d event.Decoder
		ev, _, err := d.DecodeEvent(c.Event)
		if err != nil {
			t.Fatal(err)
		}
		seen[ev.Type()] = true
		fromJSON, err := eventpb.AppendJSON([]byte("x"), c.Event)
		if err != nil || fromJSON[0] != 'x' || hex.EncodeToString(fromJSON[1:]) != c.Hex {
			t.Errorf("%v, %s\n got %x\nwant %s", err, c.Event, fromJSON, c.Hex)
		}
		fromEvent, err := eventpb.Append([]byte("x"), ev)
		if err != nil || fromEvent[0] != 'x' || hex.EncodeToString(fromEvent[1:]) != c.Hex {
			t.Errorf("%v, %s\n got %x\nwant %s", err, c.Event, fromEvent, c.Hex)
		}
	}
	for _, typ := range agui.EventTypes() {
		if !seen[typ] {
			t.Errorf("%s does not occur in the data", typ)
		}
	}
}

// What the reference has encoded is decoded to what the reference makes of it.
func TestDecodesWhatTheReferenceDecodes(t *testing.T) {
	for _, c := range protobufData(t) {
		data, err := hex.DecodeString(c.Hex)
		if err != nil {
			t.Fatal(err)
		}
		var d eventpb.Decoder
		ev, notes, err := d.DecodeEvent(data)
		clear(data)
		if err != nil || notes != nil {
			t.Errorf("%v, notes %v on %s", err, notes, c.Event)
			continue
		}
		got, err := event.Append(nil, ev)
		if err != nil {
			t.Fatal(err)
		}
		if !sameJSON(t, string(got), string(c.Decoded)) {
			t.Errorf("\n got %s\nwant %s", got, c.Decoded)
		}
	}
}

// The events with every member set arrive with all that the wire carries: what they become is then
// stable.
func TestEventsWithEveryMember(t *testing.T) {
	for _, typ := range agui.EventTypes() {
		path := filepath.Join("..", "event", "testdata", "golden", strings.ToLower(string(typ))+".json")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := eventpb.AppendJSON(nil, text)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var d eventpb.Decoder
		ev, notes, err := d.DecodeEvent(data)
		if err != nil || notes != nil {
			t.Fatalf("%s: %v, notes %v", path, err, notes)
		}
		if again := mustHex(t, hexOf(t, ev)); judge(data) == nil || !bytes.Equal(judge(again), judge(data)) {
			t.Errorf("%s\n is %s\nbut %s", path, judge(again), judge(data))
		}
	}
}

func sameJSON(t testing.TB, a, b string) bool {
	t.Helper()
	return reflect.DeepEqual(jsonValue(t, []byte(a)), jsonValue(t, []byte(b)))
}

func jsonValue(t testing.TB, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %.200s", err, data)
	}
	return v
}
