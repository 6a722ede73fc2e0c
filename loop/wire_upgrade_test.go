package loop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// TestWireUpgradeBehindHead: frames sent with the request reach the handler exactly once, wherever
// the bytes are split.
func TestWireUpgradeBehindHead(t *testing.T) {
	s := serveWire(t, &handler{}, nil)
	head := request()
	stream := join(head, text("one"), masked(0b1_000_1001, []byte("ping")), masked(0b0_000_0001, []byte("tw")), masked(0b1_000_0000, []byte("o")))
	check := func(parts ...[]byte) {
		t.Helper()
		p := s.connect(t)
		p.putApart(parts...)
		p.WantSwitch()
		p.Want(0b1_000_0001, []byte("one"))
		p.Want(0b1_000_1010, []byte("ping"))
		p.Want(0b1_000_0001, []byte("two"))
		p.HangUp()
	}
	check(stream)
	check(eachByte(stream)...)
	for i := 1; i < len(stream); i++ {
		check(stream[:i], stream[i:])
	}

	p := s.connect(t)
	p.Put(head, plain(0b1_000_0001, []byte("unmasked"))) // a second request, for instance
	p.WantSwitch()
	p.WantClose(1002)
}

func TestWireUpgradeRefused(t *testing.T) {
	without := func(name string, lines ...string) []byte {
		all := strings.Split(strings.TrimSuffix(string(request()), "\r\n\r\n"), "\r\n")
		kept := all[:0]
		for _, line := range all {
			if !strings.HasPrefix(line, name) {
				kept = append(kept, line)
			}
		}
		return testkit.HTTP(append(kept, lines...)...)
	}
	whole := string(request())
	sized := func(n int) []byte { // a head of n bytes
		return request("X: " + strings.Repeat("x", n-len(request("X: "))))
	}
	counted := func(n int) []byte { // a head of n fields
		return request(strings.Split(strings.Repeat("X: x\n", n-5), "\n")[:n-5]...)
	}
	tests := []struct {
		name   string
		head   []byte
		status int // 101: accepted
	}{
		{"16,384 bytes", sized(16384), 101},
		{"16,385 bytes", sized(16385), 431},
		{"no end in 16,385 bytes", sized(17000)[:16385], 431},
		{"64 fields", counted(64), 101},
		{"65 fields", counted(65), 431},
		{"request line of 16,385 bytes", testkit.HTTP("GET /ws?" + strings.Repeat("x", 16385-len("GET /ws? HTTP/1.1")) + " HTTP/1.1"), 431},

		{"Content-Length", request("Content-Length: 5"), 400}, // RFC 9112 §6
		{"Content-Length: 0", request("Content-Length: 0"), 101},
		{"Content-Length twice", request("Content-Length: 0", "Content-Length: 0"), 400},
		{"Transfer-Encoding", request("Transfer-Encoding: chunked"), 400},
		{"folded field, RFC 9112 §5.2", request("X: a", " b"), 400},
		{"space before the colon, §5.1", request("X : a"), 400},
		{"bare LF, §2.2", []byte(strings.ReplaceAll(whole, "\r\n", "\n")), 400},
		{"one bare LF", []byte(strings.Replace(whole, "\r\nUpgrade", "\nUpgrade", 1)), 400},
		{"bare CR", request("X: a\rb"), 400},
		{"NUL", request("X: a\x00b"), 400},
		{"no name", request(": a"), 400},
		{"Host twice", request("Host: localhost"), 400},
		{"Key twice", request("Sec-WebSocket-Key: " + testkit.Key), 400},
		{"Version twice", request("Sec-WebSocket-Version: 13"), 400},
		{"no Host", without("Host:"), 400},
		{"bad Host", without("Host:", "Host: user@localhost"), 400},
		{"other authority", []byte(strings.Replace(whole, "GET /ws", "GET http://other.example/ws", 1)), 400},

		{"no Key, RFC 6455 §4.2.1", without("Sec-WebSocket-Key:"), 400},
		{"Key of 23", without("Sec-WebSocket-Key:", "Sec-WebSocket-Key: "+testkit.Key[1:]), 400},
		{"Key of 25", without("Sec-WebSocket-Key:", "Sec-WebSocket-Key: "+testkit.Key+"="), 400},
		{"Key no base64", without("Sec-WebSocket-Key:", "Sec-WebSocket-Key: ????????????????????????"), 400},
		{"Connection without upgrade", without("Connection:", "Connection: keep-alive"), 400},
		{"Connection with more", without("Connection:", "Connection: keep-alive, UPGRADE"), 101},
		{"Upgrade with more", without("Upgrade:", "Upgrade: websocket, h2c"), 400},
		{"WebSocket in capitals", without("Upgrade:", "Upgrade: WEBSOCKET"), 101},
		{"POST", []byte(strings.Replace(whole, "GET", "POST", 1)), 405},
		{"HTTP/1.0", []byte(strings.Replace(whole, "HTTP/1.1", "HTTP/1.0", 1)), 505},
		{"subprotocol is no token", request("Sec-WebSocket-Protocol: a b"), 400},

		{"version 12, §4.4", without("Sec-WebSocket-Version:", "Sec-WebSocket-Version: 12"), 426},
		{"no version", without("Sec-WebSocket-Version:"), 426},

		{"page of another origin, §10.2", request("Origin: http://evil.example"), 403},
		{"https where http is served", request("Origin: https://localhost"), 403},
		{"origin as a prefix", request("Origin: http://localhost.evil.example"), 403},
		{"origin with user information", request("Origin: http://localhost@evil.example"), 403},
		{"origin with a port", request("Origin: http://localhost:81"), 403},
		{"origin null", request("Origin: null"), 403},
		{"empty origin", request("Origin:"), 403},
		{"origin twice", request("Origin: http://localhost", "Origin: http://localhost"), 400},
		{"own origin", request("Origin: http://localhost"), 101},
		{"listed origin", request("Origin: https://app.example"), 101},
		{"absolute target", []byte(strings.Replace(whole, "GET /ws", "GET http://localhost/ws", 1)), 101},
	}
	h := &handler{}
	s := serveWire(t, h, func(cfg *loop.DoorConfig) { cfg.Origins.Allowed = []string{"https://app.example"} })
	refused := uint64(0)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, parts := range [][][]byte{{tt.head}, chunks(tt.head, 1+len(tt.head)/5), eachByte(tt.head)} {
				p := s.connect(t)
				opened := h.opened.Load()
				p.putApart(parts...)
				if tt.status == 101 {
					p.WantSwitch()
					p.HangUp()
					continue
				}
				p.putApart(text("nobody may see this"))
				fields := p.WantRefusal(tt.status)
				refused++
				if v, wrong := fields["Sec-WebSocket-Version"], tt.status == 426; wrong != (v == "13") {
					t.Errorf("Sec-WebSocket-Version: %q with status %d", v, tt.status)
				}
				if h.opened.Load() != opened {
					t.Error("the handler was told of the connection")
				}
			}
		})
	}
	if got := s.stats().BadUpgrade; got != refused {
		t.Errorf("%d refusals counted, want %d", got, refused)
	}
}

func TestWireUpgradeProtocol(t *testing.T) {
	tests := []struct{ offer, want string }{
		{"", ""},
		{"b", "b"},
		{"b, a", "a"}, // the server's order
		{"c", ""},
		{"A", ""}, // names are compared exactly
		{"c\r\nSec-WebSocket-Protocol: b", "b"},
	}
	s := serveWire(t, &handler{}, func(cfg *loop.DoorConfig) { cfg.Protocols = []string{"a", "b"} })
	for _, tt := range tests {
		p := s.connect(t)
		if tt.offer == "" {
			p.Put(request())
		} else {
			p.Put(request("Sec-WebSocket-Protocol: " + tt.offer))
		}
		if got := p.WantSwitch()["Sec-WebSocket-Protocol"]; got != tt.want {
			t.Errorf("offer %q: got %q, want %q", tt.offer, got, tt.want)
		}
		p.HangUp()
	}
}

func TestWireAuthorize(t *testing.T) {
	h := &handler{open: func(c *loop.Conn) { c.Send(frame.Text, []byte(fmt.Sprint(c.User()))) }}
	s := serveWire(t, h, func(cfg *loop.DoorConfig) {
		cfg.Authorize = func(_ context.Context, req *auth.Request) (g auth.Grant, err error) {
			switch who := req.Header.Get("authorization"); who {
			case "nobody":
				return g, errors.New("secret reason")
			case "later":
				return g, &auth.RefusedError{Status: 429, Reason: "slow down", Header: http.Header{"Retry-After": {"90"}}}
			case "panic":
				panic("in Authorize")
			default:
				g.Principal.Value = who
				return g, nil
			}
		}
	})
	p := s.connect(t)
	p.Put(request("Authorization: ann"))
	p.WantSwitch()
	p.Want(0b1_000_0001, []byte("ann"))
	p.HangUp()

	p = s.connect(t)
	p.Put(request("Authorization: nobody"))
	p.WantRefusal(403)

	p = s.connect(t)
	p.Put(request("Authorization: later"))
	if after := p.WantRefusal(429)["Retry-After"]; after != "90" {
		t.Errorf("Retry-After: %q", after)
	}

	p = s.connect(t)
	p.Put(request("Authorization: panic"))
	if b, _ := io.ReadAll(p); strings.HasPrefix(string(b), "HTTP/1.1 101") {
		t.Errorf("a panic let the peer in: %q", b)
	}
	if n := s.stats().Panics; n != 1 {
		t.Errorf("%d panics counted", n)
	}
}

// TestWireClosedInHandshake: a connection that is closed while its handshake is judged, as by a
// server that stops, sends nothing that a client could take for an answer but is none.
func TestWireClosedInHandshake(t *testing.T) {
	slots := make(chan *loop.Slots, 1)
	h := &handler{}
	s := serveWire(t, h, func(cfg *loop.DoorConfig) {
		cfg.Authorize = func(context.Context, *auth.Request) (g auth.Grant, err error) {
			(<-slots).Each(func(c *loop.Conn) { c.Close(1001, "") })
			return g, nil
		}
	})
	slots <- s.door.Slots()
	p := s.connect(t)
	p.Put(request(), text("hello"))
	if p.Peek(testkit.Patience) == nil {
		p.WantSwitch()
		p.WantGoodbye(1001)
	}
	p.Close()
	if n := h.messages.Load(); n != 0 {
		t.Errorf("%d messages after Close", n)
	}
}

// TestWireHTTP: what asks for no WebSocket here reaches the HTTP side with every byte.
func TestWireHTTP(t *testing.T) {
	body := string(pattern(3000))
	tests := []struct {
		name    string
		request []byte
	}{
		{"no upgrade", testkit.HTTP("GET /ws HTTP/1.1", "Host: a")},
		{"other path", []byte(strings.Replace(string(request()), "/ws", "/other", 1))},
		{"path below", []byte(strings.Replace(string(request()), "/ws", "/ws/", 1))},
		{"other path and version", []byte(strings.NewReplacer("/ws", "/other", ": 13", ": 12").Replace(string(request())))},
		{"with a body", join(testkit.HTTP("POST /x HTTP/1.1", "Host: a", "Content-Length: 3000"), []byte(body))},
		{"bare LF", []byte("GET / HTTP/1.0\n\n")},
		{"no HTTP at all", []byte("\x01\x02\x03 hello?\r\n\r\n")},
	}
	type served struct {
		bytes string
		err   error
	}
	want := make(chan int, 1)
	got := make(chan served, 1)
	s := serveWire(t, &handler{}, func(cfg *loop.DoorConfig) {
		cfg.HTTP = func(nc *loop.HTTPConn) {
			defer nc.Close()
			b := make([]byte, <-want)
			_, err := io.ReadFull(nc, b)
			got <- served{string(b), err}
			_, _ = io.WriteString(nc, "served")
		}
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			end := strings.Index(string(tt.request), "\r\n\r\n") + 4
			if end == 3 {
				end = len(tt.request)
			}
			head, rest := tt.request[:end], tt.request[end:]
			for _, parts := range [][][]byte{{head, rest}, {join(head, rest[:len(rest)/3]), rest[len(rest)/3:]}, {tt.request, nil}, append(eachByte(head), rest)} {
				want <- len(tt.request)
				p := s.connect(t)
				p.putApart(parts[:len(parts)-1]...)
				p.Put(parts[len(parts)-1]) // when the connection has left the loop
				if g := <-got; g.err != nil || g.bytes != string(tt.request) {
					t.Fatalf("HTTP side read %.60q (%d bytes), %v; want %d bytes", g.bytes, len(g.bytes), g.err, len(tt.request))
				}
				if b, err := io.ReadAll(p); string(b) != "served" {
					t.Fatalf("got %q, %v from the HTTP side", b, err)
				}
			}
		})
	}
	if n := s.stats().Opened; n != 0 {
		t.Errorf("%d connections were upgraded", n)
	}
}

// TestWireFull: without a slot the answer is 503, and a slot given back is as good as a new one,
// whoever held it.
func TestWireFull(t *testing.T) {
	hold := make(chan net.Conn, 1)
	s := serveWire(t, &handler{}, func(cfg *loop.DoorConfig) {
		cfg.Quotas.Conns = 1
		cfg.HTTP = func(nc *loop.HTTPConn) { hold <- nc }
	})
	full := func() {
		t.Helper()
		for _, head := range [][]byte{request(), request("Cookie: " + strings.Repeat("x", 4000))} {
			p := s.connect(t)
			p.Put(head)
			if status, fields := p.Head(); status != 503 || fields["Retry-After"] != "1" {
				t.Fatalf("got status %d, %v", status, fields)
			}
			p.Close()
		}
	}
	free := func() {
		t.Helper()
		await(t, "the slot to be free", func() bool { return s.door.Slots().Used() == 0 })
	}
	for range 3 {
		p := s.dial(t)
		full()
		p.HangUp()
		free()
	}
	half := s.connect(t) // an opening handshake keeps nobody out
	half.putApart(request()[:20])
	p := s.connect(t) // and neither does a connection that went to the HTTP side
	p.Put(testkit.HTTP("GET / HTTP/1.1", "Host: a"))
	nc := <-hold
	p = s.dial(t)
	full()
	half.Put(request()[20:])
	if status, _ := half.Head(); status != 503 {
		t.Errorf("the slower of two was answered %d", status)
	}
	half.Close()
	p.HangUp()
	nc.Close()
	free()

	p = s.dial(t)
	p.Put(text("still works"))
	p.Want(0b1_000_0001, []byte("still works"))
	p.HangUp()
	if n := s.stats().Refused; n != 9 {
		t.Errorf("%d refusals counted, want 9", n)
	}
}
