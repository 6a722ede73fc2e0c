package loop_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// Deadlines are held in ticks of 100 ms, by a clock that may lag a second behind.
const (
	short   = 300 * time.Millisecond
	tooLow  = short - 100*time.Millisecond
	tooLate = short + 2*time.Second
)

// within checks that something that began at start took about short.
func within(t *testing.T, what string, start time.Time) {
	t.Helper()
	if took := time.Since(start); took < tooLow || took > tooLate {
		t.Errorf("%s after %v, want about %v", what, took, short)
	}
}

// dribble writes b byte by byte, 30 ms apart, until the server sends something or ends.
func (p *wirePeer) dribble(b []byte) {
	p.t.Helper()
	defer p.setReadDeadline(patience)
	for i := range b {
		if _, err := p.nc.Write(b[i : i+1]); err != nil {
			return
		}
		p.setReadDeadline(30 * time.Millisecond)
		if _, err := p.r.Peek(1); !os.IsTimeout(err) {
			return
		}
	}
	p.t.Fatal("the server took it all")
}

// TestWireHandshakeTimeout: bytes do not move the deadline.
func TestWireHandshakeTimeout(t *testing.T) {
	t.Parallel()
	s := serveWire(t, &wireHandler{}, func(cfg *loop.DoorConfig) { cfg.Limits.HandshakeTimeout = short })
	for _, head := range [][]byte{wireRequest("X: " + strings.Repeat("x", 500)), nil} {
		start := time.Now()
		p := s.connect(t)
		if head != nil {
			p.dribble(head)
		}
		if _, err := p.r.Peek(1); err == nil || os.IsTimeout(err) {
			t.Fatalf("still there: %v", err)
		}
		within(t, "cut", start)
		await(t, "its slot to be free", func() bool { return s.door.Slots().Used() == 0 })
	}
	s.dial(t).hangUp()
	if n := s.stats().BadUpgrade; n != 2 {
		t.Errorf("%d bad upgrades counted, want 2", n)
	}
}

// TestWireMessageTimeout: a message has a deadline from its first byte, in however many frames it
// comes and whatever control frames come between.
func TestWireMessageTimeout(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		start []byte
		more  []byte
	}{
		{"one frame", nil, text(strings.Repeat("x", 500))},
		{"fragments", masked(0b0_000_0001, nil), []byte(strings.Repeat(string(masked(0b0_000_0000, []byte("x"))), 100))},
		{"pings between", masked(0b0_000_0001, nil), []byte(strings.Repeat(string(masked(0b1_000_1010, []byte("x"))), 100))},
	}
	s := serveWire(t, &wireHandler{}, func(cfg *loop.DoorConfig) { cfg.Limits.MessageTimeout = short })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := s.dial(t)
			p.write(text("before"))
			p.want(0b1_000_0001, []byte("before"))
			start := time.Now()
			p.write(tt.start)
			p.dribble(tt.more)
			within(t, "closed", start)
			p.wantClose(1008)
		})
	}
	t.Run("in time", func(t *testing.T) {
		t.Parallel()
		p := s.dial(t)
		late := s.dial(t)
		for range 3 { // each message has its own deadline
			p.write(masked(0b0_000_0001, []byte("a")))
			p.idleFor(short / 2)
			p.write(masked(0b1_000_0000, []byte("b")))
			p.want(0b1_000_0001, []byte("ab"))
		}
		late.write(text("late")[:5])
		late.wantClose(1008) // and none after its end: this one came later
		p.write(text("c"))
		p.want(0b1_000_0001, []byte("c"))
		p.hangUp()
	})
}

func TestWirePingTimeout(t *testing.T) {
	t.Parallel()
	h := &wireHandler{}
	s := serveWire(t, h, func(cfg *loop.DoorConfig) {
		cfg.Limits.PingInterval, cfg.Limits.PongTimeout = short, short
	})
	t.Run("no pong", func(t *testing.T) {
		t.Parallel()
		start := time.Now()
		p := s.dial(t)
		p.want(0b1_000_1001, nil)
		within(t, "pinged", start)
		start = time.Now()
		p.wantClose(1001)
		within(t, "closed", start)
	})
	t.Run("pongs", func(t *testing.T) {
		t.Parallel()
		p := s.dial(t)
		for range 4 {
			p.want(0b1_000_1001, nil)
			p.write(masked(0b1_000_1010, nil))
		}
		p.hangUp()
	})
	t.Run("interval below the timeout of the pong", func(t *testing.T) {
		t.Parallel()
		s := serveWire(t, &wireHandler{}, func(cfg *loop.DoorConfig) { cfg.Limits.PingInterval = short })
		p := s.dial(t)
		for range 3 {
			start := time.Now()
			p.want(0b1_000_1001, nil)
			within(t, "pinged", start)
			p.write(masked(0b1_000_1010, nil))
		}
		p.hangUp()
	})
	t.Run("any byte is as good as a pong", func(t *testing.T) {
		t.Parallel()
		p := s.dial(t)
		frame := text("slow")
		for i := range 3 {
			p.want(0b1_000_1001, nil)
			p.write(frame[i : i+1])
		}
		p.write(frame[3:])
		p.want(0b1_000_0001, []byte("slow"))
		p.hangUp()
	})
}

// TestWireIdle: a connection without messages is closed with 1001, pongs or not; not while a run is
// active, and only a whole IdleTimeout after its end.
func TestWireIdle(t *testing.T) {
	t.Parallel()
	const limit = 2 * short
	t.Run("messages count, pongs do not", func(t *testing.T) {
		t.Parallel()
		s := serveWire(t, &wireHandler{}, func(cfg *loop.DoorConfig) {
			cfg.Limits.IdleTimeout, cfg.Limits.PingInterval, cfg.Limits.PongTimeout = limit, short/3, short/3
		})
		p := s.dial(t)
		last := time.Now()
		for pings := 1; ; pings++ {
			f := p.frame()
			if f.b0 == 0b1_000_1000 {
				if string(f.payload) != "\x03\xE9idle" || pings <= 8 {
					t.Errorf("got close %s after %d pings", showClose(f.payload), pings)
				}
				p.write(masked(f.b0, f.payload))
				break
			}
			p.write(masked(0b1_000_1010, f.payload))
			if pings <= 8 { // for longer than the limit
				p.write(text("here"))
				p.want(0b1_000_0001, []byte("here"))
				last = time.Now()
			}
		}
		if took := time.Since(last); took < limit-200*time.Millisecond || took > limit+2*time.Second {
			t.Errorf("closed %v after the last message, limit %v", took, limit)
		}
		p.wantEnd()
	})
	t.Run("a run", func(t *testing.T) {
		t.Parallel()
		runs := make(chan *loop.Conn, 1)
		s := serveWire(t, &wireHandler{message: func(c *loop.Conn, _ frame.Opcode, _ []byte) {
			c.SetBusy(true)
			runs <- c
		}}, func(cfg *loop.DoorConfig) {
			cfg.Limits.IdleTimeout, cfg.Limits.PingInterval = limit, -1
		})
		p := s.dial(t)
		p.write(text("run"))
		c := <-runs
		s.dial(t).wantGoodbye(1001) // it came later and its time is over: so is p's
		p.idleFor(short * 4 / 3)    // not a multiple of the limit
		c.SetBusy(false)
		end := time.Now()
		p.wantGoodbye(1001)
		if took := time.Since(end); took < limit-200*time.Millisecond {
			t.Errorf("closed %v after the end of a run, limit %v", took, limit)
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		t.Parallel()
		s := serveWire(t, &wireHandler{}, func(cfg *loop.DoorConfig) {
			cfg.Limits.IdleTimeout, cfg.Limits.CloseTimeout = limit, short
		})
		p := s.dial(t)
		if reason := p.closeFrame(1001); reason != "idle" {
			t.Errorf("reason %q", reason)
		}
		start := time.Now()
		p.wantEnd()
		within(t, "cut", start)
	})
}

// TestWireTimersAlone: a deadline comes when no other is set anywhere on the loop.
func TestWireTimersAlone(t *testing.T) {
	t.Parallel()
	alone := func(t *testing.T) *wirePeer {
		t.Parallel()
		return serveWire(t, &wireHandler{message: func(c *loop.Conn, _ frame.Opcode, _ []byte) { c.Close(1000, "") }}, func(cfg *loop.DoorConfig) {
			cfg.Limits.HandshakeTimeout, cfg.Limits.IdleTimeout, cfg.Limits.PingInterval = -1, -1, -1
			cfg.Limits.MessageTimeout, cfg.Limits.CloseTimeout = short, short
		}).dial(t)
	}
	t.Run("message", func(t *testing.T) {
		p := alone(t)
		start := time.Now()
		p.write(text("half")[:8])
		p.wantClose(1008)
		within(t, "closed", start)
	})
	t.Run("close", func(t *testing.T) {
		p := alone(t)
		start := time.Now()
		p.write(text("close"))
		p.closeFrame(1000)
		p.wantEnd()
		within(t, "cut", start)
	})
}
