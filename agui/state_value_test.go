package agui_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// reader is the other end of an Emitter: it encodes and decodes what is emitted and keeps the state as a
// client does.
type reader struct {
	t      *testing.T
	mu     sync.Mutex
	thread agui.Thread
	events []string
	fail   error // of the next Emit
}

func (r *reader) Emit(ev agui.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	raw, err := event.Append(nil, ev)
	if err != nil {
		return err
	}
	back, notes, err := new(event.Decoder).DecodeEvent(raw)
	if err != nil || notes != nil {
		r.t.Errorf("%s: %v, %v", raw, notes, err)
	}
	if err := r.thread.Apply(back); err != nil {
		r.t.Errorf("%s: %v", raw, err)
	}
	r.events = append(r.events, string(raw))
	return nil
}

// holds fails unless the client's state is that JSON.
func (r *reader) holds(want string) {
	r.t.Helper()
	if got := r.thread.State(); !reflect.DeepEqual(exact(r.t, got), exact(r.t, []byte(want))) {
		r.t.Errorf("the client has %s, want %s", got, want)
	}
}

// took returns the events since the last call.
func (r *reader) took() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := strings.Join(r.events, " ")
	r.events = nil
	return text
}

type card struct {
	Title string `json:"title"`
	Done  bool   `json:"done,omitempty"`
}

type board struct {
	Name  string         `json:"name"`
	Cards []card         `json:"cards"`
	Index map[string]int `json:"index,omitempty"`
	Big   int64          `json:"big"`
	When  time.Time      `json:"when"`
	Raw   any            `json:"raw"`
}

// TestStateUpdates: each change is one event, the smaller one, or none.
func TestStateUpdates(t *testing.T) {
	r := &reader{t: t}
	when := time.Date(2026, 11, 28, 1, 2, 3, 4, time.FixedZone("", 3600))
	s, err := agui.NewState(r, board{Name: "<b>", Cards: []card{{Title: "write"}, {Title: "test"}}, Big: 1 << 53, When: when})
	if err != nil {
		t.Fatal(err)
	}
	const begin = `{"type":"STATE_SNAPSHOT","snapshot":{"name":"<b>","cards":[{"title":"write"},{"title":"test"}],"big":9007199254740992,"when":"2026-11-28T01:02:03.000000004+01:00","raw":null}}`
	if got := r.took(); got != begin {
		t.Errorf("begins with %s", got)
	}
	for _, tc := range []struct {
		name   string
		change func(*board)
		want   string
	}{
		{"nothing", func(*board) {}, ""},
		{"the same again", func(b *board) { b.Cards = append([]card{}, b.Cards...); b.Index = map[string]int{} }, ""},
		{"the same moment in another zone", func(b *board) { b.When = b.When.In(time.FixedZone("other", 3600)) }, ""},
		{"a field", func(b *board) { b.Cards[1].Done = true }, `{"type":"STATE_DELTA","delta":[{"op":"add","path":"/cards/1/done","value":true}]}`},
		{"a large number", func(b *board) { b.Big++ }, `{"type":"STATE_DELTA","delta":[{"op":"replace","path":"/big","value":9007199254740993}]}`},
		{"an element", func(b *board) { b.Cards = append(b.Cards, card{"ship", false}) }, `{"type":"STATE_DELTA","delta":[{"op":"add","path":"/cards/2","value":{"title":"ship"}}]}`},
		{"a map", func(b *board) { b.Index = map[string]int{"z": 1, "a/b": 2} }, `{"type":"STATE_DELTA","delta":[{"op":"add","path":"/index","value":{"a/b":2,"z":1}}]}`},
		{"a member of a map", func(b *board) { b.Index["a/b"]++ }, `{"type":"STATE_DELTA","delta":[{"op":"replace","path":"/index/a~1b","value":3}]}`},
		{"keys in their order", func(b *board) { b.Raw = json.RawMessage(`{"z": 123456789012345678901, "a": [1.0]}`) }, `{"type":"STATE_DELTA","delta":[{"op":"replace","path":"/raw","value":{"z":123456789012345678901,"a":[1.0]}}]}`},
		{"digits of what was decoded", func(b *board) {
			if n := b.Raw.(map[string]any)["z"]; n != json.Number("123456789012345678901") {
				t.Errorf("it has become %v", n)
			}
		}, ""},
		{"nothing in place of a list", func(b *board) { b.Cards = nil; b.Index = nil; b.Raw = nil }, `{"type":"STATE_SNAPSHOT","snapshot":{"name":"<b>","cards":null,"big":9007199254740993,"when":"2026-11-28T01:02:03.000000004+01:00","raw":null}}`},
		{"all of it", func(b *board) { *b = board{Name: "other"} }, `{"type":"STATE_SNAPSHOT","snapshot":{"name":"other","cards":null,"big":0,"when":"0001-01-01T00:00:00Z","raw":null}}`},
	} {
		if err := s.Update(tc.change); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if got := r.took(); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
		now, _ := json.Marshal(s.Get())
		r.holds(string(now))
	}
}

// TestStateOfAnyType: lists, texts, numbers and nothing at all are states, too.
func TestStateOfAnyType(t *testing.T) {
	r := &reader{t: t}
	list, err := agui.NewState(r, []string{"a long text, longer than an operation on it"})
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Update(func(l *[]string) { *l = append(*l, "b") }); err != nil {
		t.Error(err)
	}
	if got := r.took(); !strings.HasSuffix(got, `{"type":"STATE_DELTA","delta":[{"op":"add","path":"/1","value":"b"}]}`) {
		t.Error(got)
	}
	if err := list.Set(nil); err != nil {
		t.Error(err)
	}
	r.holds("null")
	if got := r.took(); got != `{"type":"STATE_SNAPSHOT","snapshot":null}` {
		t.Error(got)
	}
	number, err := agui.NewState[any](r, 1)
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[any]string{"x": `"x"`, nil: `null`, 2.5: `2.5`} {
		if err := number.Set(value); err != nil || number.Get() != value && fmt.Sprint(number.Get()) != fmt.Sprint(value) {
			t.Errorf("%v has become %v, %v", value, number.Get(), err)
		}
		r.holds(want)
	}
}

// TestStateSendsTheSmaller: by the bytes of the event, for states and changes of all sizes.
func TestStateSendsTheSmaller(t *testing.T) {
	r := &reader{t: t}
	deltas, snapshots := 0, 0
	for n := range 60 {
		s, err := agui.NewState(r, map[string]string{})
		if err != nil {
			t.Fatal(err)
		}
		before := "{}"
		for i := range 6 {
			if err := s.Update(func(m *map[string]string) {
				(*m)[fmt.Sprint("k\"", i)] = strings.Repeat("x", n)
				(*m)["pad"] = strings.Repeat("é\n", n)
			}); err != nil {
				t.Fatal(err)
			}
			sent := r.took()
			sent = sent[strings.LastIndex(sent, `{"type":`):]
			after, _ := json.Marshal(s.Get())
			ops, err := agui.Diff(json.RawMessage(before), after)
			if err != nil {
				t.Fatal(err)
			}
			delta, err := event.Append(nil, &agui.StateDelta{Delta: ops})
			if err != nil {
				t.Fatal(err)
			}
			snapshot, err := event.Append(nil, &agui.StateSnapshot{Snapshot: after})
			if err != nil {
				t.Fatal(err)
			}
			if len(sent) != min(len(delta), len(snapshot)) {
				t.Errorf("sent %d bytes, a delta has %d and a snapshot %d", len(sent), len(delta), len(snapshot))
			}
			if len(delta) < len(snapshot) {
				deltas++
			} else {
				snapshots++
			}
			before = string(after)
		}
	}
	if deltas < 50 || snapshots < 50 {
		t.Errorf("%d deltas, %d snapshots: too little was tried", deltas, snapshots)
	}
}

// TestStateOf: begins with what the client has, and tells it only what differs.
func TestStateOf(t *testing.T) {
	for _, tc := range []struct{ name, state, want, sent string }{
		{"the same", ` {"big": 9007199254740993, "when":"0001-01-01T00:00:00Z","cards":null, "raw":null, "name":"\u003ca\u2028"}`, `<a` + "\u2028", ""},
		{"members that are not there", `{"name":"a"}`, "a", `{"type":"STATE_SNAPSHOT","snapshot":{"name":"a","cards":null,"big":0,"when":"0001-01-01T00:00:00Z","raw":null}}`},
		{
			"a member too many", `{"name":"a","cards":null,"big":0,"when":"0001-01-01T00:00:00Z","raw":null,"more":1}`, "a",
			`{"type":"STATE_DELTA","delta":[{"op":"remove","path":"/more"}]}`,
		},
		{"none", ``, "", `{"type":"STATE_SNAPSHOT","snapshot":{"name":"","cards":null,"big":0,"when":"0001-01-01T00:00:00Z","raw":null}}`},
		{"null", `null`, "", `{"type":"STATE_SNAPSHOT","snapshot":{"name":"","cards":null,"big":0,"when":"0001-01-01T00:00:00Z","raw":null}}`},
	} {
		r := &reader{t: t}
		in := &agui.RunAgentInput{State: json.RawMessage(tc.state)}
		r.thread = *agui.NewThread(in)
		s, err := agui.StateOf[board](r, in)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if got := r.took(); got != tc.sent || s.Get().Name != tc.want {
			t.Errorf("%s: sent %s, has %+v", tc.name, got, s.Get())
		}
		if err := s.Update(func(b *board) { b.Name = "changed" }); err != nil {
			t.Error(err)
		}
		now, _ := json.Marshal(s.Get())
		r.holds(string(now))
	}
	for _, state := range []string{`{"name":1}`, `[]`, `{`} {
		if _, err := agui.StateOf[board](&reader{t: t}, &agui.RunAgentInput{State: json.RawMessage(state)}); err == nil {
			t.Errorf("%s is a board", state)
		}
	}
}

// TestStateThatCannotBeSent: stays what the client has, whatever the change has done to it.
func TestStateThatCannotBeSent(t *testing.T) {
	r := &reader{t: t}
	type value struct {
		M map[string]any `json:"m"`
		N *float64       `json:"n"`
	}
	s, err := agui.NewState(r, value{M: map[string]any{"a": []any{"b"}}})
	if err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	same := func(what string) {
		t.Helper()
		r.fail = nil
		if r.took(); !reflect.DeepEqual(s.Get(), value{M: map[string]any{"a": []any{"b"}}}) {
			t.Errorf("%s: it has become %v", what, s.Get())
		}
		if err := s.Update(func(v *value) {
			if !reflect.DeepEqual(*v, value{M: map[string]any{"a": []any{"b"}}}) {
				t.Errorf("%s: the next change finds %v", what, *v)
			}
		}); err != nil || r.took() != "" {
			t.Errorf("%s: the next change: %v", what, err)
		}
		r.holds(`{"m":{"a":["b"]},"n":null}`)
	}
	spoil := func(v *value) { v.M["a"].([]any)[0] = "c"; v.M["d"] = 1 }
	r.fail = boom
	if err := s.Update(spoil); err != boom {
		t.Errorf("an Emit that fails: %v", err)
	}
	same("an Emit that fails")
	if err := s.Update(func(v *value) { spoil(v); v.N = new(math.NaN()) }); err == nil {
		t.Error("NaN was sent")
	}
	same("NaN")
	if err := s.Update(func(v *value) { spoil(v); v.M["c"] = make(chan int) }); err == nil {
		t.Error("a channel was sent")
	}
	same("a channel")
	if err := s.Update(func(v *value) { spoil(v); v.M["c"] = json.RawMessage("\"\xff\"") }); err == nil {
		t.Error("broken text was sent")
	}
	same("broken text")
	func() {
		defer func() {
			if recover() != "x" {
				t.Error("the panic does not come through")
			}
		}()
		_ = s.Update(func(v *value) { spoil(v); panic("x") })
	}()
	same("a panic")
	var deep any
	for range 80 {
		deep = []any{deep}
	}
	if err := s.Update(func(v *value) { v.M["c"] = deep }); err == nil {
		t.Error("80 levels were sent")
	}
	same("80 levels")
}

// onceOnly is encoded to what it is not decoded from.
type onceOnly struct{ N int }

func (onceOnly) MarshalJSON() ([]byte, error)    { return []byte(`"once"`), nil }
func (*onceOnly) UnmarshalJSON(raw []byte) error { return errors.New("never again") }

// TestStateMustComeBack: a type that is not decoded again is refused before anything is sent.
func TestStateMustComeBack(t *testing.T) {
	r := &reader{t: t}
	if _, err := agui.NewState(r, onceOnly{}); err == nil {
		t.Error("it was taken")
	}
	s, err := agui.NewState(r, map[string]error{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Set(map[string]error{"a": errors.New("x")}); err == nil || len(s.Get()) != 0 {
		t.Errorf("an interface was sent: %v, %v", err, s.Get())
	}
	if got := r.took(); got != `{"type":"STATE_SNAPSHOT","snapshot":{}}` {
		t.Error(got)
	}
}

// TestStateWhereNoDeltaIsTaken: the snapshot is tried.
func TestStateWhereNoDeltaIsTaken(t *testing.T) {
	r := &reader{t: t}
	s, err := agui.NewState(emitterFunc(func(ev agui.Event) error {
		if _, delta := ev.(*agui.StateDelta); delta {
			return errors.New("no patches here")
		}
		return r.Emit(ev)
	}), []string{strings.Repeat("a", 100)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(func(l *[]string) { *l = append(*l, "b") }); err != nil || len(s.Get()) != 2 {
		t.Errorf("%v, %v", err, s.Get())
	}
	now, _ := json.Marshal(s.Get())
	r.holds(string(now))
}

type emitterFunc func(ev agui.Event) error

func (f emitterFunc) Emit(ev agui.Event) error { return f(ev) }

// TestStateNearTheLimitOfLevels: what no patch may hold is a snapshot.
func TestStateNearTheLimitOfLevels(t *testing.T) {
	r := &reader{t: t}
	for levels := 55; levels < 64; levels++ {
		var value any = "x"
		for range levels - 1 {
			value = []any{value}
		}
		first := map[string]any{"pad": strings.Repeat("a", 1000), "v": 1}
		s, err := agui.NewState(r, first)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []any{value, "y"} {
			if err := s.Update(func(m *map[string]any) { (*m)["v"] = v }); err != nil {
				t.Errorf("%d levels: %v", levels, err)
			}
		}
		want := 2
		if levels > 61 {
			want = 1 // the way back needs no deep value
		}
		if got := strings.Count(r.took(), "STATE_DELTA"); got != want {
			t.Errorf("%d levels: %d deltas", levels, got)
		}
	}
}

// TestStateChangedWithinAChange: is an error, and another State may be changed.
func TestStateChangedWithinAChange(t *testing.T) {
	r := &reader{t: t}
	s, err := agui.NewState(r, 0)
	other, err2 := agui.NewState(r, 0)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	err = s.Update(func(n *int) {
		*n = 1
		if err := s.Update(func(*int) { t.Error("the inner change was made") }); err != agui.ErrStateNested {
			t.Errorf("Update within Update: %v", err)
		}
		if err := s.Set(5); err != agui.ErrStateNested {
			t.Errorf("Set within Update: %v", err)
		}
		if got := s.Get(); got != 0 {
			t.Errorf("Get within Update: %d", got)
		}
		if err := other.Update(func(m *int) {
			*m = 2
			if err := s.Set(5); err != agui.ErrStateNested {
				t.Errorf("Set two levels within Update: %v", err)
			}
		}); err != nil {
			t.Errorf("another State: %v", err)
		}
	})
	if err != nil || s.Get() != 1 || other.Get() != 2 {
		t.Errorf("%v: %d and %d", err, s.Get(), other.Get())
	}
	if err := s.Set(3); err != nil || s.Get() != 3 {
		t.Errorf("afterwards: %v, %d", err, s.Get())
	}
}

// TestStateOfManyGoroutines: no change is lost, and the client has them in order.
func TestStateOfManyGoroutines(t *testing.T) {
	r := &reader{t: t}
	s, err := agui.NewState(r, map[string]int{"pad of so many bytes that deltas are sent": 0})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for who := range 8 {
		all.Go(func() {
			for range 100 {
				if err := s.Update(func(m *map[string]int) { (*m)["sum"]++; (*m)[fmt.Sprint(who)]++ }); err != nil {
					t.Error(err)
				}
				if got := s.Get(); got[fmt.Sprint(who)] == 0 || got["sum"] < got[fmt.Sprint(who)] {
					t.Errorf("%d has %v", who, got)
				}
			}
		})
	}
	all.Wait()
	if got := s.Get(); got["sum"] != 800 || len(r.events) != 801 {
		t.Errorf("%v by %d events", got, len(r.events))
	}
	now, _ := json.Marshal(s.Get())
	r.holds(string(now))
}

// TestStateProperty: a client follows any sequence of changes, digit by digit.
func TestStateProperty(t *testing.T) {
	g := newGenerator(3)
	for range 200 {
		r := &reader{t: t}
		s, err := agui.NewState(r, g.document())
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			value := g.change(exact(t, s.Get()))
			raw, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Set(json.RawMessage(raw)); err != nil {
				t.Fatal(err)
			}
			r.holds(string(raw))
		}
	}
}

// BenchmarkStateUpdate changes a field in a state of so many bytes.
func BenchmarkStateUpdate(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			cards := make([]card, size/64)
			for i := range cards {
				cards[i].Title = strings.Repeat("x", 50)
			}
			s, err := agui.NewState(emitterFunc(func(agui.Event) error { return nil }), board{Cards: cards})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Update(func(v *board) { v.Cards[len(v.Cards)/2].Done = !v.Cards[len(v.Cards)/2].Done }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
