package agloop_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// goroutinesIn counts the goroutines that have a frame of that name.
func goroutinesIn(frame string) (n int) {
	buf := make([]byte, 64<<10)
	for size := runtime.Stack(buf, true); ; size = runtime.Stack(buf, true) {
		if size < len(buf) {
			buf = buf[:size]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(stack, frame) {
			n++
		}
	}
	return n
}

const (
	ofHTTP    = "net/http.(*conn).serve("
	ofPumping = "loop.(*Door).pump in goroutine" // created there
)

// TestListenerMovesConnections: what was sent early arrives, however it is cut into records, and no
// goroutine stays with the connections.
func TestListenerMovesConnections(t *testing.T) {
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{Handler: echo{}}))
	addr := mountTLS(t, srv, testkit.ServerTLS(t), true)
	text := strings.Repeat("x", 40_000)
	frames := append(testkit.Text("first"), testkit.Text(text)...)
	var peers []*testkit.Peer
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for cut := 0; cut <= len(frames); cut += 5_000 {
			cfg := testkit.ClientTLS()
			cfg.MaxVersion, cfg.DynamicRecordSizingDisabled = version, true
			p := testkit.ConnectTLS(t, addr, 0, cfg)
			p.Put(testkit.Request(), frames[:cut])
			p.Put(frames[cut:])
			p.WantSwitch()
			p.WantMessage(frame.Text, "first")
			p.WantMessage(frame.Text, text)
			peers = append(peers, p)
		}
	}
	testkit.Await(t, "net/http has left them", func() bool { return goroutinesIn(ofHTTP) == 0 })
	if n := goroutinesIn(ofPumping); n != 0 {
		t.Errorf("%d goroutines carry bytes", n)
	}
	for _, p := range peers {
		p.Put(testkit.Text(text))
		p.WantMessage(frame.Text, text)
		p.HangUp()
	}
	testkit.Await(t, "all are gone", func() bool { return srv.Stats().Connections == 0 })
}

// TestListenerBesideHTTP: the host's other requests are served in either version of HTTP, and a
// connection that has carried some becomes a WebSocket.
func TestListenerBesideHTTP(t *testing.T) {
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{Handler: echo{}}))
	addr := mountTLS(t, srv, testkit.ServerTLS(t), true)
	eachHTTP(t, func(t *testing.T, major int, client *http.Client) {
		res, err := client.Get("https://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != 426 || res.ProtoMajor != major || (res.Header.Get("Upgrade") != "") != (major == 1) {
			t.Errorf("%s %s, %v", res.Proto, res.Status, res.Header)
		}
	})
	p := testkit.ConnectTLS(t, addr, 0, nil)
	get(t, p, ping)
	p.Put(testkit.Request(), testkit.Text("early"))
	p.WantSwitch()
	p.WantMessage(frame.Text, "early")
	p.HangUp()
}

// ending is echo that tells how its connections end.
type ending struct {
	echo
	ends chan *agloop.CloseError
}

func (h ending) OnClose(_ *agloop.Conn, why *agloop.CloseError) { h.ends <- why }

// TestForeignTLS: connections whose socket cannot be had work all the same, end in every way, and
// leave no goroutine behind. The log says once what they cost.
func TestForeignTLS(t *testing.T) {
	var log logged
	h := ending{ends: make(chan *agloop.CloseError, 1)}
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{
		Handler: h, Logger: slog.New(slog.NewTextHandler(&log, nil)), Limits: agloop.Limits{CloseTimeout: time.Second},
	}))
	addr := mountTLS(t, srv, testkit.ServerTLS(t), false)
	large := strings.Repeat("x", 1<<20)
	for what, end := range map[string]struct {
		how    func(p *testkit.Peer)
		code   frame.CloseCode
		remote bool
	}{
		"by the peer":      {func(p *testkit.Peer) { p.HangUp() }, 1000, true},
		"by the server":    {func(p *testkit.Peer) { closeAll(srv, 3000); p.WantGoodbye(3000) }, 3000, false},
		"cut":              {func(p *testkit.Peer) { p.Reset() }, 1006, false},
		"no close_notify":  {func(p *testkit.Peer) { p.TCP().CloseWrite() }, 1006, false},
		"no close frame":   {func(p *testkit.Peer) { p.Conn.(*tls.Conn).CloseWrite(); p.WantEnd() }, 1006, false},
		"never by the one": {func(p *testkit.Peer) { closeAll(srv, 3000); p.CloseFrame(3000) }, 3000, false},
	} {
		p := dialTLS(t, addr, nil)
		for range 2 {
			p.Put(testkit.Text(large))
			p.WantMessage(frame.Text, large)
		}
		if n := goroutinesIn(ofPumping); n != 2 {
			t.Errorf("%s: %d goroutines carry bytes", what, n)
		}
		end.how(p)
		if why := testkit.Receive(t, "the end "+what, h.ends); why.Code != end.code || why.Remote != end.remote {
			t.Errorf("%s: OnClose was told %v", what, why)
		}
		testkit.Await(t, "no goroutine is left: "+what, func() bool { return goroutinesIn(ofPumping)+goroutinesIn(ofHTTP) == 0 })
		p.Close()
	}
	if n := log.count("carried by goroutines"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

// closeAll begins to close every connection of a server.
func closeAll(srv *agloop.Server, code frame.CloseCode) {
	srv.Conns(func(c *agloop.Conn) { c.Close(code, "") })
}

// TestForeignTLSAtOnce: many connections at once, each with what it was sent, and the end of all by
// Shutdown.
func TestForeignTLSAtOnce(t *testing.T) {
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{Handler: echo{}, Logger: quiet}))
	addr := mountTLS(t, srv, testkit.ServerTLS(t), false)
	var all sync.WaitGroup
	var peers []*testkit.Peer
	for range 20 {
		peers = append(peers, dialTLS(t, addr, nil))
	}
	for i, p := range peers {
		all.Go(func() {
			for n := range 20 {
				text := strings.Repeat(fmt.Sprint(i), 1+n*n*100)
				p.Put(testkit.Text(text))
				op, got, err := p.Message()
				if op != frame.Text || string(got) != text || err != nil {
					t.Errorf("connection %d, message %d: %d bytes, want %d; %v", i, n, len(got), len(text), err)
					return
				}
			}
		})
	}
	all.Wait()
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(context.Background()) }()
	for _, p := range peers {
		p.WantGoodbye(1001)
	}
	if err := testkit.Receive(t, "Shutdown", down); err != nil {
		t.Error(err)
	}
	testkit.Await(t, "no goroutine is left", func() bool { return goroutinesIn(ofPumping) == 0 })
}

// TestForeignTLSThatReadsNothing is cut as it is elsewhere, and nothing waits for it.
func TestForeignTLSThatReadsNothing(t *testing.T) {
	h := ending{ends: make(chan *agloop.CloseError, 1)}
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{
		Handler: h, Logger: quiet, Limits: agloop.Limits{WriteTimeout: 300 * time.Millisecond, CloseTimeout: 300 * time.Millisecond},
	}))
	addr := mountTLS(t, srv, testkit.ServerTLS(t), false)
	p := testkit.ConnectTLS(t, addr, 4096, nil)
	p.Upgrade()
	go func() {
		for {
			if _, err := p.Write(testkit.Text(strings.Repeat("x", 64<<10))); err != nil {
				return
			}
		}
	}()
	why := testkit.Receive(t, "the end", h.ends)
	if why.Code != 1006 {
		t.Errorf("OnClose was told %v", why)
	}
	testkit.Await(t, "no goroutine is left", func() bool { return goroutinesIn(ofPumping) == 0 })
	p.Close()
}

// TestForeignTLSRuns: an agent's run, by our own client, over a listener of the host's that wraps its
// connections.
func TestForeignTLSRuns(t *testing.T) {
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{Agent: hello, Logger: quiet}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := &http.Server{Handler: srv}
	go host.Serve(srv.Listener(wrapped{ln}, testkit.ServerTLS(t)))
	t.Cleanup(func() { host.Close() })
	c, err := agloop.Dial(t.Context(), wssURL(ln.Addr().String()), trusting())
	if err != nil {
		t.Fatal(err)
	}
	if got := types(t, c, "r"); got != helloTypes {
		t.Errorf("got %s", got)
	}
	if n := goroutinesIn(ofPumping); n != 2 {
		t.Errorf("%d goroutines carry bytes", n)
	}
	c.Close()
	testkit.Await(t, "no goroutine is left", func() bool { return goroutinesIn(ofPumping) == 0 })
}
