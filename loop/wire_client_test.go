package loop_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// dialWire lets an engine dial and returns its connection and the server's end, at which early was
// sent in one write with the response.
func dialWire(t *testing.T, h *handler, limits loop.Limits, early []byte) (*loop.Conn, *serverPeer) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	engine, err := loop.NewEngine(1, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		await(t, "OnClose for OnOpen", func() bool { return h.opened.Load() == h.closed.Load() })
		if err := engine.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if wrong := h.wrong.Load(); wrong != nil {
			t.Error(*wrong)
		}
	})
	ours, theirs := wirePair(t)
	p := &serverPeer{testkit.Attach(t, theirs), t}
	served := make(chan error, 1)
	go func() { served <- p.upgrade(early) }()
	c, err := engine.Dial(t.Context(), ours, "example.com", loop.EndpointConfig{Handler: h, Limits: limits, Log: log})
	if err := errors.Join(err, <-served); err != nil {
		t.Fatal(err)
	}
	return c, p
}

// wirePair is the two ends of one TCP connection.
func wirePair(t *testing.T) (dialled, accepted net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if dialled, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

// serverPeer is a server made of bytes.
type serverPeer struct {
	*testkit.Peer
	t testing.TB
}

// buffered reads requests, one behind another.
func (p *serverPeer) buffered() *bufio.Reader { return bufio.NewReader(p) }

// upgrade does the server's part of the opening handshake.
func (p *serverPeer) upgrade(early []byte) error {
	req, err := http.ReadRequest(bufio.NewReader(p))
	if err != nil {
		return err
	}
	head := handshake.AppendSwitchingProtocols(nil, []byte(req.Header.Get("Sec-WebSocket-Key")), "", "", nil)
	_, err = p.Write(append(head, early...))
	return err
}

// clientFrame reads the next frame, which must be masked: it is a client's.
func (p *serverPeer) clientFrame() testkit.Frame {
	p.t.Helper()
	f, err := p.Next()
	if err != nil {
		p.t.Fatalf("reading a frame: %v", err)
	}
	if !f.Masked {
		p.t.Fatalf("the client did not mask frame %08b", f.Head)
	}
	return f
}

func TestWireClientEcho(t *testing.T) {
	for _, early := range [][]byte{nil, plain(0b1_000_0001, []byte("early")), plain(0b1_000_0001, []byte("early"))[:3]} {
		h := &handler{}
		_, p := dialWire(t, h, loop.Limits{}, early)
		if early != nil {
			p.Put(plain(0b1_000_0001, []byte("early"))[len(early):])
			if f := p.clientFrame(); string(f.Payload) != "early" {
				t.Errorf("got %q, want what came with the response", f.Payload)
			}
		}
		for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536} {
			p.Put(plain(0b1_000_0010, pattern(n)))
			if f := p.clientFrame(); f.Head != 0b1_000_0010 || string(f.Payload) != string(pattern(n)) {
				t.Errorf("got frame %08b with %d bytes, want %d", f.Head, len(f.Payload), n)
			}
		}
		p.Put(plain(0b1_000_1001, []byte("ping")))
		if f := p.clientFrame(); f.Head != 0b1_000_1010 || string(f.Payload) != "ping" {
			t.Errorf("got frame %08b %q, want a pong", f.Head, f.Payload)
		}
		p.Put(plain(0b1_000_1000, []byte("\x03\xE8bye")))
		if f := p.clientFrame(); f.Head != 0b1_000_1000 || testkit.ShowClose(f.Payload) != `1000 ""` {
			t.Errorf("got frame %08b %q, want close 1000", f.Head, f.Payload)
		}
		p.Close() // the server ends the TCP connection: §7.1.1
		await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
		if why := h.why.Load(); why.Code != 1000 || why.Reason != "bye" || !why.Remote {
			t.Errorf("OnClose was told %+v", why)
		}
	}
}

func TestWireClientViolations(t *testing.T) {
	tests := []struct {
		name  string
		bytes []byte
		code  string
	}{
		{"masked frame, §5.1", masked(0b1_000_0001, []byte("x")), "1002"},
		{"masked ping", masked(0b1_000_1001, nil), "1002"},
		{"RSV1", plain(0b1_100_0001, nil), "1002"},
		{"bad text", plain(0b1_000_0001, []byte("\xFF")), "1007"},
		{"too large", plain(0b1_000_0001, make([]byte, 1<<20+1))[:10], "1009"},
		{"close 1006", plain(0b1_000_1000, []byte("\x03\xEE")), "1002"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := &handler{}
			_, p := dialWire(t, h, loop.Limits{}, nil)
			p.Put(tt.bytes)
			if f := p.clientFrame(); f.Head != 0b1_000_1000 || testkit.ShowClose(f.Payload)[:4] != tt.code {
				t.Errorf("got frame %08b %s, want close %s", f.Head, testkit.ShowClose(f.Payload), tt.code)
			}
			p.Close()
			if h.messages.Load() != 0 {
				t.Error("the handler heard of it")
			}
		})
	}
}

// TestWireClientMasks: masks are as good as random (§10.3): every byte value is as frequent
// as another at every place, and no run of masks comes again.
func TestWireClientMasks(t *testing.T) {
	const n = 100_000
	c, p := dialWire(t, &handler{}, loop.Limits{HardLimit: 16 << 20}, nil)
	go func() {
		for range n {
			c.Send(frame.Binary, nil)
		}
		c.Close(1000, "")
	}()
	var counts [4][256]int
	runs := make(map[[2][4]byte]bool, n)
	var last [4]byte
	for i := range n {
		f := p.clientFrame()
		if f.Head != 0b1_000_0010 {
			t.Fatalf("frame %d is %08b", i, f.Head)
		}
		for at, b := range f.Mask {
			counts[at][b]++
		}
		if run := [2][4]byte{last, f.Mask}; runs[run] {
			t.Fatalf("masks %x came twice in a row of two", run)
		} else {
			runs[run] = true
		}
		last = f.Mask
	}
	for at := range counts {
		chi := 0.0
		for _, got := range counts[at] {
			d := float64(got) - n/256.0
			chi += d * d / (n / 256.0)
		}
		if chi > 255+8*22.6 { // eight standard deviations
			t.Errorf("byte %d of the masks: chi-square %.0f for 255 degrees of freedom", at, chi)
		}
	}
	f := p.clientFrame()
	p.Put(plain(f.Head, f.Payload))
	p.Close()
}

// TestWireClientHandshake: what a client makes of answers that are no upgrade.
func TestWireClientHandshake(t *testing.T) {
	ok := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	tests := []struct {
		name   string
		answer string
		status int
		after  time.Duration
	}{
		{"401", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401, 0},
		{"503", "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 503, 7 * time.Second},
		{"200", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0},
		{"wrong accept", ok + "Sec-WebSocket-Accept: " + testkit.Accept + "\r\n\r\n", 101, 0},
		{"no accept", ok + "\r\n", 101, 0},
		{"no HTTP", "220 mail.example ESMTP\r\n\r\n", 0, 0},
		{"endless", "HTTP/1.1 101 Switching Protocols\r\nX: " + string(pattern(17_000)), 0, 0},
	}
	log := slog.New(slog.DiscardHandler)
	engine, err := loop.NewEngine(1, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Stop(context.Background())
	dial := func(ctx context.Context, limits loop.Limits, answer string) error {
		ours, theirs := wirePair(t)
		p := testkit.Attach(t, theirs)
		_, err := p.Write([]byte(answer))
		if err != nil {
			t.Fatal(err)
		}
		h := &handler{}
		_, err = engine.Dial(ctx, ours, "example.com", loop.EndpointConfig{Handler: h, Limits: limits, Log: log})
		if err == nil {
			t.Fatal("connected")
		}
		if _, err := io.Copy(io.Discard, p); err != nil && answer == "" {
			t.Errorf("the connection was not closed: %v", err)
		}
		if h.opened.Load() != 0 {
			t.Error("the handler was told")
		}
		return err
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := dial(t.Context(), loop.Limits{}, tt.answer)
			de, ok := errors.AsType[*handshake.DialError](err)
			if !ok || de.Status != tt.status || de.RetryAfter != tt.after {
				t.Errorf("got %#v, want a DialError with status %d", err, tt.status)
			}
		})
	}
	t.Run("silence", func(t *testing.T) {
		if err := dial(t.Context(), loop.Limits{HandshakeTimeout: 20 * time.Millisecond}, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want DeadlineExceeded", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel) // a caller that has waited long enough
		if err := dial(ctx, loop.Limits{}, "HTTP/1.1 101"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want Canceled", err)
		}
	})
}
