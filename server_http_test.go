package agloop_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// get sends a request on a connection that may have had others, and reads the response.
func get(t *testing.T, p *testkit.Peer, request string) (*http.Response, string) {
	t.Helper()
	p.Put([]byte(request))
	res, err := http.ReadResponse(bufio.NewReader(oneByte{p}), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// oneByte keeps a buffered reader from reading further than it must.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }

const ping = "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"

// TestUpgradeAfterHTTP: a connection that carried plain HTTP, as a proxy keeps one, becomes a
// WebSocket with a later request, early bytes included.
func TestUpgradeAfterHTTP(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}})
	for _, before := range []string{
		ping,
		ping + ping,
		"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
		"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HEAD /ping HTTP/1.1\r\nHost: localhost\r\n\r\n" + ping,
	} {
		p := testkit.Connect(t, addr, 0)
		p.Put([]byte(before))
		buf := bufio.NewReader(oneByte{p})
		for i := range strings.Count(before, "HTTP/1.1\r\n") {
			method := http.MethodGet
			if i == 0 && strings.HasPrefix(before, "HEAD") {
				method = http.MethodHead
			}
			res, err := http.ReadResponse(buf, &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
		}
		if n := srv.Stats().HTTP; n != 1 {
			t.Errorf("%d connections speak HTTP", n)
		}
		p.Put(testkit.Request(), testkit.Text("early"))
		p.WantSwitch()
		p.WantMessage(frame.Text, "early")
		if st := srv.Stats(); st.HTTP != 0 || st.Connections != 1 {
			t.Errorf("%d connections speak HTTP, %d slots are taken", st.HTTP, st.Connections)
		}
		p.HangUp()
		testkit.Await(t, "the slot is free", func() bool { return srv.Stats().Connections == 0 })
	}
}

// TestRefusedUpgradeCloses: whatever the path and the reason, and whether it is the first request or
// a later one.
func TestRefusedUpgradeCloses(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}})
	for _, later := range []string{"", ping} {
		for request, status := range map[string]int{
			string(at("/other")): 426,
			strings.Replace(string(testkit.Request()), ": 13", ": 12", 1): 426,
			string(testkit.Request("Origin: https://evil.example")):       403,
			strings.Replace(string(testkit.Request()), "GET", "PUT", 1):   405,
		} {
			p := testkit.Connect(t, addr, 0)
			if later != "" {
				get(t, p, later)
			}
			res, _ := get(t, p, request)
			if res.StatusCode != status || !res.Close {
				t.Errorf("after %q: %.20q was answered %s, close %t", later, request, res.Status, res.Close)
			}
			if status == 426 && res.Header.Get("Upgrade") != "websocket" {
				t.Errorf("426 without Upgrade: %v", res.Header)
			}
			if b, err := io.ReadAll(p); len(b) > 0 || err != nil {
				t.Errorf("after %q: behind the answer to %.20q: %q, %v", later, request, b, err)
			}
		}
	}
}

// TestBodyThatNeverComes: its connection is gone by the deadline of the body, and holds no slot of
// the WebSocket's meanwhile, however many there are.
func TestBodyThatNeverComes(t *testing.T) {
	const posts = 600 // more than may speak HTTP
	for name, body := range map[string]string{
		"length": "Content-Length: 5\r\n\r\nabc",
		"chunks": "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			srv, addr := serve(t, agloop.ServerConfig{
				Handler: echo{}, Quotas: agloop.Quotas{Conns: 1}, Limits: agloop.Limits{MessageTimeout: 300 * time.Millisecond},
				HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.ReadAll(r.Body); err != nil {
						http.Error(w, "no body", http.StatusRequestTimeout)
					}
				}),
			})
			var peers []*testkit.Peer
			for range posts {
				p := testkit.Connect(t, addr, 0)
				p.Put([]byte("POST / HTTP/1.1\r\nHost: localhost\r\n" + body))
				peers = append(peers, p)
			}
			p := testkit.Dial(t, addr)
			p.Put(testkit.Text("in"))
			p.WantMessage(frame.Text, "in")
			p.HangUp()
			for _, p := range peers {
				if _, err := io.Copy(io.Discard, p); err != nil && !strings.Contains(err.Error(), "reset") {
					t.Fatal(err)
				}
				p.Close()
			}
			testkit.Await(t, "all are gone", func() bool { return srv.Stats().HTTP == 0 })
		})
	}
}

// TestShutdownDoesNotWaitForHTTPPeers: a body that does not come and a response that nobody reads do
// not hold up an orderly end, though their own deadlines are far.
func TestShutdownDoesNotWaitForHTTPPeers(t *testing.T) {
	served := make(chan struct{}, 2)
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served <- struct{}{}
		if r.Method == http.MethodPost {
			io.Copy(io.Discard, r.Body)
			return
		}
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}), Limits: agloop.Limits{MessageTimeout: time.Hour, WriteTimeout: time.Hour}})
	post := testkit.Connect(t, addr, 0)
	post.Put([]byte("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabc"))
	testkit.Receive(t, "the request", served)
	deaf := testkit.Connect(t, addr, 4096)
	deaf.Put([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	testkit.Receive(t, "the request", served)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// TestResponseByProgress: a response may last longer than any deadline while its reader goes on, and
// fails when nothing of it is taken.
func TestResponseByProgress(t *testing.T) {
	const stall = 200 * time.Millisecond
	failed := make(chan error, 1)
	next := make(chan struct{})
	_, addr := serve(t, agloop.ServerConfig{
		Handler: echo{}, Limits: agloop.Limits{WriteTimeout: stall, MessageTimeout: stall, HandshakeTimeout: time.Second},
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stream" {
				for {
					fmt.Fprintln(w, "tick")
					http.NewResponseController(w).Flush()
					select {
					case <-next:
					case <-r.Context().Done():
						return
					}
				}
			}
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					failed <- err
					return
				}
			}
		}),
	})
	stream := testkit.Connect(t, addr, 0)
	stream.Put([]byte("POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"))
	res, err := http.ReadResponse(bufio.NewReader(oneByte{stream}), nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	for range 3 {
		if line, err := lines.ReadString('\n'); line != "tick\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		time.Sleep(2 * stall) // nothing is to happen
		next <- struct{}{}
	}
	stream.Close()

	deaf := testkit.Connect(t, addr, 4096)
	deaf.Put([]byte("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	if err := testkit.Receive(t, "the write that fails", failed); err == nil {
		t.Error("no error")
	}

	slow := testkit.Connect(t, addr, 4096)
	slow.Put([]byte("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	for range 20 { // longer than the deadline in all, but never at once
		slow.Fill(make([]byte, 64<<10))
		select {
		case err := <-failed:
			t.Fatal(err)
		case <-time.After(stall / 10):
		}
	}
	slow.Close()
	testkit.Receive(t, "the handler's end", failed)
}

// TestPlainHTTPWhileNobodyIsLetIn: with all slots taken, and with memory short, health checks are
// answered, and only upgrades are refused.
func TestPlainHTTPWhileNobodyIsLetIn(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, Quotas: agloop.Quotas{Conns: 1}, Performance: performance(), Logger: quiet})
	check := func(status int) {
		t.Helper()
		kept := testkit.Connect(t, addr, 0)
		for range 2 {
			if res, body := get(t, kept, ping); res.StatusCode != 200 || body != `{"status":"Healthy"}` {
				t.Errorf("ping: %s, %q", res.Status, body)
			}
		}
		for _, p := range []*testkit.Peer{kept, nil} {
			if p == nil {
				p = testkit.Connect(t, addr, 0)
			}
			res, _ := get(t, p, string(testkit.Request()))
			if res.StatusCode != status || status == 503 && (!res.Close || res.Header.Get("Retry-After") == "") {
				t.Errorf("upgrade: %s, %v", res.Status, res.Header)
			}
			p.Close()
			testkit.Await(t, "it is gone", func() bool { return srv.Stats().Connections <= 1 })
		}
	}
	p := testkit.Dial(t, addr)
	check(503)
	p.HangUp()
	testkit.Await(t, "the slot is free", func() bool { return srv.Stats().Connections == 0 })
	perf := srv.GetPerformanceManager()
	perf.ChangeTier(agloop.MemoryNormal, agloop.MemoryHigh)
	check(503)
	perf.ChangeTier(agloop.MemoryHigh, agloop.MemoryNormal)
	if r := srv.Stats().Refusals; r.Slots != 2 || r.Memory != 2 {
		t.Errorf("%+v", r)
	}
}

// TestHTTPSlots: when as many connections as may speak HTTP, one that rests makes room, and if none
// does the next is answered 503.
func TestHTTPSlots(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	entered := make(chan struct{}, 3)
	srv := agloop.NewServer(agloop.ServerConfig{Handler: echo{}, HTTP: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			entered <- struct{}{}
			<-gate
		}
	})})
	srv.SetHTTPSlots(2)
	_, addr := serveOn(t, ln, srv)
	wait := strings.Replace(ping, "/ping", "/wait", 1)
	first, second, third := testkit.Connect(t, addr, 0), testkit.Connect(t, addr, 0), testkit.Connect(t, addr, 0)
	get(t, first, ping)
	get(t, second, ping)
	testkit.Await(t, "both rest", func() bool { return srv.HTTPIdle() == 2 })
	third.Put([]byte(wait))
	testkit.Receive(t, "the third", entered)
	first.WantEnd() // it rested longest
	second.Put([]byte(wait))
	testkit.Receive(t, "the second", entered)
	fourth := testkit.Connect(t, addr, 0)
	if res, _ := get(t, fourth, ping); res.StatusCode != 503 {
		t.Errorf("with no slot: %s", res.Status)
	}
	close(gate)
}

// TestHeaderLimitOfLaterRequests is that of the first.
func TestHeaderLimitOfLaterRequests(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, Limits: agloop.Limits{MaxHeader: 8 << 10}})
	sized := func(n int) string {
		const head = "GET /ping HTTP/1.1\r\nHost: localhost\r\nX: \r\n\r\n"
		return strings.Replace(head, "X: ", "X: "+strings.Repeat("x", n-len(head)), 1)
	}
	for _, first := range []bool{true, false} {
		for n, status := range map[int]int{8<<10 - 10: 200, 8<<10 + 10: 431} {
			p := testkit.Connect(t, addr, 0)
			if !first {
				get(t, p, ping)
			}
			if res, _ := get(t, p, sized(n)); res.StatusCode != status {
				t.Errorf("%d bytes, first %t: %s", n, first, res.Status)
			}
			p.Close()
		}
	}
}

// TestLoopbackHosts: a page whose name was made to resolve to this machine is refused by default,
// though its origin equals its Host.
func TestLoopbackHosts(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}})
	_, listed := serve(t, agloop.ServerConfig{Handler: echo{}, Hosts: []string{"evil.example"}})
	_, port, _ := net.SplitHostPort(addr)
	rebound := strings.Replace(string(testkit.Request("Origin: http://evil.example:"+port)), "localhost", "evil.example:"+port, 1)
	for _, tt := range []struct {
		addr, before string
		status       int
	}{{addr, "", 403}, {addr, ping, 403}, {listed, "", 101}, {listed, ping, 101}} {
		p := testkit.Connect(t, tt.addr, 0)
		if tt.before != "" {
			get(t, p, tt.before)
		}
		p.Put([]byte(rebound))
		if status, _ := p.Head(); status != tt.status {
			t.Errorf("got status %d, want %d", status, tt.status)
		}
		p.Close()
	}
}

// TestTrustedProxies: what a trusted proxy says of its client counts for Authorize, the scheme of
// the origin, and quotas; that of others changes nothing. It is the same at every door.
func TestTrustedProxies(t *testing.T) {
	seen := make(chan *agloop.Request, 1)
	cfg := agloop.ServerConfig{
		Handler: echo{}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, Hosts: []string{"*"},
		Authorize: func(_ context.Context, req *agloop.Request) (g agloop.Grant, err error) {
			seen <- req
			return g, nil
		},
	}
	_, own := serve(t, cfg)
	mounted := mount(t, closing(t, agloop.NewServer(cfg)))
	for door, addr := range map[string]string{"own port": own, "after HTTP": own, "mounted": mounted} {
		for _, tt := range []struct{ from, origin, remote, scheme string }{
			{"127.0.0.2", "https://localhost", "1.2.3.4:0", "https"},
			{"127.0.0.2", "http://localhost", "", ""},
			{"127.0.0.1", "http://localhost", "127.0.0.1", "http"},
			{"127.0.0.1", "https://localhost", "", ""},
		} {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(tt.from)}}
			nc, err := d.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			p := testkit.Attach(t, nc)
			if door == "after HTTP" {
				get(t, p, ping)
			}
			p.Put(testkit.Request("X-Forwarded-For: 6.6.6.6, 1.2.3.4", "X-Forwarded-Proto: https", "Origin: "+tt.origin))
			status, _ := p.Head()
			if tt.scheme == "" {
				if status != 403 {
					t.Errorf("%s, %+v: got status %d", door, tt, status)
				}
				nc.Close()
				continue
			}
			req := testkit.Receive(t, "the request", seen)
			if status != 101 || !strings.HasPrefix(req.Remote.String(), tt.remote) || req.Scheme != tt.scheme {
				t.Errorf("%s, %+v: got status %d, from %s by %s", door, tt, status, req.Remote, req.Scheme)
			}
			nc.Close()
		}
	}
}

// TestProxyProtocol: the header comes first, before HTTP as before a WebSocket, cut anywhere; a
// connection without it is refused, and that of a peer that is not trusted changes nothing.
func TestProxyProtocol(t *testing.T) {
	header := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x7f\x00\x00\x01")
	header = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(header, 4660), 80)
	local := []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")
	seen := make(chan string, 1)
	_, addr := serve(t, agloop.ServerConfig{
		Handler: echo{}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, ProxyProtocol: true,
		Authorize: func(_ context.Context, req *agloop.Request) (g agloop.Grant, err error) {
			seen <- req.Remote.String()
			return g, nil
		},
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }),
	})
	for cut := range len(header) + 2 {
		p := testkit.Connect(t, addr, 0)
		all := append(header[:len(header):len(header)], testkit.Request()...)
		p.Put(all[:cut])
		p.Put(all[cut:])
		p.WantSwitch()
		if from := testkit.Receive(t, "the request", seen); from != "1.2.3.4:4660" {
			t.Fatalf("from %s", from)
		}
		p.HangUp()
	}
	p := testkit.Connect(t, addr, 0)
	p.Put(header)
	if _, body := get(t, p, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); body != "1.2.3.4:4660" {
		t.Errorf("HTTP from %s", body)
	}
	p.Put(testkit.Request()) // later on the same connection
	p.WantSwitch()
	if from := testkit.Receive(t, "the request", seen); from != "1.2.3.4:4660" {
		t.Errorf("from %s", from)
	}
	p.HangUp()

	p = testkit.Connect(t, addr, 0)
	p.Put(local, testkit.Request())
	p.WantSwitch()
	if from := testkit.Receive(t, "the request", seen); from != p.LocalAddr().String() {
		t.Errorf("the proxy itself comes from %s", from)
	}
	p.HangUp()

	p = testkit.Connect(t, addr, 0)
	p.Put(testkit.Request())
	p.WantRefusal(400)

	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.9")}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p = testkit.Attach(t, nc)
	p.Put(header, testkit.Request())
	p.WantSwitch()
	if from := testkit.Receive(t, "the request", seen); !strings.HasPrefix(from, "127.0.0.9:") {
		t.Errorf("from %s", from)
	}
	p.HangUp()
}

// TestControlRate: a flood of pings is cut off by default, and pongs that answer nothing are one.
func TestControlRate(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}})
	for _, op := range []byte{0x89, 0x8A} {
		p := testkit.Dial(t, addr)
		for range 21 {
			p.Put(testkit.Masked(op, []byte("x")))
		}
		for {
			op, payload, err := p.Message()
			if err != nil {
				t.Fatal(err)
			}
			if op == frame.Close {
				if code, reason, _ := frame.ParseClose(payload); code != agloop.ClosePolicy || string(reason) != "too many control frames" {
					t.Errorf("closed with %v, %q", code, reason)
				}
				break
			}
		}
		p.Close()
	}
}

// TestPerformanceBeforeServe: what is set before the server runs holds then, and a server that
// cannot listen has started nothing.
func TestPerformanceBeforeServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := agloop.NewServer(agloop.ServerConfig{Handler: echo{}})
	taken.GetPerformanceManager().OptimizeForThroughput()
	if err := taken.Serve(ln.Addr().String()); err == nil || errors.Is(err, agloop.ErrServerClosed) {
		t.Errorf("got %v", err)
	}
	if n := taken.Loops(); n != 0 {
		t.Errorf("%d loops run", n) // and the end of the package's tests looks for goroutines
	}

	srv := agloop.NewServer(agloop.ServerConfig{Handler: echo{}})
	srv.GetPerformanceManager().OptimizeForLatency()
	if srv.GetPerformanceManager().GetMetrics() == nil {
		t.Error("no metrics")
	}
	_, addr := serveOn(t, ln, srv)
	testkit.Dial(t, addr).HangUp()
	if p := srv.GetPerformanceManager().Profile(); p != agloop.ProfileLatency {
		t.Errorf("profile %s", p)
	}

	bad := agloop.NewServer(agloop.ServerConfig{})
	bad.GetPerformanceManager().EnableAdaptiveOptimization()
	if _, ok := errors.AsType[*agloop.ConfigError](bad.Serve("127.0.0.1:0")); !ok {
		t.Error("a bad config serves")
	}
}

// TestConnHooks: each connection is told of once, in order, off the loops; Shutdown waits for it.
func TestConnHooks(t *testing.T) {
	var mu sync.Mutex
	told := map[agloop.ConnID]string{}
	gate := make(chan struct{})
	tell := func(info agloop.ConnInfo, what string) {
		mu.Lock()
		defer mu.Unlock()
		told[info.ID] += what
	}
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, Logger: quiet, Hooks: agloop.Hooks{
		Connected: func(info agloop.ConnInfo) {
			<-gate
			if info.Path != "/ws" || !info.Remote.IsValid() || info.Opened.IsZero() {
				t.Errorf("%+v", info)
			}
			tell(info, "connected ")
			panic("in a hook")
		},
		Disconnected: func(info agloop.ConnInfo, why *agloop.CloseError) { tell(info, why.Code.String()) },
	}})
	const conns = 50
	for range conns {
		p := testkit.Dial(t, addr)
		p.Put(testkit.Text("while the hook blocks"))
		p.WantMessage(frame.Text, "while the hook blocks")
		p.HangUp()
	}
	close(gate)
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if len(told) != conns {
		t.Errorf("%d connections", len(told))
	}
	for id, what := range told {
		if what != "connected 1000" {
			t.Errorf("%d: %s", id, what)
		}
	}
}

// TestPeer: the connections of a principal are found by its key, and no others.
func TestPeer(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, Authorize: func(_ context.Context, req *agloop.Request) (g agloop.Grant, err error) {
		g.Principal.Key = req.RawQuery
		return g, nil
	}})
	dial := func(who string) *testkit.Peer {
		p := testkit.Connect(t, addr, 0)
		p.Put(at("/ws?" + who))
		p.WantSwitch()
		return p
	}
	ann := []*testkit.Peer{dial("ann"), dial("ann")}
	bob, anonymous := dial("bob"), dial("")
	if n := srv.Peer("ann").Count(); n != 2 {
		t.Errorf("ann has %d connections", n)
	}
	for _, info := range srv.Peer("ann").Conns() {
		if info.Principal.Key != "ann" || srv.Conn(info.ID) == nil {
			t.Errorf("%+v", info)
		}
	}
	if n := srv.Peer("").Count() + srv.Peer("nobody").Kick(agloop.ClosePolicy, ""); n != 0 {
		t.Errorf("nobody has %d connections", n)
	}
	if n := srv.Peer("ann").Kick(agloop.ClosePolicy, "out"); n != 2 {
		t.Errorf("%d were kicked", n)
	}
	for _, p := range ann {
		if reason := p.WantGoodbye(frame.ClosePolicy); reason != "out" {
			t.Errorf("reason %q", reason)
		}
	}
	testkit.Await(t, "she is gone", func() bool { return srv.Peer("ann").Count() == 0 })
	for _, p := range []*testkit.Peer{bob, anonymous} {
		p.Put(testkit.Text("still here"))
		p.WantMessage(frame.Text, "still here")
		p.HangUp()
	}
	testkit.Await(t, "nobody is known", func() bool { return srv.Peers() == 0 })
}
