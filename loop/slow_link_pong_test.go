package loop_test

import (
	"io"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// TestProgressIsLife: a peer that takes bytes all the time is alive, though the ping behind them has not reached it yet.
func TestProgressIsLife(t *testing.T) {
	ends := make(chan *loop.CloseError, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{
			PingInterval: 300 * time.Millisecond, PongTimeout: 300 * time.Millisecond,
			SoftLimit: 32 << 20, HardLimit: 64 << 20,
		},
		Handler: funcs{
			message: func(c *loop.Conn, _ frame.Opcode, _ []byte) { c.Send(frame.Binary, make([]byte, 12<<20)) },
			closed:  func(_ *loop.Conn, e *loop.CloseError) { ends <- e },
		},
	})
	nc := h.socket(t, 32<<10)
	nc.Write(clientFrame(frame.Text, []byte("go")))
	for start := time.Now(); time.Since(start) < 4*time.Second; time.Sleep(10 * time.Millisecond) {
		if _, err := io.CopyN(io.Discard, nc, 8<<10); err != nil {
			t.Fatal(err)
		}
		select {
		case why := <-ends:
			t.Fatalf("cut after %v in spite of progress: %v", time.Since(start), why)
		default:
		}
	}
}
