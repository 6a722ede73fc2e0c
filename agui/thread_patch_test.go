package agui_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
)

// patched applies a patch to a state.
func patched(state json.RawMessage, ops []agui.PatchOp) (json.RawMessage, error) {
	thread := new(agui.Thread)
	thread.Apply(&agui.StateSnapshot{Snapshot: state})
	err := thread.Apply(&agui.StateDelta{Delta: ops})
	return thread.State(), err
}

// The file says what the library of the official client makes of each patch, and no want when the
// patch does not apply there; e2e/thread.test.mjs holds the file to that.
func TestThreadPatches(t *testing.T) {
	for _, line := range dataLines(t, "patches.ndjson") {
		var c struct {
			Name  string
			Doc   json.RawMessage
			Patch []agui.PatchOp
			Want  json.RawMessage
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.Name, func(t *testing.T) {
			got, err := patched(c.Doc, c.Patch)
			want := c.Want
			if want == nil {
				want = c.Doc
			}
			if (err != nil) != (c.Want == nil) || !reflect.DeepEqual(values(t, got), values(t, want)) {
				t.Errorf("error %v\n got %s\nwant %s", err, got, want)
			}
		})
	}
}

// What the official client's library does and RFC 6902 or good sense does not, or the reverse.
func TestThreadPatchesOtherwise(t *testing.T) {
	one := json.RawMessage(`1`)
	for _, tc := range []struct {
		name  string
		state string
		op    agui.PatchOp
	}{
		{"a member of a number", `5`, agui.PatchOp{Op: agui.PatchAdd, Path: "/a", Value: one}},
		{"a member of null", `null`, agui.PatchOp{Op: agui.PatchAdd, Path: "/a", Value: one}},
		{"an empty name", `{"":1}`, agui.PatchOp{Op: agui.PatchReplace, Path: "/", Value: one}},
		{"a method of JavaScript", `{}`, agui.PatchOp{Op: agui.PatchReplace, Path: "/toString", Value: one}},
		{"the document into itself", `{}`, agui.PatchOp{Op: agui.PatchMove, From: new(""), Path: "/a"}},
		{"nothing to the document", `{}`, agui.PatchOp{Op: agui.PatchCopy, From: new("/a"), Path: ""}},

		{"no pointer", `{"a":1}`, agui.PatchOp{Op: agui.PatchRemove, Path: "a"}},
		{"no from", `{"a":1}`, agui.PatchOp{Op: agui.PatchMove, Path: "/b"}},
		{"no value", `{}`, agui.PatchOp{Op: agui.PatchAdd, Path: "/a"}},
		{"no JSON", `{}`, agui.PatchOp{Op: agui.PatchAdd, Path: "/a", Value: json.RawMessage(`{`)}},
		{"no operation", `{}`, agui.PatchOp{Op: "merge", Path: "/a"}},
		{"no operation on the document", `{}`, agui.PatchOp{}},
		{"no document", `{`, agui.PatchOp{Op: agui.PatchAdd, Path: "/a", Value: one}},
	} {
		got, err := patched(json.RawMessage(tc.state), []agui.PatchOp{tc.op})
		if err == nil || string(got) != tc.state {
			t.Errorf("%s: %s, error %v", tc.name, got, err)
		}
	}
}

// A few bytes of copying must not make gigabytes, in one patch or in many.
func TestThreadPatchesDoNotDouble(t *testing.T) {
	double := agui.PatchOp{Op: agui.PatchCopy, From: new("/l"), Path: "/l/-"}
	begin := json.RawMessage(`{"l":["x"]}`)
	if _, err := patched(begin, slices.Repeat([]agui.PatchOp{double}, 40)); err == nil {
		t.Error("40 times in one patch: no error")
	}
	thread := new(agui.Thread)
	thread.Apply(&agui.StateSnapshot{Snapshot: begin})
	var err error
	for range 40 {
		if err = thread.Apply(&agui.StateDelta{Delta: []agui.PatchOp{double}}); err != nil {
			break
		}
	}
	if size := len(thread.State()); err == nil || size < 4<<20 || size > 16<<20 {
		t.Errorf("40 patches: %d bytes, error %v", size, err)
	}
}

// Operations that look at the document one by one must not take minutes.
func TestThreadPatchesReadSoMuch(t *testing.T) {
	var cards []string
	for i := range 40_000 {
		cards = append(cards, fmt.Sprintf(`{"id":%d,"title":"a card"}`, i))
	}
	state := json.RawMessage(`{"a":1,"cards":[` + strings.Join(cards, ",") + `]}`)
	var ops []agui.PatchOp
	for range 10_000 {
		ops = append(ops,
			agui.PatchOp{Op: agui.PatchTest, Path: "/a", Value: json.RawMessage(`1`)},
			agui.PatchOp{Op: agui.PatchReplace, Path: "/a", Value: json.RawMessage(`1`)})
	}
	if _, err := patched(state, ops); err == nil {
		t.Error("no error")
	}
	if _, err := patched(state, ops[:8]); err != nil {
		t.Errorf("a few: %v", err)
	}
}
