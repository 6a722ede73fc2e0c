package agui_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"testing"

	"github.com/agloop/agloop/agui"
)

func dataLines(t testing.TB, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

// sameMembers compares a value with the line it was decoded from, but for the member that is no
// field.
func sameMembers(t *testing.T, v any, line []byte) {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if json.Unmarshal(out, &got) != nil || json.Unmarshal(line, &want) != nil {
		t.Fatalf("not objects: %s, %.100s", out, line)
	}
	delete(want, "futureField")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %s\nwant %.3000s", out, line)
	}
}

// The tags alone tell absent from empty, for any JSON package.
func TestTagsRoundTrip(t *testing.T) {
	for _, line := range dataLines(t, "events.ndjson") {
		var head struct{ Type agui.EventType }
		if err := json.Unmarshal(line, &head); err != nil {
			t.Fatal(err)
		}
		ev := agui.New(head.Type)
		if ev == nil || ev.Type() != head.Type {
			t.Fatalf("New(%q) is %v", head.Type, ev)
		}
		if err := json.Unmarshal(line, ev); err != nil {
			t.Fatal(err)
		}
		sameMembers(t, ev, line)
	}
	for _, line := range dataLines(t, "run_inputs.ndjson") {
		var in agui.RunAgentInput
		if err := json.Unmarshal(line, &in); err != nil {
			t.Fatal(err)
		}
		sameMembers(t, &in, line)
	}
}

func TestPatchOpKeepsEveryMember(t *testing.T) {
	const data = `{"note":"n","value":[1],"from":{"x":1},"path":"/a","op":"remove"}`
	var op agui.PatchOp
	if err := json.Unmarshal([]byte(data), &op); err != nil {
		t.Fatal(err)
	}
	want := agui.PatchOp{Op: agui.PatchRemove, Path: "/a", Extra: map[string]json.RawMessage{
		"note": json.RawMessage(`"n"`), "value": json.RawMessage(`[1]`), "from": json.RawMessage(`{"x":1}`),
	}}
	if !reflect.DeepEqual(op, want) {
		t.Errorf("got %+v", op)
	}
	out, err := json.Marshal(op)
	if err != nil || string(out) != `{"op":"remove","path":"/a","from":{"x":1},"note":"n","value":[1]}` {
		t.Errorf("%s, %v", out, err)
	}

	// A member in use does not come from Extra.
	op = agui.PatchOp{Op: agui.PatchAdd, Path: "/a", Value: json.RawMessage(`null`), Extra: map[string]json.RawMessage{
		"op": json.RawMessage(`1`), "path": json.RawMessage(`1`), "value": json.RawMessage(`1`),
	}}
	if out, err = json.Marshal(op); err != nil || string(out) != `{"op":"add","path":"/a","value":null}` {
		t.Errorf("%s, %v", out, err)
	}

	for _, bad := range []string{`[]`, `{}`, `{"op":1}`, `{"op":"add","path":1}`, `{"op":"move","path":"","from":1}`} {
		if err := json.Unmarshal([]byte(bad), &op); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
	for _, bad := range []agui.PatchOp{
		{Op: "\xff"},
		{Path: "\xff"},
		{From: new("\xff")},
		{Value: json.RawMessage(`{`)},
		{Extra: map[string]json.RawMessage{"\xff": json.RawMessage(`1`)}},
		{Extra: map[string]json.RawMessage{"x": nil}},
	} {
		if out, err := bad.MarshalJSON(); err == nil {
			t.Errorf("%+v: wrote %s", bad, out)
		}
	}
}

func TestContent(t *testing.T) {
	for _, data := range []string{
		`""`, `"a \"b\" \u0001 <c>"`, `[]`, `[{"type":"text","text":"<&>","metadata":null}]`, `{"a":[null]}`,
	} {
		var c agui.Content
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatal(err)
		}
		out, err := c.MarshalJSON()
		var got, want any
		if err != nil || json.Unmarshal(out, &got) != nil || json.Unmarshal([]byte(data), &want) != nil {
			t.Fatalf("%s: %s, %v", data, out, err)
		}
		if data != `[{"type":"text","text":"<&>","metadata":null}]` && !reflect.DeepEqual(got, want) || bytes.Contains(out, []byte(`\u003c`)) {
			t.Errorf("%s became %s", data, out)
		}
	}
	for _, bad := range []string{`null`, `1`, `true`, ``, `["x"]`} {
		var c agui.Content
		if err := c.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s: accepted as %+v", bad, c)
		}
	}
	for _, bad := range []agui.Content{
		{Text: "\xff"},
		{Parts: []agui.ContentPart{{ID: new("\xff")}}},
		{Parts: []agui.ContentPart{{Source: &agui.Source{Value: "\xff"}}}},
		{Parts: []agui.ContentPart{{Metadata: json.RawMessage("\"\xff\"")}}},
	} {
		if out, err := bad.MarshalJSON(); err == nil {
			t.Errorf("%+v: wrote %s", bad, out)
		}
	}
}

func TestProtocolVersion(t *testing.T) {
	for _, bad := range []string{"", "1", "1.", ".1", "1.0.0", "1.x", "-1.0", "+1.0", "1. 0"} {
		if major, minor, err := agui.ParseProtocolVersion(bad); err == nil {
			t.Errorf("%q is %d.%d", bad, major, minor)
		}
		// Who cannot tell what a peer speaks goes on as with a newer one.
		if newer, err := agui.CheckProtocolVersion(&bad); err != nil || !newer {
			t.Errorf("%q: newer %v, error %v", bad, newer, err)
		}
	}
	if major, minor, err := agui.ParseProtocolVersion("12.10"); major != 12 || minor != 10 || err != nil {
		t.Errorf("12.10 is %d.%d, %v", major, minor, err)
	}
	if major, minor, err := agui.ParseProtocolVersion("1.99999999999999999999"); major != 1 || minor != math.MaxInt || err != nil {
		t.Errorf("1.99999999999999999999 is %d.%d, %v", major, minor, err)
	}
	tests := []struct {
		version        *string
		newer, refused bool
	}{
		{nil, false, false},
		{new(agui.ProtocolVersion), false, false},
		{new("1.1"), true, false},
		{new("1.10"), true, false},
		{new("1.99999999999999999999"), true, false},
		{new("01.00"), false, false},
		{new("2.0"), true, true},
		{new("99999999999999999999.0"), true, true},
		{new("0.9"), false, true},
	}
	for _, tt := range tests {
		newer, err := agui.CheckProtocolVersion(tt.version)
		if newer != tt.newer || (err != nil) != tt.refused {
			t.Errorf("%v: newer %v, error %v", tt.version, newer, err)
		}
	}
}

func TestOwner(t *testing.T) {
	tests := []struct {
		ev   agui.Event
		want string
		ok   bool
	}{
		{&agui.TextMessageEnd{}, "", false},
		{&agui.TextMessageEnd{Base: tagged("")}, "", true},
		{&agui.Raw{Base: tagged("s")}, "s", true},
		{&agui.SubagentStarted{SubagentRunID: "s"}, "s", true},
		{&agui.SubagentFinished{SubagentRunID: "s"}, "s", true},
		{&agui.SubagentError{SubagentRunID: "s"}, "s", true},
		{finish(), "", false},
	}
	for _, tt := range tests {
		if got, ok := agui.Owner(tt.ev); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %q, %v", tt.ev.Type(), got, ok)
		}
	}
	if agui.New("NONE") != nil {
		t.Error("New made an event of no type")
	}
}
