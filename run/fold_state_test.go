package run_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// TestR8StateBeforeASnapshot: goes, with deltas alone between, and the next entry has its offsets.
func TestR8StateBeforeASnapshot(t *testing.T) {
	replace := patch(`{"op":"replace","path":"","value":1}`)
	want(t, fold(snapshot("1"), replace, snapshot("2")), "1-3 "+snapshot("2"))
	want(t, fold(snapshot("1"), text("m", "a"), replace, text("m", "b"), text("n", "c"), replace, snapshot("2"), replace),
		"1-4 "+text("m", "ab")+" [0 1 0 1]", "5-5 "+text("n", "c"), "6-7 "+snapshot("2"), "8-8 "+replace)
	want(t, fold(snapshot("1"), text("m", "a"), barrier, snapshot("2")),
		"1-1 "+snapshot("1"), "2-2 "+text("m", "a"), "3-3 "+barrier, "4-4 "+snapshot("2"))
	want(t, fold(snapshot("1"), text("m", "a"), snapshot("2"))[:1], "1-2 "+text("m", "a"))
}

// TestR8TagsAreKeptApart: a STATE event ends what chunks of its owner have opened, so that only one of
// the same owner takes its place.
func TestR8TagsAreKeptApart(t *testing.T) {
	tagged := `{"type":"STATE_SNAPSHOT","subagentRunId":"s","snapshot":3}`
	want(t, fold(patch(""), snapshot("1"), tagged, tagged, snapshot("2"), patch(""), snapshot("4")),
		"1-2 "+snapshot("1"), "3-4 "+tagged, "5-7 "+snapshot("4"))
	delta := func(tag, key string) string {
		return `{"type":"STATE_DELTA",` + tag + `"delta":[{"op":"add","path":"/` + key + `","value":1}]}`
	}
	ballast := `{"type":"CUSTOM","name":"n","value":"` + strings.Repeat("x", 30<<10) + `"}`
	got, _ := run.NewFolder(nil, 40<<10).Add(nil, plain(1, ballast, delta("", "a"), delta("", "b"),
		delta(`"subagentRunId":"s",`, "a"), delta(`"subagentRunId":"s",`, "b")))
	want(t, got[1:], "2-2 "+delta("", "a"), "3-3 "+delta("", "b"),
		`4-5 {"type":"STATE_SNAPSHOT","subagentRunId":"s","snapshot":{"a":1,"b":1}}`)
}

// TestR8ASnapshotThatComesLater drops what was folded long before.
func TestR8ASnapshotThatComesLater(t *testing.T) {
	f := run.NewFolder(nil, 0)
	older, _ := f.Add(nil, plain(1, barrier, text("m", "a"), snapshot("1"), text("m", "b"), text("m", "c")))
	before := show(older)
	newer, _ := f.Add(older, plain(6, text("m", "d"), snapshot("2")))
	want(t, newer, "1-1 "+barrier, "2-6 "+text("m", "abcd")+" [1 0 1 1 1]", "7-7 "+snapshot("2"))
	want(t, older, strings.TrimSuffix(before, "\n"))
	rest, _ := newer[1].Rest(3)
	want(t, []run.Entry{rest}, "4-6 "+text("m", "bcd")+" [1 1 1]")
}

// TestR8ComputedSnapshot: past half the bound, from the input's state or the snapshot before.
func TestR8ComputedSnapshot(t *testing.T) {
	add := func(key, value string) string {
		return patch(`{"op":"add","path":"/` + key + `","value":` + value + `}`)
	}
	ballast := `{"type":"CUSTOM","name":"n","value":"` + strings.Repeat("x", 30<<10) + `"}`
	events := []string{barrier, add("a", "1.50"), text("m", "a"), add("b", `"<\u2028"`), text("m", "b"), add("a", "3e400"), add("b", "[]")}
	fold := func(most int, events ...string) []run.Entry {
		folded, trimmed := run.NewFolder(json.RawMessage(`{"in":true}`), most).Add(nil, plain(1, events...))
		if trimmed != 0 {
			t.Errorf("trimmed to %d", trimmed)
		}
		return folded
	}
	got := fold(40<<10, append(events, ballast, add("c", "1"), add("c", "2"))...)
	got = append(got[:3:3], got[4:]...)
	want(t, got, "1-1 "+barrier, "2-5 "+text("m", "ab")+" [0 1 0 1]", "6-7 "+snapshot(`{"a":3e400,"b":[],"in":true}`),
		"9-10 "+snapshot(`{"a":3e400,"b":[],"c":2,"in":true}`))
	// Not before half the bound, nor where nothing is saved.
	if got := fold(100<<10, append(events, ballast)...); len(got) != len(events)+1 {
		t.Error(show(got))
	}
	big := add("big", `"`+strings.Repeat("x", 1000)+`"`)
	if got := fold(40<<10, big, ballast, add("c", "1"), add("c", "2")); len(got) != 4 {
		t.Error(show(got[2:]))
	}
	// What is not certain stays, until the next snapshot.
	unsafe := patch(`{"op":"remove","path":"/nothing"}`)
	if got := fold(40<<10, unsafe, add("c", "1"), ballast, add("c", "1"), add("c", "2"), barrier, snapshot("{}"),
		add("c", "1"), add("c", "2"), add("c", "3")); len(got) != 7 || string(got[6].Event) != snapshot(`{"c":3}`) {
		t.Error(show(got[3:]))
	}
	// Half of a character is what Go cannot decode.
	if got := fold(40<<10, snapshot(`{"half":"\ud83d"}`), ballast, add("c", "1"), add("c", "2"), add("c", "3")); len(got) != 5 {
		t.Error(show(got[2:]))
	}
	// No reader takes a state that is nested deeper than 64 levels, though each patch is not.
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for n, entries := range map[int]int{29: 3, 30: 4} {
		nested := patch(`{"op":"add","path":"` + strings.Repeat("/0", 34) + `","value":` + deep(n) + `}`)
		got := fold(40<<10, snapshot(deep(34)), barrier, ballast,
			nested, patch(`{"op":"add","path":"/1","value":1}`))
		if len(got)-1 != entries {
			t.Errorf("%d levels: %s", n, show(got[3:]))
			continue
		}
		checkOrder(t, []string{`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`}, got)
	}
	// Nor what cannot be read.
	if got := fold(40<<10, `{"type":"STATE_DELTA","delta":[{"op":"add"}]}`, ballast, add("c", "1"), add("c", "2"), add("c", "3")); len(got) != 5 {
		t.Error(show(got[2:]))
	}
	// A patch with metadata is one, too.
	odd := `{"type":"STATE_DELTA","metadata":{},"delta":[{"op":"add","path":"/odd","value":1}]}`
	if got := fold(40<<10, odd, ballast, add("c", "1"), add("c", "2"), add("c", "3")); len(got) != 3 ||
		string(got[2].Event) != snapshot(`{"c":3,"in":true,"odd":1}`) {
		t.Error(show(got[2:]))
	}
}

// TestR8AStateEventEndsChunks: what would go wrong without regard to tags.
func TestR8AStateEventEndsChunks(t *testing.T) {
	chunk := func(name string) string {
		return `{"type":"TEXT_MESSAGE_CHUNK","messageId":"m","delta":"x","name":"` + name + `"}`
	}
	events := []string{
		`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`, chunk("ann"), snapshot("1"),
		`{"type":"STATE_SNAPSHOT","subagentRunId":"s","snapshot":2}`, chunk("bob"),
	}
	checkOrder(t, events, nil)
	checkOrder(t, nil, fold(events...))
	var order agui.Order
	var err error
	for _, e := range slices.Delete(slices.Clone(events), 2, 3) {
		err = order.Check(decoded[e])
	}
	if err == nil {
		t.Error("without the first snapshot the second chunk is as good as with it: tags need not count")
	}
}

// TestPatchState: what every library does alike, and nothing else.
func TestPatchState(t *testing.T) {
	const state = `{"a":{"b":[1,2]},"x/y":{"~":1},"n":null,"":1,"t":"x"}`
	for _, tc := range []struct{ op, path, want string }{
		{"add", "/a/b/0", `{"":1,"a":{"b":[7,1,2]},"n":null,"t":"x","x/y":{"~":1}}`},
		{"add", "/a/b/2", `{"":1,"a":{"b":[1,2,7]},"n":null,"t":"x","x/y":{"~":1}}`},
		{"add", "/a/b/-", `{"":1,"a":{"b":[1,2,7]},"n":null,"t":"x","x/y":{"~":1}}`},
		{"replace", "/a/b/1", `{"":1,"a":{"b":[1,7]},"n":null,"t":"x","x/y":{"~":1}}`},
		{"remove", "/a/b/0", `{"":1,"a":{"b":[2]},"n":null,"t":"x","x/y":{"~":1}}`},
		{"replace", "/x~1y/~0", `{"":1,"a":{"b":[1,2]},"n":null,"t":"x","x/y":{"~":7}}`},
		{"remove", "/a", `{"":1,"n":null,"t":"x","x/y":{"~":1}}`},
		{"add", "/", `{"":7,"a":{"b":[1,2]},"n":null,"t":"x","x/y":{"~":1}}`},
		{"replace", "", "7"},
		{"add", "", "7"},
		{"remove", "", ""},
		{"replace", "/none", ""},
		{"remove", "/none", ""},
		{"add", "/none/x", ""},
		{"add", "/a/b/3", ""},
		{"replace", "/a/b/2", ""},
		{"remove", "/a/b/2", ""},
		{"replace", "/a/b/-", ""},
		{"add", "/a/b/-1", ""},
		{"add", "/a/b/01", ""},
		{"add", "/a/b/+1", ""},
		{"add", "/a/b/length", ""},
		{"add", "/a/b/2/x", ""},
		{"add", "/n/x", ""},
		{"add", "/t/0", ""},
		{"add", "/__proto__", ""},
		{"add", "/constructor/x", ""},
		{"remove", "/a/prototype", ""},
		{"test", "/n", ""},
		{"move", "/n", ""},
		{"copy", "/n", ""},
	} {
		op := agui.PatchOp{Op: agui.PatchOpKind(tc.op), Path: tc.path, Value: json.RawMessage("7")}
		got, ok := run.PatchState(decode(t, []byte(state)), &op)
		if ok != (tc.want != "") || ok && string(encode(t, got)) != tc.want {
			t.Errorf("%s %s: %s, %v", tc.op, tc.path, encode(t, got), ok)
		}
	}
	op := agui.PatchOp{Op: agui.PatchAdd, Path: "/0/a/1/b", Value: json.RawMessage("7")}
	got, ok := run.PatchState(decode(t, []byte(`[{"a":[0,{"b":1}]}]`)), &op)
	if !ok || string(encode(t, got)) != `[{"a":[0,{"b":7}]}]` {
		t.Errorf("%s, %v", encode(t, got), ok)
	}
}
