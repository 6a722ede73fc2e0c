package eventpb_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
	"google.golang.org/protobuf/encoding/protowire"
)

// nest puts a value into n lists.
func nest(n int, value []byte) []byte {
	for range n {
		value = length(6, length(1, value))
	}
	return value
}

// The limits are those of JSON: the event is the first level.
func TestNestingIsBoundedAsInJSON(t *testing.T) {
	deepest := envelope(7, 6, length(2, nest(63, length(3, "x"))))
	if text, _ := decoded(t, deepest); strings.Count(text, "[") != 63 {
		t.Error(text)
	}
	if why := refused(t, envelope(7, 6, length(2, nest(64, length(3, "x"))))); !strings.Contains(why, "nested deeper than 64 levels") {
		t.Error(why)
	}
	if why := refused(t, envelope(7, 6, length(2, nest(1_500, length(3, "x"))))); !strings.Contains(why, "nested deeper than 1000 levels") {
		t.Error(why)
	}
	groups := bytes.Repeat(protowire.AppendTag(nil, 9, protowire.StartGroupType), 500_000)
	if why := refused(t, envelope(1, 0, groups)); !strings.Contains(why, "not valid protobuf") {
		t.Error(why)
	}
}

func TestPatchOperationsAreBoundedAsInJSON(t *testing.T) {
	op := length(2, cat(varint(1, 1), length(2, "/a")))
	if text, _ := decoded(t, envelope(8, 7, bytes.Repeat(op, 1024))); strings.Count(text, "remove") != 1024 {
		t.Errorf("%d operations", strings.Count(text, "remove"))
	}
	if why := refused(t, envelope(8, 7, bytes.Repeat(op, 1025))); !strings.Contains(why, "delta: more than 1024 elements") {
		t.Error(why)
	}
	many := &agui.StateDelta{Delta: make([]agui.PatchOp, 1025)}
	if _, err := eventpb.Append(nil, many); err == nil || err.Error() != refusedBy(many) {
		t.Errorf("%v", err)
	}
}

// refusedBy is why the JSON of an event is not written.
func refusedBy(ev agui.Event) string {
	_, err := event.Append(nil, ev)
	return err.Error()
}

// An empty element takes two bytes on the wire, and many more where it is decoded.
func TestElementsAreBounded(t *testing.T) {
	message := length(2, cat(length(2, "user"), length(3, "")))
	if text, _ := decoded(t, envelope(9, 8, bytes.Repeat(message, 1<<16))); strings.Count(text, "user") != 1<<16 {
		t.Errorf("%d messages", strings.Count(text, "user"))
	}
	if why := refused(t, envelope(9, 8, bytes.Repeat(length(2, ""), 1<<16+1))); !strings.Contains(why, "more than 65536 elements") {
		t.Error(why)
	}
}

// A message in a thousand pieces is put together once.
func TestFieldInManyPieces(t *testing.T) {
	const pieces = 200_000
	data := envelope(7, 6, bytes.Repeat(length(2, length(6, length(1, varint(4, 1)))), pieces))
	text, _ := decoded(t, data)
	if n := strings.Count(text, "true"); n != pieces {
		t.Errorf("%d elements", n)
	}
}

func TestHostileBytes(t *testing.T) {
	good := envelope(2, 1, length(2, "m"), length(3, "hello"))
	for n := range good { // cut anywhere
		if n > 0 {
			refused(t, good[:n])
		}
	}
	overflow := bytes.Repeat([]byte{0xff}, 10)
	for name, data := range map[string][]byte{
		"a length beyond the data":          {0x12, 0x7f, 0x0a, 0x00},
		"a length of 2^64-1":                append([]byte{0x12}, append(overflow[:9:9], 0x01)...),
		"a tag that overflows":              overflow,
		"a varint of eleven bytes":          length(2, cat(length(1, append([]byte{0x08}, append(overflow, 0x01)...)))),
		"a varint that overflows":           length(2, cat(length(1, append([]byte{0x08}, append(overflow[:9:9], 0x02)...)))),
		"a field number beyond the largest": {0xf8, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x80, 0x80, 0x80, 0x80, 0x10, 0x00},
		"a tag beyond 32 bits":              {0xf8, 0xff, 0xff, 0xff, 0x1f, 0x00},
		"a wire type that there is not":     {0x16, 0x00},
		"a double that is cut":              envelope(7, 6, length(2, []byte{0x11, 0, 0})),
	} {
		if why := refused(t, data); !strings.Contains(why, "not valid protobuf") && name != "a varint of eleven bytes" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

// Large events come whole, with lengths of every size before them.
func TestLargeEvents(t *testing.T) {
	for _, size := range []int{0, 1, 60, 100, 110, 120, 125, 126, 127, 128, 129, 16_300, 16_370, 16_383, 16_384, 64 << 10} {
		for _, unit := range []string{"x", "\n", "é"} {
			text := strings.Repeat(unit, size/len(unit))
			raw, err := json.Marshal(map[string]any{"k": []string{text, text}})
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range []agui.Event{
				&agui.TextMessageContent{MessageID: "m", Delta: text},
				&agui.StateSnapshot{Snapshot: raw},
				&agui.MessagesSnapshot{Messages: []agui.Message{{ID: text, Role: agui.RoleUser, Content: agui.TextContent(text)}}},
			} {
				data := mustHex(t, hexOf(t, ev))
				got, _ := decoded(t, data)
				if got != string(encoded(t, ev)) {
					t.Errorf("%s of %d bytes became %d", ev.Type(), size, len(got))
				}
				if judge(data) == nil {
					t.Errorf("%s of %d bytes is not read by the generated code", ev.Type(), size)
				}
			}
		}
	}
}
