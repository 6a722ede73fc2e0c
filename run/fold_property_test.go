package run_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

// streams makes random streams of all event types that keep the order of the protocol.
type streams struct {
	rnd      *rand.Rand
	stateful bool // mostly STATE events, with operations that apply
	tagged   bool
	samples  []agui.Event // of every type
	encs     []event.Serializer
}

func newStreams(t testing.TB, seed uint64) *streams {
	t.Helper()
	s := &streams{rnd: rand.New(rand.NewPCG(seed, 1)), stateful: seed%2 == 0, tagged: seed%3 == 0}
	for _, typ := range []event.SerializerType{event.OptimizedJSON, event.JSON} {
		enc, err := event.NewSerializer(typ)
		if err != nil {
			t.Fatal(err)
		}
		s.encs = append(s.encs, enc)
	}
	data, err := os.ReadFile(filepath.Join("..", "agui", "testdata", "events.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var dec event.Decoder
	for line := range bytes.Lines(data) {
		if ev, _, err := dec.DecodeEvent(line); err == nil && ev != nil {
			s.samples = append(s.samples, ev)
		}
	}
	return s
}

func (s *streams) oneOf(list ...string) string { return list[s.rnd.IntN(len(list))] }

// deltas are texts of deltas; <hi> and <lo> become the halves of a surrogate pair.
func (s *streams) delta() string {
	return s.oneOf("", "a", "bc", "\"\n", "é€", "<hi>", "<lo>", "\\<hi>", strings.Repeat("long ", 40))
}

func (s *streams) base() (b agui.Base) {
	if s.rnd.IntN(3) == 0 {
		b.Timestamp = new(s.rnd.Int64N(1000))
	}
	if s.tagged && s.rnd.IntN(2) == 0 {
		b.SubagentRunID = new(s.oneOf("", "s"))
	}
	if s.rnd.IntN(20) == 0 {
		b.Metadata = json.RawMessage(`{"k":1}`)
	}
	return b
}

// op is an operation on a state; some do not apply, some are done differently by other libraries.
func (s *streams) op() agui.PatchOp {
	op := agui.PatchOp{Path: s.oneOf("/a", "/b", "/list", "/list/0", "/list/-", "/a/b", "/__proto__/x", "", "/list/-1", "/a~1b")}
	switch op.Op = agui.PatchOpKind(s.oneOf("add", "add", "add", "replace", "remove", "test")); op.Op {
	case agui.PatchRemove:
	default:
		op.Value = json.RawMessage(s.oneOf("1", "1.50", `{"b":[]}`, `[1,2]`, `"<text>"`, "null", "{}"))
	}
	return op
}

func (s *streams) next() agui.Event {
	id := s.oneOf("m", "n")
	if s.stateful && s.rnd.IntN(3) > 0 {
		op := agui.PatchOp{Op: agui.PatchAdd, Path: s.oneOf("/a", "/b", "/c"), Value: json.RawMessage(s.oneOf("1", "{}", `"text"`))}
		if s.rnd.IntN(30) == 0 {
			op = s.op()
		}
		return &agui.StateDelta{Base: s.base(), Delta: []agui.PatchOp{op}}
	}
	switch s.rnd.IntN(16) {
	case 0:
		return &agui.TextMessageStart{Base: s.base(), MessageID: id}
	case 1, 2, 3, 4:
		return &agui.TextMessageContent{Base: s.base(), MessageID: id, Delta: s.delta()}
	case 5:
		return &agui.ToolCallStart{ToolCallID: id, ToolCallName: "f"}
	case 6, 7:
		return &agui.ToolCallArgs{Base: s.base(), ToolCallID: id, Delta: s.delta()}
	case 8:
		return &agui.ReasoningMessageStart{MessageID: id}
	case 9, 10:
		return &agui.ReasoningMessageContent{Base: s.base(), MessageID: id, Delta: s.delta()}
	case 11, 12:
		ops := []agui.PatchOp{s.op()}
		if s.rnd.IntN(4) == 0 {
			ops = append(ops, s.op())
		}
		return &agui.StateDelta{Base: s.base(), Delta: ops}
	case 13:
		return &agui.StateSnapshot{Base: s.base(), Snapshot: json.RawMessage(s.oneOf(`{}`, `{"list":[],"a":{}}`, `1`))}
	}
	return s.samples[s.rnd.IntN(len(s.samples))]
}

// stream returns about n encoded events, from RUN_STARTED on.
func (s *streams) stream(t testing.TB, n int) []string {
	var order agui.Order
	list := []string{}
	for len(list) < n {
		ev := s.next()
		if len(list) == 0 {
			ev = &agui.RunStarted{ThreadID: "t", RunID: "r"}
		} else if order.Done() {
			break
		}
		if t := ev.Type(); (t == agui.EventTypeRunFinished || t == agui.EventTypeRunError) && len(list) < n-2 {
			continue
		}
		if order.Check(ev) != nil {
			continue
		}
		b, err := s.encs[s.rnd.IntN(2)].AppendEvent(nil, ev)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, strings.NewReplacer("<hi>", `\ud83d`, "<lo>", `\uDE00`).Replace(string(b)))
	}
	return list
}

// reader is what a viewer makes of events: a trace, in which deltas of one item that follow one
// another are one, whatever STATE events are between, and everything else is with the state at that
// moment.
type reader struct {
	trace []string
	item  string // of the deltas at the end of the trace
	state any
}

func (r *reader) read(t testing.TB, ev []byte) {
	t.Helper()
	var e struct {
		Type, MessageID, ToolCallID string
		SubagentRunID               *string
		Delta, Snapshot             json.RawMessage
		Metadata, RawEvent          json.RawMessage
	}
	if err := json.Unmarshal(ev, &e); err != nil {
		t.Fatalf("%v in %s", err, ev)
	}
	switch e.Type {
	case "TEXT_MESSAGE_CONTENT", "TOOL_CALL_ARGS", "REASONING_MESSAGE_CONTENT":
		if e.Metadata != nil || e.RawEvent != nil {
			break
		}
		item := fmt.Sprintf("%s %q %q", e.Type, e.MessageID, e.ToolCallID)
		if e.SubagentRunID != nil {
			item += " of " + *e.SubagentRunID
		}
		if r.item != item {
			r.trace, r.item = append(r.trace, item+" "), item
		}
		r.trace[len(r.trace)-1] += string(e.Delta[1 : len(e.Delta)-1])
		return
	case "STATE_SNAPSHOT":
		r.state = decode(t, e.Snapshot)
		if e.Metadata == nil && e.RawEvent == nil {
			return
		}
	case "STATE_DELTA":
		var ops []agui.PatchOp
		if err := json.Unmarshal(e.Delta, &ops); err != nil {
			t.Fatal(err)
		}
		next := decode(t, encode(t, r.state))
		for i := range ops {
			var ok bool
			if next, ok = run.PatchState(next, &ops[i]); !ok {
				next = r.state // a patch applies whole or not at all
				break
			}
		}
		r.state = next
		if e.Metadata == nil && e.RawEvent == nil {
			return
		}
	}
	r.trace, r.item = append(r.trace, string(ev)+" at "+string(encode(t, r.state))), ""
}

func (r *reader) result(t testing.TB) string {
	return strings.Join(r.trace, "\n") + "\nstate " + string(encode(t, r.state))
}

func decode(t testing.TB, raw []byte) (v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return v
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestR7EveryCursorResumesExactly: what a viewer has applied up to its cursor, and what is left of
// the folded log behind it, have the effect of the plain events.
func TestR7EveryCursorResumesExactly(t *testing.T) {
	for seed := range uint64(40) {
		s := newStreams(t, seed)
		events := s.stream(t, 20+s.rnd.IntN(60))
		most := []int{0, 3 << 10, 12 << 10, 24 << 10}[s.rnd.IntN(4)]
		f := run.NewFolder(json.RawMessage(`{"a":1}`), most)
		var folded []run.Entry
		trimmed, n := uint64(0), 0
		for n < len(events) {
			part := min(1+s.rnd.IntN(1+s.rnd.IntN(40)), len(events)-n)
			before, older := show(folded), folded
			var gone uint64
			folded, gone = f.Add(older, plain(uint64(n)+1, events[n:n+part]...))
			if show(older) != before {
				t.Fatalf("seed %d: what was there has changed", seed)
			}
			trimmed = max(trimmed, gone)
			n += part
			checkRange(t, folded, trimmed+1, uint64(n))
			if step := 1 + uint64(s.rnd.IntN(8)); step > 6 || n == len(events) {
				checkCursors(t, fmt.Sprintf("seed %d, %d events", seed, n), events[:n], folded, trimmed, step)
			}
		}
		if most == 0 {
			checkAgain(t, seed, events, folded)
		}
	}
}

// checkCursors checks every cursor that step divides.
func checkCursors(t *testing.T, name string, events []string, folded []run.Entry, trimmed, step uint64) {
	t.Helper()
	prefix := reader{state: decode(t, []byte(`{"a":1}`))}
	for c := range uint64(len(events)) {
		if c > 0 {
			prefix.read(t, []byte(events[c-1]))
		}
		if c < trimmed || c%step != 0 {
			continue
		}
		want, got := reader{state: prefix.state}, reader{state: prefix.state}
		for _, e := range events[c:] {
			want.read(t, []byte(e))
		}
		rest := run.EntriesAfter(folded, c, 1<<30)
		checkRange(t, rest, c+1, uint64(len(events)))
		for _, e := range rest {
			got.read(t, e.Event)
		}
		checkOrder(t, events[:c], rest)
		if want.result(t) != got.result(t) {
			t.Fatalf("%s, cursor %d: got\n%s\nwant\n%s\nof\n%s", name, c, got.result(t), want.result(t), show(folded))
		}
	}
}

// decoded are events that were decoded before.
var decoded = map[string]agui.Event{}

// checkOrder checks that events keep the order of the protocol, chunks among them.
func checkOrder(t *testing.T, events []string, rest []run.Entry) {
	t.Helper()
	var order agui.Order
	var dec event.Decoder
	check := func(text string) {
		ev, known := decoded[text]
		if !known {
			var err error
			if ev, _, err = dec.DecodeEvent([]byte(text)); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			decoded[text] = ev
		}
		if err := order.Check(ev); err != nil {
			t.Fatalf("%v at %s of\n%s\nand\n%s", err, text, strings.Join(events, "\n"), show(rest))
		}
	}
	for _, e := range events {
		check(e)
	}
	for _, e := range rest {
		check(string(e.Event))
	}
}

// checkAgain: folding what is folded changes nothing, and parts end as the whole does.
func checkAgain(t *testing.T, seed uint64, events []string, folded []run.Entry) {
	t.Helper()
	whole := fold(events...)
	again, _ := run.NewFolder(nil, 0).Add(nil, whole)
	if show(again) != show(whole) {
		t.Fatalf("seed %d: folded again\n%s\nis\n%s", seed, show(again), show(whole))
	}
	if again, _ = run.NewFolder(nil, 0).Add(nil, slices.Clone(folded)); show(again) != show(whole) {
		t.Fatalf("seed %d: in parts\n%s\nis\n%s", seed, show(again), show(whole))
	}
}

// FuzzFoldScan: whatever two events are, folding does not panic, and what is joined is JSON that adds
// what both have added.
func FuzzFoldScan(f *testing.F) {
	for _, pair := range [][2]string{
		{text("m", "a"), text("m", `\u00e9\"`)},
		{args("m", `{\"`), `{"delta":"\ud83d","toolCallId":"m","type":"TOOL_CALL_ARGS","timestamp":1}`},
		{reasoning("", `\ud83d`), reasoning("", `\ude00`)},
		{snapshot(`{"a":[1,"x\\"]}`), patch(`{"op":"add","path":"/a/-","value":{}}`)},
		{patch(`{"op":"add","path":"/b","value":1}`), patch(`{"op":"remove","path":"/b"}`)},
		{`{"type":"CUSTOM","name":"n","value":{}}`, `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"x","metadata":{}}`},
	} {
		f.Add([]byte(pair[0]), []byte(pair[1]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for _, most := range []int{0, 256, 1} {
			folder := run.NewFolder(nil, most)
			one, _ := folder.Add(nil, plain(1, string(a)))
			folder.Add(one, plain(2, string(b)))
		}
		folded := fold(string(a), string(b))
		if len(folded) != 1 || folded[0].Pieces == nil {
			return
		}
		joined := folded[0]
		if !json.Valid(a) || !json.Valid(b) || !json.Valid(joined.Event) {
			t.Fatalf("%s and %s: %s", a, b, joined.Event)
		}
		raw := func(ev []byte) string {
			var e struct{ Delta json.RawMessage }
			if err := json.Unmarshal(ev, &e); err != nil {
				t.Fatal(err)
			}
			return string(e.Delta[1 : len(e.Delta)-1])
		}
		if raw(joined.Event) != raw(a)+raw(b) {
			t.Errorf("%s and %s: %s", a, b, joined.Event)
		}
		if rest, ok := joined.Rest(1); !ok || raw(rest.Event) != raw(b) {
			t.Errorf("rest %s, want %s", rest.Event, b)
		}
		var dec event.Decoder
		if _, _, err := dec.DecodeEvent(a); err != nil {
			return // such as a timestamp that is too large
		}
		if _, _, err := dec.DecodeEvent(b); err != nil {
			return
		}
		if _, notes, err := dec.DecodeEvent(joined.Event); err != nil || notes != nil {
			t.Errorf("%s: %v, %v", joined.Event, err, notes)
		}
	})
}
