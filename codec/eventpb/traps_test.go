package eventpb_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
)

func hexOf(t *testing.T, ev agui.Event) string {
	t.Helper()
	out, err := eventpb.Append(nil, ev)
	if err != nil {
		t.Fatal(err)
	}
	again, err := eventpb.AppendJSON(nil, encoded(t, ev))
	if err != nil || !bytes.Equal(out, again) {
		t.Fatalf("%x from the event, %x from its JSON, %v", out, again, err)
	}
	return hex.EncodeToString(out)
}

func TestBaseEventIsWrittenWhenItIsEmpty(t *testing.T) {
	if got := hexOf(t, &agui.TextMessageStart{MessageID: "msg-1"}); got != "0a09"+"0a00"+"1205"+"6d73672d31" {
		t.Errorf("%s", got)
	}
}

func TestPatchOperationAddIsLeftOut(t *testing.T) {
	got := hexOf(t, &agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchAdd, Path: "/a", Value: json.RawMessage("true")}}})
	if want := "42" + "0e" + "0a020807" + "1208" + "12022f61" + "22022001"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if text, _ := decoded(t, mustHex(t, got)); text != `{"type":"STATE_DELTA","delta":[{"op":"add","path":"/a","value":true}]}` {
		t.Error(text)
	}
}

func TestOptionalStringsHavePresence(t *testing.T) {
	got := hexOf(t, &agui.ToolCallResult{MessageID: "m", ToolCallID: "c", Content: agui.Content{Text: ""}})
	if !strings.HasSuffix(got, "2a00") {
		t.Errorf("an empty content is not written: %s", got)
	}
	if text, _ := decoded(t, mustHex(t, got)); !strings.Contains(text, `"content":""`) {
		t.Error(text)
	}
	with, _ := decoded(t, mustHex(t, hexOf(t, &agui.TextMessageStart{MessageID: "m", Name: new("")})))
	without, _ := decoded(t, mustHex(t, hexOf(t, &agui.TextMessageStart{MessageID: "m"})))
	if !strings.Contains(with, `"name":""`) || strings.Contains(without, "name") {
		t.Errorf("with %s, without %s", with, without)
	}
}

func TestRequiredStringsHaveNoPresence(t *testing.T) {
	if got := hexOf(t, &agui.TextMessageContent{}); got != "12040a020801" {
		t.Errorf("%s", got)
	}
	// One that is missing is not told from an empty one.
	if text, notes := decoded(t, mustHex(t, "12040a020801")); text != `{"type":"TEXT_MESSAGE_CONTENT","messageId":"","delta":""}` || notes != nil {
		t.Errorf("%s, notes %v", text, notes)
	}
}

func TestNumbersOfValuesAreDoubles(t *testing.T) {
	snapshot := func(text string) string {
		out, notes := decoded(t, mustHex(t, hexOf(t, &agui.StateSnapshot{Snapshot: json.RawMessage(text)})))
		if notes != nil {
			t.Errorf("%s: notes %v", text, notes)
		}
		return strings.TrimSuffix(strings.TrimPrefix(out, `{"type":"STATE_SNAPSHOT","snapshot":`), "}")
	}
	for text, want := range map[string]string{
		"0": "0", "-0": "-0", "-0.0": "-0", "7": "7", "-12": "-12", "1e2": "100", "0.875": "0.875", "1.50": "1.5",
		"9007199254740991": "9007199254740991", "9007199254740993": "9007199254740992", // 2^53+1 is rounded
		"123456789012345678901": "123456789012345680000", "1e21": "1e+21", "0.0000001": "1e-07",
		"5e-324": "5e-324", "1e-400": "0", "1.7976931348623157e308": "1.7976931348623157e+308",
		"1e400": "1e999", "-1e400": "-1e999", // beyond the largest double both ways
		"999999999999999": "999999999999999", "1000000000000001": "1000000000000001",
	} {
		if got := snapshot(text); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
	refusedNaN := refused(t, envelope(7, 6, length(2, double(2, math.NaN()))))
	if !strings.Contains(refusedNaN, "NaN") {
		t.Error(refusedNaN)
	}
}

func TestTimestampsAndUsageAreIntegers(t *testing.T) {
	const most = 1<<53 - 1
	ev := &agui.RunError{
		Base:  agui.Base{Timestamp: new(int64(most))},
		Usage: []agui.TokenUsage{{InputTokens: new(int64(most))}},
	}
	text, _ := decoded(t, mustHex(t, hexOf(t, ev)))
	if strings.Count(text, "9007199254740991") != 2 {
		t.Error(text)
	}
	// A negative one takes ten bytes.
	got := hexOf(t, &agui.TextMessageEnd{Base: agui.Base{Timestamp: new(int64(-1))}, MessageID: "m"})
	if want := "1a" + "12" + "0a0d" + "0802" + "10ffffffffffffffffff01" + "12016d"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if text, _ = decoded(t, mustHex(t, got)); !strings.Contains(text, `"timestamp":-1`) {
		t.Error(text)
	}
	for _, beyond := range []uint64{most + 1, 1 << 63} {
		data := length(3, cat(length(1, cat(varint(1, 2), varint(2, beyond))), length(2, "m")))
		if why := refused(t, data); !strings.Contains(why, "timestamp: beyond the safe integers") {
			t.Error(why)
		}
	}
	negative := envelope(14, 13, length(4, varint(3, math.MaxUint64)))
	if why := refused(t, negative); !strings.Contains(why, "usage[0].inputTokens: must not be negative") {
		t.Error(why)
	}
}

// Members that no field stands for do not arrive, and leave nothing behind.
func TestWhatIsLost(t *testing.T) {
	for name, c := range map[string]struct{ event, arrives string }{
		"unknown members": {
			`{"type":"STEP_STARTED","stepName":"s","future":1}`,
			`{"type":"STEP_STARTED","stepName":"s"}`,
		},
		"extra members of patch operations": {
			`{"type":"STATE_DELTA","delta":[{"op":"remove","path":"/a","x":1,"value":2,"from":"/b"}]}`,
			`{"type":"STATE_DELTA","delta":[{"op":"remove","path":"/a","from":"/b","value":2}]}`,
		},
		"a leftover from that is no string": {
			`{"type":"STATE_DELTA","delta":[{"op":"remove","path":"/a","from":1}]}`,
			`{"type":"STATE_DELTA","delta":[{"op":"remove","path":"/a"}]}`,
		},
		"an empty list of tool calls": {
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"1","role":"assistant","toolCalls":[]}]}`,
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"1","role":"assistant"}]}`,
		},
		"an empty usage": {
			`{"type":"RUN_ERROR","message":"m","usage":[]}`,
			`{"type":"RUN_ERROR","message":"m"}`,
		},
		"half of a surrogate pair": {
			`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"a\ud83d"}`,
			`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"a` + "\ufffd" + `"}`,
		},
	} {
		data, err := eventpb.AppendJSON(nil, []byte(c.event))
		if err != nil {
			t.Fatal(err)
		}
		if text, notes := decoded(t, data); text != c.arrives || notes != nil {
			t.Errorf("%s: %s, notes %v", name, text, notes)
		}
	}
}

func TestInputGainsEmptyLists(t *testing.T) {
	ev := &agui.RunStarted{ThreadID: "t", RunID: "r", Input: &agui.RunAgentInput{ThreadID: "t", RunID: "r"}}
	text, _ := decoded(t, mustHex(t, hexOf(t, ev)))
	if want := `"input":{"threadId":"t","runId":"r","messages":[],"tools":[],"context":[],"resume":[]}`; !strings.Contains(text, want) {
		t.Error(text)
	}
}

// message is a snapshot of one message with these fields.
func message(fields ...[]byte) []byte { return envelope(9, 8, length(2, cat(fields...))) }

func TestNoContentAndNoPartsIsAnEmptyList(t *testing.T) {
	for name, data := range map[string][]byte{
		"user":        message(length(2, "user")),
		"tool":        message(length(2, "tool"), length(6, "c")),
		"tool result": envelope(22, 21),
	} {
		if text, _ := decoded(t, data); !strings.Contains(text, `"content":[]`) {
			t.Errorf("%s: %s", name, text)
		}
	}
	if text, _ := decoded(t, message(length(2, "assistant"))); strings.Contains(text, "content") {
		t.Error(text)
	}
}

func TestFatal(t *testing.T) {
	source := length(1, length(1, length(1, "AA==")))
	start, end := envelope(1, 0, length(2, "m")), envelope(3, 2, length(2, "m"))
	value := length(2, length(3, "s")) // of a snapshot
	for name, data := range map[string][]byte{
		"two events in one envelope":             cat(start, end),
		"several kinds of a part":                message(length(2, "user"), length(8, cat(length(1, length(1, "t")), length(2, source)))),
		"several kinds of a source":              message(length(2, "user"), length(8, length(2, length(1, cat(length(1, ""), length(2, "")))))),
		"text and parts":                         message(length(2, "user"), length(3, "x"), length(8, length(1, ""))),
		"text and parts of a tool's result":      envelope(22, 21, length(5, "x"), length(7, length(1, ""))),
		"parts of an assistant":                  message(length(2, "assistant"), length(8, length(1, ""))),
		"an activity's content of a user":        message(length(2, "user"), length(13, "")),
		"parts of an activity":                   message(length(2, "activity"), length(12, "p"), length(8, length(1, ""))),
		"text of an activity":                    message(length(2, "activity"), length(12, "p"), length(3, "x"), length(13, "")),
		"an unknown role with two forms":         message(length(2, "critic"), length(3, "x"), length(13, "")),
		"an activity without content":            message(length(2, "activity"), length(12, "p")),
		"enum and field disagree":                length(1, cat(base(1), length(2, "m"))),
		"enum beyond 32 bits":                    length(1, cat(base(1<<31), length(2, "m"))),
		"no base":                                length(1, length(2, "m")),
		"no base behind a field":                 length(7, value),
		"field number 0":                         {0x02, 0x00},
		"field number 0 within":                  envelope(1, 0, []byte{0x02, 0x00}),
		"field number 0 within a value":          envelope(7, 6, length(2, []byte{0x02, 0x00})),
		"a group that does not end":              append(start[:len(start):len(start)], 0x0b),
		"a group that did not begin":             append(start[:len(start):len(start)], 0x0c),
		"a group that another one ends":          append(start[:len(start):len(start)], 0x0b, 0x14),
		"a group that does not end within":       envelope(1, 0, []byte{0x4b}),
		"an empty envelope":                      {},
		"a known field that is no message":       varint(1, 1),
		"a known field that is a group":          group(1),
		"a snapshot without a value":             envelope(7, 6),
		"a snapshot whose value has no kind":     envelope(7, 6, length(2, "")),
		"a raw event without a value":            envelope(10, 9),
		"a custom event without a value":         envelope(11, 10, length(2, "n")),
		"a pointer that is none":                 envelope(8, 7, length(2, cat(varint(1, 1), length(2, "a")))),
		"add without a value":                    envelope(8, 7, length(2, length(2, "/a"))),
		"move without from":                      envelope(8, 7, length(2, cat(varint(1, 3), length(2, "/a")))),
		"the wrong role of reasoning":            envelope(26, 25, length(3, "m"), length(4, "user")),
		"the wrong role of a result":             envelope(22, 21, length(5, "x"), length(6, "user")),
		"the wrong type of a call":               message(length(2, "assistant"), length(5, cat(length(2, "x"), length(3, "")))),
		"an interrupt without interrupts":        envelope(13, 12, length(5, "interrupt")),
		"an interrupt whose metadata is a list":  envelope(13, 12, length(5, "interrupt"), length(6, length(7, length(6, "")))),
		"metadata of a message that is no UTF-8": message(length(2, "user"), length(3, "x"), length(9, length(1, cat(length(1, "\xff"), length(2, varint(1, 0)))))),
		"text that is no UTF-8":                  envelope(2, 1, length(2, "m"), length(3, "a\xc3")),
		"an id that is a surrogate":              envelope(2, 1, length(2, "\xed\xa0\x80")),
	} {
		if why := refused(t, data); why == "" {
			t.Errorf("%s: an error without a reason", name)
		} else {
			t.Logf("%s: %s", name, why)
		}
	}
}

func TestTheSameFieldTwiceMerges(t *testing.T) {
	content := func(fields ...[]byte) []byte { return length(2, cat(fields...)) }
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"the event": {
			cat(content(base(1), length(2, "m")), content(length(3, "hi"))),
			`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"hi"}`,
		},
		"the base": {
			content(length(1, varint(1, 1)), length(1, varint(2, 7)), length(2, "m"), length(3, "hi")),
			`{"type":"TEXT_MESSAGE_CONTENT","timestamp":7,"messageId":"m","delta":"hi"}`,
		},
		"a string, the last": {
			envelope(2, 1, length(2, "a"), length(2, "b"), length(3, "x"), length(3, "")),
			`{"type":"TEXT_MESSAGE_CONTENT","messageId":"b","delta":""}`,
		},
		"lists": {
			cat(envelope(8, 7, length(2, cat(varint(1, 1), length(2, "/a")))), length(8, length(2, cat(varint(1, 1), length(2, "/b"))))),
			`{"type":"STATE_DELTA","delta":[{"op":"remove","path":"/a"},{"op":"remove","path":"/b"}]}`,
		},
		"objects": {
			envelope(23, 22, length(3, "m"), length(4, "p"),
				length(5, length(1, cat(length(1, "a"), length(2, varint(4, 1))))),
				length(5, length(1, cat(length(1, "b"), length(2, varint(1, 0)))))),
			`{"type":"ACTIVITY_SNAPSHOT","messageId":"m","activityType":"p","content":{"a":true,"b":null}}`,
		},
		"a value, of one kind": {
			envelope(7, 6, length(2, length(6, length(1, length(3, "a")))), length(2, length(6, length(1, length(3, "b"))))),
			`{"type":"STATE_SNAPSHOT","snapshot":["a","b"]}`,
		},
		"a value, of two kinds: the last": {
			envelope(7, 6, length(2, length(6, length(1, length(3, "a")))), length(2, length(3, "b"))),
			`{"type":"STATE_SNAPSHOT","snapshot":"b"}`,
		},
		"a source": {
			message(length(2, "user"), length(8, cat(length(2, length(1, length(1, length(1, "AA==")))),
				length(2, length(1, length(1, length(2, "image/png"))))))),
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"","role":"user","content":[{"type":"image",` +
				`"source":{"type":"data","value":"AA==","mimeType":"image/png"}}]}]}`,
		},
		"an input": {
			cat(envelope(12, 11, length(2, "t"), length(3, "r"), length(5, cat(length(1, "t"), length(2, "r")))),
				length(12, length(5, length(10, "1.0")))),
			`{"type":"RUN_STARTED","threadId":"t","runId":"r","input":{"threadId":"t","runId":"r","messages":[],` +
				`"protocolVersion":"1.0","tools":[],"context":[],"resume":[]}}`,
		},
	} {
		if text, notes := decoded(t, c.data); text != c.want || notes != nil {
			t.Errorf("%s:\n got %s, notes %v\nwant %s", name, text, notes, c.want)
		}
	}
}

func TestUnknownEventIsDropped(t *testing.T) {
	for name, data := range map[string][]byte{
		"alone":              length(40, cat(base(50), length(2, "x"))),
		"empty":              length(40, ""),
		"two of them":        cat(length(40, ""), length(41, "")),
		"beside a number":    cat(varint(50, 1), length(40, "")),
		"beside a group":     cat(group(50, varint(1, 1)), length(40, "")),
		"with a group in it": length(40, group(1, varint(2, 3))),
	} {
		text, notes := decoded(t, data)
		if text != "" || len(notes) != 1 || notes[0] != (event.Note{Kind: event.NoteDropped, Event: "#40"}) {
			t.Errorf("%s: %s, notes %v", name, text, notes)
		}
	}
	for name, data := range map[string][]byte{
		"no message":   length(40, []byte{0x0a, 0x05}),
		"a number":     varint(40, 1),
		"a known one":  cat(length(40, ""), varint(1, 1)),
		"broken group": length(40, []byte{0x0c}),
	} {
		if why := refused(t, data); why == "" {
			t.Errorf("%s: an error without a reason", name)
		}
	}
}

func TestUnknownMaterialIsStrippedWithANote(t *testing.T) {
	for name, c := range map[string]struct {
		data       []byte
		want, path string
	}{
		"beside a known event": {
			cat(envelope(3, 2, length(2, "m")), length(40, "x")),
			`{"type":"TEXT_MESSAGE_END","messageId":"m"}`, "",
		},
		"a field of an event": {
			envelope(31, 30, length(3, "message"), length(4, "e"), length(5, "v"), length(6, "t")),
			`{"type":"REASONING_ENCRYPTED_VALUE","subtype":"message","entityId":"e","encryptedValue":"v"}`, "#6",
		},
		"a field of the base": {
			length(3, cat(base(2, length(9, "x")), length(2, "m"))),
			`{"type":"TEXT_MESSAGE_END","messageId":"m"}`, "#1.9",
		},
		"a field of another wire type": {
			envelope(3, 2, length(2, "m"), varint(3, 1)),
			`{"type":"TEXT_MESSAGE_END","messageId":"m"}`, "#3",
		},
		"a field of a message": {
			message(length(2, "reasoning"), length(3, "hm"), length(14, "x")),
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"","role":"reasoning","content":"hm"}]}`, "messages[0].#14",
		},
		"a part": {
			message(length(2, "user"), length(8, length(1, length(1, "a"))), length(8, length(9, "x"))),
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"","role":"user","content":[{"type":"text","text":"a"}]}]}`,
			"messages[0].content[1]",
		},
		"a part of an unknown source": {
			message(length(2, "user"), length(8, length(2, length(1, length(9, "x"))))),
			`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"","role":"user","content":[]}]}`,
			"messages[0].content[0]",
		},
		"a role": {
			message(length(2, "critic"), length(3, "x")),
			`{"type":"MESSAGES_SNAPSHOT","messages":[]}`, "messages[0]",
		},
		"a patch operation": {
			envelope(8, 7, length(2, cat(varint(1, 6), length(2, "/a"))), length(2, cat(varint(1, 1), length(2, "/b")))),
			`{"type":"STATE_DELTA","delta":[{"op":"remove","path":"/b"}]}`, "delta[0]",
		},
		"a negative patch operation": {
			envelope(8, 7, length(2, cat(varint(1, math.MaxUint64), length(2, "/a")))),
			`{"type":"STATE_DELTA","delta":[]}`, "delta[0]",
		},
		"an outcome": {
			envelope(13, 12, length(2, "t"), length(3, "r"), length(5, "paused"), length(8, "c")),
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`, "outcome",
		},
		"an outcome of a subagent": {
			envelope(20, 17, length(2, "s"), length(4, "paused"), length(5, "i")),
			`{"type":"SUBAGENT_FINISHED","subagentRunId":"s"}`, "outcome",
		},
		"interrupts of a success": {
			envelope(13, 12, length(2, "t"), length(3, "r"), length(5, "success"), length(6, ""), length(8, "c")),
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"success","pendingToolCallIds":["c"]}}`,
			"outcome.interrupts",
		},
		"pending calls without an outcome": {
			envelope(13, 12, length(2, "t"), length(3, "r"), length(8, "c")),
			`{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`, "pendingToolCallIds",
		},
		"a value of no known kind": {
			envelope(7, 6, length(2, length(6, cat(length(1, length(9, "x")), length(1, length(3, "a")))))),
			`{"type":"STATE_SNAPSHOT","snapshot":["a"]}`, "snapshot",
		},
		"a raw event of no known kind": {
			length(3, cat(base(2, length(3, "")), length(2, "m"))),
			`{"type":"TEXT_MESSAGE_END","messageId":"m"}`, "rawEvent",
		},
		"a member of no known kind": {
			envelope(11, 10, length(2, "n"), length(3, length(5, length(1, length(1, "k"))))),
			`{"type":"CUSTOM","name":"n","value":{}}`, "value",
		},
	} {
		text, notes := decoded(t, c.data)
		if text != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, text, c.want)
		}
		if c.path == "" && notes == nil {
			continue // protobuf has unknown fields around an event ignored
		}
		if len(notes) != 1 || notes[0].Kind != event.NoteStripped || notes[0].Path != c.path {
			t.Errorf("%s: notes %v, want %s", name, notes, c.path)
		}
	}
}

// Fields of patch operations, which are open in JSON, do not become members there.
func TestUnknownFieldOfAPatchOperationIsIgnored(t *testing.T) {
	text, notes := decoded(t, envelope(8, 7, length(2, cat(varint(1, 1), length(2, "/a"), length(9, "x")))))
	if text != `{"type":"STATE_DELTA","delta":[{"op":"remove","path":"/a"}]}` || notes != nil {
		t.Errorf("%s, notes %v", text, notes)
	}
}

func TestRetiredNullIsTranslated(t *testing.T) {
	text, notes := decoded(t, envelope(13, 12, length(2, "t"), length(3, "r"), length(4, varint(1, 0))))
	want := event.Note{Kind: event.NoteTranslated, Event: "RUN_FINISHED", Path: "result"}
	if text != `{"type":"RUN_FINISHED","threadId":"t","runId":"r"}` || len(notes) != 1 || notes[0] != want {
		t.Errorf("%s, notes %v", text, notes)
	}
}

func TestNewerMinorVersionIsNoted(t *testing.T) {
	_, notes := decoded(t, envelope(12, 11, length(2, "t"), length(3, "r"), length(6, "1.7")))
	if len(notes) != 1 || notes[0].Kind != event.NoteWarned || notes[0].Path != "protocolVersion" {
		t.Errorf("notes %v", notes)
	}
}
