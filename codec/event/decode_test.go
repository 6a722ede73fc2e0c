package event_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// What is stripped, dropped or translated, and where the notes say so.
func TestDecodeEventLeniency(t *testing.T) {
	note := func(kind event.NoteKind, typ, path string) event.Note {
		return event.Note{Kind: kind, Event: typ, Path: path}
	}
	tests := []struct {
		name, data, want string
		notes            []event.Note
	}{
		{
			"white space and escaped names", " {\n\"t\\u0079pe\" :\t\"RAW\" , \"e\\u0076ent\" : [ ] }\r\n", `{"type":"RAW","event":[]}`, nil,
		},
		{
			"type at the end", `{"messageId":"m","delta":"x","type":"TEXT_MESSAGE_CONTENT"}`,
			`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"x"}`, nil,
		},
		{
			"the last of two members counts", `{"type":"STEP_STARTED","type":"TEXT_MESSAGE_END","messageId":5,"messageId":"m"}`,
			`{"type":"TEXT_MESSAGE_END","messageId":"m"}`, nil,
		},
		{
			"a whole input given twice", `{"type":"RUN_STARTED","threadId":"t","runId":"r",` +
				`"input":{"threadId":"a","runId":"b","messages":[],"parentRunId":"p"},"input":{"threadId":"t","runId":"r","messages":[]}}`,
			`{"type":"RUN_STARTED","threadId":"t","runId":"r","input":{"threadId":"t","runId":"r","messages":[]}}`, nil,
		},
		{
			"names differ by case", `{"type":"TEXT_MESSAGE_END","messageId":"m","MESSAGEID":"x","Type":"RAW"}`,
			`{"type":"TEXT_MESSAGE_END","messageId":"m"}`,
			[]event.Note{note(event.NoteStripped, "TEXT_MESSAGE_END", "MESSAGEID"), note(event.NoteStripped, "TEXT_MESSAGE_END", "Type")},
		},
		{
			"all members unknown but the type", `{"a":1,"type":"TEXT_MESSAGE_CHUNK","b":[{}],"c":null}`, `{"type":"TEXT_MESSAGE_CHUNK"}`,
			[]event.Note{
				note(event.NoteStripped, "TEXT_MESSAGE_CHUNK", "a"), note(event.NoteStripped, "TEXT_MESSAGE_CHUNK", "b"),
				note(event.NoteStripped, "TEXT_MESSAGE_CHUNK", "c"),
			},
		},
		{
			"members of the host language", `{"type":"RUN_ERROR","constructor":1,"message":"m","toString":2}`, `{"type":"RUN_ERROR","message":"m"}`,
			[]event.Note{note(event.NoteStripped, "RUN_ERROR", "constructor"), note(event.NoteStripped, "RUN_ERROR", "toString")},
		},
		{
			"a tag where none belongs", `{"type":"RUN_ERROR","message":"m","subagentRunId":"s"}`, `{"type":"RUN_ERROR","message":"m"}`,
			[]event.Note{note(event.NoteStripped, "RUN_ERROR", "subagentRunId")},
		},
		{
			"integers in other spellings", `{"type":"RUN_ERROR","timestamp":-0,"message":"m","usage":[{"inputTokens":1e3,"outputTokens":5.0}]}`,
			`{"type":"RUN_ERROR","timestamp":0,"message":"m","usage":[{"inputTokens":1000,"outputTokens":5}]}`, nil,
		},
		{
			"a timestamp in another spelling", `{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":12.50e1}`,
			`{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":125}`, nil,
		},
		{
			"an unknown message among known ones", `{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"0","role":"poet"},` +
				`{"id":"1","role":"user","content":"a"},{"id":"2","role":"critic","content":{"x":[1]}},{"id":"3","role":"user","content":"b","tone":1}]}`,
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"1","role":"user","content":"a"},{"id":"3","role":"user","content":"b"}]}`,
			[]event.Note{
				note(event.NoteStripped, "MESSAGES_SNAPSHOT", "messages[0]"), note(event.NoteStripped, "MESSAGES_SNAPSHOT", "messages[2]"),
				note(event.NoteStripped, "MESSAGES_SNAPSHOT", "messages[3].tone"),
			},
		},
		{
			"an unknown source takes its part along",
			`{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[{"type":"image","more":1,"source":{"type":"ipfs","x":2}},{"type":"text","text":"t"}]}`,
			`{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[{"type":"text","text":"t"}]}`,
			[]event.Note{note(event.NoteStripped, "TOOL_CALL_RESULT", "content[0]")},
		},
		{
			"an unknown operation", `{"type":"STATE_DELTA","delta":[{"op":"add","path":"/a","value":null,"from":3},{"path":7,"op":"increment"}]}`,
			`{"type":"STATE_DELTA","delta":[{"op":"add","path":"/a","value":null,"from":3}]}`,
			[]event.Note{note(event.NoteStripped, "STATE_DELTA", "delta[1]")},
		},
		{
			"unknown outcome of a subagent", `{"type":"SUBAGENT_FINISHED","subagentRunId":"s","outcome":{"type":"paused"},"result":1}`,
			`{"type":"SUBAGENT_FINISHED","subagentRunId":"s","result":1}`,
			[]event.Note{note(event.NoteStripped, "SUBAGENT_FINISHED", "outcome")},
		},
		{
			"null inside open places", `{"type":"CUSTOM","name":"n","value":{"a":null},"metadata":{"k":null},"rawEvent":[null]}`,
			`{"type":"CUSTOM","name":"n","value":{"a":null},"metadata":{"k":null},"rawEvent":[null]}`, nil,
		},
		{
			"retired nulls", `{"rawEvent":null,"type":"RUN_FINISHED","threadId":"t","runId":"r","result":null,"outcome":null}`,
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`,
			[]event.Note{
				note(event.NoteTranslated, "RUN_FINISHED", "rawEvent"), note(event.NoteTranslated, "RUN_FINISHED", "result"),
				note(event.NoteTranslated, "RUN_FINISHED", "outcome"),
			},
		},
		{
			"retired parent null", `{"type":"TOOL_CALL_START","toolCallId":"c","toolCallName":"f","parentMessageId":null}`,
			`{"type":"TOOL_CALL_START","toolCallId":"c","toolCallName":"f"}`,
			[]event.Note{note(event.NoteTranslated, "TOOL_CALL_START", "parentMessageId")},
		},
		{
			"retired binary parts", `{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"1","role":"user","content":[` +
				`{"type":"binary","mimeType":"image/png","data":"AA==","filename":"a.png"},` +
				`{"type":"binary","mimeType":"application/pdf","url":"https://example.com/a.pdf"},` +
				`{"type":"binary","mimeType":"audio/ogg","id":"file-1"},` +
				`{"type":"image","metadata":null,"source":{"type":"url","value":"u"}}]}]}`,
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"1","role":"user","content":[` +
				`{"type":"image","source":{"type":"data","value":"AA==","mimeType":"image/png"},"metadata":{"filename":"a.png"}},` +
				`{"type":"document","source":{"type":"url","value":"https://example.com/a.pdf","mimeType":"application/pdf"}},` +
				`{"type":"image","source":{"type":"url","value":"u"}}]}]}`,
			[]event.Note{
				note(event.NoteTranslated, "MESSAGES_SNAPSHOT", "messages[0].content[0]"),
				note(event.NoteTranslated, "MESSAGES_SNAPSHOT", "messages[0].content[1]"),
				note(event.NoteStripped, "MESSAGES_SNAPSHOT", "messages[0].content[2]"),
				note(event.NoteTranslated, "MESSAGES_SNAPSHOT", "messages[0].content[3].metadata"),
			},
		},
		{
			"a binary part of no MIME type or value", `{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"1","role":"user","content":[` +
				`{"type":"binary","data":"AA=="},{"type":"binary","mimeType":"a/b","data":"","url":null},{"type":"binary","mimeType":"video/x","data":null,"url":"u"}]}]}`,
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"1","role":"user","content":[` +
				`{"type":"video","source":{"type":"url","value":"u","mimeType":"video/x"}}]}]}`,
			[]event.Note{
				note(event.NoteStripped, "MESSAGES_SNAPSHOT", "messages[0].content[0]"),
				note(event.NoteStripped, "MESSAGES_SNAPSHOT", "messages[0].content[1]"),
				note(event.NoteTranslated, "MESSAGES_SNAPSHOT", "messages[0].content[2]"),
			},
		},
		{
			"a very long unknown member", `{"type":"RUN_ERROR","message":"m","` + strings.Repeat("é", 100) + `":1}`, `{"type":"RUN_ERROR","message":"m"}`,
			[]event.Note{note(event.NoteStripped, "RUN_ERROR", strings.Repeat("é", 32))},
		},
		{
			"empty message", `{"type":"MESSAGES_SNAPSHOT","messages":[ ]}`, `{"type":"MESSAGES_SNAPSHOT","messages":[]}`, nil,
		},
		{
			"half of a surrogate pair", `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"\ud83d \ude00 \ud83d\ude42"}`,
			`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"` + "\ufffd \ufffd 🙂" + `"}`, nil,
		},
		{
			"a server of a newer minor", `{"type":"RUN_STARTED","threadId":"t","runId":"r","protocolVersion":"1.10"}`,
			`{"type":"RUN_STARTED","threadId":"t","runId":"r","protocolVersion":"1.10"}`,
			[]event.Note{note(event.NoteWarned, "RUN_STARTED", "protocolVersion")},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ev, notes := mustDecode(t, []byte(tt.data))
			if !reflect.DeepEqual(notes, tt.notes) {
				t.Errorf("notes %v, want %v", notes, tt.notes)
			}
			if got := mustEncode(t, ev); !reflect.DeepEqual(jsonValue(t, got), jsonValue(t, []byte(tt.want))) {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// What is fatal, and how the error names the place.
func TestDecodeEventRefuses(t *testing.T) {
	message := func(m string) string { return `{"type":"MESSAGES_SNAPSHOT","messages":[` + m + `]}` }
	parts := func(p string) string { return message(`{"id":"1","role":"user","content":[` + p + `]}`) }
	tests := []struct {
		data, event, field, reason string
	}{
		{`[{"type":"RAW"}]`, "", "", "an event must be a JSON object"},
		{`{"type":7}`, "", "type", "must be a string"},
		{`{"type":null}`, "", "type", "must be a string"},
		{`{"type":""}`, "", "type", "must not be empty"},
		{`{"messageId":"m"}`, "", "type", "required but missing"},
		{`{}`, "", "type", "required but missing"},
		{`{"type":"TEXT_MESSAGE_END"}`, "TEXT_MESSAGE_END", "messageId", "required but missing"},
		{`{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":"5"}`, "TEXT_MESSAGE_END", "timestamp", "must be an integer"},
		{`{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":-1e400}`, "TEXT_MESSAGE_END", "timestamp", "beyond the safe integers"},
		{`{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":99999999999999999999}`, "TEXT_MESSAGE_END", "timestamp", "beyond the safe integers"},
		{`{"type":"TEXT_MESSAGE_END","messageId":"m","timestamp":1.}`, "TEXT_MESSAGE_END", "timestamp", "not valid JSON: a number has no digits after the point"},
		{`{"type":"TEXT_MESSAGE_END","messageId":"m","x":}`, "TEXT_MESSAGE_END", "x", "not valid JSON"},
		{`{"type":"RUN_STARTED","threadId":"t","runId":"r","input":[]}`, "RUN_STARTED", "input", "must be an object"},
		{`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":"success"}`, "RUN_FINISHED", "outcome", "must be an object"},
		{`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":1}}`, "RUN_FINISHED", "outcome.type", "must be a string"},
		{`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{}}`, "RUN_FINISHED", "outcome.type", "required but missing"},
		{`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[]}}`, "RUN_FINISHED", "outcome.interrupts", "must not be empty"},
		{`{"type":"SUBAGENT_STARTED","subagentRunId":"s","name":"n","parentMessageId":null}`, "SUBAGENT_STARTED", "parentMessageId", "must not be null"},
		{`{"type":"STATE_DELTA","delta":[{"op":"test","path":""},1]}`, "STATE_DELTA", "delta[0].value", "required but missing"},
		{`{"type":"STATE_DELTA","delta":[{"op":"move","path":"","from":"\u0061"}]}`, "STATE_DELTA", "delta[0].from", "must be a JSON Pointer"},
		{`{"type":"STATE_DELTA","delta":[1]}`, "STATE_DELTA", "delta[0]", "must be an object"},
		{message(`{"id":"1","role":"user"}`), "MESSAGES_SNAPSHOT", "messages[0].content", "required but missing"},
		{message(`{"id":"1","role":"user","content":{}}`), "MESSAGES_SNAPSHOT", "messages[0].content", "must be a string or an array of parts"},
		{message(`{"id":"1"}`), "MESSAGES_SNAPSHOT", "messages[0].role", "required but missing"},
		{parts(`{"type":"text","text":"","metadata":null}`), "MESSAGES_SNAPSHOT", "messages[0].content[0].metadata", "must not be null"},
		{parts(`{"type":"binary","mimeType":"image/png","data":{"a":1}}`), "MESSAGES_SNAPSHOT", "messages[0].content[0].data", "must be a string"},
		{parts(`{"type":"binary",`), "MESSAGES_SNAPSHOT", "messages[0].content[0]", "not valid JSON: a member name must be a string"},
		{parts(`{"type":"image","source":{"type":"url"}}`), "MESSAGES_SNAPSHOT", "messages[0].content[0].source.value", "required but missing"},
		{`{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":[{"type":"image","metadata":null,"source":{"type":"url","value":""}}]}`, "TOOL_CALL_RESULT", "content[0].metadata", "must not be null"},
		{`{"type":"THINKING_TEXT_MESSAGE_CONTENT"}`, "REASONING_MESSAGE_CONTENT", "delta", "required but missing"},
		{`{"type":"THINKING_START","title":}`, "", "", "not valid JSON"},
		{`{"type":"THINKING_START","title":1 2}`, "", "", "not valid JSON: no comma between values"},
		{`{"type":"THINKING_START"} {}`, "", "", "not valid JSON: something follows the value"},
		{`{"type":"FUTURE","x":[1}`, "", "", "not valid JSON: no comma between values"},
		{`{"type":"FUTURE"} 1`, "", "", "not valid JSON: something follows the value"},
	}
	for _, tt := range tests {
		var d event.Decoder
		ev, notes, err := d.DecodeEvent([]byte(tt.data))
		want := event.FieldError{Event: tt.event, Field: tt.field, Reason: tt.reason}
		if got, ok := errors.AsType[*event.FieldError](err); !ok || *got != want {
			t.Errorf("%s:\n got %v, %v, %v\nwant %v", tt.data, ev, notes, err, &want)
		}
	}
}

func TestNoteKindString(t *testing.T) {
	for kind, want := range map[event.NoteKind]string{
		0: "none", event.NoteDropped: "dropped", event.NoteStripped: "stripped",
		event.NoteTranslated: "translated", event.NoteWarned: "warned",
	} {
		if kind.String() != want {
			t.Errorf("%d is %q, want %q", kind, kind, want)
		}
	}
}

// Thinking events had no ids: they get some, and those of one thought agree.
func TestDecoderTranslatesThinking(t *testing.T) {
	var (
		d     event.Decoder
		order agui.Order
		got   []agui.Event
	)
	for _, data := range []string{
		`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`,
		`{"type":"THINKING_START","title":"Plan","timestamp":5}`,
		`{"type":"THINKING_TEXT_MESSAGE_START"}`,
		`{"type":"THINKING_TEXT_MESSAGE_CONTENT","delta":"hm"}`,
		`{"type":"THINKING_TEXT_MESSAGE_END","future":1}`,
		`{"type":"THINKING_TEXT_MESSAGE_START","role":"assistant"}`,
		`{"type":"THINKING_TEXT_MESSAGE_END"}`,
		`{"type":"THINKING_END"}`,
		`{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`,
	} {
		ev, notes, err := d.DecodeEvent([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		if retired := strings.Contains(data, "THINKING"); retired != (notes != nil && notes[0].Kind == event.NoteTranslated) {
			t.Errorf("notes %v for %s", notes, data)
		}
		if err := order.Check(ev); err != nil {
			t.Fatal(err)
		}
		got = append(got, ev)
	}
	first, second := got[2].(*agui.ReasoningMessageStart), got[5].(*agui.ReasoningMessageStart)
	if first.MessageID == second.MessageID || first.Role != agui.RoleReasoning {
		t.Errorf("two thoughts %+v and %+v", first, second)
	}
	if span := got[1].(*agui.ReasoningStart); span.MessageID == "" || *span.Timestamp != 5 {
		t.Errorf("span %+v", span)
	}
}

// The decoder reads into memory of its own: a loop reuses its read buffer at once.
func TestDecodeEventKeepsNothingOfData(t *testing.T) {
	for _, ev := range samples() {
		wire := mustEncode(t, ev)
		var d event.Decoder
		got, _, err := d.DecodeEvent(wire)
		if err != nil {
			t.Fatal(err)
		}
		for i := range wire {
			wire[i] = 'X'
		}
		if !reflect.DeepEqual(got, ev) {
			t.Errorf("%s changed with its buffer", ev.Type())
		}
	}
}

func TestDecodeRunAgentInputVerdicts(t *testing.T) {
	head := `{"threadId":"t","runId":"r","messages":[]`
	tests := []struct {
		name, data string
		want       string // "" is an error
		field      string
	}{
		{
			"retired nulls", head + `,"forwardedProps":null,"state":null,"tools":[{"name":"n","description":"","parameters":null}],"resume":[{"interruptId":"i","status":"resolved","payload":null}]}`,
			head + `,"tools":[{"name":"n","description":""}],"resume":[{"interruptId":"i","status":"resolved"}]}`, "",
		},
		{"unknown members", head + `,"stream":true,"context":[{"description":"d","value":"v","x":1}]}`, head + `,"context":[{"description":"d","value":"v"}]}`, ""},
		{"unknown status", head + `,"resume":[{"interruptId":"i","status":"snoozed"}]}`, head + `,"resume":[]}`, ""},
		{"runId twice", `{"threadId":"t","runId":1,"runId":"r","messages":[]}`, head + `}`, ""},
		{"not an object", `[]`, "", ""},
		{"no messages", `{"threadId":"t","runId":"r"}`, "", "messages"},
		{"tools null", head + `,"tools":null}`, "", "tools"},
		{"tool without description", head + `,"tools":[{"name":"a","description":""},{"name":"b"}]}`, "", "tools[1].description"},
		{"context value not a string", head + `,"context":[{"description":"d","value":1}]}`, "", "context[0].value"},
		{"message without id", `{"threadId":"t","runId":"r","messages":[{"role":"user","content":""}]}`, "", "messages[0].id"},
		{"message role a number", `{"threadId":"t","runId":"r","messages":[{"id":"1","role":1}]}`, "", "messages[0].role"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, _, err := event.DecodeRunAgentInput([]byte(tt.data))
			if tt.want == "" {
				if field, ok := errors.AsType[*event.FieldError](err); !ok || field.Field != tt.field || field.Event != "RunAgentInput" {
					t.Fatalf("input %v, error %v, want one of %q", in, err, tt.field)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := event.AppendRunAgentInput(nil, in)
			if err != nil || !reflect.DeepEqual(jsonValue(t, got), jsonValue(t, []byte(tt.want))) {
				t.Errorf("error %v\n got %s\nwant %s", err, got, tt.want)
			}
		})
	}
}

func TestAppendRunAgentInputRefuses(t *testing.T) {
	for _, in := range []*agui.RunAgentInput{
		nil,
		{ThreadID: "\xff"},
		{State: []byte(`null`)},
		{Tools: []agui.Tool{{Parameters: []byte(`{"a":`)}}},
		{Messages: []agui.Message{{ID: "1", Role: agui.RoleTool, Content: agui.TextContent("")}}},
		{Resume: []agui.ResumeEntry{{InterruptID: "i"}}},
	} {
		out, err := event.AppendRunAgentInput([]byte("abc"), in)
		if _, ok := errors.AsType[*event.FieldError](err); !ok || string(out) != "abc" {
			t.Errorf("%+v: error %v, wrote %q", in, err, out)
		}
	}
	out, err := event.AppendRunAgentInput(nil, new(agui.RunAgentInput))
	if err != nil || string(out) != `{"threadId":"","runId":"","messages":[]}` {
		t.Errorf("the zero input: %s, %v", out, err)
	}
}

func TestCheckInputIDs(t *testing.T) {
	long := strings.Repeat("x", 128)
	tests := []struct {
		thread, run, field string
	}{
		{"", "", ""},
		{long, long, ""},
		{"thread №1", "run/1 🏃", ""},
		{long + "x", "r", "threadId"},
		{"t", long + "x", "runId"},
		{"t\n", "r", "threadId"},
		{"t", "r\x00", "runId"},
		{"t", "r\x7f", "runId"},
		{"t", "r\u0085", "runId"},
	}
	for _, tt := range tests {
		err := event.Limits{}.CheckInputIDs(&agui.RunAgentInput{ThreadID: tt.thread, RunID: tt.run})
		field, _ := errors.AsType[*event.FieldError](err)
		if got := ""; field != nil {
			if got = field.Field; got != tt.field {
				t.Errorf("%q, %q: field %q, want %q", tt.thread, tt.run, got, tt.field)
			}
		} else if tt.field != "" {
			t.Errorf("%q, %q: accepted", tt.thread, tt.run)
		}
	}
}
