package loop_test

import (
	"context"
	"testing"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// TestWirePanics: a panic ends its own connection with 1011 and is counted; the loop and the other
// connections go on.
func TestWirePanics(t *testing.T) {
	filled := make(chan struct{}) // closed when much waits for the peer of OnDrain
	h := &handler{}
	h.open = func(c *loop.Conn) {
		if c.User() == "OnOpen" {
			panic("in OnOpen")
		}
	}
	h.message = func(c *loop.Conn, op frame.Opcode, p []byte) {
		if c.User() == "OnMessage" {
			panic("in OnMessage")
		}
		c.Send(op, p)
		if c.User() == "OnDrain" {
			for c.Buffered() < 32<<20 {
				c.Send(frame.Binary, make([]byte, 1<<20))
			}
			close(filled)
		}
	}
	h.drain = func(c *loop.Conn) {
		if c.User() == "OnDrain" {
			panic("in OnDrain")
		}
	}
	h.gone = func(c *loop.Conn, _ *loop.CloseError) {
		if c.User() == "OnClose" {
			panic("in OnClose")
		}
	}
	s := serveWire(t, h, func(cfg *loop.DoorConfig) {
		cfg.Limits.SoftLimit, cfg.Limits.LowWater = 64<<10, 16<<10
		cfg.Limits.HardLimit = 64 << 20
		cfg.Authorize = func(_ context.Context, req *auth.Request) (g auth.Grant, err error) {
			g.Principal.Value = req.Header.Get("Authorization")
			return g, nil
		}
	})
	other := s.dial(t)
	tests := []struct {
		callback string
		parts    [][]byte
	}{
		{"OnOpen", [][]byte{nil}},
		{"OnOpen", [][]byte{text("sent with the request")}},
		{"OnMessage", [][]byte{join(text("one"), text("two"))}},
		{"OnMessage", [][]byte{text("one")[:3], text("one")[3:]}},
		{"OnMessage", [][]byte{masked(0b0_000_0001, []byte("fragment")), masked(0b1_000_0000, nil)}},
		{"OnDrain", [][]byte{text("much, please")}},
		{"OnClose", [][]byte{text("one")}},
	}
	for i, tt := range tests {
		p := s.connect(t)
		p.Put(request("Authorization: "+tt.callback), tt.parts[0])
		p.WantSwitch()
		for _, part := range tt.parts[1:] {
			p.putApart(part)
		}
		switch tt.callback {
		case "OnOpen", "OnMessage":
			p.WantClose(1011)
		case "OnDrain":
			<-filled
			p.Want(0b1_000_0001, []byte("much, please"))
			f := p.Frame()
			for ; f.Head == 0b1_000_0010; f = p.Frame() {
			}
			if f.Head != 0b1_000_1000 || string(f.Payload) != "\x03\xF3" {
				t.Errorf("%s: got frame %08b %q, want close 1011", tt.callback, f.Head, f.Payload)
			}
			p.WantEnd()
		case "OnClose":
			p.Want(0b1_000_0001, []byte("one"))
			p.HangUp()
		}
		await(t, "OnClose", func() bool { return h.closed.Load() == int64(i+1) })
		await(t, "the panic to be counted", func() bool { return s.stats().Panics == uint64(i+1) })
		if why := h.why.Load(); tt.callback != "OnClose" && (why.Code != frame.CloseInternal || why.Remote || why.Cause == nil) {
			t.Errorf("%s: OnClose was told %+v", tt.callback, why)
		}
		other.Put(text("still here"))
		other.Want(0b1_000_0001, []byte("still here"))
	}
	other.HangUp()
}
