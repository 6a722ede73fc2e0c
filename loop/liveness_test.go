package loop_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/loop"
)

// TestProgressIsLife: a peer that takes bytes all the time is alive, though the ping behind them
// has not reached it yet.
func TestProgressIsLife(t *testing.T) {
	h := much()
	s := timed(t, h, func(l *loop.Limits) {
		l.PingInterval, l.PongTimeout, l.SoftLimit, l.HardLimit = time.Minute, time.Minute, 32<<20, 64<<20
	})
	nc := s.narrow(t, 32<<10)
	nc.Put(text("go"))
	await(t, "the kernel is full", func() bool { return s.eng.Held() > 0 })
	for n := range 20 {
		if _, err := io.CopyN(io.Discard, nc, 128<<10); err != nil {
			t.Fatalf("cut after %d pieces in spite of progress: %v, %v", n, err, h.why.Load())
		}
		s.step(t, 30*time.Second)
	}
}

// TestSilenceBehindABacklog: a peer that neither answers nor acknowledges is found as soon as any
// other, ping 25 s and pong 10 s, though bytes wait for it.
func TestSilenceBehindABacklog(t *testing.T) {
	h, conns := much(), make(chan *loop.Conn, 10)
	h.open = func(c *loop.Conn) { conns <- c }
	s := open(t, loop.DoorConfig{Limits: loop.Limits{WriteTimeout: -1, IdleTimeout: -1, SoftLimit: 32 << 20}, Handler: h})
	s.narrow(t, 32<<10).Put(text("go"))
	await(t, "the kernel is full", func() bool { return s.eng.Held() > 0 })
	s.step(t, 26*time.Second)
	await(t, "the ping was sent", func() bool { return s.eng.Pinged() == 1 })
	if open, _ := h.conns.Load(<-conns); open != true {
		t.Fatal("cut before its time")
	}
	s.eng.Advance(11 * time.Second)
	await(t, "it is found after 37 s", func() bool { return h.opened.Load() == h.closed.Load() })
	if why := h.why.Load(); !strings.Contains(why.Error(), "no pong") {
		t.Errorf("cut for %v", why)
	}
}
