package event_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

func nested(n int) json.RawMessage {
	return json.RawMessage(strings.Repeat(`{"a":[`, n/2) + strings.Repeat(`]}`, n/2))
}

// wantReason checks that err is a FieldError with that reason, or nil when reason is "".
func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	got := ""
	if field, ok := errors.AsType[*event.FieldError](err); ok {
		got = field.Reason
	} else if err != nil {
		got = err.Error()
	}
	if got != reason {
		t.Errorf("error %v, want the reason %q", err, reason)
	}
}

// What a reader within limits refuses a writer within them refuses too, and the zero value of each
// is its default.
func TestLimitsHoldBothWays(t *testing.T) {
	for _, limits := range []event.Limits{{}, {PatchOps: 3, Depth: 20, ID: 5}, {PatchOps: 5000, Depth: 1024, ID: 1 << 20}} {
		full := limits.WithDefaults()
		ops := func(n int) []agui.PatchOp {
			list := make([]agui.PatchOp, n)
			for i := range list {
				list[i] = agui.PatchOp{Op: agui.PatchRemove, Path: "/x"}
			}
			return list
		}
		tooDeep := "nested deeper than " + strconv.Itoa(full.Depth) + " levels"
		tooMany := "more than " + strconv.Itoa(full.PatchOps) + " elements"
		for name, tc := range map[string]struct {
			ev     agui.Event
			reason string
		}{
			"deepest":    {&agui.StateSnapshot{Snapshot: nested(full.Depth - 2)}, ""},
			"too deep":   {&agui.StateSnapshot{Snapshot: nested(full.Depth)}, tooDeep},
			"metadata":   {&agui.RunError{Base: agui.Base{Metadata: nested(full.Depth)}}, tooDeep},
			"most":       {&agui.StateDelta{Delta: ops(full.PatchOps)}, ""},
			"too many":   {&agui.StateDelta{Delta: ops(full.PatchOps + 1)}, tooMany},
			"activities": {&agui.ActivityDelta{Patch: ops(full.PatchOps + 1)}, tooMany},
		} {
			plain, err := event.Limits{PatchOps: 1 << 20, Depth: 1 << 20}.AppendEvent(nil, tc.ev)
			if err != nil {
				t.Fatal(err)
			}
			for _, typ := range []event.SerializerType{event.OptimizedJSON, event.JSON} {
				s, err := limits.NewSerializer(typ)
				if err != nil {
					t.Fatal(err)
				}
				t.Run(strconv.Itoa(full.Depth)+" "+name+" "+typ.String(), func(t *testing.T) {
					for range 2 { // it stays within its limits when it is lent again
						out, err := s.AppendEvent(nil, tc.ev)
						wantReason(t, err, tc.reason)
						if err == nil && string(out) != string(plain) {
							t.Errorf("wrote %.200s", out)
						}
						_, _, err = s.DecodeEvent(plain)
						wantReason(t, err, tc.reason)
						s.(event.Pooled).Lend()
						s.(event.Pooled).TakeBack()
						s.(event.Pooled).Lend()
					}
				})
			}
		}
		for depth, reason := range map[int]string{full.Depth - 2: "", full.Depth: tooDeep} {
			in := &agui.RunAgentInput{State: nested(depth)}
			_, err := limits.AppendRunAgentInput(nil, in)
			wantReason(t, err, reason)
			plain, err := event.Limits{Depth: 1 << 20}.AppendRunAgentInput(nil, in)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = limits.DecodeRunAgentInput(plain)
			wantReason(t, err, reason)
		}
		wantReason(t, limits.CheckIDs(strings.Repeat("x", full.ID), "r"), "")
		wantReason(t, limits.CheckIDs("t", strings.Repeat("x", full.ID+1)), "longer than "+strconv.Itoa(full.ID)+" bytes")
	}
	if got, want := (event.Limits{}).WithDefaults(), (event.Limits{PatchOps: 1024, Depth: 64, ID: 128}); got != want {
		t.Errorf("the defaults are %+v, want %+v", got, want)
	}
}
