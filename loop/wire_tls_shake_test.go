package loop_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// handshaking is how many goroutines do a TLS handshake.
func handshaking() int {
	b := make([]byte, 8<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "tlsHandshakes).begin")
}

// mutants is how many broken ClientHellos TestS24Garbage sends.
var mutants = flag.Int("mutants", 500, "broken ClientHellos to send")

// hello is what a client of TLS says first.
func hello(t testing.TB) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() { _ = tls.Client(theirs, testkit.ClientTLS()).Handshake() }()
	head := make([]byte, 5)
	if _, err := io.ReadFull(ours, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(ours, body); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	return append(head, body...)
}

// TestS24Stalls: clients that say nothing, or half a ClientHello, cost no goroutine; those that stop
// behind it let others in; and the deadline ends all of them.
func TestS24Stalls(t *testing.T) {
	h := serveTLS(t, &handler{}, func(cfg *loop.DoorConfig) { cfg.Limits = loop.Limits{} })
	first := hello(t)
	stall := func(n int, said []byte) {
		for range n {
			p := testkit.Connect(t, h.addr, 0)
			if len(said) > 0 {
				p.Put(said)
			}
		}
	}
	stall(100, nil)
	stall(100, first[:1])
	stall(100, first[:len(first)-1])
	await(t, "all have come", func() bool { return h.door.Slots().Used() == 300 })
	await(t, "what they said was read", func() bool { return h.eng.BytesIn() == uint64(100*len(first)) })
	if n := handshaking(); n != 0 {
		t.Errorf("%d goroutines for clients that have said nothing whole", n)
	}
	stall(100, first)
	await(t, "each of them is being served", func() bool { return handshaking() == 100 })
	p := h.dial(t)
	p.echoes()
	p.HangUp()
	h.eng.Advance(6 * time.Second)
	await(t, "the deadline", func() bool { return h.door.Slots().Used() == 0 && handshaking() == 0 })
	if n := h.stats().BadUpgrade; n != 400 {
		t.Errorf("%d counted", n)
	}
}

// TestTLSHandshakesTakeTurns: no more than may be are under way; the others wait, and one that stalls
// makes room.
func TestTLSHandshakesTakeTurns(t *testing.T) {
	t.Cleanup(loop.SetMaxHandshakes(5))
	h := serveTLS(t, &handler{}, nil)
	first := hello(t)
	for range 5 {
		testkit.Connect(t, h.addr, 0).Put(first)
	}
	await(t, "all are under way", func() bool { return handshaking() == 5 })
	waiting := testkit.Connect(t, h.addr, 0)
	waiting.Put(first)
	await(t, "the sixth waits", func() bool { return h.door.HandshakesWaiting() == 1 })
	waiting.Close()
	time.Sleep(loop.StalledAfter) // what is awaited is that nothing happened for so long
	p := h.dial(t)                // makes room for the sixth, who is gone, and for itself
	p.echoes()
	p.HangUp()
	await(t, "those that stalled are gone", func() bool { return h.door.Slots().Used() < 5 })
}

// TestS24Garbage: what is no ClientHello ends at once, by an alert or without a word, and who speaks
// plain HTTP is told what is spoken here.
func TestS24Garbage(t *testing.T) {
	h := serveTLS(t, &handler{}, nil)
	for range 300 {
		for _, said := range [][]byte{{0}, {0xFF, 22, 3}, bytes.Repeat([]byte{0x80}, 3000)} {
			p := testkit.Connect(t, h.addr, 0)
			p.Put(said)
			if b, err := io.ReadAll(p); len(b) > 0 {
				t.Fatalf("got %q, %v", b, err)
			}
			p.Close()
		}
	}
	for _, said := range [][]byte{
		{22, 3, 1, 0, 0},
		{22, 3, 1, 0, 4, 1, 0, 0, 0},
		append([]byte{22, 3, 1, 0x40, 0}, make([]byte, 16<<10)...),
		append([]byte{22, 9, 9, 0xFF, 0xFF}, make([]byte, 16<<10)...),
	} {
		p := testkit.Connect(t, h.addr, 0)
		p.Put(said)
		if b, err := io.ReadAll(p); len(b) != 7 && len(b) != 0 || len(b) == 7 && b[0] != recordAlert || err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%x: got %q, %v", said[:5], b, err)
		}
		p.Close()
	}
	first, rnd := hello(t), rand.New(rand.NewPCG(3, 4))
	for range *mutants {
		said := bytes.Clone(first)
		for range 1 + rnd.IntN(4) {
			said[1+rnd.IntN(len(said)-1)] = byte(rnd.Uint32())
		}
		nc, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = nc.Write(said)
		_ = nc.(*net.TCPConn).CloseWrite()
		_ = nc.SetReadDeadline(time.Now().Add(testkit.Patience))
		if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%x: no end", said)
		}
		nc.Close()
	}
	p := testkit.Connect(t, h.addr, 0)
	p.Put(request())
	p.WantRefusal(400)
	await(t, "nobody is left", func() bool { return h.door.Slots().Used() == 0 && handshaking() == 0 })
}

// TestTLSOnPlainPort: who speaks TLS where nobody does is told at once, and does not wait for an answer.
func TestTLSOnPlainPort(t *testing.T) {
	h := serveWire(t, &handler{}, nil)
	p := testkit.Connect(t, h.addr, 0)
	p.Put(hello(t))
	p.WantRefusal(400)
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, ok := errors.AsType[tls.RecordHeaderError](tls.Client(nc, testkit.ClientTLS()).Handshake()); !ok {
		t.Error("crypto/tls does not see that no TLS is spoken")
	}
}

// TestTLSConfigThatFails: an error, a panic and runtime.Goexit of the host's function refuse one
// handshake.
func TestTLSConfigThatFails(t *testing.T) {
	var fail atomic.Pointer[func() error]
	h := serveTLS(t, &handler{}, func(cfg *loop.DoorConfig) {
		secured := testkit.ServerTLS(t)
		cert := secured.Certificates[0]
		secured.Certificates = nil
		secured.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.Conn.RemoteAddr().Network() != "tcp" || hello.Conn.LocalAddr().String() == "" {
				t.Error("the addresses are not known")
			}
			if f := fail.Load(); f != nil {
				return nil, (*f)()
			}
			return &cert, nil
		}
		cfg.TLS = loop.NewTLSConfig(secured, false)
	})
	for _, f := range []func() error{
		func() error { return errors.New("no certificate") },
		func() error { panic("oops") },
		func() error { runtime.Goexit(); return nil },
	} {
		fail.Store(&f)
		p := testkit.Connect(t, h.addr, 0)
		if err := tls.Client(p.Conn, testkit.ClientTLS()).Handshake(); err == nil {
			t.Error("a handshake without a certificate")
		}
		p.Close()
		fail.Store(nil)
		q := h.dial(t)
		q.echoes()
		q.HangUp()
	}
	if n := h.stats().Panics; n != 1 {
		t.Errorf("%d panics counted", n)
	}
}

// TestTLSSlowReader: while the kernel has no room little is encrypted, and when the peer reads, all
// comes in order; frames of many goroutines stay whole.
func TestTLSSlowReader(t *testing.T) {
	conns := make(chan *loop.Conn, 1)
	h := serveTLS(t, &handler{open: func(c *loop.Conn) { conns <- c }}, func(cfg *loop.DoorConfig) {
		cfg.Limits.SoftLimit, cfg.Limits.HardLimit = 64<<20, 64<<20
	})
	p := h.narrow(t, 4<<10)
	c := <-conns
	sizes := []int{1, 100, 5000, 40_000, 300_000}
	var sending sync.WaitGroup
	const each = 40
	for sender, size := range sizes {
		sending.Go(func() {
			for i := range each {
				b := bytes.Repeat([]byte{byte('a' + sender)}, size)
				b[0] = byte(i)
				if got := c.Send(frame.Binary, b); got != loop.Sent {
					t.Errorf("Send: %v", got)
				}
			}
		})
	}
	sending.Wait()
	if n := h.eng.Ahead(); n > 32<<10 {
		t.Errorf("%d bytes are encrypted ahead of the kernel", n)
	}
	next := make([]int, len(sizes))
	for range each * len(sizes) {
		_, b, err := p.Message()
		if err != nil {
			t.Fatal(err)
		}
		sender := 0
		for len(b) != sizes[sender] {
			sender++
		}
		if int(b[0]) != next[sender] || bytes.Count(b[1:], []byte{byte('a' + sender)}) != len(b)-1 {
			t.Fatalf("message %d of sender %d is not what came: %d", next[sender], sender, b[0])
		}
		next[sender]++
	}
	p.HangUp()
}

// TestTLSBehindProxy: the PROXY protocol comes before TLS, and says who the client is.
func TestTLSBehindProxy(t *testing.T) {
	asked := make(chan *auth.Request, 1)
	h := serveTLS(t, &handler{}, func(cfg *loop.DoorConfig) {
		cfg.ProxyProtocol = true
		cfg.Proxies = handshake.Proxies{netip.MustParsePrefix("127.0.0.0/8")}
		cfg.Authorize = func(_ context.Context, r *auth.Request) (g auth.Grant, err error) {
			asked <- r
			return g, nil
		}
	})
	head := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xcb\x00\x71\x01\x12\x67\x01\xbb")
	for _, cut := range []int{len(head), 5} {
		p := testkit.Connect(t, h.addr, 0)
		p.Put(head[:cut])
		p.Put(head[cut:])
		secured := tls.Client(p.Conn, testkit.ClientTLS())
		q := &peer{testkit.Attach(t, secured), t, h}
		q.Upgrade()
		r := <-asked
		if r.Remote.String() != "203.0.113.7:4711" || r.Scheme != "https" || r.TLS == nil || !r.TLS.HandshakeComplete {
			t.Errorf("Authorize is asked about %v, %s, TLS %v", r.Remote, r.Scheme, r.TLS)
		}
		q.echoes()
		q.HangUp()
	}
}
