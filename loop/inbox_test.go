package loop_test

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// withInbox is a handler whose messages go through an Inbox of each connection.
func withInbox(limit int, work func(c *loop.Conn, op frame.Opcode, payload []byte)) *handler {
	return &handler{
		open: func(c *loop.Conn) {
			c.SetUser(loop.NewInbox(c, limit, func(op frame.Opcode, payload []byte) { work(c, op, payload) }))
		},
		message: func(c *loop.Conn, op frame.Opcode, payload []byte) { c.User().(*loop.Inbox).Put(op, payload) },
		gone:    func(c *loop.Conn, _ *loop.CloseError) { c.User().(*loop.Inbox).Close() },
	}
}

// TestWireInbox: a goroutine that answers more slowly than a peer asks is given all questions, in their order,
// and never many at once.
func TestWireInbox(t *testing.T) {
	const limit = 64 << 10
	var most atomic.Int64
	var serving atomic.Pointer[house]
	h := withInbox(limit, func(c *loop.Conn, op frame.Opcode, payload []byte) {
		most.Store(max(most.Load(), serving.Load().eng.Held()))
		c.Send(op, payload)
	})
	s := serveWire(t, h, nil)
	serving.Store(s)
	p := s.dial(t)
	go func() {
		for i := range 2000 {
			_, _ = p.Write(message(frame.Binary, pattern(1000+i)))
		}
	}()
	for i := range 2000 {
		p.Want(0b1_000_0010, pattern(1000+i))
	}
	if n := most.Load(); n > 2<<20 {
		t.Errorf("up to %d bytes were held", n)
	}
	if s.stats().ReadPauses == 0 {
		t.Error("reading was never paused: the peer was too slow for this test")
	}
}

// TestWireInboxBound: while nothing is worked off, an inbox holds its limit and one message more.
func TestWireInboxBound(t *testing.T) {
	began, release := make(chan struct{}, 10_000), make(chan struct{})
	h := withInbox(10<<10, func(*loop.Conn, frame.Opcode, []byte) {
		began <- struct{}{}
		<-release
	})
	s := serveWire(t, h, nil)
	p := s.dial(t)
	for range 1000 {
		p.Put(text(string(bytes.Repeat([]byte("x"), 100))))
	}
	<-began
	await(t, "reading to be paused", func() bool { return s.stats().ReadPauses == 1 })
	if n := h.messages.Load(); n > 100 { // with 64 bytes each beside the payload
		t.Errorf("the inbox took %d messages", n)
	}
	close(release)
	for range 999 {
		testkit.Receive(t, "the next message", began)
	}
	p.echoesNothing()
}

// echoesNothing shows that the connection is alive when nothing answers messages.
func (p *peer) echoesNothing() {
	p.t.Helper()
	p.Put(masked(0b1_000_1001, []byte("there?")))
	p.WantMessage(frame.Pong, "there?")
}

// TestWireInboxClose: what waits when the connection goes is dropped, and its bytes are given back.
func TestWireInboxClose(t *testing.T) {
	began, release := make(chan struct{}, 10), make(chan struct{})
	var worked atomic.Int64
	h := withInbox(0, func(*loop.Conn, frame.Opcode, []byte) {
		worked.Add(1)
		began <- struct{}{}
		<-release
	})
	s := serveWire(t, h, nil)
	p := s.dial(t)
	p.Put(text("1"), text("2"), text("3"))
	<-began
	await(t, "all messages", func() bool { return h.messages.Load() == 3 })
	p.HangUp()
	await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
	close(release)
	await(t, "nothing held", func() bool { return s.eng.Held() == 0 })
	if n := worked.Load(); n != 1 {
		t.Errorf("%d messages were worked on", n)
	}
}

// TestWireInboxPanics: a panic ends the connection; a goroutine that ends has a successor.
func TestWireInboxPanics(t *testing.T) {
	var said sync.Map
	h := withInbox(0, func(c *loop.Conn, _ frame.Opcode, payload []byte) {
		said.Store(string(payload), true)
		switch string(payload) {
		case "exit":
			runtime.Goexit()
		case "panic":
			panic("a test")
		}
		c.Send(frame.Text, payload)
	})
	s := serveWire(t, h, nil)
	p := s.dial(t)
	p.Put(text("exit"), text("alive"))
	p.WantMessage(frame.Text, "alive")
	p.Put(text("panic"), text("after"))
	p.WantGoodbye(1011)
	await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
	if _, ok := said.Load("after"); ok {
		t.Error("work went on after a panic")
	}
	if n := s.stats().Panics; n != 1 {
		t.Errorf("%d panics were counted", n)
	}
}

// TestInboxAtRest: an inbox whose messages are worked off keeps no goroutine and no bytes.
func TestInboxAtRest(t *testing.T) {
	h := withInbox(0, func(c *loop.Conn, op frame.Opcode, payload []byte) { c.Send(op, payload) })
	s := serveWire(t, h, nil)
	peers := make([]*peer, 50)
	for i := range peers {
		peers[i] = s.dial(t)
	}
	before := runtime.NumGoroutine()
	for i, p := range peers {
		p.Put(text(strconv.Itoa(i)))
		p.WantMessage(frame.Text, strconv.Itoa(i))
	}
	await(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	await(t, "nothing held", func() bool { return s.eng.Held() == 0 })
}
