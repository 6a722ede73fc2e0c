package agloop_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// trusting is the config of a client that trusts the certificates of tests.
func trusting() agloop.ClientConfig {
	return agloop.ClientConfig{TLS: testkit.ClientTLS(), Logger: quiet}
}

func wssURL(addr string) string { return "wss://" + addr + "/ws" }

// dialTLS is testkit.Dial over TLS. A nil config is testkit.ClientTLS.
func dialTLS(t *testing.T, addr string, cfg *tls.Config, fields ...string) *testkit.Peer {
	t.Helper()
	p := testkit.ConnectTLS(t, addr, 0, cfg)
	p.Upgrade(fields...)
	return p
}

// secured is how a peer's connection is.
func secured(p *testkit.Peer) tls.ConnectionState { return p.Conn.(*tls.Conn).ConnectionState() }

// TestRunsOverTLS: a client and a transport make runs over wss, in each version of TLS.
func TestRunsOverTLS(t *testing.T) {
	versions := make(chan uint16, 1)
	_, addr := serve(t, agloop.ServerConfig{Agent: hello, TLS: testkit.ServerTLS(t), Authorize: granting(func(req *agloop.Request) {
		versions <- req.TLS.Version
	})})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := trusting()
		cfg.TLS.MaxVersion = version
		c, err := agloop.Dial(t.Context(), wssURL(addr), cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got := types(t, c, "r"); got != helloTypes {
				t.Errorf("got %s", got)
			}
		}
		if got := testkit.Receive(t, "the request", versions); got != version {
			t.Errorf("the version is %s, want %s", tls.VersionName(got), tls.VersionName(version))
		}
		c.Close()
		tr := startTransport(t, agloop.TransportConfig{URLs: []string{wssURL(addr)}, Client: cfg})
		<-versions
		if got, err := transportRun(t.Context(), tr, "r"); got != helloTypes || err != nil {
			t.Errorf("by a transport: %s, %v", got, err)
		}
	}
}

// granting is an Authorize that shows its requests and lets them all in.
func granting(look func(*agloop.Request)) func(context.Context, *agloop.Request) (agloop.Grant, error) {
	return func(_ context.Context, req *agloop.Request) (g agloop.Grant, err error) {
		look(req)
		return g, nil
	}
}

// TestHandlerOverTLS: frames go both ways however they are cut into records, and each side ends the
// connection with its close frame and close_notify, which WantEnd asks for.
func TestHandlerOverTLS(t *testing.T) {
	for _, trim := range []bool{false, true} {
		_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, TLS: testkit.ServerTLS(t), TrimTLS: trim})
		p := dialTLS(t, addr, nil)
		for _, n := range []int{0, 1, 125, 126, 16 << 10, 16<<10 + 1, 65_536, 1 << 20} {
			text := strings.Repeat("x", n)
			p.Put(testkit.Text(text))
			p.WantMessage(frame.Text, text)
		}
		all := append(testkit.Text("first"), testkit.Text(strings.Repeat("y", 300))...)
		for i := range all { // a record for each byte
			p.Put(all[i : i+1])
		}
		p.WantMessage(frame.Text, "first")
		p.WantMessage(frame.Text, strings.Repeat("y", 300))
		p.HangUp()

		srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, TLS: testkit.ServerTLS(t), TrimTLS: trim})
		p = dialTLS(t, addr, nil)
		srv.Conns(func(c *agloop.Conn) { c.Close(agloop.CloseGoingAway, "bye") })
		if reason := p.WantGoodbye(1001); reason != "bye" {
			t.Errorf("closed with %q", reason)
		}
		testkit.Await(t, "it is gone", func() bool { return srv.Stats().Connections == 0 })
	}
}

// TestPlainPeersOfATLSPort: who speaks HTTP is told, who speaks something else is left.
func TestPlainPeersOfATLSPort(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, TLS: testkit.ServerTLS(t)})
	p := testkit.Connect(t, addr, 0)
	p.Put(testkit.Request())
	p.WantRefusal(400)
	p = testkit.Connect(t, addr, 0)
	p.Put([]byte("\x00\x00"))
	p.WantEnd()
	testkit.Await(t, "they are gone and counted", func() bool {
		st := srv.Stats()
		return st.Connections == 0 && st.BadUpgrade == 2
	})
}

// TestALPN: h2 is offered where there is somebody to speak it, and who knows no protocol that is
// offered is refused by an alert.
func TestALPN(t *testing.T) {
	http2 := http.NotFoundHandler()
	own := func(names ...string) *tls.Config {
		cfg := testkit.ServerTLS(t)
		cfg.NextProtos = names
		return cfg
	}
	for _, tt := range []struct {
		tls     *tls.Config
		http    http.Handler
		offered string
		want    string
	}{
		{own(), nil, "h2 http/1.1", "http/1.1"},
		{own(), http2, "h2 http/1.1", "h2"},
		{own(), http2, "http/1.1", "http/1.1"},
		{own(), http2, "", ""},
		{own(), http2, "imap", "refused"},
		{own(), nil, "imap pop3", "refused"},
		{own("http/1.1"), http2, "h2 http/1.1", "http/1.1"},
	} {
		_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, HTTP: tt.http, TLS: tt.tls})
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cfg := testkit.ClientTLS()
			cfg.NextProtos, cfg.MaxVersion = strings.Fields(tt.offered), version
			nc, err := tls.Dial("tcp", addr, cfg)
			if tt.want == "refused" {
				if err == nil || !strings.Contains(err.Error(), "remote error: tls: no application protocol") {
					t.Errorf("offered %q: %v", tt.offered, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := nc.ConnectionState().NegotiatedProtocol; got != tt.want {
				t.Errorf("offered %q: got %q, want %q", tt.offered, got, tt.want)
			}
			nc.Close()
		}
	}
}

// TestCertificateIsReplaced while the server runs, by either function; connections that are open stay.
func TestCertificateIsReplaced(t *testing.T) {
	var current atomic.Pointer[tls.Certificate]
	set := func(name string) {
		cert := testkit.TestAuthority().Issue(t, name)
		current.Store(&cert)
	}
	for what, cfg := range map[string]*tls.Config{
		"GetCertificate": {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }},
		"GetConfigForClient": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{*current.Load()}}, nil
		}},
	} {
		_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, TLS: cfg})
		var peers []*testkit.Peer
		for _, name := range []string{"first", "second"} {
			set(name)
			p := dialTLS(t, addr, nil)
			if got := secured(p).PeerCertificates[0].Subject.CommonName; got != name {
				t.Errorf("%s: the certificate is that of %q, want %q", what, got, name)
			}
			peers = append(peers, p)
		}
		for _, p := range peers {
			p.Put(testkit.Text("still here"))
			p.WantMessage(frame.Text, "still here")
			p.HangUp()
		}
	}
}

// TestFunctionsOfTheTLSConfig: what they do wrong ends the connection that asked, and nothing else.
func TestFunctionsOfTheTLSConfig(t *testing.T) {
	good := testkit.TestAuthority().Issue(t, "good")
	for what, fail := range map[string]func() (*tls.Certificate, error){
		"error":  func() (*tls.Certificate, error) { return nil, errors.New("no certificate") },
		"panic":  func() (*tls.Certificate, error) { panic("a mistake of the host's") },
		"goexit": func() (*tls.Certificate, error) { runtime.Goexit(); return nil, nil },
	} {
		var asked atomic.Int32
		srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, Logger: quiet, TLS: &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				if asked.Add(1) == 1 {
					return fail()
				}
				return &good, nil
			},
		}})
		if _, err := tls.Dial("tcp", addr, testkit.ClientTLS()); err == nil {
			t.Errorf("%s: connected", what)
		}
		testkit.Await(t, "it is gone", func() bool { return srv.Stats().Connections == 0 })
		p := dialTLS(t, addr, nil)
		p.Put(testkit.Text("good"))
		p.WantMessage(frame.Text, "good")
		p.HangUp()
	}
}

// TestSessionsResume: the second connection of who keeps tickets does half a handshake.
func TestSessionsResume(t *testing.T) {
	cert := testkit.ServerTLS(t)
	resumed := make(chan bool, 1)
	for what, cfg := range map[string]*tls.Config{
		"plain": cert,
		"GetConfigForClient": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return cert, nil
		}},
		"GetConfigForClient, made anew": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return cert.Clone(), nil
		}},
	} {
		_, addr := serve(t, agloop.ServerConfig{Agent: hello, TLS: cfg, Authorize: granting(func(req *agloop.Request) {
			resumed <- req.TLS.DidResume
		})})
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := trusting()
			client.TLS.MaxVersion, client.TLS.ClientSessionCache = version, tls.NewLRUClientSessionCache(0)
			for i := range 3 {
				c, err := agloop.Dial(t.Context(), wssURL(addr), client)
				if err != nil {
					t.Fatal(err)
				}
				if got := testkit.Receive(t, "the request", resumed); got != (i > 0) {
					t.Errorf("%s, %s: connection %d resumed: %t", what, tls.VersionName(version), i, got)
				}
				if got := types(t, c, "r"); got != helloTypes { // the tickets have come before it
					t.Errorf("got %s", got)
				}
				c.Close()
			}
		}
	}
}
