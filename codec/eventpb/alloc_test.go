package eventpb_test

import (
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/eventpb"
	"github.com/agloop/agloop/internal/testkit"
)

// frequentEvents is what a stream consists of, with a delta of 24 bytes, and how many allocations
// decoding takes: the struct, what is a pointer in it, and each string but an id that repeats.
func frequentEvents() map[agui.Event]float64 {
	const delta = "a token or two of answer"
	return map[agui.Event]float64{
		&agui.TextMessageStart{MessageID: "msg-0123456789", Role: agui.RoleAssistant, Name: new("Zoë")}: 3,
		&agui.TextMessageContent{MessageID: "msg-0123456789", Delta: delta}:                             2,
		&agui.TextMessageEnd{MessageID: "msg-0123456789"}:                                               1,
		&agui.TextMessageChunk{MessageID: new("msg-0123456789"), Delta: new(delta)}:                     5,
		&agui.ToolCallStart{ToolCallID: "call-0123456789", ToolCallName: "search"}:                      2,
		&agui.ToolCallArgs{ToolCallID: "call-0123456789", Delta: `{"q":"a \"token\" of answer"`}:        2,
		&agui.ToolCallEnd{ToolCallID: "call-0123456789"}:                                                1,
		&agui.ToolCallChunk{ToolCallID: new("call-0123456789"), Delta: new(delta)}:                      5,
		&agui.ReasoningMessageStart{MessageID: "msg-0123456789", Role: agui.RoleReasoning}:              1,
		&agui.ReasoningMessageContent{MessageID: "msg-0123456789", Delta: strings.Repeat("ü\n", 200)}:   2,
		&agui.ReasoningMessageEnd{MessageID: "msg-0123456789"}:                                          1,
		&agui.ReasoningMessageChunk{MessageID: new("msg-0123456789"), Delta: new(delta)}:                5,
	}
}

func TestFrequentEventsDoNotAllocate(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	buf := make([]byte, 0, 4096)
	for ev, ceiling := range frequentEvents() {
		ev.Common().Timestamp = new(int64(1769904000123))
		ev.Common().SubagentRunID = new("sub-1")
		if n := testing.AllocsPerRun(100, func() { _, _ = eventpb.Append(buf, ev) }); n != 0 {
			t.Errorf("%s: Append: %v allocations", ev.Type(), n)
		}
		text := encoded(t, ev)
		if n := testing.AllocsPerRun(100, func() { _, _ = eventpb.AppendJSON(buf, text) }); n != 0 {
			t.Errorf("%s: AppendJSON: %v allocations", ev.Type(), n)
		}
		data, err := eventpb.Append(nil, ev)
		if err != nil {
			t.Fatal(err)
		}
		var d eventpb.Decoder
		n := testing.AllocsPerRun(100, func() {
			if _, _, err := d.DecodeEvent(data); err != nil {
				t.Fatal(err)
			}
		})
		if ceiling += 3; n > ceiling { // the time, the subagent and its pointer
			t.Errorf("%s: DecodeEvent: %v allocations, ceiling %v", ev.Type(), n, ceiling)
		}
	}
}

// Events that carry JSON are turned over without an allocation, too.
func TestAppendJSONDoesNotAllocate(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	buf := make([]byte, 0, 64<<10)
	for _, c := range protobufData(t) {
		if n := testing.AllocsPerRun(10, func() { _, _ = eventpb.AppendJSON(buf, c.Event) }); n > 0 {
			t.Errorf("%v allocations for %.200s", n, c.Event)
		}
	}
}
