package event_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// play sends the frames of a stream through decoding, expansion and order, and returns the types
// that were delivered.
func play(frames []json.RawMessage) (delivered []string, order *agui.Order, err error) {
	var (
		decoder  event.Decoder
		expander agui.Expander
	)
	order = new(agui.Order)
	for _, frame := range frames {
		ev, _, err := decoder.DecodeEvent(frame)
		if err != nil {
			return delivered, order, err
		}
		if ev == nil {
			continue
		}
		events, err := expander.Expand(ev, nil)
		if err != nil {
			return delivered, order, err
		}
		for _, ev := range events {
			if err := order.Check(ev); err != nil {
				return delivered, order, err
			}
			delivered = append(delivered, string(ev.Type()))
		}
	}
	return delivered, order, nil
}

type sequence struct {
	Name      string
	Valid     bool
	Spec      string
	Delivered []string
	Events    []json.RawMessage
}

func sequences(t *testing.T) []sequence {
	t.Helper()
	var list []sequence
	for _, line := range dataLines(t, "sequences.ndjson") {
		var c sequence
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

func TestSequencesGetTheirVerdict(t *testing.T) {
	for _, c := range sequences(t) {
		t.Run(c.Name, func(t *testing.T) {
			delivered, order, err := play(c.Events)
			if !c.Valid || c.Spec == "fatal" {
				if err == nil {
					t.Fatal("accepted")
				}
				_, field := errors.AsType[*event.FieldError](err)
				_, rule := errors.AsType[*agui.OrderError](err)
				if !field && !rule {
					t.Errorf("error %v is neither a FieldError nor an OrderError", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := c.Delivered
			if c.Name == "legacy-thinking-without-boundary-dropped" {
				// The data is judged without the translation of retired forms, which is not
				// optional here.
				want = []string{"RUN_STARTED", "REASONING_START", "REASONING_END", "RUN_FINISHED"}
			}
			if !slices.Equal(delivered, want) {
				t.Errorf("delivered %v, want %v", delivered, want)
			}
			if order.Done() == (c.Spec == "truncated") {
				t.Errorf("Done() = %v", order.Done())
			}
		})
	}
}

// A server checks chunks as they are, without expanding them: the verdict must be the same.
func TestSequencesWithoutExpansion(t *testing.T) {
	for _, c := range sequences(t) {
		t.Run(c.Name, func(t *testing.T) {
			var (
				decoder event.Decoder
				order   agui.Order
				failed  error
			)
			for _, frame := range c.Events {
				ev, _, err := decoder.DecodeEvent(frame)
				if err == nil && ev != nil {
					err = order.Check(ev)
				}
				if failed = err; err != nil {
					break
				}
			}
			if want := c.Valid && c.Spec != "fatal"; (failed == nil) != want {
				t.Errorf("error %v, valid %v", failed, want)
			}
		})
	}
}

func TestDeltaHalves(t *testing.T) {
	for _, tc := range []struct {
		event     string
		low, high rune
	}{
		{`{"delta":"a"}`, 0, 0},
		{`{"delta":"\ud83d"}`, 0, 0xd83d},
		{`{"delta":"\uDE00"}`, 0xde00, 0},
		{`{"delta":"\ude00 \uD83D"}`, 0xde00, 0xd83d},
		{`{"delta":"\ud83d\ude00"}`, 0, 0},
		{`{"delta":"\\ud83d"}`, 0, 0},
		{`{"delta":"\\\ud83d"}`, 0, 0xd83d},
		{`{"delta":"\ud7ff\ud800"}`, 0, 0xd800},
		{`{"delta":"\ud83d."}`, 0, 0},
		{` { "x" : [ "\ud83d" ] , "d\u0065lta" : "\udbff" } `, 0, 0xdbff},
		{`{"delta":"\ud83d","delta":"a"}`, 0, 0},
		{`{"rawEvent":{"delta":"\ud83d"},"delta":"a"}`, 0, 0},
		{`{"delta":["\ud83d"]}`, 0, 0},
		{`["\ud83d"]`, 0, 0},
	} {
		if low, high := event.DeltaHalves([]byte(tc.event)); low != tc.low || high != tc.high {
			t.Errorf("%s: %x and %x, want %x and %x", tc.event, low, high, tc.low, tc.high)
		}
	}
	// What is no event has none, wherever it breaks off.
	whole := []byte(`{"x":{"y":["\ud83d"]},"delta":"\ude00\\\ud83d"}`)
	for n := range whole {
		if low, high := event.DeltaHalves(whole[:n]); low|high != 0 {
			t.Errorf("%s: %x and %x", whole[:n], low, high)
		}
	}
}
