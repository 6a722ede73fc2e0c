package loop_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// TestWirePeerCloses: what the server answers to a close frame, and what it tells OnClose.
func TestWirePeerCloses(t *testing.T) {
	type row struct {
		name    string
		payload string
		code    frame.CloseCode // of the answer
	}
	rows := []row{
		{"no code, §7.1.5", "", 1005},
		{"reason", "\x03\xE8bye", 1000},
		{"longest reason", "\x03\xE8" + strings.Repeat("é", 61) + "a", 1000},
		{"one byte, §5.5.1", "\x03", 1002},
		{"reason is not UTF-8", "\x03\xE8bad \xFF", 1007},
		{"reason ends inside a character", "\x03\xE8bad \xE2\x82", 1007},
	}
	for _, code := range []frame.CloseCode{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4008, 4999} {
		rows = append(rows, row{fmt.Sprintf("%d may be sent", code), string([]byte{byte(code >> 8), byte(code)}), code})
	}
	for _, code := range []uint16{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535} { // §7.4
		rows = append(rows, row{fmt.Sprintf("%d may not be sent", code), string([]byte{byte(code >> 8), byte(code)}), 1002})
	}
	h := &handler{}
	s := serveWire(t, h, nil)
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			frame := masked(0b1_000_1000, []byte(tt.payload))
			for _, parts := range [][][]byte{
				{frame},
				eachByte(frame),
				{join(frame, text("too late"), masked(0b1_000_1001, nil))}, // §5.5.1: ignored
				{join(frame, text("too late"), []byte("and no frame at all"))},
				{masked(0b0_000_0001, []byte("not whole")), join(frame, masked(0b1_000_0000, nil))},
			} {
				p := s.dial(t)
				p.putApart(parts...)
				p.WantClose(tt.code)
				await(t, "OnClose", func() bool { return h.opened.Load() == h.closed.Load() })
				why := h.why.Load()
				if good := string(tt.payload) == "" || tt.code != 1002 && tt.code != 1007; why.Code != tt.code ||
					why.Remote != (good || len(tt.payload) == 2 && why.Remote) || !errors.Is(why, net.ErrClosed) {
					t.Errorf("OnClose was told %+v", why)
				}
				if why.Remote && len(tt.payload) > 2 && why.Reason != tt.payload[2:] {
					t.Errorf("reason %q", why.Reason)
				}
			}
		})
	}
	if n := h.messages.Load(); n != 0 {
		t.Errorf("the handler heard of %d messages behind a close", n)
	}
}

// TestWireServerCloses: Close sends what waits and a close frame, then hears nothing but the
// answer.
func TestWireServerCloses(t *testing.T) {
	tests := []struct {
		name   string
		code   frame.CloseCode
		reason string
		wire   frame.CloseCode
		want   string
	}{
		{"normal", 1000, "done", 1000, "done"},
		{"private", 4321, "", 4321, ""},
		{"reason too long", 1001, strings.Repeat("é", 100), 1001, strings.Repeat("é", 61)},
		{"1005 is none", 1005, "never", 1005, ""},
		{"1006 is none", 1006, "never", 1005, ""},
		{"0 is none", 0, "never", 1005, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h *handler
			h = &handler{message: func(c *loop.Conn, op frame.Opcode, p []byte) {
				if h.messages.Load() > 1 {
					h.complain("message after Close")
				}
				c.Send(op, []byte("last words"))
				c.Close(tt.code, tt.reason)
				c.Close(1011, "a second Close does nothing")
				if r := c.Send(op, p); r != loop.Dropped {
					h.complain("Send after Close: " + r.String())
				}
			}}
			s := serveWire(t, h, nil)
			p := s.dial(t)
			p.Put(text("close, please"), text("already on its way"))
			p.Want(0b1_000_0001, []byte("last words"))
			f := p.Frame()
			p.putApart(text("not read yet"), masked(0b0_000_0001, []byte("half a message")), masked(0b1_000_1000, f.Payload))
			p.WantEnd()
			got := frame.CloseNoStatus
			if len(f.Payload) >= 2 {
				got = frame.CloseCode(uint16(f.Payload[0])<<8 | uint16(f.Payload[1]))
			}
			if f.Head != 0b1_000_1000 || got != tt.wire || got != 1005 && string(f.Payload[2:]) != tt.want {
				t.Errorf("got frame %08b %q, want close %d %q", f.Head, f.Payload, tt.wire, tt.want)
			}
			await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
			if why := h.why.Load(); why.Code != tt.code || why.Remote || why.Cause != nil {
				t.Errorf("OnClose was told %+v", why)
			}
		})
	}
}

// TestWireCutOff: the TCP connection ends without a close frame.
func TestWireCutOff(t *testing.T) {
	tests := []struct {
		name string
		end  func(*net.TCPConn)
	}{
		{"end", func(c *net.TCPConn) { c.Close() }},
		{"half end", func(c *net.TCPConn) { c.CloseWrite() }},
		{"reset", func(c *net.TCPConn) { c.SetLinger(0); c.Close() }},
	}
	for _, tt := range tests {
		for _, sent := range [][]byte{nil, text("whole"), text("half")[:8], text("head")[:3]} {
			t.Run(fmt.Sprintf("%s after %d bytes", tt.name, len(sent)), func(t *testing.T) {
				h := &handler{message: func(*loop.Conn, frame.Opcode, []byte) {}}
				s := serveWire(t, h, nil)
				p := s.dial(t)
				p.putApart(sent)
				tt.end(p.TCP())
				await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
				why := h.why.Load()
				if why.Code != frame.CloseAbnormal || why.Remote || why.Cause == nil || !errors.Is(why, net.ErrClosed) {
					t.Errorf("OnClose was told %+v", why)
				}
				if tt.name != "reset" && !errors.Is(why, io.ErrUnexpectedEOF) {
					t.Errorf("cause %v, want an unexpected end", why.Cause)
				}
			})
		}
	}
}
