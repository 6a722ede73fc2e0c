package loop_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// TestProgressIsLife: a peer that takes bytes all the time is alive, though the ping behind them
// has not reached it yet.
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
	for start := time.Now(); time.Since(start) < 2*time.Second; time.Sleep(10 * time.Millisecond) {
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

// TestSilenceBehindABacklog: a peer that neither answers nor acknowledges is found as soon as any
// other, ping 25 s and pong 10 s, though bytes wait for it.
func TestSilenceBehindABacklog(t *testing.T) {
	ends := make(chan *loop.CloseError, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{WriteTimeout: -1, IdleTimeout: -1, SoftLimit: 32 << 20},
		Handler: funcs{
			message: func(c *loop.Conn, _ frame.Opcode, _ []byte) { c.Send(frame.Binary, make([]byte, 12<<20)) },
			closed:  func(_ *loop.Conn, e *loop.CloseError) { ends <- e },
		},
	})
	nc := h.socket(t, 32<<10)
	nc.Write(clientFrame(frame.Text, []byte("go")))
	await(t, "the kernel is full", func() bool { return h.eng.Held() > 0 })
	h.eng.Advance(26 * time.Second)
	await(t, "the ping was sent", func() bool { return h.eng.Pinged() == 1 })
	select {
	case why := <-ends:
		t.Fatalf("cut before its time: %v", why)
	default:
	}
	h.eng.Advance(10500 * time.Millisecond)
	select {
	case why := <-ends:
		if !strings.Contains(why.Error(), "no pong") {
			t.Errorf("cut for %v", why)
		}
	case <-time.After(patience):
		t.Fatal("not found after 36 s")
	}
}
