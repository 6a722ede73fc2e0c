package event_test

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// typical has one event of each type as an agent with a chat front end would send it: ids of UUIDs,
// deltas of 24 bytes, a message and a call or two in what lists them.
const typical = `
{"type":"RUN_STARTED","timestamp":1769904000123,"threadId":"8f14e45f-ceea-467f-a8d1-5a3c1b6a0b1e","runId":"c9f0f895-fb98-4b91-9c5e-2b1a3f6d7e80","protocolVersion":"1.0"}
{"type":"RUN_FINISHED","timestamp":1769904000123,"threadId":"8f14e45f-ceea-467f-a8d1-5a3c1b6a0b1e","runId":"c9f0f895-fb98-4b91-9c5e-2b1a3f6d7e80","outcome":{"type":"success"},"usage":[{"provider":"acme","model":"acme-large","inputTokens":1200,"outputTokens":345,"totalTokens":1545}]}
{"type":"RUN_ERROR","timestamp":1769904000123,"message":"the model did not answer in time","code":"UPSTREAM_TIMEOUT"}
{"type":"STEP_STARTED","timestamp":1769904000123,"stepName":"look up the order"}
{"type":"STEP_FINISHED","timestamp":1769904000123,"stepName":"look up the order"}
{"type":"TEXT_MESSAGE_START","timestamp":1769904000123,"messageId":"45c48cce-2e2d-4fbd-ab1a-fc51c7c6ad26","role":"assistant"}
{"type":"TEXT_MESSAGE_CONTENT","timestamp":1769904000123,"messageId":"45c48cce-2e2d-4fbd-ab1a-fc51c7c6ad26","delta":"a token or two of answer"}
{"type":"TEXT_MESSAGE_END","timestamp":1769904000123,"messageId":"45c48cce-2e2d-4fbd-ab1a-fc51c7c6ad26"}
{"type":"TEXT_MESSAGE_CHUNK","timestamp":1769904000123,"messageId":"45c48cce-2e2d-4fbd-ab1a-fc51c7c6ad26","role":"assistant","delta":"a token or two of answer"}
{"type":"TOOL_CALL_START","timestamp":1769904000123,"toolCallId":"call_Zk3vQx7LrT9mWb2N","toolCallName":"lookup_order","parentMessageId":"45c48cce-2e2d-4fbd-ab1a-fc51c7c6ad26"}
{"type":"TOOL_CALL_ARGS","timestamp":1769904000123,"toolCallId":"call_Zk3vQx7LrT9mWb2N","delta":"{\"order\":42,\"items\":true"}
{"type":"TOOL_CALL_END","timestamp":1769904000123,"toolCallId":"call_Zk3vQx7LrT9mWb2N"}
{"type":"TOOL_CALL_CHUNK","timestamp":1769904000123,"toolCallId":"call_Zk3vQx7LrT9mWb2N","toolCallName":"lookup_order","delta":"{\"order\":42,\"items\":true"}
{"type":"TOOL_CALL_RESULT","timestamp":1769904000123,"messageId":"d3d94468-02a4-4259-b55d-38e6d163e820","toolCallId":"call_Zk3vQx7LrT9mWb2N","content":"{\"order\":42,\"status\":\"shipped\",\"carrier\":\"acme\",\"eta\":\"2026-02-03\"}","role":"tool"}
{"type":"STATE_SNAPSHOT","timestamp":1769904000123,"snapshot":{"version":7,"user":{"id":"u-1","name":"Ana María Ñúñez","prefs":{"theme":"dark","locales":["es-AR","en-GB"]}},"cart":[{"sku":"A-100","count":2,"price":12.5},{"sku":"B-200","count":1,"price":99.95},{"sku":"C-300","count":4,"price":0.75}],"steps":[{"title":"look up the order","done":true},{"title":"ask the carrier","done":false}]}}
{"type":"STATE_DELTA","timestamp":1769904000123,"delta":[{"op":"replace","path":"/steps/1/done","value":true},{"op":"add","path":"/steps/-","value":{"title":"answer","done":false}}]}
{"type":"MESSAGES_SNAPSHOT","timestamp":1769904000123,"messages":[{"id":"u1","role":"user","content":"Where is my order number 42?"},{"id":"a1","role":"assistant","content":"Let me check.","toolCalls":[{"id":"call_Zk3vQx7LrT9mWb2N","type":"function","function":{"name":"lookup_order","arguments":"{\"order\":42}"}}]},{"id":"t1","role":"tool","content":"{\"status\":\"shipped\"}","toolCallId":"call_Zk3vQx7LrT9mWb2N"},{"id":"a2","role":"assistant","content":"It was shipped and should arrive on Tuesday."}]}
{"type":"ACTIVITY_SNAPSHOT","timestamp":1769904000123,"messageId":"act-1","activityType":"PLAN","content":{"steps":[{"title":"look up the order","done":true},{"title":"ask the carrier","done":false}]}}
{"type":"ACTIVITY_DELTA","timestamp":1769904000123,"messageId":"act-1","activityType":"PLAN","patch":[{"op":"replace","path":"/steps/1/done","value":true}]}
{"type":"RAW","timestamp":1769904000123,"event":{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a token"},"finish_reason":null}]},"source":"acme"}
{"type":"CUSTOM","timestamp":1769904000123,"name":"predict_state","value":[{"state_key":"document","tool":"write","tool_argument":"text"}]}
{"type":"REASONING_START","timestamp":1769904000123,"messageId":"6512bd43-d9ca-46e0-a990-b0a82652dca0"}
{"type":"REASONING_MESSAGE_START","timestamp":1769904000123,"messageId":"6512bd43-d9ca-46e0-a990-b0a82652dca0","role":"reasoning"}
{"type":"REASONING_MESSAGE_CONTENT","timestamp":1769904000123,"messageId":"6512bd43-d9ca-46e0-a990-b0a82652dca0","delta":"a thought of two or more"}
{"type":"REASONING_MESSAGE_END","timestamp":1769904000123,"messageId":"6512bd43-d9ca-46e0-a990-b0a82652dca0"}
{"type":"REASONING_MESSAGE_CHUNK","timestamp":1769904000123,"messageId":"6512bd43-d9ca-46e0-a990-b0a82652dca0","delta":"a thought of two or more"}
{"type":"REASONING_END","timestamp":1769904000123,"messageId":"6512bd43-d9ca-46e0-a990-b0a82652dca0"}
{"type":"REASONING_ENCRYPTED_VALUE","timestamp":1769904000123,"subtype":"message","entityId":"6512bd43-d9ca-46e0-a990-b0a82652dca0","encryptedValue":"gAAAAABl2mVtcHR5IHdvcmRzIGFyZSBlbmNyeXB0ZWQgdG9v"}
{"type":"SUBAGENT_STARTED","timestamp":1769904000123,"subagentRunId":"c20ad4d7-6fe9-4759-aa27-a0c99bff6710","name":"carrier","description":"asks the carrier where a parcel is","parentToolCallId":"call_Zk3vQx7LrT9mWb2N"}
{"type":"SUBAGENT_FINISHED","timestamp":1769904000123,"subagentRunId":"c20ad4d7-6fe9-4759-aa27-a0c99bff6710","result":{"parcel":"in Lyon","eta":"2026-02-03"}}
{"type":"SUBAGENT_ERROR","timestamp":1769904000123,"subagentRunId":"c20ad4d7-6fe9-4759-aa27-a0c99bff6710","message":"the carrier did not answer","code":"TIMEOUT"}
`

// plainPatch and a string are what PatchOp and Content are to somebody without this library.
type plainPatch struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	From  *string         `json:"from,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
}

// plainOf is t without the methods of package agui: encoding/json must not be measured by way of a
// MarshalJSON of ours, which it calls, checks and compacts at a price of its own.
func plainOf(t reflect.Type) reflect.Type {
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return t
	case reflect.TypeFor[agui.PatchOp]():
		return reflect.TypeFor[plainPatch]()
	case reflect.TypeFor[agui.Content]():
		return reflect.TypeFor[string]()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return reflect.PointerTo(plainOf(t.Elem()))
	case reflect.Slice:
		return reflect.SliceOf(plainOf(t.Elem()))
	case reflect.Struct:
		return reflect.StructOf(plainFields(t))
	}
	return t
}

func plainFields(t reflect.Type) (fields []reflect.StructField) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, inner := range plainFields(f.Type) {
				if outer, _ := t.FieldByName(inner.Name); len(outer.Index) > 1 { // not hidden by one of t's own
					fields = append(fields, inner)
				}
			}
			continue
		}
		fields = append(fields, reflect.StructField{Name: f.Name, Type: plainOf(f.Type), Tag: f.Tag})
	}
	return fields
}

// plainEvents has a struct for each event type, its member "type" a field.
func plainEvents() map[agui.EventType]reflect.Type {
	plain := map[agui.EventType]reflect.Type{}
	for _, typ := range agui.EventTypes() {
		head := reflect.StructField{Name: "Type", Type: reflect.TypeFor[agui.EventType](), Tag: `json:"type"`}
		members := plainFields(reflect.TypeOf(agui.New(typ)).Elem())
		plain[typ] = reflect.StructOf(append([]reflect.StructField{head}, members...))
	}
	return plain
}

// plainDecode looks at the type first and then decodes into its struct, as a user of encoding/json
// does.
func plainDecode(plain map[agui.EventType]reflect.Type, data []byte) (any, error) {
	var head struct {
		Type agui.EventType `json:"type"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	v := reflect.New(plain[head.Type]).Interface()
	return v, json.Unmarshal(data, v)
}

// typicalLines are the typical events in the order of the types.
func typicalLines() []string { return strings.Split(strings.TrimSpace(typical), "\n") }

// BenchmarkEvents encodes and decodes each event type, here and with encoding/json. The two do not
// do quite the same: package event judges by the schema on both ways and appends to a buffer that
// it is given, encoding/json judges nothing and returns a slice of its own.
func BenchmarkEvents(b *testing.B) {
	plain := plainEvents()
	for _, line := range typicalLines() {
		data := []byte(line)
		ev, _ := mustDecode(b, data)
		v, err := plainDecode(plain, data)
		if err != nil {
			b.Fatal(err)
		}
		name := "encode/" + string(ev.Type())
		b.Run(name+"/by=agloop", func(b *testing.B) {
			buf := make([]byte, 0, 1<<12)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := event.Append(buf, ev); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/by=encoding-json", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := json.Marshal(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, line := range typicalLines() {
		data := []byte(line)
		ev, _ := mustDecode(b, data)
		name := "decode/" + string(ev.Type())
		b.Run(name+"/by=agloop", func(b *testing.B) {
			var d event.Decoder
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := d.DecodeEvent(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/by=encoding-json", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := plainDecode(plain, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEventMembers encodes and decodes events with no more members than most of a stream has,
// and with all there are.
func BenchmarkEventMembers(b *testing.B) {
	run := func(name string, ev agui.Event) {
		b.Run("encode/"+name, func(b *testing.B) {
			buf := make([]byte, 0, 1<<12)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := event.Append(buf, ev); err != nil {
					b.Fatal(err)
				}
			}
		})
		data := mustEncode(b, ev)
		b.Run("decode/"+name, func(b *testing.B) {
			var d event.Decoder
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := d.DecodeEvent(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, ev := range hotEvents() {
		run("fewest/"+string(ev.Type()), ev)
	}
	for _, ev := range samples() {
		run("all/"+string(ev.Type()), ev)
	}
}

func BenchmarkDecodeRunAgentInput(b *testing.B) {
	for i, data := range dataLines(b, "run_inputs.ndjson") {
		b.Run("agloop/"+strconv.Itoa(i+1), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := event.DecodeRunAgentInput(data); err != nil {
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

// Both sides of BenchmarkEvents turn every type into the same JSON, so both have read and written
// every member.
func TestEventsBenchmarkComparesEqualWork(t *testing.T) {
	plain, lines := plainEvents(), typicalLines()
	seen := map[agui.EventType]bool{}
	for _, line := range lines {
		want := jsonValue(t, []byte(line))
		ev, notes := mustDecode(t, []byte(line))
		if notes != nil {
			t.Errorf("%s: notes %v", ev.Type(), notes)
		}
		seen[ev.Type()] = true
		if got := mustEncode(t, ev); !reflect.DeepEqual(jsonValue(t, got), want) {
			t.Errorf("event:\n got %s\nwant %s", got, line)
		}
		v, err := plainDecode(plain, []byte(line))
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(jsonValue(t, got), want) {
			t.Errorf("encoding/json:\n got %s\nwant %s", got, line)
		}
	}
	if len(seen) != len(plain) || len(lines) != len(plain) {
		t.Errorf("%d events of %d types, want one of each of %d", len(lines), len(seen), len(plain))
	}
}
