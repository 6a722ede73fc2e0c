package loop_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/agloop/agloop/codec"
	"github.com/agloop/agloop/loop"
)

// newDoor only makes a door, to see what is wrong with the config.
func newDoor(t *testing.T, cfg loop.DoorConfig) error {
	t.Helper()
	eng, err := loop.NewEngine(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Stop()
	cfg.Handler, cfg.Path, cfg.Log = loop.NopHandler{}, loop.AnyPath, slog.New(slog.DiscardHandler)
	_, err = eng.NewDoor(cfg)
	return err
}

// TestByteRateLetsTheLargestMessagePass: a rate below the size of a legal message slows such messages down and does
// not forbid them.
func TestByteRateLetsTheLargestMessagePass(t *testing.T) {
	h := open(t, loop.DoorConfig{
		Limits:  loop.Limits{MaxMessage: 1000},
		Rates:   loop.Rates{Bytes: 0.001},
		Handler: funcs{message: func(c *loop.Conn, op codec.Opcode, p []byte) { c.Send(op, p) }},
	})
	nc := h.socket(t, 0)
	largest := bytes.Repeat([]byte("x"), 1000)
	nc.Write(clientFrame(codec.Text, largest))
	expect(t, nc, codec.Text, string(largest))
	nc.Write(clientFrame(codec.Text, []byte("one more")))
	expect(t, nc, codec.Close, "\x03\xf0too many messages")
}

// TestByteBurstBelowMaxMessage names the field, the value and what to do.
func TestByteBurstBelowMaxMessage(t *testing.T) {
	cfg := loop.DoorConfig{Limits: loop.Limits{MaxMessage: 1000}, Rates: loop.Rates{Bytes: 5000, BytesBurst: 999}}
	var bad *loop.LimitError
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
