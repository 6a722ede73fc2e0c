package loop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// dialling is an engine that dials peers made of bytes.
type dialling struct {
	t      *testing.T
	engine *loop.Engine
	limits loop.Limits
	proxy  bool
}

func newDialling(t *testing.T, limits loop.Limits) *dialling {
	t.Helper()
	engine, err := loop.NewEngine(1, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if limits, err = limits.WithDefaults(); err != nil {
		t.Fatal(err)
	}
	return &dialling{t, engine, limits, false}
}

// dial dials a peer that talks, and then reads what is left: the connection must be closed unless
// it came about.
func (d *dialling) dial(ctx context.Context, h loop.Handler, talk func(p *serverPeer)) (*loop.Conn, error) {
	d.t.Helper()
	ours, theirs := wirePair(d.t)
	p := &serverPeer{testkit.Attach(d.t, theirs), d.t}
	over := make(chan struct{})
	go func() {
		defer close(over)
		talk(p)
		_, _ = io.Copy(io.Discard, p)
		p.Close()
	}()
	cfg := loop.DialConfig{URL: "ws://a.example/ws", Request: handshake.DialRequest{Host: "a.example", Target: "/ws?token=secret"}}
	if d.proxy {
		cfg.Proxy = "p.example:3128"
		cfg.Connect = handshake.ConnectRequest{Addr: "a.example:80", Authorization: "Basic secret"}
	}
	c, _, err := d.engine.NewDialer(loop.EndpointConfig{
		Handler: h, Limits: d.limits, Log: slog.New(slog.DiscardHandler),
	}).Dial(ctx, ours, cfg)
	if err != nil {
		testkit.Receive(d.t, "the connection is closed", over)
		if strings.Contains(err.Error(), "secret") {
			d.t.Errorf("%q has a secret", err)
		}
	}
	return c, err
}

// refused dials a peer that talks, and returns how it refused.
func (d *dialling) refused(talk func(p *serverPeer)) *handshake.DialError {
	d.t.Helper()
	_, err := d.dial(d.t.Context(), loop.NopHandler{}, talk)
	refused, ok := errors.AsType[*handshake.DialError](err)
	if !ok {
		d.t.Fatalf("got %v, want a DialError", err)
	}
	return refused
}

// says answers the first request.
func says(answer string) func(p *serverPeer) {
	return func(p *serverPeer) {
		_, _ = http.ReadRequest(p.buffered())
		_, _ = io.WriteString(p, answer)
	}
}

// TestWireDialRefusal: fields and body of a refusal, however it ends and whoever gives it.
func TestWireDialRefusal(t *testing.T) {
	long := strings.Repeat("long ", 2000)
	const head = "HTTP/1.1 403 Forbidden\r\nX-Why: because\r\nx-why: so\r\n"
	for name, c := range map[string]struct{ answer, body string }{
		"length":         {head + "Content-Length: 5\r\n\r\nhello", "hello"},
		"length, long":   {head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(long), long), long[:4<<10]},
		"chunked":        {head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4;x\r\n you\r\n0\r\n\r\n", "hello you"},
		"chunked, long":  {head + "Transfer-Encoding: chunked\r\n\r\n2710\r\n" + long + "\r\n", long[:4<<10]},
		"never ends":     {head + "\r\nhello", "hello"},
		"empty":          {head + "Content-Length: 0\r\n\r\n", ""},
		"promises more":  {head + "Content-Length: 5000\r\n\r\nhello", "hello"},
		"promises a lot": {head + "Content-Length: 5000\r\n\r\n" + long, long[:4<<10]},
	} {
		for _, proxy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, proxy %t", name, proxy), func(t *testing.T) {
				t.Parallel() // one that never ends is waited for
				d := newDialling(t, loop.Limits{})
				d.proxy = proxy
				e := d.refused(says(c.answer))
				if e.Status != 403 || fmt.Sprint(e.Header["X-Why"]) != "[because so]" || string(e.Body) != c.body {
					t.Errorf("got %+v", e)
				}
				if want := map[bool]string{true: "p.example:3128"}[proxy]; e.Proxy != want {
					t.Errorf("proxy %q, want %q", e.Proxy, want)
				}
			})
		}
	}
}

// TestWireDialFlawed: a 101 that is refused shows its fields; what comes behind it is no body.
func TestWireDialFlawed(t *testing.T) {
	e := newDialling(t, loop.Limits{}).refused(says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nhello"))
	if e.Status != 101 || e.Header.Get("Upgrade") != "h2c" || e.Body != nil {
		t.Errorf("got %+v", e)
	}
}

// TestWireDialHead: Limits.MaxHeader alone bounds a response head, also the proxy's.
func TestWireDialHead(t *testing.T) {
	fill := func(size int) string { return "X: " + strings.Repeat("x", size-len("X: \r\n")) + "\r\n" }
	for _, limit := range []int{0, 1 << 10, 64 << 10} {
		for _, proxy := range []bool{false, true} {
			d := newDialling(t, loop.Limits{MaxHeader: limit})
			d.proxy = proxy
			const first, last = "HTTP/1.1 403 Forbidden\r\n", "Content-Length: 0\r\n\r\n"
			room := d.limits.MaxHeader - len(first) - len(last)
			for _, fields := range []string{fill(room), strings.Repeat("A: b\r\n", room/6)} {
				if e := d.refused(says(first + fields + last)); e.Status != 403 {
					t.Errorf("a head of %d bytes: %v", d.limits.MaxHeader, e)
				}
			}
			e := d.refused(says(first + fill(room+1) + last))
			if want := fmt.Sprintf("larger than Limits.MaxHeader, %d bytes", d.limits.MaxHeader); e.Status != 0 || !strings.Contains(e.Error(), want) {
				t.Errorf("a head of a byte more: %v", e)
			}
			if (e.Proxy != "") != proxy {
				t.Errorf("of the proxy %q: %v", e.Proxy, e)
			}
		}
	}
}

// TestWireDialWaited: who waits in vain is told for what, and why the wait ended.
func TestWireDialWaited(t *testing.T) {
	silent := func(*serverPeer) {}
	const response = "the response to the opening handshake"
	for _, c := range []struct {
		name  string
		proxy bool
		talk  func(p *serverPeer)
		what  string
	}{
		{"silence", false, silent, response},
		{"half a head", false, says("HTTP/1.1 101 Swi"), response},
		{"a silent proxy", true, silent, "the response of the proxy p.example:3128"},
		{"half a proxy's head", true, says("HTTP/1.1 200"), "the response of the proxy p.example:3128"},
		{"silence behind a proxy", true, says("HTTP/1.1 200 OK\r\n\r\n"), response},
		{"half a head behind a proxy", true, says("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101"), response},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDialling(t, loop.Limits{HandshakeTimeout: -1})
			d.proxy = c.proxy
			ctx, cancel := context.WithCancel(t.Context())
			_, err := d.dial(ctx, loop.NopHandler{}, func(p *serverPeer) {
				c.talk(p)
				if strings.Contains(c.name, "behind") {
					_, _ = http.ReadRequest(p.buffered()) // the client has seen the proxy's answer
				}
				cancel()
			})
			isWaited(t, err, context.Canceled, c.what, 0)
			if strings.Contains(c.name, "behind") { // the proxy may take all the time there is
				return
			}
			const within = 20 * time.Millisecond
			d = newDialling(t, loop.Limits{HandshakeTimeout: within})
			d.proxy = c.proxy
			_, err = d.dial(t.Context(), loop.NopHandler{}, c.talk)
			isWaited(t, err, context.DeadlineExceeded, c.what, within)
		})
	}
}

// isWaited checks that err says what was waited for, for how long at least, and why no longer.
func isWaited(t *testing.T, err, cause error, what string, least time.Duration) {
	t.Helper()
	before, after, _ := strings.Cut(fmt.Sprint(err), " for ")
	took, bad := time.ParseDuration(strings.TrimPrefix(before, "agloop: dial ws://a.example/ws: waited "))
	if !errors.Is(err, cause) || after != what+": "+cause.Error() || bad != nil || took < least {
		t.Errorf("got %v", err)
	}
}

// TestWireDialHangUp: peers that close in the middle.
func TestWireDialHangUp(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 101", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101"} {
		for _, reset := range []bool{false, true} {
			d := newDialling(t, loop.Limits{HandshakeTimeout: -1})
			d.proxy = true
			_, err := d.dial(t.Context(), loop.NopHandler{}, func(p *serverPeer) {
				says(answer)(p)
				if reset {
					p.Reset()
				} else {
					p.Close()
				}
			})
			want := "waiting for the response of the proxy p.example:3128: "
			if strings.Contains(answer, "200") {
				want = "waiting for the response to the opening handshake: "
			}
			if err == nil || !strings.HasPrefix(err.Error(), "agloop: dial ws://a.example/ws: "+want) && !reset {
				t.Errorf("%q, reset %t: %v", answer, reset, err)
			}
		}
	}
}

// TestWireDialProxy: what the proxy is asked, and that nothing behind its answer is lost, however
// that is cut.
func TestWireDialProxy(t *testing.T) {
	t.Run("refusal of the server in one write", func(t *testing.T) {
		d := newDialling(t, loop.Limits{})
		d.proxy = true
		e := d.refused(says("HTTP/1.1 200 Connection established\r\nContent-Length: 3\r\n\r\n" +
			"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nfull"))
		if e.Status != 503 || e.Proxy != "" || e.RetryAfter != 7*time.Second || string(e.Body) != "full" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("no HTTP", func(t *testing.T) {
		d := newDialling(t, loop.Limits{})
		d.proxy = true
		if e := d.refused(says("\x05\xff\r\n\r\n")); e.Status != 0 || e.Proxy == "" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("byte by byte", func(t *testing.T) {
		h := &handler{}
		d := newDialling(t, loop.Limits{})
		d.proxy = true
		echoed := make(chan string, 1)
		c, err := d.dial(t.Context(), h, func(p *serverPeer) {
			in := p.buffered()
			if req, err := http.ReadRequest(in); err != nil || req.Method != http.MethodConnect ||
				req.RequestURI != "a.example:80" || req.Host != "a.example:80" || len(req.Header) != 1 ||
				req.Header.Get("Proxy-Authorization") != "Basic secret" {
				t.Errorf("the proxy was asked %+v, %v", req, err)
			}
			for _, b := range eachByte([]byte("HTTP/1.0 200\nX: y\n\n")) {
				p.Put(b)
			}
			req, err := http.ReadRequest(in)
			if err != nil || req.Header.Get("Proxy-Authorization") != "" {
				t.Errorf("the server was asked %+v, %v", req, err)
				return
			}
			head := handshake.AppendSwitchingProtocols(nil, []byte(req.Header.Get("Sec-WebSocket-Key")), "", "", nil)
			for _, b := range eachByte(join(head, plain(0b1_000_0001, []byte("early")))) {
				p.Put(b)
			}
			echoed <- string(p.clientFrame().Payload)
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := testkit.Receive(t, "what came early", echoed); got != "early" {
			t.Errorf("got %q", got)
		}
		c.Close(1000, "")
		await(t, "OnClose", func() bool { return h.closed.Load() == 1 })
	})
}

// TestWireDialUnsent: who refuses without reading the request is heard.
func TestWireDialUnsent(t *testing.T) {
	d := newDialling(t, loop.Limits{})
	ours, theirs := wirePair(t)
	p := testkit.Attach(t, theirs)
	p.Put([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull"))
	if err := ours.(interface{ CloseWrite() error }).CloseWrite(); err != nil { // every write fails
		t.Fatal(err)
	}
	_, err := d.engine.Dial(t.Context(), ours, "a.example", loop.EndpointConfig{Limits: d.limits})
	if e, ok := errors.AsType[*handshake.DialError](err); !ok || e.Status != 503 || string(e.Body) != "full" {
		t.Errorf("got %v", err)
	}
	ours, theirs = wirePair(t)
	testkit.Attach(t, theirs).Close()
	if err := ours.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, err = d.engine.Dial(t.Context(), ours, "a.example", loop.EndpointConfig{Limits: d.limits})
	if err == nil || !strings.Contains(err.Error(), "write") {
		t.Errorf("got %v, want why nothing was written", err)
	}
}

// TestWireDialBadConnect: what no head can hold is not sent to a proxy.
func TestWireDialBadConnect(t *testing.T) {
	d := newDialling(t, loop.Limits{})
	ours, theirs := wirePair(t)
	p := testkit.Attach(t, theirs)
	_, _, err := d.engine.NewDialer(loop.EndpointConfig{Limits: d.limits}).Dial(t.Context(), ours, loop.DialConfig{
		Request: handshake.DialRequest{Host: "a.example"}, Proxy: "p:1",
		Connect: handshake.ConnectRequest{Addr: "a.example"},
	})
	if e, ok := errors.AsType[*handshake.DialError](err); !ok || e.Proxy != "" || e.Status != 0 {
		t.Errorf("got %v", err)
	}
	p.WantEnd()
}
