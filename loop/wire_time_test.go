package loop_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// These tests move the engine's clock, which may lag a second and is held in ticks of 100 ms. What
// is not to happen yet has half a minute of real time, so that a busy machine does not bring it
// about.

// step moves the clock when the loop, which is one, has done what there is to do, and returns when
// it has acted on it.
func (h *house) step(t testing.TB, d time.Duration) {
	t.Helper()
	h.settle(t)
	h.eng.Advance(d)
	h.settle(t)
}

// settle returns when the loop has dealt with what it has read: what it does for a connection that
// comes now, it does later.
func (h *house) settle(t testing.TB) {
	t.Helper()
	p := h.dial(t)
	p.echoes()
	p.HangUp()
}

// wantNothing checks that nothing has been sent to the peer.
func (p *peer) wantNothing() {
	p.t.Helper()
	if err := p.Peek(time.Millisecond); !os.IsTimeout(err) {
		p.t.Fatalf("nothing was to come yet; got %v", err)
	}
}

// untimed are limits without a deadline.
var untimed = loop.Limits{
	HandshakeTimeout: -1, MessageTimeout: -1, IdleTimeout: -1, PingInterval: -1, WriteTimeout: -1, CloseTimeout: time.Hour,
}

// timed serves with one deadline, or few.
func timed(t *testing.T, h *handler, set func(*loop.Limits)) *house {
	t.Helper()
	limits := untimed
	set(&limits)
	return open(t, loop.DoorConfig{Handler: h, Limits: limits})
}

// TestWireHandshakeTimeout: bytes do not move the deadline.
func TestWireHandshakeTimeout(t *testing.T) {
	s := timed(t, &handler{}, func(l *loop.Limits) { l.HandshakeTimeout = time.Minute })
	for _, head := range [][]byte{request("X: " + strings.Repeat("x", 500)), nil} {
		p := s.connect(t)
		p.putApart(head[:len(head)/4])
		s.step(t, 30*time.Second)
		p.putApart(head[len(head)/4 : len(head)/2])
		p.wantNothing()
		s.step(t, 35*time.Second)
		if err := p.Peek(testkit.Patience); err == nil || os.IsTimeout(err) {
			t.Fatalf("still there: %v", err)
		}
		await(t, "its slot is free", func() bool { return s.door.Slots().Used() == 0 })
	}
	if n := s.stats().BadUpgrade; n != 2 {
		t.Errorf("%d bad upgrades counted, want 2", n)
	}
}

// TestWireMessageTimeout: a message has a deadline from its first byte, in however many frames it
// comes and whatever control frames come between.
func TestWireMessageTimeout(t *testing.T) {
	s := timed(t, &handler{}, func(l *loop.Limits) { l.MessageTimeout = time.Minute })
	for _, tt := range []struct {
		name  string
		start []byte
		more  []byte
	}{
		{"one frame", nil, text(strings.Repeat("x", 500))},
		{"fragments", masked(0b0_000_0001, nil), bytes.Repeat(masked(0b0_000_0000, []byte("x")), 100)},
		{"pings between", masked(0b0_000_0001, nil), bytes.Repeat(masked(0b1_000_1010, []byte("x")), 100)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := s.dial(t)
			p.echoes()
			p.putApart(tt.start, tt.more[:100])
			s.step(t, 30*time.Second)
			p.putApart(tt.more[100:200])
			p.wantNothing()
			s.step(t, 35*time.Second)
			p.WantClose(1008)
		})
	}
	t.Run("in time", func(t *testing.T) {
		p := s.dial(t)
		for range 3 { // each message has its own deadline
			p.putApart(masked(0b0_000_0001, []byte("a")))
			s.step(t, 30*time.Second)
			p.Put(masked(0b1_000_0000, []byte("b")))
			p.WantMessage(frame.Text, "ab")
		}
		s.step(t, 2*time.Minute) // and none after its end
		p.echoes()
		p.HangUp()
	})
}

func TestWirePingTimeout(t *testing.T) {
	ping, pong := byte(0b1_000_1001), masked(0b1_000_1010, nil)
	s := timed(t, &handler{}, func(l *loop.Limits) { l.PingInterval, l.PongTimeout = time.Minute, time.Minute })
	t.Run("no pong", func(t *testing.T) {
		p := s.dial(t)
		s.step(t, 30*time.Second)
		p.wantNothing()
		s.step(t, 35*time.Second)
		p.Want(ping, nil)
		s.step(t, 30*time.Second)
		p.wantNothing()
		s.step(t, 35*time.Second)
		p.WantClose(1001)
	})
	t.Run("pongs", func(t *testing.T) {
		p := s.dial(t)
		for range 4 {
			s.step(t, 65*time.Second)
			p.Want(ping, nil)
			p.putApart(pong)
		}
		p.HangUp()
	})
	t.Run("any byte is as good as a pong", func(t *testing.T) {
		p := s.dial(t)
		frame := text("slow")
		for i := range 3 {
			s.step(t, 65*time.Second)
			p.Want(ping, nil)
			p.putApart(frame[i : i+1])
		}
		p.Put(frame[3:])
		p.Want(0b1_000_0001, []byte("slow"))
		p.HangUp()
	})
	t.Run("interval below the timeout of the pong", func(t *testing.T) {
		s := timed(t, &handler{}, func(l *loop.Limits) { l.PingInterval, l.PongTimeout = time.Minute, 10*time.Minute })
		p := s.dial(t)
		for range 3 {
			s.step(t, 30*time.Second)
			p.wantNothing()
			s.step(t, 35*time.Second)
			p.Want(ping, nil)
			p.putApart(pong)
		}
		p.HangUp()
	})
}

// TestWireIdle: a connection without messages is closed with 1001, pongs or not.
func TestWireIdle(t *testing.T) {
	t.Run("messages count, pongs do not", func(t *testing.T) {
		s := timed(t, &handler{}, func(l *loop.Limits) {
			l.IdleTimeout, l.PingInterval, l.PongTimeout = 10*time.Minute, time.Minute, time.Minute
		})
		p := s.dial(t)
		for pings := 1; ; pings++ {
			s.step(t, 65*time.Second)
			f := p.Frame()
			if f.Head == 0b1_000_1000 {
				// 20 with messages, and in the ten minutes behind the last 9, or fewer for the real
				// time that passes.
				if string(f.Payload) != "\x03\xE9idle" || pings < 25 || pings > 30 {
					t.Errorf("got close %s after %d pings", testkit.ShowClose(f.Payload), pings-1)
				}
				p.Put(masked(f.Head, f.Payload))
				break
			}
			p.putApart(masked(0b1_000_1010, f.Payload))
			if pings <= 20 { // for longer than the limit
				p.echoes()
			}
		}
		p.WantEnd()
	})
	t.Run("nobody answers", func(t *testing.T) {
		s := timed(t, &handler{}, func(l *loop.Limits) { l.IdleTimeout, l.CloseTimeout = time.Minute, time.Minute })
		p := s.dial(t)
		s.step(t, 30*time.Second)
		p.wantNothing()
		s.step(t, 35*time.Second)
		if reason := p.CloseFrame(1001); reason != "idle" {
			t.Errorf("reason %q", reason)
		}
		s.step(t, 30*time.Second)
		p.wantNothing()
		s.step(t, 35*time.Second)
		p.WantEnd()
	})
}

// TestWireCloseTimeout: a peer that does not answer a close, or does not end the TCP connection, is
// waited for no longer than CloseTimeout.
func TestWireCloseTimeout(t *testing.T) {
	h := &handler{message: func(c *loop.Conn, op frame.Opcode, p []byte) {
		if string(p) == "close" {
			c.Close(1000, "")
			return
		}
		c.Send(op, p)
	}}
	s := timed(t, h, func(l *loop.Limits) { l.CloseTimeout = time.Minute })
	silent := s.dial(t)
	silent.Put(text("close"))
	silent.CloseFrame(1000)
	s.step(t, 30*time.Second)
	silent.wantNothing()
	s.step(t, 35*time.Second)
	silent.WantEnd()

	lingers := s.dial(t)
	lingers.Put(closing(1000, ""))
	lingers.CloseFrame(1000)
	s.step(t, 65*time.Second)
	await(t, "OnClose with our end still open", func() bool { return h.closed.Load() == h.opened.Load() })
}

// TestWireTimersAlone: a deadline comes when no other is set anywhere on the loop, in real time, as
// nobody wakes the loop.
func TestWireTimersAlone(t *testing.T) {
	t.Parallel()
	const soon = 300 * time.Millisecond
	alone := func(t *testing.T) *peer {
		t.Parallel()
		h := &handler{message: func(c *loop.Conn, _ frame.Opcode, _ []byte) { c.Close(1000, "") }}
		return timed(t, h, func(l *loop.Limits) { l.MessageTimeout, l.CloseTimeout = soon, soon }).dial(t)
	}
	late := func(t *testing.T, start time.Time) {
		t.Helper()
		if took := time.Since(start); took < soon-100*time.Millisecond {
			t.Errorf("after %v, want %v", took, soon)
		}
	}
	t.Run("message", func(t *testing.T) {
		p := alone(t)
		start := time.Now()
		p.Put(text("half")[:8])
		p.WantClose(1008)
		late(t, start)
	})
	t.Run("write", func(t *testing.T) {
		t.Parallel()
		p := timed(t, much(), func(l *loop.Limits) { l.WriteTimeout, l.SoftLimit = soon, 16<<20 }).narrow(t, 4<<10)
		start := time.Now()
		p.Put(text("go"))
		await(t, "who takes no byte is cut", func() bool { return p.house.stats().SlowCuts == 1 })
		late(t, start)
	})
	t.Run("close", func(t *testing.T) {
		p := alone(t)
		start := time.Now()
		p.Put(text("close"))
		p.CloseFrame(1000)
		p.WantEnd()
		late(t, start)
	})
}
