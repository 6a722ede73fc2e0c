package agloop_test

import (
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// script answers an input with its frames, which end it.
type script struct {
	agloop.NopHandler
	frames []string
	code   agloop.CloseCode // closes the connection behind them, unless it is 0
}

func (s *script) OnMessage(c *agloop.Conn, _ agloop.Opcode, _ []byte) {
	for _, f := range s.frames {
		c.Send(agloop.Text, []byte(f))
	}
	if s.code != 0 {
		c.Close(s.code, "the script ends")
	}
}

// told is what a run tells between its first and its last event.
func told(events iter.Seq2[agui.Event, error]) (string, error) {
	var list []string
	for ev, err := range events {
		if err != nil {
			return strings.Join(list, " "), err
		}
		var word string
		switch e := ev.(type) {
		case *agui.RunStarted, *agui.RunFinished:
			continue
		case *agui.TextMessageContent:
			word = fmt.Sprintf("%s+%q", e.MessageID, e.Delta)
		case *agui.ToolCallArgs:
			word = fmt.Sprintf("%s+%q", e.ToolCallID, e.Delta)
		case *agui.ReasoningMessageContent:
			word = fmt.Sprintf("%s+%q", e.MessageID, e.Delta)
		case *agui.TextMessageStart:
			word = e.MessageID + "{"
		case *agui.ToolCallStart:
			word = e.ToolCallID + "{"
		case *agui.ReasoningMessageStart:
			word = e.MessageID + "{"
		case *agui.TextMessageEnd, *agui.ToolCallEnd, *agui.ReasoningMessageEnd:
			word = "}"
		default:
			word = string(ev.Type())
		}
		if tag := ev.Common().SubagentRunID; tag != nil {
			word += "/" + *tag
		}
		if meta := ev.Common().Metadata; meta != nil {
			word += string(meta)
		}
		list = append(list, word)
	}
	return minted.ReplaceAllString(strings.Join(list, " "), "thinking"), nil
}

// minted is an id that the decoder made up.
var minted = regexp.MustCompile(`thinking-\w+`)

// TestHalvesOfACharacterMeet: an agent may cut a text between the two escapes of one character.
func TestHalvesOfACharacterMeet(t *testing.T) {
	text := func(id, delta string) string {
		return `{"type":"TEXT_MESSAGE_CONTENT","messageId":"` + id + `","delta":"` + delta + `"}`
	}
	begin := func(id string) string { return `{"type":"TEXT_MESSAGE_START","messageId":"` + id + `"}` }
	end := func(id string) string { return `{"type":"TEXT_MESSAGE_END","messageId":"` + id + `"}` }
	// pieces is message m in pieces.
	pieces := func(deltas ...string) []string {
		frames := []string{begin("m")}
		for _, d := range deltas {
			frames = append(frames, text("m", d))
		}
		return append(frames, end("m"))
	}
	chunk := func(rest string) string { return `{"type":"TEXT_MESSAGE_CHUNK",` + rest + `}` }
	const (
		finished = `{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`
		failed   = `{"type":"RUN_ERROR","message":"x"}`
	)
	for _, tc := range []struct {
		name   string
		frames []string
		want   string
	}{
		{"two deltas", pieces(`a\ud83d`, `\ude00b`), `m{ m+"a" m+"😀b" }`},
		{"upper case", pieces(`a\uD83D`, `\uDE00b`), `m{ m+"a" m+"😀b" }`},
		{"mixed case", pieces(`a\uD83d`, `\udE00b`), `m{ m+"a" m+"😀b" }`},
		{"nothing but halves", pieces(`\ud83d`, `\ude00`), `m{ m+"" m+"😀" }`},
		{"one after another", pieces(`\ud83d`, `\ude00\ud83d`, `\ude01`), `m{ m+"" m+"😀" m+"😁" }`},
		{"an empty delta between", pieces(`\ud83d`, ``, `\ude00`), `m{ m+"" m+"" m+"😀" }`},
		{"whole in one delta", pieces(`\ud83d\ude00`, `\ud83d\ude01x`), `m{ m+"😀" m+"😁x" }`},
		{"an escaped backslash", pieces(`a\\ud83d`, `\ude00`), `m{ m+"a\\ud83d" m+"�" }`},
		{"a backslash and a half", pieces(`a\\\ud83d`, `\ude00`), `m{ m+"a\\" m+"😀" }`},
		{"no second half", pieces(`a\ud83d`, `b`, `\ude00`), `m{ m+"a" m+"�b" m+"�" }`},
		{"another first half", pieces(`a\ud83d`, `\ud83d`, `\ude00`), `m{ m+"a" m+"�" m+"😀" }`},
		{"two first halves", pieces(`a\ud83d\ud83d`, `\ude00`), `m{ m+"a�" m+"😀" }`},
		{"the second first", pieces(`\ude00`, `a`), `m{ m+"�" m+"a" }`},
		{"in the middle", pieces(`a\ud83db\ude00c`, `d`), `m{ m+"a�b�c" m+"d" }`},
		{"an end between", append(pieces(`a\ud83d`), pieces(`\ude00`)...), `m{ m+"a" m+"�" } m{ m+"�" }`},
		{"the run fails", []string{begin("m"), text("m", `a\ud83d`), failed}, `m{ m+"a" m+"�" RUN_ERROR`},
		{
			"another message between", []string{
				begin("m"), begin("n"), text("m", `a\ud83d`), text("n", `\ude00\ud83c`), text("m", `\ude00`), text("n", `\udf0d`), end("n"), end("m"),
			}, `m{ n{ m+"a" n+"�" m+"😀" n+"🌍" } }`,
		},
		{
			"one id, three kinds", []string{
				begin("m"), `{"type":"TOOL_CALL_START","toolCallId":"m","toolCallName":"f"}`,
				`{"type":"REASONING_MESSAGE_START","messageId":"m","role":"reasoning"}`,
				text("m", `\ud83d`),
				`{"type":"TOOL_CALL_ARGS","toolCallId":"m","delta":"\"\ud83d"}`,
				`{"type":"REASONING_MESSAGE_CONTENT","messageId":"m","delta":"b\ud83d"}`,
				`{"type":"TOOL_CALL_ARGS","toolCallId":"m","delta":"\ude00\""}`,
				`{"type":"TOOL_CALL_END","toolCallId":"m"}`,
				`{"type":"REASONING_MESSAGE_END","messageId":"m"}`,
				text("m", `\ude01`), end("m"),
			}, `m{ m{ m{ m+"" m+"\"" m+"b" m+"😀\"" } m+"�" } m+"😁" }`,
		},
		{
			"members of other places", []string{
				begin("m"), `{"rawEvent":{"delta":"\ud83d"},"delta":"a\ud83d" , "type":"TEXT_MESSAGE_CONTENT","messageId":"m","metadata":{"delta":"\ud83d"}}`,
				`{"delta":"\ud83d","type":"TEXT_MESSAGE_CONTENT","messageId":"m","\u0064elta":"\ude00"}`, end("m"),
			}, `m{ m+"a"{"delta":"\ud83d"} m+"😀" }`,
		},
		{
			"of a subagent", []string{
				`{"type":"TEXT_MESSAGE_START","messageId":"m","subagentRunId":"s"}`, text("m", `\ud83d`),
				`{"type":"TEXT_MESSAGE_END","messageId":"m","subagentRunId":"s"}`,
			}, `m{/s m+"" m+"�"/s }/s`,
		},
		{
			"chunks",
			[]string{chunk(`"messageId":"m","delta":"a\ud83d"`), chunk(`"metadata":{"k":1}`), chunk(`"delta":"\ude00\ud83d"`), chunk(`"messageId":"n","delta":"\ude00"`)},
			`m{ m+"a" m+""{"k":1} m+"😀" m+"�" } n{ n+"�" }`,
		},
		{
			"chunks of calls and reasoning", []string{
				`{"type":"TOOL_CALL_CHUNK","toolCallId":"c","toolCallName":"f","delta":"\ud83d"}`, `{"type":"TOOL_CALL_CHUNK","delta":"\ude00"}`,
				`{"type":"REASONING_MESSAGE_CHUNK","messageId":"x","delta":"\ud83d"}`, `{"type":"REASONING_MESSAGE_CHUNK","delta":"\ude00"}`,
			}, `c{ c+"" c+"😀" } x{ x+"" x+"😀" }`,
		},
		{
			"the retired form", []string{
				`{"type":"THINKING_TEXT_MESSAGE_START"}`, `{"type":"THINKING_TEXT_MESSAGE_CONTENT","delta":"a\ud83d"}`,
				`{"type":"THINKING_TEXT_MESSAGE_CONTENT","delta":"\ude00"}`, `{"type":"THINKING_TEXT_MESSAGE_END"}`,
			}, `thinking{ thinking+"a" thinking+"😀" }`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			frames := append([]string{`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`}, tc.frames...)
			if !slices.Contains(frames, failed) {
				frames = append(frames, finished)
			}
			_, addr := serve(t, agloop.ServerConfig{Handler: &script{frames: frames}})
			c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			input := &agui.RunAgentInput{ThreadID: "t", RunID: "r"}
			if got, err := told(c.Run(t.Context(), input)); got != tc.want || err != nil {
				t.Errorf("\n got %s\nwant %s, %v", got, tc.want, err)
			}
			for _, serializer := range []event.SerializerType{event.OptimizedJSON, event.JSON} {
				config := agloop.DefaultTransportConfig()
				config.URLs = []string{wsURL(addr)}
				config.PerformanceConfig.MessageSerializerType = serializer
				tr := startTransport(t, config)
				if got, err := told(tr.Run(t.Context(), input)); got != tc.want || err != nil {
					t.Errorf("%v:\n got %s\nwant %s, %v", serializer, got, tc.want, err)
				}
			}
		})
	}
}
