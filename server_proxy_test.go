package agloop_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

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
