//go:build linux

package main

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"time"
)

// serveTLS is serve over TLS. Each write of a connection is cut into pieces of so many bytes, if that is above 0.
func serveTLS(t *testing.T, piece int, answer func(count int, op byte, payload []byte) []byte) common {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := httptest.NewTLSServer(nil) // for its certificate
	own.Close()
	cfg := &tls.Config{Certificates: own.TLS.Certificates}
	return serveOn(t, ln, "wss", func(c net.Conn) {
		if piece > 0 {
			c = chopped{c, piece}
		}
		s := tls.Server(c, cfg)
		defer s.Close()
		talk(s, nil, answer)
	})
}

type chopped struct {
	net.Conn
	piece int
}

func (c chopped) Write(b []byte) (int, error) {
	for at := 0; at < len(b); at += c.piece {
		if _, err := c.Conn.Write(b[at:min(at+c.piece, len(b))]); err != nil {
			return at, err
		}
	}
	return len(b), nil
}

func TestEchoOverTLS(t *testing.T) {
	for name, s := range map[string]echoSettings{
		"closed loop": {conns: 3, inflight: 2, size: 100, seconds: 0.1},
		"open loop":   {conns: 3, rate: 500, inflight: 1, size: 100, seconds: 0.1},
		"large":       {conns: 2, inflight: 3, size: readBuffer / 2, seconds: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serveTLS(t, 0, good)
			r, err := echoRun(&c, s)
			check(t, err, "")
			if err == nil && value[uint64](t, r, "checked") < uint64(s.conns*s.inflight) {
				t.Errorf("report %s", r.text())
			}
		})
	}
	t.Run("in pieces", func(t *testing.T) { // so that a record and its header arrive in parts
		t.Parallel()
		c := serveTLS(t, 3, good)
		_, err := echoRun(&c, echoSettings{conns: 3, inflight: 2, size: 100, seconds: 0.1})
		check(t, err, "")
	})
	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		c := serveTLS(t, 0, func(int, byte, []byte) []byte { return nil })
		_, err := echoRun(&c, echoSettings{conns: 3, inflight: 2, size: 100, seconds: 0.1})
		check(t, err, endOfStream)
	})
}

// A server that does not speak TLS is told from one that loses messages.
func TestTLSFails(t *testing.T) {
	c := serveConns(t, func(c net.Conn) {
		c.Read(make([]byte, 1<<10))
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	})
	c.tls = true
	_, err := echoRun(&c, echoSettings{conns: 1, inflight: 1, size: 100, seconds: 0.1})
	check(t, err, "TLS handshake")

	c = serveConns(t, func(c net.Conn) { c.Read(make([]byte, 1)) })
	c.tls = true
	_, err = echoRun(&c, echoSettings{conns: 1, inflight: 1, size: 100, seconds: 0.1})
	check(t, err, "during the handshake")

	c = serve(t, good)
	c.resume = true
	_, err = echoRun(&c, echoSettings{conns: 1, inflight: 1, size: 100, seconds: 0.1})
	check(t, err, "needs TLS")
}

func TestChurnOverTLS(t *testing.T) {
	for _, bare := range []bool{false, true} {
		for _, resume := range []bool{false, true} {
			c := serveTLS(t, 0, good)
			c.resume = resume
			m := newChurnMode(0)
			m.bare = bare
			r, err := churnRun(&c, m, 1, 0.3, 0)
			check(t, err, "")
			if err != nil {
				continue
			}
			has(t, r, "resumed", "conns_per_core_s")
			want := uint64(0)
			if resume {
				want = m.cycles - 1 // all but the first
			}
			if m.cycles < 2 || m.resumed != want {
				t.Errorf("bare %t, resume %t: %d of %d resumed, want %d", bare, resume, m.resumed, m.cycles, want)
			}
		}
	}
}

func TestIdleWithAMessage(t *testing.T) {
	changed := func(count int, op byte, p []byte) []byte {
		p[len(p)-1]++
		return good(count, op, p)
	}
	for _, tt := range []struct {
		name string
		c    common
		want string
	}{
		{"plain", serve(t, good), ""},
		{"over TLS", serveTLS(t, 0, good), ""},
		{"changed", serveTLS(t, 0, changed), "differs"},
		{"dropping", serveTLS(t, 0, func(int, byte, []byte) []byte { return nil }), "lost while idle"},
	} {
		r, err := idleRun(&tt.c, 20, 64<<10, 20*time.Millisecond, 10*time.Millisecond)
		check(t, err, tt.want)
		if err == nil && value[int](t, r, "message") != 64<<10 {
			t.Errorf("%s: report %s", tt.name, r.text())
		}
	}
	c := serve(t, good)
	_, err := idleRun(&c, 1, 4, 0, 0)
	check(t, err, "--message")
}
