package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
)

// each runs a test with every client library.
func each(t *testing.T, f func(t *testing.T, open opener)) {
	for _, lib := range libraries {
		t.Run(lib.name, func(t *testing.T) { f(t, lib.dial) })
	}
}

func payload(n int) []byte { return bytes.Repeat([]byte("agloop·"), n/8+1)[:n/8*8] }

func TestServerEcho(t *testing.T) {
	_, url := serve(t, server.Config{Handler: echo{}})
	each(t, func(t *testing.T, open opener) { echoes(t, dial(t, open, url)) })
}

// echoes has messages of every length sent back, pings answered, and closes.
func echoes(t *testing.T, p peer) {
	t.Helper()
	for _, n := range []int{0, 8, 120, 128, 4096, 65528, 65536, 1 << 20} {
		for _, text := range []bool{true, false} {
			for _, send := range []func([]byte) error{
				func(b []byte) error { return p.send(text, b) },
				func(b []byte) error { return p.sendInPieces(text, b, 1+n/7) },
			} {
				if err := send(payload(n)); err != nil {
					t.Fatal(err)
				}
				gotText, got, err := p.receive()
				if err != nil || gotText != text || !bytes.Equal(got, payload(n)) {
					t.Fatalf("%d bytes, text %t: got %d bytes, text %t, %v", n, text, len(got), gotText, err)
				}
			}
		}
	}
	for _, ping := range []string{"", "ping", string(payload(120))} {
		if err := p.ping(ping); err != nil {
			t.Error(err)
		}
	}
	if err := p.close(1000, "bye"); err != nil {
		t.Error(err)
	}
}

// closer closes each connection with the code and reason its first message names, and notes how
// connections end.
type closer struct {
	server.NopHandler
	ends chan *server.CloseError
}

func (h closer) OnMessage(c *server.Conn, _ server.Opcode, p []byte) {
	var code server.CloseCode
	var reason string
	_, _ = fmt.Sscan(string(p), &code, &reason)
	c.Close(code, reason)
}

func (h closer) OnClose(_ *server.Conn, why *server.CloseError) { h.ends <- why }

func TestServerCloseCodes(t *testing.T) {
	h := closer{ends: make(chan *server.CloseError, 1)}
	_, url := serve(t, server.Config{Handler: h})
	each(t, func(t *testing.T, open opener) { closes(t, open, url, h) })
}

// closes has either side close with every code, and a client vanish.
func closes(t *testing.T, open opener, url string, h closer) {
	t.Helper()
	for _, code := range []int{1000, 1001, 1008, 1011, 3000, 4999} {
		p := dial(t, open, url)
		if err := p.close(code, "client"); err != nil {
			t.Errorf("closing with %d: %v", code, err)
		}
		if why := <-h.ends; int(why.Code) != code || why.Reason != "client" || !why.Remote {
			t.Errorf("the client closed with %d: OnClose was told %v", code, why)
		}

		p = dial(t, open, url)
		if err := p.send(true, fmt.Appendf(nil, "%d server", code)); err != nil {
			t.Fatal(err)
		}
		_, _, err := p.receive()
		if got, reason := closedWith(err); got != code || reason != "server" {
			t.Errorf("the server closed with %d: the client saw %v", code, err)
		}
		p.drop()
		if why := <-h.ends; int(why.Code) != code || why.Remote {
			t.Errorf("the server closed with %d: OnClose was told %v", code, why)
		}
	}
	p := dial(t, open, url)
	p.drop()
	if why := <-h.ends; why.Code != 1006 || !errors.Is(why, net.ErrClosed) {
		t.Errorf("the client vanished: OnClose was told %v", why)
	}
}

func TestServerProtocols(t *testing.T) {
	_, url := serve(t, server.Config{Handler: echo{}, Protocols: []string{"agui.v2", "agui.v1"}})
	tests := []struct {
		offer []string
		want  string
	}{
		{nil, ""},
		{[]string{"agui.v1"}, "agui.v1"},
		{[]string{"agui.v1", "agui.v2"}, "agui.v2"},
		{[]string{"other"}, ""},
	}
	each(t, func(t *testing.T, open opener) {
		for _, tt := range tests {
			p, _, err := open(t, url, dialOptions{protocols: tt.offer})
			if err != nil {
				t.Fatal(err)
			}
			if got := p.protocol(); got != tt.want {
				t.Errorf("offered %q: got %q, want %q", tt.offer, got, tt.want)
			}
			if err := p.close(1000, ""); err != nil {
				t.Error(err)
			}
		}
	})
	for _, tt := range tests {
		cfg := clientConfig()
		cfg.Protocols = tt.offer
		c := connect(t, url, cfg)
		if got := c.Protocol(); got != tt.want {
			t.Errorf("agloop offered %q: got %q, want %q", tt.offer, got, tt.want)
		}
		c.Close()
	}
}

func TestServerRefuses(t *testing.T) {
	_, url := serve(t, server.Config{Handler: echo{}, Authorize: func(_ context.Context, req *server.Request) (g server.Grant, err error) {
		if req.Header.Get("authorization") != "Bearer good" {
			return g, &server.RefusedError{Status: 401, Reason: "who are you?", Header: http.Header{"WWW-Authenticate": {"Bearer"}}}
		}
		return g, nil
	}})
	each(t, func(t *testing.T, open opener) {
		for _, tt := range []struct {
			header http.Header
			status int
		}{
			{http.Header{"Authorization": {"Bearer good"}}, 101},
			{http.Header{"Authorization": {"Bearer bad"}}, 401},
			{http.Header{"Authorization": {"Bearer good"}, "Origin": {"https://evil.example"}}, 403},
		} {
			p, resp, err := open(t, url, dialOptions{header: tt.header})
			if (err == nil) != (tt.status == 101) || resp == nil || resp.StatusCode != tt.status {
				t.Errorf("%v: got %v, %v; want %d", tt.header, resp, err, tt.status)
			}
			if p != nil {
				_ = p.close(1000, "")
			}
		}
	})
}

// TestServerManyConnections: many clients at once, each hears exactly its own echo.
func TestServerManyConnections(t *testing.T) {
	srv, url := serve(t, server.Config{Handler: echo{}})
	each(t, func(t *testing.T, open opener) {
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				p, _, err := open(t, url, dialOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				for j := range 20 {
					want := fmt.Appendf(nil, "client %d message %d", i, j)
					if err := p.send(true, want); err != nil {
						t.Error(err)
						return
					}
					if _, got, err := p.receive(); err != nil || !bytes.Equal(got, want) {
						t.Errorf("got %q, %v, want %q", got, err, want)
						return
					}
				}
				if err := p.close(1000, ""); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		testkit.Await(t, "all connections to be gone", func() bool { return srv.Stats().Connections == 0 })
	})
}

func TestServerUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agloop.sock")
	over := dialOptions{dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	for range 2 { // the second finds the first one's file
		srv := server.New(server.Config{Handler: echo{}, Logger: quiet(), Loops: 1})
		served := make(chan error, 1)
		go func() { served <- srv.Serve("unix://" + path) }()
		testkit.Await(t, "the server to run", func() bool { return srv.Addr() != nil })
		each(t, func(t *testing.T, open opener) {
			p, _, err := open(t, "ws://agloop/ws", over)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.send(true, []byte("over a file")); err != nil {
				t.Fatal(err)
			}
			if _, got, err := p.receive(); err != nil || string(got) != "over a file" {
				t.Errorf("got %q, %v", got, err)
			}
			if err := p.close(1000, ""); err != nil {
				t.Error(err)
			}
		})
		cfg := clientConfig()
		h := newToChannel()
		cfg.Handler = h
		cfg.Dial = over.dial
		c := connect(t, "ws://agloop/ws", cfg)
		c.Conn().Send(server.Text, []byte("agloop over a file"))
		if s := <-h.got; s != "trueagloop over a file" {
			t.Errorf("got %q", s)
		}
		c.Close()
		if err := srv.Shutdown(within(t)); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, server.ErrServerClosed) {
			t.Error(err)
		}
	}
}

// TestServerSeveral: a server on two listeners, and a second server beside it.
func TestServerSeveral(t *testing.T) {
	var met [2]atomic.Int64
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	a, b, c := listen(), listen(), listen()
	first := serveOn(t, a, server.Config{Handler: counting{n: &met[0]}})
	second := make(chan error, 1)
	go func() { second <- first.ServeListener(b) }()
	serveOn(t, c, server.Config{Handler: counting{n: &met[1]}})
	each(t, func(t *testing.T, open opener) {
		for _, ln := range []net.Listener{a, b, c} {
			p := dial(t, open, "ws://"+ln.Addr().String()+"/ws")
			if err := p.send(true, []byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := p.receive(); err != nil {
				t.Fatal(err)
			}
			if err := p.close(1000, ""); err != nil {
				t.Error(err)
			}
		}
	})
	if met[0].Load() != 4 || met[1].Load() != 2 {
		t.Errorf("%d and %d messages, want 4 and 2", met[0].Load(), met[1].Load())
	}
	if err := first.Shutdown(within(t)); err != nil {
		t.Error(err)
	}
	if err := <-second; !errors.Is(err, server.ErrServerClosed) {
		t.Errorf("the second listener: %v", err)
	}
	p := dial(t, dialGorilla, "ws://"+c.Addr().String()+"/ws") // the other server goes on
	if err := p.close(1000, ""); err != nil {
		t.Error(err)
	}
	if err := first.ServeListener(listen()); !errors.Is(err, server.ErrServerClosed) {
		t.Errorf("after Shutdown: %v", err)
	}
}

type counting struct {
	echo
	n *atomic.Int64
}

func (h counting) OnMessage(c *server.Conn, op server.Opcode, p []byte) {
	h.n.Add(1)
	h.echo.OnMessage(c, op, p)
}

func TestServerHTTP(t *testing.T) {
	srv, url := serve(t, server.Config{Handler: echo{}})
	base := "http" + url[len("ws"):len(url)-len("/ws")]
	for path, want := range map[string]int{"/ping": 200, "/ws": 426, "/": 426} {
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", path, resp.Status, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	testkit.Await(t, "the slots to be free", func() bool { return srv.Stats().Connections == 0 })
}
