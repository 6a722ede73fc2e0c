package loop_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// ask asks for a WebSocket and returns the answer's status and Retry-After.
func (h *house) ask(t *testing.T) (status int, retry string) {
	t.Helper()
	p := h.connect(t)
	defer p.Close()
	p.Put(request())
	status, fields := p.Head()
	return status, fields["Retry-After"]
}

func TestSheddingAnswers503(t *testing.T) {
	h := open(t, loop.DoorConfig{Handler: loop.NopHandler{}})
	old := h.dial(t)
	h.door.SetShedding(true)
	if status, retry := h.ask(t); status != 503 || retry == "" {
		t.Errorf("short of memory: %d, Retry-After %q", status, retry)
	}
	h.door.SetShedding(false)
	if status, _ := h.ask(t); status != 101 {
		t.Errorf("afterwards: %d", status)
	}
	if r := h.door.Refusals(); r.Memory != 1 {
		t.Errorf("%+v", r)
	}
	old.Put(message(frame.Ping, []byte("x")))
	old.WantMessage(frame.Pong, "x")
}

// TestCutLargest: the connections with the most bytes waiting go first, no more of them than it
// takes, and small ones never.
func TestCutLargest(t *testing.T) {
	conns, ends := make(chan *loop.Conn, 1), make(chan *loop.CloseError, 10)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HardLimit: 1 << 30, WriteTimeout: -1},
		Handler: &handler{
			open: func(c *loop.Conn) { conns <- c },
			gone: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
		},
	})
	fill := func(n int) *loop.Conn {
		h.narrow(t, 4<<10)
		c := <-conns
		if n > 0 {
			c.Send(frame.Binary, make([]byte, n))
		}
		return c
	}
	idle := fill(0)
	middle := fill(20 << 20)
	big := []*loop.Conn{fill(40 << 20), fill(40 << 20), fill(40 << 20)}
	if n, bytes := h.eng.CutLargest(0, 1<<20); n != 0 || bytes != 0 {
		t.Fatalf("%d cut for nothing", n)
	}
	if n, bytes := h.eng.CutLargest(41<<20, 1<<20); n != 2 || bytes < 60<<20 {
		t.Fatalf("%d cut of %d bytes, want 2 of the largest", n, bytes)
	}
	for range 2 {
		if why := <-ends; why.Code != frame.CloseAbnormal || why.Cause == nil {
			t.Errorf("closed with %v", why)
		}
	}
	alive := 0
	for _, c := range big {
		if h.door.Slots().Conn(c.ID()) != nil {
			alive++
		}
	}
	if alive != 1 || h.door.Slots().Conn(middle.ID()) == nil {
		t.Errorf("%d of the largest alive, want 1, and the middle one", alive)
	}
	if n, _ := h.eng.CutLargest(1, 1<<20); n != 1 || h.door.Slots().Conn(middle.ID()) == nil {
		t.Errorf("then %d cut, want the last of the largest", n)
	}
	<-ends
	if n, _ := h.eng.CutLargest(1<<30, 1<<20); n != 1 {
		t.Errorf("then %d cut, want the middle one", n)
	}
	<-ends
	if n, _ := h.eng.CutLargest(1<<30, 1<<20); n != 0 || h.door.Slots().Conn(idle.ID()) == nil {
		t.Errorf("%d cut with nothing waiting", n)
	}
	if n := h.door.Shed(); n != 4 {
		t.Errorf("%d counted", n)
	}
}

// TestCutLargestOnce: while a loop is slow to release what was cut, nothing else is cut for it.
func TestCutLargestOnce(t *testing.T) {
	conns, blocks, goOn := make(chan *loop.Conn, 1), make(chan struct{}), make(chan struct{})
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HardLimit: 1 << 30, WriteTimeout: -1},
		Handler: &handler{
			open: func(c *loop.Conn) { conns <- c },
			message: func(*loop.Conn, frame.Opcode, []byte) {
				close(blocks)
				<-goOn
			},
		},
	})
	fill := func(n int) *loop.Conn {
		h.narrow(t, 4<<10)
		c := <-conns
		c.Send(frame.Binary, make([]byte, n))
		return c
	}
	big, small := fill(40<<20), fill(20<<20)
	h.dial(t).Put(text("hold on"))
	<-conns
	<-blocks
	if n, _ := h.eng.CutLargest(30<<20, 1<<20); n != 1 {
		t.Errorf("%d cut, want the largest", n)
	}
	if n, bytes := h.eng.CutLargest(30<<20, 1<<20); n != 0 || bytes < 30<<20 {
		t.Errorf("then %d cut, and %d bytes are on their way", n, bytes)
	}
	close(goOn)
	await(t, "the largest is gone", func() bool { return h.door.Slots().Conn(big.ID()) == nil })
	if h.door.Slots().Conn(small.ID()) == nil {
		t.Error("the other one was cut for what the largest held")
	}
}

func TestMessageRate(t *testing.T) {
	for name, rates := range map[string]loop.Rates{
		"messages": {Messages: 0.001, MessagesBurst: 3},
		"bytes":    {Bytes: 0.001, BytesBurst: 33},
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t, loop.DoorConfig{Limits: loop.Limits{MaxMessage: 33}, Rates: rates, Handler: &handler{
				message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) },
			}})
			nc := h.dial(t)
			for range 3 {
				nc.Put(text("eleven byte"))
				nc.WantMessage(frame.Text, "eleven byte")
			}
			nc.Put(text("eleven byte"))
			nc.WantMessage(frame.Close, "\x03\xf0too many messages")
			other := h.dial(t) // has a bucket of its own
			other.Put(text("hi"))
			other.WantMessage(frame.Text, "hi")
			if r := h.door.Refusals(); r.MessageRate+r.ByteRate != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestNetworkRate(t *testing.T) {
	h := open(t, loop.DoorConfig{
		Handler: loop.NopHandler{},
		Rates:   loop.Rates{AcceptsPerIP: 0.001, AcceptsPerIPBurst: 2},
	})
	for i, want := range []int{101, 101, 429, 429} {
		if status, retry := h.ask(t); status != want || (status == 429) != (retry != "") {
			t.Errorf("connection %d: %d, Retry-After %q", i, status, retry)
		}
	}
	if r := h.door.Refusals(); r.AddressRate != 2 {
		t.Errorf("%+v", r)
	}
}

func TestNetworks(t *testing.T) {
	for a, want := range map[string]string{
		"192.0.2.77":                 "192.0.2.0/24",
		"::ffff:192.0.2.77":          "192.0.2.0/24",
		"2001:db8:1:2:3:4:5:6":       "2001:db8:1:2::/64",
		"fe80::1%eth0":               "fe80::/64",
		"2001:db8:1:2:ffff:ffff::ff": "2001:db8:1:2::/64",
	} {
		if got := loop.NetworkOf(netip.MustParseAddr(a)).String(); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
}

// TestAcceptRate: what exceeds it waits in the backlog and is served; stopping does not wait for
// it.
func TestAcceptRate(t *testing.T) {
	h := open(t, loop.DoorConfig{
		Handler: loop.NopHandler{},
		Rates:   loop.Rates{Accepts: 0.001, AcceptsBurst: 2},
	})
	for range 2 {
		if status, _ := h.ask(t); status != 101 {
			t.Errorf("status %d", status)
		}
	}
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	h.door.StopAccepting() // the end of the test would hang otherwise
}

func TestTuneHoldsForOpenConnections(t *testing.T) {
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{
		Limits:  loop.Limits{MessageBatchSize: 1000, MessageBatchTimeout: time.Second},
		Handler: &handler{open: func(c *loop.Conn) { conns <- c }},
	})
	nc := h.dial(t)
	c := <-conns
	opens, closes := h.door.Tuning(), h.door.Tuning()
	closes.MessageBatchTimeout = -1
	quick(t, "what waited when its window was closed", 500*time.Millisecond, func() {
		h.door.Tune(opens)
		c.SendNow(frame.Text, []byte("first"))
		nc.WantMessage(frame.Text, "first")
		c.Send(frame.Text, []byte("waits")) // for a second, were it not for this:
		h.door.Tune(closes)
	}, func() { nc.WantMessage(frame.Text, "waits") })
	await(t, "the last write is counted", func() bool { return c.Buffered() == 0 })
	before := h.eng.Writes()
	for range 10 {
		c.Send(frame.Text, []byte("one by one"))
		nc.WantMessage(frame.Text, "one by one")
	}
	await(t, "the last write is counted", func() bool { return c.Buffered() == 0 })
	if n := h.eng.Writes() - before; n != 10 {
		t.Errorf("%d writes for 10 messages without a window", n)
	}

	tuned := closes
	tuned.SoftLimit, tuned.LowWater = 10, 0
	h.door.Tune(tuned)
	block := make([]byte, 16<<10) // well below the old one
	r := loop.Sent
	for c.Buffered() == 0 {
		r = c.Send(frame.Binary, block)
	}
	if r != loop.Backpressure {
		t.Errorf("above the new soft limit Send answers %v", r)
	}
}
