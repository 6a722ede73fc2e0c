package loop_test

import (
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// The defaults of Limits, by the engine's clock.

func TestPingAndPongByDefault(t *testing.T) {
	h := open(t, loop.DoorConfig{Limits: loop.Limits{IdleTimeout: -1}, Handler: &handler{}})
	nc := h.dial(t)
	h.step(t, 15*time.Second)
	nc.echoes() // which also counts as being heard
	h.step(t, 15*time.Second)
	nc.wantNothing()
	h.step(t, 11*time.Second)
	nc.WantMessage(frame.Ping, "")
	nc.Put(message(frame.Pong, nil))
	nc.echoes()
	h.step(t, 26*time.Second)
	nc.WantMessage(frame.Ping, "")
	h.step(t, 11*time.Second) // no pong
	nc.WantClose(1001)
}

func TestIdleByDefault(t *testing.T) {
	conns := make(chan *loop.Conn, 100)
	h := open(t, loop.DoorConfig{Limits: loop.Limits{PingInterval: -1}, Handler: &handler{open: func(c *loop.Conn) { conns <- c }}})
	nc := h.dial(t)
	c := <-conns
	h.step(t, 270*time.Second)
	nc.echoes()
	c.SetBusy(true)
	for range 10 {
		h.step(t, 310*time.Second) // a run of an hour
	}
	nc.wantNothing()
	c.SetBusy(false)
	h.step(t, 270*time.Second) // not idle since the last message, but since the run
	nc.echoes()
	h.step(t, 302*time.Second)
	if reason := nc.WantGoodbye(1001); reason != "idle" {
		t.Errorf("reason %q", reason)
	}
}

func TestMessageDeadlineByDefault(t *testing.T) {
	h := open(t, loop.DoorConfig{Limits: loop.Limits{PingInterval: -1}, Handler: &handler{}})
	nc := h.dial(t)
	s := strings.Repeat("x", 100)
	nc.putApart(text(s)[:50])
	h.step(t, 20*time.Second)
	nc.Put(text(s)[50:])
	nc.WantMessage(frame.Text, s)
	nc.putApart(text(s)[:50])
	h.step(t, 31*time.Second)
	if reason := nc.CloseFrame(1008); reason != "message took too long" {
		t.Errorf("reason %q", reason)
	}
}

func TestHandshakeDeadlineByDefault(t *testing.T) {
	h := open(t, loop.DoorConfig{Handler: &handler{}})
	slow := h.connect(t)
	slow.putApart(request()[:len("GET /ws HTTP/1.1\r\n")])
	h.step(t, 2*time.Second)
	slow.putApart([]byte("Host: x\r\n")) // bytes do not move the deadline
	h.step(t, 3200*time.Millisecond)
	slow.WantEnd()
}

func TestCloseDeadlineByDefault(t *testing.T) {
	conns := make(chan *loop.Conn, 100)
	h := open(t, loop.DoorConfig{Handler: &handler{open: func(c *loop.Conn) { conns <- c }}})
	nc := h.dial(t)
	(<-conns).Close(frame.CloseNormal, "")
	nc.CloseFrame(frame.CloseNormal)
	h.step(t, 6*time.Second) // and never answers
	nc.WantEnd()
}
