package codec_test

import (
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec"
)

func TestAppendEventDoesNotAllocate(t *testing.T) {
	if eventRace {
		t.Skip("the race detector allocates")
	}
	buf := make([]byte, 0, 1024)
	for _, ev := range append(eventHot(), &agui.ToolCallEnd{ToolCallID: "c"}, &agui.ReasoningMessageEnd{MessageID: "m"}) {
		if n := testing.AllocsPerRun(100, func() { _, _ = codec.AppendEvent(buf, ev) }); n != 0 {
			t.Errorf("%s: %v allocations", ev.Type(), n)
		}
	}
}

func TestDecodeEventAllocations(t *testing.T) {
	if eventRace {
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
	for _, ev := range eventHot() {
		data := eventEncode(t, ev)
		var d codec.Decoder
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
	if err := codec.Pretouch(); err != nil {
		t.Fatal(err)
	}
}
