package loop_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// TestOrderFromManyGoroutines: each sender's messages arrive in its order, all of them, while the
// connection's own traffic goes on. A lost wake would hang here.
func TestOrderFromManyGoroutines(t *testing.T) {
	const senders, each = 8, 3000
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HardLimit: 64 << 20},
		Handler: &handler{
			open:    func(c *loop.Conn) { conns <- c },
			message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) },
		},
	})
	nc := h.dial(t)
	c := <-conns
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				if r := c.Send(frame.Text, fmt.Appendf(nil, "%d %d", s, i)); r == loop.Dropped {
					t.Errorf("sender %d: message %d dropped", s, i)
					return
				}
				if i%100 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	go func() {
		for range 500 {
			nc.Put(message(frame.Binary, []byte("echo")))
		}
	}()
	var next [senders]int
	echoes := 0
	for got := 0; got < senders*each || echoes < 500; {
		op, p, err := nc.Message()
		if err != nil {
			t.Fatalf("after %d messages: %v", got, err)
		}
		if op == frame.Binary {
			echoes++
			continue
		}
		var s, i int
		fmt.Sscanf(string(p), "%d %d", &s, &i)
		if i != next[s] {
			t.Fatalf("sender %d: got %d, want %d", s, i, next[s])
		}
		next[s]++
		got++
	}
	wg.Wait()
}

// TestBackpressureAndDrain: a peer that does not read makes Send answer Backpressure; when it reads
// again OnDrain comes once, and every byte arrives.
func TestBackpressureAndDrain(t *testing.T) {
	conns, drains := make(chan *loop.Conn, 1), make(chan int, 10)
	limits := loop.Limits{SoftLimit: 128 << 10, LowWater: 16 << 10, HardLimit: 1 << 30, WriteTimeout: -1}
	h := open(t, loop.DoorConfig{Limits: limits, Handler: &handler{
		open:  func(c *loop.Conn) { conns <- c },
		drain: func(c *loop.Conn) { drains <- c.Buffered() },
	}})
	nc := h.narrow(t, 4<<10)
	c := <-conns
	payload := bytes.Repeat([]byte("x"), 32<<10)
	sent := 0
	for {
		sent++
		if r := c.Send(frame.Binary, payload); r == loop.Backpressure {
			break
		} else if r == loop.Dropped {
			t.Fatal("dropped before the soft limit")
		}
	}
	if !c.Full() && c.Buffered() > limits.LowWater { // the kernel may have taken it all meanwhile
		t.Error("not Full after Backpressure")
	}
	for range sent {
		if op, p, err := nc.Message(); err != nil || op != frame.Binary || len(p) != len(payload) {
			t.Fatalf("frame: %v %d bytes, %v", op, len(p), err)
		}
	}
	if left := <-drains; left > limits.LowWater {
		t.Errorf("OnDrain with %d bytes waiting, low water is %d", left, limits.LowWater)
	}
	if c.Full() {
		t.Error("still Full after OnDrain")
	}
	if r := c.Send(frame.Text, []byte("again")); r != loop.Sent {
		t.Errorf("after draining Send answers %v", r)
	}
	if _, p, err := nc.Message(); err != nil || string(p) != "again" {
		t.Errorf("got %q %v", p, err)
	}
	if n := len(drains); n != 0 {
		t.Errorf("%d more drains", n)
	}
}

// TestSlowReaderIsCut: at the hard limit the connection goes, and what waited for it stayed within
// the limit and one message.
func TestSlowReaderIsCut(t *testing.T) {
	conns, ends := make(chan *loop.Conn, 1), make(chan *loop.CloseError, 1)
	limits := loop.Limits{SoftLimit: 256 << 10, HardLimit: 1 << 20}
	h := open(t, loop.DoorConfig{Limits: limits, Handler: &handler{
		open: func(c *loop.Conn) { conns <- c },
		gone: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
	}})
	h.narrow(t, 4<<10)
	c := <-conns
	payload := make([]byte, 1<<20)
	for range 100 {
		if n := c.Buffered(); n > limits.HardLimit+len(payload)+16 {
			t.Fatalf("%d bytes wait, more than the limit and a message", n)
		}
		if c.Send(frame.Binary, payload) == loop.Dropped {
			if why := <-ends; why.Code != frame.CloseAbnormal || why.Cause == nil {
				t.Errorf("closed with %v", why)
			}
			if c.Send(frame.Text, nil) != loop.Dropped {
				t.Error("sending to a closed connection is not Dropped")
			}
			return
		}
	}
	t.Fatal("100 MiB taken for a peer that does not read")
}

// TestCloseAfterDrain: all that was sent before Close arrives, then the close frame, then the end
// of the stream; gnet's own Close would lose most of it.
func TestCloseAfterDrain(t *testing.T) {
	const total = 16 << 20
	conns, ends := make(chan *loop.Conn, 1), make(chan *loop.CloseError, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HardLimit: 1 << 30, CloseTimeout: 30 * time.Second},
		Handler: &handler{
			open: func(c *loop.Conn) { conns <- c },
			gone: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
		},
	})
	nc := h.narrow(t, 4<<10)
	c := <-conns
	want := bytes.Repeat([]byte("0123456789abcdef"), total/16)
	for part := want; len(part) > 0; part = part[64<<10:] {
		c.Send(frame.Binary, part[:64<<10])
	}
	c.Close(frame.CloseNormal, "done")
	var got []byte
	for {
		op, p, err := nc.Message()
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(got), err)
		}
		if op == frame.Close {
			if string(p) != "\x03\xe8done" {
				t.Errorf("close frame %q", p)
			}
			break
		}
		got = append(got, p...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d arrived as sent", len(got), len(want))
	}
	nc.Put(message(frame.Close, []byte("\x03\xe8")))
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the close frames: %d bytes, %v; want the end", n, err)
	}
	nc.Close()
	if why := <-ends; why.Code != frame.CloseNormal || why.Remote {
		t.Errorf("closed with %v", why)
	}
}

// TestBatchWindow: a burst from elsewhere leaves in few writes, a lone message at once.
func TestBatchWindow(t *testing.T) {
	const window = time.Second
	conns := make(chan *loop.Conn, 100)
	h := open(t, loop.DoorConfig{
		Limits:  loop.Limits{MessageBatchTimeout: window, MessageBatchSize: 10},
		Handler: &handler{open: func(c *loop.Conn) { conns <- c }},
	})
	nc := h.dial(t)
	c := <-conns
	read := func(n int) {
		t.Helper()
		for range n {
			if _, _, err := nc.Message(); err != nil {
				t.Fatal(err)
			}
		}
	}
	quick(t, "a lone message", window/2, func() {
		h.step(t, 2*window) // so that the connection is quiet
		c.Send(frame.Text, []byte("lone"))
	}, func() { read(1) })
	fewest := uint64(30)
	for range 5 { // a machine that stands still for a window makes two of one
		h.settle(t)
		before := h.eng.Writes()
		for range 30 {
			c.Send(frame.Text, []byte("burst"))
		}
		read(30)
		await(t, "the last write is counted", func() bool { return c.Buffered() == 0 })
		fewest = min(fewest, h.eng.Writes()-before)
	}
	if fewest > 4 {
		t.Errorf("30 messages within a window left in %d writes, want at most 4", fewest)
	}
	quick(t, "an urgent message", window/2, func() {
		c.Send(frame.Text, []byte("waits"))
		c.SendNow(frame.Text, []byte("urgent")) // takes what waits along
	}, func() { read(2) })
}

// quick fails unless something happens within so long at one of several tries, for a busy machine
// may stand still at any of them. cause brings it about, and seen returns when it has happened.
func quick(t *testing.T, what string, limit time.Duration, cause, seen func()) {
	t.Helper()
	for range 10 {
		cause()
		start := time.Now()
		if seen(); time.Since(start) < limit {
			return
		}
	}
	t.Errorf("%s took more than %v ten times", what, limit)
}

// TestRepliesAreCorked: what a handler sends while it runs leaves in one write.
func TestRepliesAreCorked(t *testing.T) {
	h := open(t, loop.DoorConfig{Handler: &handler{
		message: func(c *loop.Conn, op frame.Opcode, p []byte) {
			for range 50 {
				c.Send(op, p)
			}
		},
	}})
	nc := h.dial(t)
	await(t, "the handshake's write is counted", func() bool { return h.eng.Writes() == 1 })
	nc.Put(text("a"), text("b"))
	for range 100 {
		if _, _, err := nc.Message(); err != nil {
			t.Fatal(err)
		}
	}
	// Two, should the two messages have arrived apart.
	if w := h.eng.Writes() - 1; w > 2 {
		t.Errorf("100 replies to one read left in %d writes", w)
	}
}

// TestPingFloodIsBounded: a peer that pings and does not read fills nothing.
func TestPingFloodIsBounded(t *testing.T) {
	conns, heard := make(chan *loop.Conn, 1), make(chan struct{})
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HardLimit: 64 << 20, WriteTimeout: -1},
		Handler: &handler{
			open:    func(c *loop.Conn) { conns <- c },
			message: func(*loop.Conn, frame.Opcode, []byte) { close(heard) },
		},
	})
	nc := h.narrow(t, 4<<10)
	c := <-conns
	c.Send(frame.Binary, make([]byte, 8<<20)) // nothing more gets through
	ping := bytes.Repeat(message(frame.Ping, bytes.Repeat([]byte("p"), 125)), 1000)
	for range 20 {
		nc.Write(ping)
	}
	nc.Put(message(frame.Ping, []byte("last")))
	nc.Put(message(frame.Text, nil))
	<-heard // the server has read all pings
	nc.Put(message(frame.Close, nil))
	var pongs [][]byte
	for {
		op, p, err := nc.Message()
		if err != nil {
			t.Fatal(err)
		}
		if op == frame.Pong {
			pongs = append(pongs, bytes.Clone(p))
		}
		if op == frame.Close {
			break
		}
	}
	if len(pongs) > 1 || len(pongs) == 1 && string(pongs[0]) != "last" {
		t.Errorf("%d pongs were kept for a peer that does not read: %q", len(pongs), pongs)
	}
}

func TestSendAfterTheEnd(t *testing.T) {
	conns, ends := make(chan *loop.Conn, 1), make(chan *loop.CloseError, 1)
	h := open(t, loop.DoorConfig{Handler: &handler{
		open: func(c *loop.Conn) { conns <- c },
		gone: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
	}})
	nc := h.dial(t)
	c := <-conns
	id := c.ID()
	if h.door.Slots().Conn(id) != c {
		t.Error("the connection is not found by its ID")
	}
	nc.Reset()
	why := <-ends
	if why.Code != frame.CloseAbnormal || why.Remote {
		t.Errorf("closed with %v", why)
	}
	if h.door.Slots().Conn(id) != nil {
		t.Error("a stale ID still finds a connection")
	}
	if c.Send(frame.Text, []byte("x")) != loop.Dropped {
		t.Error("Send after the end is not Dropped")
	}
	c.Close(frame.CloseNormal, "") // does nothing
}

// TestGoneWhileItsWindowIsOpen: the end of the window finds a connection that is gone.
func TestGoneWhileItsWindowIsOpen(t *testing.T) {
	conns, ends := make(chan *loop.Conn, 1), make(chan *loop.CloseError, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{MessageBatchTimeout: time.Second},
		Handler: &handler{
			open:    func(c *loop.Conn) { conns <- c },
			message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) },
			gone:    func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
		},
	})
	other := h.dial(t)
	<-conns
	nc := h.dial(t)
	c := <-conns
	c.Send(frame.Text, []byte("leaves at once"))
	nc.WantMessage(frame.Text, "leaves at once")
	c.Send(frame.Text, []byte("waits"))
	nc.Reset()
	<-ends
	h.eng.Advance(2 * time.Second)
	other.echoes()
}

func TestStoppedEngineRefuses(t *testing.T) {
	eng, err := loop.NewEngine(2, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if eng.Loops() != 2 {
		t.Errorf("%d loops", eng.Loops())
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		io.Copy(io.Discard, nc)
	}()
	for range 2 {
		if err := eng.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := eng.Dial(ctx, nc, "x", loop.EndpointConfig{Handler: loop.NopHandler{}}); err == nil {
		t.Error("a stopped engine took a connection")
	}
}
