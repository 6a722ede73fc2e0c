package loop_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// The defaults of Limits, by the engine's clock. Each step moves it and then sees what arrives; an
// echo there and back, twice, shows that nothing did: the first may overtake the step, the second
// may not.

func echoes(t *testing.T, nc net.Conn) {
	t.Helper()
	for range 2 {
		nc.Write(clientFrame(frame.Text, []byte("still here")))
		expect(t, nc, frame.Text, "still here")
	}
}

func expect(t *testing.T, nc net.Conn, op frame.Opcode, payload string) {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	gotOp, got, err := readFrame(nc)
	if err != nil || gotOp != op || string(got) != payload {
		t.Fatalf("got frame %x %q %v, want %x %q", byte(gotOp), got, err, byte(op), payload)
	}
}

func expectEnd(t *testing.T, nc net.Conn) {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("got %d bytes, %v, want the end of the stream", n, err)
	}
}

func echoHouse(t *testing.T, limits loop.Limits) *house {
	return open(t, loop.DoorConfig{Limits: limits, Handler: funcs{
		message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) },
	}})
}

func TestPingAndPongByDefault(t *testing.T) {
	h := echoHouse(t, loop.Limits{IdleTimeout: -1})
	nc := h.socket(t, 0)
	h.eng.Advance(23 * time.Second)
	echoes(t, nc) // which also counts as being heard
	h.eng.Advance(23 * time.Second)
	h.eng.Advance(3 * time.Second)
	expect(t, nc, frame.Ping, "")
	nc.Write(clientFrame(frame.Pong, nil))
	echoes(t, nc)
	h.eng.Advance(26 * time.Second)
	expect(t, nc, frame.Ping, "")
	h.eng.Advance(11 * time.Second) // no pong
	expect(t, nc, frame.Close, "\x03\xe9")
	expectEnd(t, nc)
}

func TestIdleByDefault(t *testing.T) {
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{Limits: loop.Limits{PingInterval: -1}, Handler: funcs{
		open:    func(c *loop.Conn) { conns <- c },
		message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) },
	}})
	nc := h.socket(t, 0)
	c := <-conns
	h.eng.Advance(290 * time.Second)
	echoes(t, nc)
	c.SetBusy(true)
	for range 10 {
		h.eng.Advance(290 * time.Second) // a run of an hour
		h.eng.Advance(20 * time.Second)
	}
	c.SetBusy(false)
	h.eng.Advance(290 * time.Second) // not idle since the last message, but since the run
	echoes(t, nc)
	h.eng.Advance(302 * time.Second)
	expect(t, nc, frame.Close, "\x03\xe9idle")
	nc.Write(clientFrame(frame.Close, []byte("\x03\xe9")))
	expectEnd(t, nc)
}

func TestMessageDeadlineByDefault(t *testing.T) {
	h := echoHouse(t, loop.Limits{PingInterval: -1})
	nc := h.socket(t, 0)
	f := clientFrame(frame.Text, bytes.Repeat([]byte("x"), 100))
	nc.Write(f[:50])
	h.settled(t, 50)
	h.eng.Advance(28 * time.Second)
	nc.Write(f[50:])
	expect(t, nc, frame.Text, string(bytes.Repeat([]byte("x"), 100)))
	nc.Write(f[:50])
	h.settled(t, len(f)+50)
	h.eng.Advance(31 * time.Second)
	expect(t, nc, frame.Close, "\x03\xf0message took too long")
}

// settled waits until the loops have read n bytes behind the handshake.
func (h *house) settled(t *testing.T, n int) {
	t.Helper()
	head := len("GET / HTTP/1.1\r\nHost: " + h.addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	for deadline := time.Now().Add(10 * time.Second); h.eng.BytesIn() < uint64(head+n); {
		if time.Now().After(deadline) {
			t.Fatal("the loop did not read what was sent")
		}
		time.Sleep(time.Millisecond) // reading announces itself to nobody but its counter
	}
}

func TestHandshakeDeadlineByDefault(t *testing.T) {
	h := echoHouse(t, loop.Limits{})
	slow, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	io.WriteString(slow, "GET / HTTP/1.1\r\n")
	nc := h.socket(t, 0) // taken after the slow one
	h.eng.Advance(4500 * time.Millisecond)
	echoes(t, nc)
	io.WriteString(slow, "Host: x\r\n") // bytes do not move the deadline
	h.eng.Advance(700 * time.Millisecond)
	expectEnd(t, slow)
	echoes(t, nc)
}

func TestCloseDeadlineByDefault(t *testing.T) {
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{Handler: funcs{open: func(c *loop.Conn) { conns <- c }}})
	nc := h.socket(t, 0)
	c := <-conns
	c.Close(frame.CloseNormal, "")
	expect(t, nc, frame.Close, "\x03\xe8")
	h.eng.Advance(6 * time.Second) // and never answers
	expectEnd(t, nc)
}
