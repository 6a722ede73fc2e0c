package loop_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec"
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
	for i := range b {
		if _, err := p.nc.Write(b[i : i+1]); err != nil {
			return
		}
		p.nc.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		_, err := p.r.Peek(1)
		p.nc.SetReadDeadline(time.Now().Add(patience))
		if nerr, ok := err.(net.Error); !ok || !nerr.Timeout() {
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

// TestWireMessageTimeout: a message has a deadline from its first byte, in however
// many frames it comes and whatever control frames come between.
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
			p.nc.SetReadDeadline(time.Now().Add(short / 2))
			if _, err := p.r.Peek(1); !os.IsTimeout(err) {
				t.Fatalf("want to wait half of the time, got %v", err)
			}
			p.nc.SetReadDeadline(time.Now().Add(patience))
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

// TestWireIdle: a connection without messages is closed with 1001, pongs or not;
// not while a run is active, and only a whole IdleTimeout after its end.
func TestWireIdle(t *testing.T) {
	t.Parallel()
	idle := func(ping time.Duration) func(*loop.DoorConfig) {
		return func(cfg *loop.DoorConfig) { cfg.Limits.IdleTimeout, cfg.Limits.PingInterval = 2*short, ping }
	}
	t.Run("messages", func(t *testing.T) {
		t.Parallel()
		s := serveWire(t, &wireHandler{}, idle(-1))
		start := time.Now()
		p := s.dial(t)
		for range 3 {
			p.nc.SetReadDeadline(time.Now().Add(short))
			if _, err := p.r.Peek(1); !os.IsTimeout(err) {
				t.Fatalf("closed early: %v", err)
			}
			p.nc.SetReadDeadline(time.Now().Add(patience))
			p.write(text("here"))
			p.want(0b1_000_0001, []byte("here"))
		}
		if reason := p.wantClose(1001); reason != "idle" {
			t.Errorf("reason %q", reason)
		}
		if took := time.Since(start); took < 5*short-100*time.Millisecond {
			t.Errorf("closed after %v", took)
		}
	})
	t.Run("pongs are no messages", func(t *testing.T) {
		t.Parallel()
		s := serveWire(t, &wireHandler{}, idle(short/3))
		p := s.dial(t)
		for {
			f := p.frame()
			if f.b0 == 0b1_000_1000 {
				break
			}
			p.write(masked(0b1_000_1010, f.payload))
		}
	})
	t.Run("busy", func(t *testing.T) {
		t.Parallel()
		runs := make(chan *loop.Conn, 1)
		s := serveWire(t, &wireHandler{message: func(c *loop.Conn, _ codec.Opcode, _ []byte) {
			c.SetBusy(true)
			runs <- c
		}}, idle(-1))
		p := s.dial(t)
		p.write(text("run"))
		c := <-runs
		s.dial(t).wantClose(1001)                               // came later and is closed: p's time is over too
		p.nc.SetReadDeadline(time.Now().Add(short + short*2/3)) // not a multiple of the limit
		if _, err := p.r.Peek(1); !os.IsTimeout(err) {
			t.Fatalf("closed during a run: %v", err)
		}
		p.nc.SetReadDeadline(time.Now().Add(patience))
		c.SetBusy(false)
		end := time.Now()
		p.wantClose(1001)
		if took := time.Since(end); took < 2*short-100*time.Millisecond {
			t.Errorf("closed %v after the end of a run, limit %v", took, 2*short)
		}
	})
}
