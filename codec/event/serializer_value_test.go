package event_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// serializerTypes is what there is.
var serializerTypes = []event.SerializerType{event.OptimizedJSON, event.JSON}

func serializerNew(t testing.TB, typ event.SerializerType) event.Serializer {
	t.Helper()
	s, err := event.NewSerializer(typ)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serializerValue is the value of a document, numbers as they are spelled.
func serializerValue(t testing.TB, data []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %.300q", err, data)
	}
	return v
}

// serializerPair is the two serializers, side by side.
type serializerPair struct{ fast, plain event.Serializer }

func newSerializerPair(t testing.TB) serializerPair {
	return serializerPair{serializerNew(t, event.OptimizedJSON), serializerNew(t, event.JSON)}
}

// encode holds both to the same verdict and the same value, and returns what the optimized one
// wrote.
func (p serializerPair) encode(t testing.TB, ev agui.Event) ([]byte, error) {
	t.Helper()
	before := []byte("[")
	want, wantErr := p.fast.AppendEvent(before, ev)
	got, gotErr := p.plain.AppendEvent(before, ev)
	if !reflect.DeepEqual(gotErr, wantErr) {
		t.Fatalf("JSON says %v, OptimizedJSON %v, of %s", gotErr, wantErr, serializerDump(ev))
	}
	if got[0] != '[' || wantErr != nil && len(got) != 1 {
		t.Fatalf("dst became %q", got)
	}
	if wantErr != nil {
		return nil, wantErr
	}
	if !reflect.DeepEqual(serializerValue(t, got[1:]), serializerValue(t, want[1:])) {
		t.Fatalf("\n JSON wrote %s\nOptimizedJSON %s", got[1:], want[1:])
	}
	return want[1:], nil
}

var serializerMinted = regexp.MustCompile(`thinking-[A-Z2-7]+`)

// decode holds both to the same event, notes and error; ids that a serializer mints are its own.
func (p serializerPair) decode(t testing.TB, data []byte) (agui.Event, error) {
	t.Helper()
	borrowed := bytes.Clone(data)
	want, wantNotes, wantErr := p.fast.DecodeEvent(borrowed)
	got, gotNotes, gotErr := p.plain.DecodeEvent(borrowed)
	clear(borrowed) // whatever still points there shows below
	if !reflect.DeepEqual(gotErr, wantErr) {
		t.Fatalf("JSON says %v, OptimizedJSON %v, of %.300q", gotErr, wantErr, data)
	}
	if !reflect.DeepEqual(gotNotes, wantNotes) {
		t.Fatalf("JSON notes %v, OptimizedJSON %v, of %.300q", gotNotes, wantNotes, data)
	}
	if !reflect.DeepEqual(got, want) {
		plain := func(ev agui.Event) string { return serializerMinted.ReplaceAllString(serializerDump(ev), "minted") }
		if plain(got) != plain(want) || !serializerMinted.MatchString(serializerDump(want)) {
			t.Fatalf("%.300q:\n JSON read %s\nOptimizedJSON %s", data, serializerDump(got), serializerDump(want))
		}
	}
	return want, wantErr
}

// serializerDump spells an event with everything behind its pointers.
func serializerDump(ev agui.Event) string {
	if ev == nil {
		return "no event"
	}
	return fmt.Sprintf("%T", ev) + serializerDumpValue(reflect.ValueOf(ev))
}

func serializerDumpValue(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "nil"
		}
		return "&" + serializerDumpValue(v.Elem())
	case reflect.Struct:
		var b strings.Builder
		for i := range v.NumField() {
			fmt.Fprintf(&b, " %s:%s", v.Type().Field(i).Name, serializerDumpValue(v.Field(i)))
		}
		return "{" + b.String() + "}"
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			parts := make([]string, v.Len())
			for i := range parts {
				parts[i] = serializerDumpValue(v.Index(i))
			}
			return fmt.Sprintf("%d%q", v.Len(), parts)
		}
	}
	return fmt.Sprintf("%q", fmt.Sprint(v.Interface()))
}

func TestSerializersAgreeOnEvents(t *testing.T) {
	pair := newSerializerPair(t)
	seen := map[agui.EventType]bool{}
	for _, line := range dataLines(t, "events.ndjson") {
		ev, err := pair.decode(t, line)
		if err != nil {
			t.Fatalf("%v in %.300s", err, line)
		}
		seen[ev.Type()] = true
		out, err := pair.encode(t, ev)
		if err != nil {
			t.Fatal(err)
		}
		want := serializerValue(t, line).(map[string]any)
		delete(want, "futureField")
		if !reflect.DeepEqual(serializerValue(t, out), any(want)) {
			t.Errorf("\n got %s\nwant %s", out, line)
		}
	}
	for _, typ := range agui.EventTypes() {
		if !seen[typ] {
			t.Errorf("%s does not occur in the data", typ)
		}
	}
}

func TestSerializersAgreeOnInvalidEvents(t *testing.T) {
	fatal, kept := 0, 0
	for _, line := range dataLines(t, "invalid.ndjson") {
		var c struct {
			Spec  string
			Event json.RawMessage
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		pair := newSerializerPair(t)
		ev, err := pair.decode(t, c.Event)
		switch {
		case (err != nil) != (c.Spec == "fatal"):
			t.Errorf("error %v, want %s: %s", err, c.Spec, c.Event)
		case err != nil:
			fatal++
		case ev != nil:
			kept++
			if _, err := pair.encode(t, ev); err != nil {
				t.Error(err)
			}
		}
	}
	if fatal == 0 || kept == 0 {
		t.Errorf("%d fatal, %d kept: the data shows too little", fatal, kept)
	}
}

// Inputs travel as a member of RUN_STARTED.
func TestSerializersAgreeOnInputs(t *testing.T) {
	pair := newSerializerPair(t)
	for _, line := range dataLines(t, "run_inputs.ndjson") {
		data := fmt.Appendf(nil, `{"type":"RUN_STARTED","threadId":"t","runId":"r","input":%s}`, line)
		ev, err := pair.decode(t, data)
		if err != nil {
			t.Fatal(err)
		}
		out, err := pair.encode(t, ev)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(serializerValue(t, out), serializerValue(t, data)) {
			t.Errorf("\n got %.2000s\nwant %.2000s", out, data)
		}
	}
}

// The samples with every member set, by their golden value.
func TestSerializersAgreeOnGolden(t *testing.T) {
	for _, typ := range serializerTypes {
		for _, ev := range samples() {
			s := serializerNew(t, typ)
			out, err := s.AppendEvent(nil, ev)
			if err != nil {
				t.Fatal(err)
			}
			want := mustEncode(t, ev)
			if !reflect.DeepEqual(serializerValue(t, out), serializerValue(t, want)) {
				t.Errorf("%v:\n got %s\nwant %s", typ, out, want)
			}
			if !bytes.HasPrefix(out, fmt.Appendf(nil, `{"type":%q`, ev.Type())) {
				t.Errorf("%v: the type does not come first in %s", typ, out)
			}
			back, notes, err := s.DecodeEvent(out)
			if err != nil || notes != nil || !reflect.DeepEqual(back, ev) {
				t.Errorf("%v: %s: error %v, notes %v", typ, out, err, notes)
			}
		}
	}
}

// Zero values of events: slices the protocol needs are lists, the fixed role stands.
func TestSerializersWriteRequiredLists(t *testing.T) {
	tests := []struct {
		ev   agui.Event
		want string
	}{
		{&agui.StateDelta{}, `{"type":"STATE_DELTA","delta":[]}`},
		{&agui.ActivityDelta{}, `{"type":"ACTIVITY_DELTA","messageId":"","activityType":"","patch":[]}`},
		{&agui.MessagesSnapshot{}, `{"type":"MESSAGES_SNAPSHOT","messages":[]}`},
		{
			&agui.RunStarted{Input: &agui.RunAgentInput{}},
			`{"type":"RUN_STARTED","threadId":"","runId":"","input":{"threadId":"","runId":"","messages":[]}}`,
		},
		{&agui.ReasoningMessageStart{}, `{"type":"REASONING_MESSAGE_START","messageId":"","role":"reasoning"}`},
		{&agui.TextMessageChunk{}, `{"type":"TEXT_MESSAGE_CHUNK"}`},
	}
	pair := newSerializerPair(t)
	for _, tt := range tests {
		before := serializerDump(tt.ev)
		out, err := pair.encode(t, tt.ev)
		if err != nil || !reflect.DeepEqual(serializerValue(t, out), serializerValue(t, []byte(tt.want))) {
			t.Errorf("wrote %s, %v, want %s", out, err, tt.want)
		}
		if serializerDump(tt.ev) != before {
			t.Errorf("%T was written to", tt.ev)
		}
	}
}

// What readers tolerate: spellings, retired forms, members that stand twice.
func TestSerializersAgreeOnLeniency(t *testing.T) {
	pair := newSerializerPair(t)
	for _, data := range []string{
		" {\n\"t\\u0079pe\" :\t\"RAW\" , \"e\\u0076ent\" : [ 1.50 , 1E2 ] }\r\n",
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"\ud83d\ude42 \ud83d \ude42\ud83d \ud83d\ud83d\ude42 \ufffd \u0000 \/"}`,
		`{"type":"STEP_STARTED","type":"TEXT_MESSAGE_END","messageId":5,"messageId":"m"}`,
		`{"type":"RUN_STARTED","threadId":"t","runId":"r","protocolVersion":"1.9","input":{},"input":{"threadId":"t","runId":"r","messages":[]}}`,
		`{"type":"TEXT_MESSAGE_END","messageId":"m","MESSAGEID":"x","Type":"RAW","timestamp":12.50e1}`,
		`{"type":"RUN_ERROR","message":"m","usage":[{"inputTokens":1e3,"InputTokens":7,"outputTokens":5.0}]}`,
		`{"type":"STATE_DELTA","delta":[{"path":7,"op":"increment"},{"op":"add","path":"/a","value":null,"from":3,"Path":"/b","from":4}]}`,
		`{"type":"RUN_FINISHED","threadId":"t","runId":"r","result":null,"outcome":{"type":"paused"}}`,
		`{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"0","role":"poet"},{"id":"1","role":"user","content":[` +
			`{"type":"binary","mimeType":"image/png","data":"AA==","filename":"a.png"},{"type":"text","text":" é "}]}]}`,
		`{"type":"TELEPORT","x":[]}`,
		`{"type":"THINKING_START","title":"t"}`,
		`{"type":"THINKING_TEXT_MESSAGE_CONTENT","delta":"x"}`,
	} {
		ev, err := pair.decode(t, []byte(data))
		if err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		if ev == nil {
			continue
		}
		if _, err := pair.encode(t, ev); err != nil {
			t.Error(err)
		}
	}
}

// A run that starts forgets the ids minted in the one before, within one stream.
func TestSerializersForgetAtRunStarted(t *testing.T) {
	for _, typ := range serializerTypes {
		s := serializerNew(t, typ)
		var ids []string
		for _, data := range []string{
			`{"type":"THINKING_TEXT_MESSAGE_START"}`,
			`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`,
			`{"type":"THINKING_TEXT_MESSAGE_CONTENT","delta":"x"}`,
		} {
			ev, _, err := s.DecodeEvent([]byte(data))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, serializerMinted.FindString(serializerDump(ev)))
		}
		if ids[0] == "" || ids[2] == "" || ids[0] == ids[2] {
			t.Errorf("%v minted %q", typ, ids)
		}
	}
}

// Whole streams, through one serializer each.
func TestSerializersAgreeOnSequences(t *testing.T) {
	for _, c := range sequences(t) {
		pair := newSerializerPair(t)
		for _, frame := range c.Events {
			if ev, err := pair.decode(t, frame); err == nil && ev != nil {
				if _, err := pair.encode(t, ev); err != nil {
					t.Errorf("%s: %v", c.Name, err)
				}
			}
		}
	}
}
