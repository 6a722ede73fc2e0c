package loop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// oddReads reads in odd pieces.
type oddReads struct{ net.Conn }

func (c oddReads) Read(b []byte) (int, error) { return c.Conn.Read(b[:min(len(b), 1+rand.IntN(9000))]) }

// TestWireBackpressure: a sender that stops at Backpressure and goes on at OnDrain delivers every
// byte in order to a peer that reads slowly and in odd pieces.
func TestWireBackpressure(t *testing.T) {
	const messages, soft = 400, 64 << 10
	size := func(i int) int { return (i * 7919) % 40_000 }
	sent, most := 0, 0
	full := make(chan struct{}, messages)
	more := func(c *loop.Conn) {
		for sent < messages {
			r := c.Send(frame.Binary, pattern(size(sent)))
			sent++
			most = max(most, c.Buffered())
			if r != loop.Sent {
				full <- struct{}{}
				break
			}
		}
	}
	h := &handler{
		message: func(c *loop.Conn, _ frame.Opcode, _ []byte) { more(c) },
		drain:   more,
	}
	s := serveWire(t, h, func(cfg *loop.DoorConfig) { cfg.Limits.SoftLimit = soft })
	p := &peer{testkit.Attach(t, oddReads{testkit.Connect(t, s.addr, 32<<10).Conn}), t, s}
	p.Upgrade()
	p.Put(text("go"), masked(0b1_000_1001, []byte("first")), masked(0b1_000_1001, []byte("second")))
	<-full
	pongs := 0
	for i := 0; i < messages; {
		f := p.Frame()
		if f.Head == 0b1_000_1010 {
			pongs++
			continue
		}
		if f.Head != 0b1_000_0010 || !bytes.Equal(f.Payload, pattern(size(i))) {
			t.Fatalf("message %d is not what was sent: frame %08b, %d bytes", i, f.Head, len(f.Payload))
		}
		i++
	}
	if pongs == 0 || pongs > 2 {
		t.Errorf("%d pongs for two pings", pongs)
	}
	p.HangUp()
	await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
	if h.drains.Load() == 0 {
		t.Error("OnDrain was never called: the peer was too fast for this test")
	}
	if most > soft+41_000+200 {
		t.Errorf("up to %d bytes waited", most)
	}
}

// TestWireHardLimit: a sender that does not heed Backpressure loses the peer, not the memory.
func TestWireHardLimit(t *testing.T) {
	var most atomic.Int64
	h := &handler{message: func(c *loop.Conn, _ frame.Opcode, _ []byte) {
		go func() {
			for c.Send(frame.Binary, pattern(100_000)) != loop.Dropped {
				most.Store(max(most.Load(), int64(c.Buffered())))
			}
		}()
	}}
	s := serveWire(t, h, func(cfg *loop.DoorConfig) { cfg.Limits.HardLimit = 1 << 20 })
	p := s.narrow(t, 32<<10)
	p.Put(text("go"))
	await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
	if n := most.Load(); n > 1<<20+200_000 {
		t.Errorf("%d bytes waited", n)
	}
	if n := s.stats().SlowCuts; n != 1 {
		t.Errorf("%d slow cuts counted", n)
	}
	if why := h.why.Load(); why.Cause == nil || why.Remote {
		t.Errorf("OnClose was told %+v", why)
	}
	// What arrived before the cut is whole frames from the start, then an end.
	for {
		f, err := p.Next()
		if err != nil {
			break
		}
		if f.Head == 0b1_000_0010 && !bytes.Equal(f.Payload, pattern(100_000)) {
			t.Fatal("a frame is not what was sent")
		}
		if f.Head == 0b1_000_1000 && testkit.ShowClose(f.Payload)[:4] != "4008" {
			t.Errorf("close %s", testkit.ShowClose(f.Payload))
		}
	}
}

// much is a handler that answers "go" with more than a kernel takes, and other messages with
// themselves.
func much() *handler {
	return &handler{message: func(c *loop.Conn, op frame.Opcode, p []byte) {
		if string(p) == "go" {
			op, p = frame.Binary, make([]byte, 12<<20)
		}
		c.Send(op, p)
	}}
}

// TestWireWriteTimeout: a peer that takes no byte is cut; its neighbour is not.
func TestWireWriteTimeout(t *testing.T) {
	h := much()
	s := timed(t, h, func(l *loop.Limits) { l.WriteTimeout, l.SoftLimit = time.Minute, 16<<20 })
	reads, stalled := s.dial(t), s.narrow(t, 32<<10)
	stalled.Put(text("go"))
	await(t, "the kernel is full", func() bool { return s.eng.Held() > 0 })
	goesOn := func() {
		t.Helper()
		reads.Put(text("go"))
		if n := len(reads.Frame().Payload); n != 12<<20 {
			t.Fatalf("got %d bytes", n)
		}
	}
	s.step(t, 30*time.Second)
	goesOn()
	if s.stats().SlowCuts != 0 {
		t.Fatal("cut before its time")
	}
	for range 2 { // in the first the last byte may have moved
		s.step(t, time.Minute)
		goesOn()
	}
	// Each acknowledgement that was still on its way starts the time anew.
	for step := 0; s.stats().SlowCuts == 0 && step < 6; step++ {
		s.step(t, 35*time.Second)
	}
	await(t, "the stalled peer is cut", func() bool { return s.stats().SlowCuts == 1 })
	reads.HangUp()
	if n := s.stats().SlowCuts; n != 1 {
		t.Errorf("%d slow cuts counted", n)
	}
}

// TestWireSlowReader: a peer that reads a little all the time is never cut by WriteTimeout, though
// not all of what the kernel has leaves in that time.
func TestWireSlowReader(t *testing.T) {
	h := much()
	s := timed(t, h, func(l *loop.Limits) { l.WriteTimeout, l.SoftLimit = time.Minute, 16<<20 })
	p := s.narrow(t, 32<<10)
	p.Put(text("go"))
	await(t, "the kernel is full", func() bool { return s.eng.Held() > 0 })
	for n := range 20 {
		if _, err := io.CopyN(io.Discard, p, 128<<10); err != nil || s.stats().SlowCuts > 0 {
			t.Fatalf("cut after %d pieces: %v, %v", n, err, h.why.Load())
		}
		s.step(t, 30*time.Second)
	}
	p.Close()
}

// TestWirePingFlood: pings of a peer that does not read its pongs fill nothing.
func TestWirePingFlood(t *testing.T) {
	h := &handler{}
	opened := make(chan *loop.Conn, 1)
	h.open = func(c *loop.Conn) { opened <- c }
	s := serveWire(t, h, nil)
	p := s.narrow(t, 32<<10)
	c := <-opened
	flood := bytes.Repeat(masked(0b1_000_1001, pattern(125)), 1000)
	most := 0
	for range 60 {
		// With its receive buffer full, a kernel may drop the acknowledgements of what it sends.
		if err := p.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write(flood); err != nil {
			break
		}
		most = max(most, c.Buffered())
	}
	if most > 256<<10 {
		t.Errorf("%d bytes of pongs wait", most)
	}
	if n := s.stats().BytesIn; n < 500_000 {
		t.Errorf("only %d bytes of pings arrived", n)
	}
	p.Close()
}

// TestWireSendFromOutside: messages of many goroutines leave whole and in the order of each sender,
// whatever the batch window is.
func TestWireSendFromOutside(t *testing.T) {
	for _, window := range []time.Duration{-1, 0, 20 * time.Millisecond} {
		h := &handler{}
		opened := make(chan *loop.Conn, 1)
		h.open = func(c *loop.Conn) { opened <- c }
		s := serveWire(t, h, func(cfg *loop.DoorConfig) { cfg.Limits.MessageBatchTimeout = window })
		p := s.dial(t)
		c := <-opened
		const senders, each = 4, 500
		for i := range senders {
			go func() {
				for j := range each {
					c.Send(frame.Binary, []byte{byte(i), byte(j >> 8), byte(j)})
				}
				if i == 0 {
					c.SendNow(frame.Text, []byte("now"))
				}
			}()
		}
		var next [senders]int
		for n := 0; n < senders*each+1; n++ {
			f := p.Frame()
			if f.Head == 0b1_000_0001 {
				if next[0] != each {
					t.Fatalf("%v: SendNow overtook %d messages", window, each-next[0])
				}
				continue
			}
			if i, j := int(f.Payload[0]), int(f.Payload[1])<<8|int(f.Payload[2]); next[i] != j {
				t.Fatalf("%v: message %d of sender %d came where %d was due", window, j, i, next[i])
			}
			next[f.Payload[0]]++
		}
		if st := s.stats(); st.FramesOut != senders*each+1 {
			t.Errorf("%v: %d frames counted", window, st.FramesOut)
		}
		p.HangUp()
		if r := c.Send(frame.Text, nil); r != loop.Dropped {
			t.Errorf("Send after the end: %v", r)
		}
	}
}

// TestWireStop: Stop ends every connection, and each hears of it once.
func TestWireStop(t *testing.T) {
	h := &handler{}
	s := serveWire(t, h, nil)
	peers := make([]*peer, 20)
	for i := range peers {
		peers[i] = s.dial(t)
	}
	half := s.connect(t)
	half.putApart(request()[:30])
	if err := s.eng.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.eng.Stop(context.Background()); err != nil {
		t.Fatalf("the second Stop: %v", err)
	}
	if n := h.closed.Load(); n != 20 {
		t.Errorf("%d of 20 connections were told", n)
	}
	for _, p := range append(peers, half) {
		if _, err := io.Copy(io.Discard, p); errors.Is(err, io.ErrShortBuffer) {
			t.Error(err)
		}
	}
}
