package codec_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec"
)

// eventHot is what most of a stream consists of, with a delta of 24 bytes.
func eventHot() []agui.Event {
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

func BenchmarkAppendEvent(b *testing.B) {
	run := func(name string, ev agui.Event) {
		buf := make([]byte, 0, 1<<16)
		b.Run("agloop/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.AppendEvent(buf, ev); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("encoding-json/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := json.Marshal(ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, ev := range eventHot() {
		run("hot-"+string(ev.Type()), ev)
	}
	for _, ev := range eventSamples() {
		run(string(ev.Type()), ev)
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	run := func(name string, ev agui.Event) {
		data := eventEncode(b, ev)
		b.Run("agloop/"+name, func(b *testing.B) {
			var d codec.Decoder
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := d.DecodeEvent(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("encoding-json/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var head struct{ Type agui.EventType }
				if err := json.Unmarshal(data, &head); err != nil {
					b.Fatal(err)
				}
				if err := json.Unmarshal(data, agui.New(head.Type)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, ev := range eventHot() {
		run("hot-"+string(ev.Type()), ev)
	}
	for _, ev := range eventSamples() {
		run(string(ev.Type()), ev)
	}
}

func BenchmarkDecodeRunAgentInput(b *testing.B) {
	for i, data := range eventLines(b, "run_inputs.ndjson") {
		b.Run("agloop/"+strconv.Itoa(i+1), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := codec.DecodeRunAgentInput(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("encoding-json/"+strconv.Itoa(i+1), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := json.Unmarshal(data, new(agui.RunAgentInput)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
