package agloop_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/internal/testkit"
)

// TestDialTLSThroughProxy: the tunnel leads to the host of the URL and its default port, which the
// certificate must name.
func TestDialTLSThroughProxy(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello, TLS: testkit.ServerTLS(t)})
	proxy := testkit.NewProxy(t, addr, nil)
	cfg := trusting()
	cfg.TLS.ServerName = "" // that of the URL
	cfg.Proxy = proxy.Through(url.UserPassword("me", "secret"))
	c, err := agloop.Dial(t.Context(), "wss://localhost/ws?token=secret", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := types(t, c, "r"); got != helloTypes {
		t.Errorf("got %s", got)
	}
	c.Close()
	if asked := proxy.Asked(); len(asked) != 1 || asked[0].Host != "localhost:443" || asked[0].Header.Get("Proxy-Authorization") == "" {
		t.Errorf("the proxy was asked %v", asked)
	}
	_, err = agloop.Dial(t.Context(), "wss://agent.example/ws", cfg)
	if e, ok := errors.AsType[x509.HostnameError](err); !ok || e.Host != "agent.example" {
		t.Errorf("another host: %v", err)
	}
}

// TestDialTLSWhomNobodyTrusts: the error says what is wrong with the certificate.
func TestDialTLSWhomNobodyTrusts(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Agent: hello, TLS: testkit.ServerTLS(t)})
	_, port, _ := net.SplitHostPort(addr)
	unknown, wrong, named := trusting(), trusting(), trusting()
	unknown.TLS = nil // the system's authorities
	wrong.TLS.ServerName = "agent.example"
	named.TLS.ServerName = ""
	for what, tt := range map[string]struct {
		url   string
		cfg   agloop.ClientConfig
		fails bool
	}{
		"unknown authority":   {"wss://localhost:" + port, unknown, true},
		"wrong name":          {"wss://localhost:" + port, wrong, true},
		"named by the URL":    {"wss://localhost:" + port + "/ws", named, false},
		"address in the URL":  {wssURL(addr), named, false},
		"not verified at all": {wssURL(addr), agloop.ClientConfig{TLS: &tls.Config{InsecureSkipVerify: true}}, false},
	} {
		c, err := agloop.Dial(t.Context(), tt.url, tt.cfg)
		if !tt.fails {
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			c.Close()
			continue
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || !strings.HasPrefix(err.Error(), "agloop: dial wss://localhost:"+port) ||
			!strings.Contains(err.Error(), "the TLS handshake") {
			t.Errorf("%s: %v", what, err)
		}
	}
	testkit.Await(t, "nobody is left", func() bool { return srv.Stats().Connections == 0 })
}

// TestDialTLSWhereNobodySpeaksIt: a server that answers in plain text, or by nothing.
func TestDialTLSWhereNobodySpeaksIt(t *testing.T) {
	plain := mount(t, http.NotFoundHandler())
	_, err := agloop.Dial(t.Context(), wssURL(plain), trusting())
	if _, ok := errors.AsType[tls.RecordHeaderError](err); !ok {
		t.Errorf("plain: %v", err)
	}
	_, secured := serve(t, agloop.ServerConfig{Agent: hello, TLS: testkit.ServerTLS(t)})
	_, err = agloop.Dial(t.Context(), wsURL(secured), agloop.ClientConfig{})
	if e, ok := errors.AsType[*agloop.DialError](err); !ok || e.Status != 400 || !strings.Contains(string(e.Body), "TLS") {
		t.Errorf("the other way round: %v", err)
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	wants := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "for the TLS handshake") {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	cfg := trusting()
	cfg.Limits.HandshakeTimeout = 50 * time.Millisecond
	_, err = agloop.Dial(t.Context(), wssURL(ln.Addr().String()), cfg)
	wants(err, context.DeadlineExceeded)
	cfg.Limits.HandshakeTimeout = -1
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		defer time.AfterFunc(20*time.Millisecond, cancel)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	_, err = agloop.Dial(ctx, wssURL(ln.Addr().String()), cfg)
	wants(err, context.Canceled)
}

// TestDialTLSRefused: what the server says to a request over TLS is told as it is over TCP.
func TestDialTLSRefused(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello, TLS: testkit.ServerTLS(t), Authorize: func(context.Context, *agloop.Request) (g agloop.Grant, err error) {
		return g, &agloop.RefusedError{Status: 401, Reason: "who are you"}
	}})
	_, err := agloop.Dial(t.Context(), wssURL(addr), trusting())
	if e, ok := errors.AsType[*agloop.DialError](err); !ok || e.Status != 401 || !strings.Contains(string(e.Body), "who are you") {
		t.Errorf("got %v", err)
	}
	_, err = agloop.Dial(t.Context(), strings.Replace(wssURL(addr), "/ws", "/other", 1), trusting())
	if e, ok := errors.AsType[*agloop.DialError](err); !ok || e.Status != 426 {
		t.Errorf("got %v", err)
	}
}

// TestF23ClientIsCut: a server whose connection ends in the middle of a run, without close_notify or
// in the middle of a record, has not ended the run.
func TestF23ClientIsCut(t *testing.T) {
	for what, end := range map[string]func(nc net.Conn, secured *tls.Conn){
		"FIN":   func(nc net.Conn, _ *tls.Conn) { nc.(*net.TCPConn).CloseWrite() },
		"reset": func(nc net.Conn, _ *tls.Conn) { nc.(*net.TCPConn).SetLinger(0); nc.Close() },
		"half record": func(nc net.Conn, _ *tls.Conn) {
			nc.Write([]byte("\x17\x03\x03\x40\x00half"))
			nc.(*net.TCPConn).CloseWrite()
		},
		"close_notify": func(_ net.Conn, secured *tls.Conn) { secured.CloseWrite() }, // and no close frame
		"no TLS":       func(nc net.Conn, _ *tls.Conn) { io.WriteString(nc, "HTTP/1.1 500 no\r\n\r\n") },
	} {
		var serving sync.WaitGroup
		addr := serveTLSByHand(t, &serving, func(nc net.Conn, secured *tls.Conn) {
			p := testkit.Attach(t, secured)
			req, err := http.ReadRequest(bufio.NewReader(oneByte{p}))
			if err != nil {
				t.Error(err)
				return
			}
			p.Put(handshake.AppendSwitchingProtocols(nil, []byte(req.Header.Get("Sec-WebSocket-Key")), "", "", nil))
			if _, err := p.Next(); err != nil { // the input
				t.Error(err)
				return
			}
			p.Put(testkit.Plain(0x81, []byte(`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`)))
			end(nc, secured)
			_, _ = io.Copy(io.Discard, nc)
		})
		cfg := trusting()
		cfg.Resume.Off = true
		c, err := agloop.Dial(t.Context(), wssURL(addr), cfg)
		if err != nil {
			t.Fatal(err)
		}
		var events int
		for _, e := range c.Run(t.Context(), inputFor("r")) {
			if e == nil {
				events++
			}
			err = e
		}
		if !errors.Is(err, agloop.ErrTruncated) || events != 1 {
			t.Errorf("%s: %d events, %v", what, events, err)
		}
		c.Close()
		serving.Wait()
	}
}

// serveTLSByHand gives each connection of a listener to a function, with its socket.
func serveTLSByHand(t *testing.T, serving *sync.WaitGroup, serve func(net.Conn, *tls.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	cfg := testkit.ServerTLS(t)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer nc.Close()
				serve(nc, tls.Server(nc, cfg))
			})
		}
	}()
	return ln.Addr().String()
}

// TestR41ResumesOverTLS: runs go on over the next connections, each once and whole, though those of
// before are closed, reset, silent or cut in the middle of a record.
func TestR41ResumesOverTLS(t *testing.T) {
	const runs, kills = 6, 12
	s := newTeller(8, 20)
	cfg := forEach(agloop.ServerConfig{Agent: s, Runs: folding(), Logger: quiet})
	cfg.TLS = testkit.ServerTLS(t)
	_, addr := serve(t, cfg)
	r := newBreaker(t, addr)
	s.sweep(t, r)
	secure := testkit.ClientTLS()
	secure.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	client := agloop.ClientConfig{TLS: secure, Logger: quiet, Header: http.Header{"Authorization": {"ann"}}}
	client.Resume.MinBackoff, client.Resume.MaxBackoff = time.Millisecond, 2*time.Millisecond
	c, err := agloop.Dial(t.Context(), wssURL(r.ln.Addr().String()), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r.killing(7, kills, 3000, cutClosed, cutReset, cutSilent)
	r.cutAll(cutReset)
	var all sync.WaitGroup
	for i := range runs {
		all.Go(func() { s.runWhole(t, c, fmt.Sprint("t", i), fmt.Sprint("r", i)) })
	}
	all.Wait()
}
