package loop_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// funcs is a Handler made of functions; nil ones do nothing.
type funcs struct {
	open    func(*loop.Conn)
	message func(*loop.Conn, frame.Opcode, []byte)
	drain   func(*loop.Conn)
	closed  func(*loop.Conn, *loop.CloseError)
}

func (f funcs) OnOpen(c *loop.Conn) {
	if f.open != nil {
		f.open(c)
	}
}

func (f funcs) OnMessage(c *loop.Conn, op frame.Opcode, p []byte) {
	if f.message != nil {
		f.message(c, op, p)
	}
}

func (f funcs) OnDrain(c *loop.Conn) {
	if f.drain != nil {
		f.drain(c)
	}
}

func (f funcs) OnClose(c *loop.Conn, why *loop.CloseError) {
	if f.closed != nil {
		f.closed(c, why)
	}
}

// house is an engine with one door on a loopback port.
type house struct {
	eng  *loop.Engine
	door *loop.Door
	addr string
}

func open(t testing.TB, cfg loop.DoorConfig) *house {
	t.Helper()
	return openLoops(t, 1, cfg, nil)
}

// openLoops is open with so many loops, whose log is also the door's if that has none.
func openLoops(t testing.TB, loops int, cfg loop.DoorConfig, log *slog.Logger) *house {
	t.Helper()
	eng, err := loop.NewEngine(loops, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Log == nil {
		cfg.Log = log
	}
	if cfg.Path == "" {
		cfg.Path = loop.AnyPath
	}
	door, err := eng.NewDoorWithDefaults(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() { accepted <- door.Accept(ln) }()
	t.Cleanup(func() {
		ln.Close()
		<-accepted
		if err := eng.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if n := door.Slots().Used(); n != 0 {
			t.Errorf("%d slots taken after the end", n)
		}
	})
	return &house{eng, door, ln.Addr().String()}
}

// socket opens a WebSocket by hand. rcvbuf 0 leaves the receive buffer alone.
func (h *house) socket(t testing.TB, rcvbuf int) *net.TCPConn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) error {
		if rcvbuf == 0 {
			return nil
		}
		return rc.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, rcvbuf)
		})
	}}
	nc, err := d.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: "+h.addr+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	var head []byte
	for b := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, b...) {
		if _, err := io.ReadFull(nc, b); err != nil {
			t.Fatalf("no response head: %v after %q", err, head)
		}
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101")) {
		t.Fatalf("response %q", head)
	}
	return nc.(*net.TCPConn)
}

// readFrame reads one unmasked frame.
func readFrame(r io.Reader) (op frame.Opcode, payload []byte, err error) {
	var h [10]byte
	if _, err := io.ReadFull(r, h[:2]); err != nil {
		return 0, nil, err
	}
	op, n := frame.Opcode(h[0]&0xF), uint64(h[1])
	switch n {
	case 126:
		_, err = io.ReadFull(r, h[:2])
		n = uint64(binary.BigEndian.Uint16(h[:]))
	case 127:
		_, err = io.ReadFull(r, h[2:])
		n = binary.BigEndian.Uint64(h[2:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return op, payload, err
}

func clientFrame(op frame.Opcode, payload []byte) []byte {
	b := make([]byte, frame.HeaderSize(len(payload), true))
	body := bytes.Clone(payload)
	frame.PutMasked(b, op, body, [4]byte{1, 2, 3, 4})
	return append(b, body...)
}

// TestOrderFromManyGoroutines: each sender's messages arrive in its order, all of them, while the
// connection's own traffic goes on. A lost wake would hang here.
func TestOrderFromManyGoroutines(t *testing.T) {
	const senders, each = 8, 3000
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HardLimit: 64 << 20},
		Handler: funcs{
			open:    func(c *loop.Conn) { conns <- c },
			message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) },
		},
	})
	nc := h.socket(t, 0)
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
			nc.Write(clientFrame(frame.Binary, []byte("echo")))
		}
	}()
	var next [senders]int
	echoes := 0
	for got := 0; got < senders*each || echoes < 500; {
		op, p, err := readFrame(nc)
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
	h := open(t, loop.DoorConfig{Limits: limits, Handler: funcs{
		open:  func(c *loop.Conn) { conns <- c },
		drain: func(c *loop.Conn) { drains <- c.Buffered() },
	}})
	nc := h.socket(t, 4<<10)
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
		if op, p, err := readFrame(nc); err != nil || op != frame.Binary || len(p) != len(payload) {
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
	if _, p, err := readFrame(nc); err != nil || string(p) != "again" {
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
	h := open(t, loop.DoorConfig{Limits: limits, Handler: funcs{
		open:   func(c *loop.Conn) { conns <- c },
		closed: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
	}})
	h.socket(t, 4<<10)
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

// TestNoProgressIsCut: a peer that accepts no byte is cut after WriteTimeout.
func TestNoProgressIsCut(t *testing.T) {
	conns, ends := make(chan *loop.Conn, 1), make(chan *loop.CloseError, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HardLimit: 64 << 20, WriteTimeout: 300 * time.Millisecond},
		Handler: funcs{
			open:   func(c *loop.Conn) { conns <- c },
			closed: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
		},
	})
	h.socket(t, 4<<10)
	c := <-conns
	c.Send(frame.Binary, make([]byte, 16<<20))
	if why := <-ends; why.Cause == nil {
		t.Errorf("closed with %v", why)
	}
}

// TestCloseAfterDrain: all that was sent before Close arrives, then the close frame, then the end
// of the stream; gnet's own Close would lose most of it.
func TestCloseAfterDrain(t *testing.T) {
	const total = 16 << 20
	conns, ends := make(chan *loop.Conn, 1), make(chan *loop.CloseError, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HardLimit: 1 << 30, CloseTimeout: 30 * time.Second},
		Handler: funcs{
			open:   func(c *loop.Conn) { conns <- c },
			closed: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
		},
	})
	nc := h.socket(t, 4<<10)
	c := <-conns
	want := bytes.Repeat([]byte("0123456789abcdef"), total/16)
	for part := want; len(part) > 0; part = part[64<<10:] {
		c.Send(frame.Binary, part[:64<<10])
	}
	c.Close(frame.CloseNormal, "done")
	var got []byte
	for {
		op, p, err := readFrame(nc)
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
	nc.Write(clientFrame(frame.Close, []byte("\x03\xe8")))
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
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{
		Limits:  loop.Limits{MessageBatchTimeout: 200 * time.Millisecond, MessageBatchSize: 10},
		Handler: funcs{open: func(c *loop.Conn) { conns <- c }},
	})
	nc := h.socket(t, 0)
	c := <-conns
	read := func(n int) {
		t.Helper()
		for range n {
			if _, _, err := readFrame(nc); err != nil {
				t.Fatal(err)
			}
		}
	}
	start := time.Now()
	c.Send(frame.Text, []byte("lone")) // quiet connection: at once
	read(1)
	if d := time.Since(start); d > 150*time.Millisecond {
		t.Errorf("a lone message took %v", d)
	}
	before := h.eng.Writes()
	for range 30 {
		c.Send(frame.Text, []byte("burst"))
	}
	read(30)
	if w := h.eng.Writes() - before; w > 4 {
		t.Errorf("30 messages within a window left in %d writes, want at most 4", w)
	}
	c.Send(frame.Text, []byte("waits"))
	c.SendNow(frame.Text, []byte("urgent")) // takes what waits along
	start = time.Now()
	read(2)
	if d := time.Since(start); d > 150*time.Millisecond {
		t.Errorf("an urgent message took %v", d)
	}
}

// TestRepliesAreCorked: what a handler sends while it runs leaves in one write.
func TestRepliesAreCorked(t *testing.T) {
	h := open(t, loop.DoorConfig{Handler: funcs{
		message: func(c *loop.Conn, op frame.Opcode, p []byte) {
			for range 50 {
				c.Send(op, p)
			}
		},
	}})
	nc := h.socket(t, 0)
	before := h.eng.Writes()
	nc.Write(append(clientFrame(frame.Text, []byte("a")), clientFrame(frame.Text, []byte("b"))...))
	for range 100 {
		if _, _, err := readFrame(nc); err != nil {
			t.Fatal(err)
		}
	}
	// Two, should the two messages have arrived apart.
	if w := h.eng.Writes() - before; w > 2 {
		t.Errorf("100 replies to one read left in %d writes", w)
	}
}

// TestPingFloodIsBounded: a peer that pings and does not read fills nothing.
func TestPingFloodIsBounded(t *testing.T) {
	conns, heard := make(chan *loop.Conn, 1), make(chan struct{})
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HardLimit: 64 << 20, WriteTimeout: -1},
		Handler: funcs{
			open:    func(c *loop.Conn) { conns <- c },
			message: func(*loop.Conn, frame.Opcode, []byte) { close(heard) },
		},
	})
	nc := h.socket(t, 4<<10)
	c := <-conns
	c.Send(frame.Binary, make([]byte, 8<<20)) // nothing more gets through
	ping := bytes.Repeat(clientFrame(frame.Ping, bytes.Repeat([]byte("p"), 125)), 1000)
	for range 20 {
		nc.Write(ping)
	}
	nc.Write(clientFrame(frame.Ping, []byte("last")))
	nc.Write(clientFrame(frame.Text, nil))
	<-heard // the server has read all pings
	nc.Write(clientFrame(frame.Close, nil))
	var pongs [][]byte
	for {
		op, p, err := readFrame(nc)
		if err != nil {
			t.Fatal(err)
		}
		if op == frame.Pong {
			pongs = append(pongs, p)
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
	h := open(t, loop.DoorConfig{Handler: funcs{
		open:   func(c *loop.Conn) { conns <- c },
		closed: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
	}})
	nc := h.socket(t, 0)
	c := <-conns
	id := c.ID()
	if h.door.Slots().Conn(id) != c {
		t.Error("the connection is not found by its ID")
	}
	nc.SetLinger(0)
	nc.Close() // a reset
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
		Handler: funcs{
			open:    func(c *loop.Conn) { conns <- c },
			message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) },
			closed:  func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
		},
	})
	other := h.socket(t, 0)
	<-conns
	nc := h.socket(t, 0)
	c := <-conns
	c.Send(frame.Text, []byte("leaves at once"))
	expect(t, nc, frame.Text, "leaves at once")
	c.Send(frame.Text, []byte("waits"))
	nc.SetLinger(0)
	nc.Close()
	<-ends
	h.eng.Advance(2 * time.Second)
	echoes(t, other)
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
