package agloop_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// doorsOfTLS are the ways in which a server speaks TLS.
func doorsOfTLS(t *testing.T, cfg agloop.ServerConfig, secure *tls.Config) map[string]string {
	t.Helper()
	own := cfg
	own.TLS = secure
	_, addr := serve(t, own)
	return map[string]string{
		"own listener": addr,
		"mounted":      mountTLS(t, closing(t, agloop.NewServer(cfg)), secure, true),
		"foreign":      mountTLS(t, closing(t, agloop.NewServer(cfg)), secure, false),
	}
}

// mountTLS serves a server by net/http over TLS, by its Listener or by that of net/http, and ends it.
func mountTLS(t *testing.T, srv *agloop.Server, secure *tls.Config, listener bool) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := &http.Server{Handler: srv, ErrorLog: slog.NewLogLogger(quiet.Handler(), 0)}
	served := make(chan error, 1)
	go func() {
		if listener {
			served <- host.Serve(srv.Listener(ln, secure))
			return
		}
		host.TLSConfig = secure.Clone()
		served <- host.ServeTLS(ln, "", "")
	}()
	t.Cleanup(func() {
		host.Close()
		<-served
	})
	return ln.Addr().String()
}

// TestClientCertificates: Authorize sees that of the client at every door, in a session that was
// resumed too, and who has none is not let in.
func TestClientCertificates(t *testing.T) {
	cfg := testkit.ServerTLS(t)
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, testkit.TestAuthority().Pool
	doors := doorsOfTLS(t, agloop.ServerConfig{
		Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
			msg, err := run.TextMessage()
			if err != nil {
				return err
			}
			_ = msg.Write(run.Principal.Key)
			return msg.Close()
		}),
		Logger: quiet,
		Authorize: func(_ context.Context, req *agloop.Request) (g agloop.Grant, err error) {
			if req.Scheme != "https" {
				t.Errorf("the scheme is %q", req.Scheme)
			}
			g.Principal.Key = fmt.Sprint(req.TLS.PeerCertificates[0].Subject.CommonName, " ", req.TLS.DidResume)
			return g, nil
		},
	}, cfg)
	for door, addr := range doors {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := trusting()
			client.TLS.MaxVersion = version
			if c, err := agloop.Dial(t.Context(), wssURL(addr), client); err == nil {
				t.Errorf("%s: let in without a certificate", door)
				c.Close()
			}
			client.TLS.Certificates = []tls.Certificate{testkit.TestAuthority().Issue(t, "ann")}
			client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(0)
			for _, resumed := range []bool{false, true} {
				c, err := agloop.Dial(t.Context(), wssURL(addr), client)
				if err != nil {
					t.Fatalf("%s: %v", door, err)
				}
				if got, err := told(c.Run(t.Context(), inputFor("r"))); !strings.Contains(got, fmt.Sprint("ann ", resumed)) || err != nil {
					t.Errorf("%s: %s, %v", door, got, err)
				}
				c.Close()
			}
		}
	}
}

// TestOriginsOverTLS: the scheme of the page must be that of the connection.
func TestOriginsOverTLS(t *testing.T) {
	for door, addr := range doorsOfTLS(t, agloop.ServerConfig{Handler: echo{}}, testkit.ServerTLS(t)) {
		for origin, status := range map[string]int{
			"": 101, "https://localhost": 101, "http://localhost": 403, "https://evil.example": 403, "null": 403,
		} {
			p := testkit.ConnectTLS(t, addr, 0, nil)
			if origin == "" {
				p.Put(testkit.Request())
			} else {
				p.Put(testkit.Request("Origin: " + origin))
			}
			if got, _ := p.Head(); got != status {
				t.Errorf("%s, Origin %q: got status %d, want %d", door, origin, got, status)
			}
			p.Close()
		}
	}
}

// TestProxyProtocolBeforeTLS: the header comes before the handshake, in whatever pieces, and counts
// for Authorize, the log of who connects and HTTP.
func TestProxyProtocolBeforeTLS(t *testing.T) {
	header := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x7f\x00\x00\x01")
	header = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(header, 4660), 443)
	seen, asked := make(chan *agloop.Request, 1), make(chan net.Addr, 1)
	secure := testkit.ServerTLS(t)
	secure.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		asked <- hello.Conn.RemoteAddr()
		return nil, nil
	}
	srv, addr := serve(t, agloop.ServerConfig{
		Handler: echo{}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, ProxyProtocol: true, TLS: secure,
		Authorize: granting(func(req *agloop.Request) { seen <- req }),
		HTTP:      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }),
	})
	const client = "1.2.3.4:4660"
	for cut := range len(header) + 1 {
		plain := testkit.Connect(t, addr, 0)
		plain.Put(header[:cut])
		// The rest goes out in one write with the hello.
		p := testkit.Attach(t, tls.Client(&prefixed{Conn: plain.Conn, prefix: header[cut:]}, testkit.ClientTLS()))
		if cut%2 == 0 {
			p.Put(testkit.Request())
		} else {
			if _, body := get(t, p, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); body != client {
				t.Fatalf("HTTP from %s", body)
			}
			p.Put(testkit.Request())
		}
		p.WantSwitch()
		if from := testkit.Receive(t, "the hello", asked); from.String() != client {
			t.Fatalf("the hello is from %s", from)
		}
		if req := testkit.Receive(t, "the request", seen); req.Remote.String() != client || req.Scheme != "https" || req.TLS == nil {
			t.Fatalf("from %s by %s", req.Remote, req.Scheme)
		}
		p.Put(testkit.Text("in"))
		p.WantMessage(frame.Text, "in")
		p.HangUp()
	}
	p := testkit.Connect(t, addr, 0) // a hello without the header
	if err := tls.Client(p.Conn, testkit.ClientTLS()).Handshake(); err == nil {
		t.Error("secured without the header")
	}
	testkit.Await(t, "all are gone", func() bool { return srv.Stats().Connections == 0 })
}

// prefixed writes something before the first write.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	if p.prefix == nil {
		return p.Conn.Write(b)
	}
	n, err := p.Conn.Write(append(p.prefix, b...))
	n = max(0, n-len(p.prefix))
	p.prefix = nil
	return n, err
}

// TestForwardedProtoOverTLS: a proxy that is trusted says how its client came, also where it speaks
// TLS itself; who is not trusted cannot make a connection of TLS a plain one.
func TestForwardedProtoOverTLS(t *testing.T) {
	seen := make(chan *agloop.Request, 1)
	cfg := agloop.ServerConfig{
		Handler: echo{}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, Hosts: []string{"*"},
		Authorize: granting(func(req *agloop.Request) { seen <- req }), Logger: quiet,
	}
	for door, addr := range doorsOfTLS(t, cfg, testkit.ServerTLS(t)) {
		for _, tt := range []struct{ from, says, scheme string }{
			{"127.0.0.2", "http", "http"},
			{"127.0.0.2", "https", "https"},
			{"127.0.0.2", "", "https"},
			{"127.0.0.1", "http", "https"},
		} {
			d := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(tt.from)}}, Config: testkit.ClientTLS()}
			nc, err := d.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			p := testkit.Attach(t, nc)
			fields := []string{"Origin: " + tt.scheme + "://localhost"}
			if tt.says != "" {
				fields = append(fields, "X-Forwarded-Proto: "+tt.says)
			}
			p.Upgrade(fields...)
			if req := testkit.Receive(t, "the request", seen); req.Scheme != tt.scheme || req.TLS == nil {
				t.Errorf("%s, %+v: the scheme is %s", door, tt, req.Scheme)
			}
			p.HangUp()
		}
	}
}
