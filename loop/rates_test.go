package loop_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/tune"
)

// newDoor only makes a door, to see what is wrong with the config.
func newDoor(t *testing.T, cfg loop.DoorConfig) error {
	t.Helper()
	eng, err := loop.NewEngine(1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Stop(context.Background())
	cfg.Handler, cfg.Path, cfg.Log = loop.NopHandler{}, loop.AnyPath, slog.New(slog.DiscardHandler)
	_, err = eng.NewDoorWithDefaults(cfg)
	return err
}

// TestByteRateLetsTheLargestMessagePass: a rate below the size of a legal message slows such
// messages down and does not forbid them.
func TestByteRateLetsTheLargestMessagePass(t *testing.T) {
	h := open(t, loop.DoorConfig{
		Limits:  loop.Limits{MaxMessage: 1000},
		Rates:   loop.Rates{Bytes: 0.001},
		Handler: &handler{message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) }},
	})
	nc := h.dial(t)
	largest := bytes.Repeat([]byte("x"), 1000)
	nc.Put(message(frame.Text, largest))
	nc.WantMessage(frame.Text, string(largest))
	nc.Put(text("one more"))
	nc.WantMessage(frame.Close, "\x03\xf0too many messages")
}

// TestByteBurstBelowMaxMessage names the field, the value and what to do.
func TestByteBurstBelowMaxMessage(t *testing.T) {
	cfg := loop.DoorConfig{Limits: loop.Limits{MaxMessage: 1000}, Rates: loop.Rates{Bytes: 5000, BytesBurst: 999}}
	var bad *tune.ConfigError
	if err := newDoor(t, cfg); !errors.As(err, &bad) || bad.Field != "Rates.BytesBurst" ||
		!strings.Contains(bad.Reason, "999") || !strings.Contains(bad.Reason, "Limits.MaxMessage") {
		t.Errorf("%v", err)
	}
	cfg.Rates.BytesBurst = 1000
	if err := newDoor(t, cfg); err != nil {
		t.Error(err)
	}
	cfg.Rates = loop.Rates{Bytes: -1, BytesBurst: 999} // off
	if err := newDoor(t, cfg); err != nil {
		t.Error(err)
	}
}

// TestRatesThatMakeNoSense: each rate and burst is looked at, and the error names it, its value and
// what to do.
func TestRatesThatMakeNoSense(t *testing.T) {
	fields := []struct {
		name  string
		rate  func(*loop.Rates) *float64
		burst func(*loop.Rates) *int
	}{
		{"Accepts", func(r *loop.Rates) *float64 { return &r.Accepts }, func(r *loop.Rates) *int { return &r.AcceptsBurst }},
		{"AcceptsPerIP", func(r *loop.Rates) *float64 { return &r.AcceptsPerIP }, func(r *loop.Rates) *int { return &r.AcceptsPerIPBurst }},
		{"Messages", func(r *loop.Rates) *float64 { return &r.Messages }, func(r *loop.Rates) *int { return &r.MessagesBurst }},
		{"Bytes", func(r *loop.Rates) *float64 { return &r.Bytes }, func(r *loop.Rates) *int { return &r.BytesBurst }},
		{"Runs", func(r *loop.Rates) *float64 { return &r.Runs }, func(r *loop.Rates) *int { return &r.RunsBurst }},
	}
	for _, f := range fields {
		for _, tc := range []struct {
			rate         float64
			burst        int
			field, value string // of the error; none for a config that is fine
		}{
			{rate: math.NaN(), field: f.name, value: "NaN"},
			{rate: math.Inf(1), field: f.name, value: "+Inf"},
			{rate: 5, burst: -1, field: f.name + "Burst", value: "-1"},
			{rate: 0, burst: -1, field: f.name + "Burst", value: "-1"},
			{rate: 0, burst: 7, field: f.name + "Burst", value: "7"},
			{rate: 0},
			{rate: -1},
			{rate: -1, burst: 7}, // turned off
			{rate: math.Inf(-1)},
			{rate: 0.1},
			{rate: 0.1, burst: 2 << 20},
			{rate: math.MaxFloat64},
		} {
			var r loop.Rates
			*f.rate(&r), *f.burst(&r) = tc.rate, tc.burst
			err := newDoor(t, loop.DoorConfig{Rates: r})
			if tc.field == "" {
				if err != nil {
					t.Errorf("%s %v, burst %d: %v", f.name, tc.rate, tc.burst, err)
				}
				continue
			}
			var bad *tune.ConfigError
			if !errors.As(err, &bad) || bad.Field != "Rates."+tc.field || !strings.Contains(bad.Reason, tc.value) ||
				!strings.Contains(bad.Reason, "; ") {
				t.Errorf("%s %v, burst %d: %v", f.name, tc.rate, tc.burst, err)
			}
		}
	}
}
