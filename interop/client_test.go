package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/server"
	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// accepter runs a server that calls serve with its end of every connection, and closes it
// afterwards.
type accepter = func(t testing.TB, serve func(peer)) (url string)

// accepters are the servers that every test of a client runs with.
var accepters = []struct {
	name   string
	handle func(t testing.TB, serve func(peer)) http.HandlerFunc
}{
	{"gorilla", func(t testing.TB, serve func(peer)) http.HandlerFunc {
		up := gorilla.Upgrader{Subprotocols: []string{"agui.v1"}}
		return func(w http.ResponseWriter, r *http.Request) {
			conn, err := up.Upgrade(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			p := &gorillaPeer{conn: conn, pongs: make(chan string, 1)}
			conn.SetPongHandler(func(s string) error { p.pongs <- s; return nil })
			serve(p)
		}
	}},
	{"coder", func(t testing.TB, serve func(peer)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, err := coder.Accept(w, r, &coder.AcceptOptions{Subprotocols: []string{"agui.v1"}})
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.CloseNow()
			conn.SetReadLimit(-1)
			ctx, cancel := context.WithTimeout(r.Context(), patience)
			defer cancel()
			serve(&coderPeer{conn, ctx})
		}
	}},
}

// eachServer runs a test with every server, by ws and by wss.
func eachServer(t *testing.T, f func(t *testing.T, accept accepter)) {
	for _, lib := range accepters {
		for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
			name, serve := lib.name, serveHTTP
			if version != 0 {
				name += ", " + tls.VersionName(version)
				serve = func(t testing.TB, h http.HandlerFunc) string { return serveHTTPS(t, h, version) }
			}
			t.Run(name, func(t *testing.T) {
				f(t, func(t testing.TB, with func(peer)) string { return serve(t, lib.handle(t, with)) })
			})
		}
	}
}

// connect is client.Dial that must succeed.
func connect(t testing.TB, url string, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.Dial(within(t), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// toChannel gives each message, and the end, to channels with room for them.
type toChannel struct {
	client.NopHandler
	got  chan string
	ends chan *client.CloseError
}

func newToChannel() toChannel {
	return toChannel{got: make(chan string, 16), ends: make(chan *client.CloseError, 1)}
}

func (h toChannel) OnMessage(_ *client.Conn, op server.Opcode, p []byte) {
	h.got <- fmt.Sprint(op == server.Text) + string(p)
}

func (h toChannel) OnClose(_ *client.Conn, why *client.CloseError) { h.ends <- why }

func TestClientEcho(t *testing.T) {
	eachServer(t, func(t *testing.T, accept accepter) {
		url := accept(t, func(p peer) {
			if err := p.send(true, []byte("hello from "+p.protocol())); err != nil {
				t.Error(err)
			}
			for n := 1; ; n++ {
				text, b, err := p.receive()
				if err != nil {
					return
				}
				if n%2 == 0 {
					err = p.send(text, b)
				} else {
					err = p.sendInPieces(text, b, 1+len(b)/7)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		h := newToChannel()
		cfg := clientConfig()
		cfg.Handler, cfg.Protocols = h, []string{"agui.v0", "agui.v1"}
		c := connect(t, url, cfg)
		if got := <-h.got; got != "truehello from agui.v1" || c.Protocol() != "agui.v1" {
			t.Errorf("got %q, protocol %q", got, c.Protocol())
		}
		for _, n := range []int{0, 8, 120, 128, 65528, 65536, 1 << 20} {
			for _, op := range []server.Opcode{server.Text, server.Binary} {
				for range 2 {
					c.Conn().Send(op, payload(n))
					if got, want := <-h.got, fmt.Sprint(op == server.Text)+string(payload(n)); got != want {
						t.Fatalf("%d bytes: got %d back", n, len(got))
					}
				}
			}
		}
		c.Close()
		if why := <-h.ends; why.Code != 1000 || why.Remote {
			t.Errorf("OnClose was told %v", why)
		}
	})
}

func TestClientPing(t *testing.T) {
	eachServer(t, func(t *testing.T, accept accepter) {
		done := make(chan error, 1)
		url := accept(t, func(p peer) {
			done <- p.ping("are you there?")
			_, _, _ = p.receive()
		})
		cfg := clientConfig()
		cfg.Handler = echo{}
		connect(t, url, cfg)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestClientCloseCodes(t *testing.T) {
	eachServer(t, func(t *testing.T, accept accepter) {
		seen := make(chan error, 1)
		todo := make(chan int, 1)
		url := accept(t, func(p peer) {
			if code := <-todo; code != 0 {
				seen <- p.close(code, "server")
				return
			}
			_, _, err := p.receive()
			seen <- err
		})
		for _, code := range []int{1000, 1001, 1008, 1011, 3000, 4999} {
			h := newToChannel()
			cfg := clientConfig()
			cfg.Handler = h
			todo <- code
			connect(t, url, cfg)
			if why := <-h.ends; int(why.Code) != code || why.Reason != "server" || !why.Remote {
				t.Errorf("the server closed with %d: OnClose was told %v", code, why)
			}
			if err := <-seen; err != nil {
				t.Errorf("the server closed with %d: %v", code, err)
			}

			todo <- 0
			c := connect(t, url, cfg)
			c.Conn().Close(server.CloseCode(code), "client")
			if got, reason := closedWith(<-seen); got != code || reason != "client" {
				t.Errorf("the client closed with %d: the server saw %d %q", code, got, reason)
			}
			if why := <-h.ends; int(why.Code) != code || why.Remote {
				t.Errorf("the client closed with %d: OnClose was told %v", code, why)
			}
		}
	})
}

func TestClientRefused(t *testing.T) {
	type answer struct {
		status int
		header string
	}
	for _, a := range []answer{{401, ""}, {403, ""}, {404, ""}, {503, "7"}, {200, ""}} {
		url := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
			if a.header != "" {
				w.Header().Set("Retry-After", a.header)
			}
			w.WriteHeader(a.status)
		})
		_, err := client.Dial(within(t), url, clientConfig())
		de, ok := errors.AsType[*client.DialError](err)
		if !ok || de.Status != a.status || a.header != "" && de.RetryAfter != 7*time.Second {
			t.Errorf("status %d: got %#v", a.status, err)
		}
	}
	accept := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
	raw := []struct{ name, response string }{
		{"accept key of another request", accept + "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"},
		{"no HTTP", "SSH-2.0-OpenSSH_9.9\r\n\r\n"},
		{"endless", accept + strings.Repeat("x", 20_000)},
	}
	for _, tt := range raw {
		_, err := client.Dial(within(t), rawServer(t, tt.response), clientConfig())
		if _, ok := errors.AsType[*client.DialError](err); !ok {
			t.Errorf("%s: got %v, want a DialError", tt.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Dial(ctx, rawServer(t, "HTTP/1.1 101"), clientConfig()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("half a response: %v", err)
	}
	if _, err := client.Dial(within(t), rawServer(t, ""), client.Config{Limits: client.Limits{HandshakeTimeout: 50 * time.Millisecond}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no response: %v", err)
	}
	if _, err := client.Dial(within(t), "ftp://127.0.0.1:1/", clientConfig()); err == nil {
		t.Error("ftp: no error")
	}
}

// rawServer answers the first connection with bytes and keeps it open for the test.
func rawServer(t testing.TB, response string) (url string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		_, _ = io.WriteString(nc, response)
		_, _ = io.Copy(io.Discard, nc) // until the client gives up
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return "ws://" + ln.Addr().String() + "/ws"
}

// TestClientEarly: frames that the server sends in one write with its response.
func TestClientEarly(t *testing.T) {
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		nc, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		response := handshake.AppendSwitchingProtocols(nil, []byte(r.Header.Get("Sec-WebSocket-Key")), "", "", nil)
		response = append(response, "\x81\x05early\x88\x02\x03\xE8"...)
		_, _ = nc.Write(response)
		_, _ = io.Copy(io.Discard, buf)
	})
	h := newToChannel()
	cfg := clientConfig()
	cfg.Handler = h
	connect(t, url, cfg)
	if got := <-h.got; got != "trueearly" {
		t.Errorf("got %q", got)
	}
	if why := <-h.ends; why.Code != 1000 || !why.Remote {
		t.Errorf("OnClose was told %v", why)
	}
}
