package event_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// play sends the frames of a stream through decoding, expansion and order,
// and returns the types that were delivered.
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
				// The data is judged without the translation of retired forms, which is not optional here.
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
