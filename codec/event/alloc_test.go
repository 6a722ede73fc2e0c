package event_test

import (
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
)

// hotEvents is what most of a stream consists of, with a delta of 24 bytes.
func hotEvents() []agui.Event {
	const delta = "a token or two of answer"
	return []agui.Event{
		&agui.TextMessageStart{MessageID: "msg-0123456789", Role: agui.RoleAssistant},
		&agui.TextMessageContent{MessageID: "msg-0123456789", Delta: delta},
		&agui.TextMessageEnd{MessageID: "msg-0123456789"},
		&agui.TextMessageChunk{MessageID: new("msg-0123456789"), Delta: new(delta)},
		&agui.ToolCallArgs{ToolCallID: "call-0123456789", Delta: delta},
		&agui.ReasoningMessageContent{MessageID: "msg-0123456789", Delta: delta},
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	buf := make([]byte, 0, 1024)
	events := hotEvents()
	for _, line := range typicalLines() {
		ev, _ := mustDecode(t, []byte(line))
		events = append(events, ev)
	}
	for _, ev := range events {
		if n := testing.AllocsPerRun(100, func() { _, _ = event.Append(buf, ev) }); n != 0 {
			t.Errorf("%s: %v allocations", ev.Type(), n)
		}
	}
}

func TestDecodeEventAllocations(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	ceilings := map[agui.EventType]float64{
		agui.EventTypeTextMessageStart:        3,
		agui.EventTypeTextMessageContent:      2, // the struct and the delta
		agui.EventTypeTextMessageEnd:          1,
		agui.EventTypeTextMessageChunk:        5,
		agui.EventTypeToolCallArgs:            2,
		agui.EventTypeReasoningMessageContent: 2,
	}
	for _, ev := range hotEvents() {
		data := mustEncode(t, ev)
		var d event.Decoder
		n := testing.AllocsPerRun(100, func() {
			if _, _, err := d.DecodeEvent(data); err != nil {
				t.Fatal(err)
			}
		})
		if n > ceilings[ev.Type()] {
			t.Errorf("%s: %v allocations, ceiling %v", ev.Type(), n, ceilings[ev.Type()])
		}
	}
}

func TestPretouch(t *testing.T) {
	if err := event.Pretouch(); err != nil {
		t.Fatal(err)
	}
}
