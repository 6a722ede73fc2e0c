//go:build linux

package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"
)

func TestChurn(t *testing.T) {
	// instead answers a close frame with something else.
	instead := func(out []byte) func(int, byte, []byte) []byte {
		return func(count int, op byte, p []byte) []byte {
			if op == opClose {
				return out
			}
			return good(count, op, p)
		}
	}
	tests := []struct {
		name   string
		answer func(int, byte, []byte) []byte
		want   string
	}{
		{"good", good, ""},
		{"no code", instead(serverFrame(opClose, "")), ""},
		{"another code", instead(serverFrame(opClose, "\x03\xea")), "answered with 03ea"},
		{"no close frame", instead([]byte{}), "without a close frame"},
		{"message for farewell", instead(serverFrame(opBinary, "more")), "not sent"},
		{"closing before the echo", func(_ int, _ byte, p []byte) []byte { return serverFrame(opClose, "\x03\xe9") }, "before ours"},
		{"dropping", func(int, byte, []byte) []byte { return nil }, "before the echo"},
		{"changed", func(count int, op byte, p []byte) []byte {
			if op == opBinary {
				p[100]++
			}
			return good(count, op, p)
		}, "differs"},
		{"of another connection", func(count int, op byte, p []byte) []byte {
			if op == opBinary {
				p[0]++
			}
			return good(count, op, p)
		}, "differs"},
		{"lost", func(count int, op byte, p []byte) []byte {
			if op == opBinary {
				return []byte{}
			}
			return good(count, op, p)
		}, "no echo"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, tt.answer)
			r, err := churnRun(&c, newChurnMode(0), 3, 0.1, 10*time.Millisecond)
			check(t, err, tt.want)
			if err != nil {
				return
			}
			has(t, r, "server_us_per_conn", "server_sys_us_per_conn", "p50_us", "load_us_per_conn")
			if conns := value[uint64](t, r, "conns"); conns == 0 {
				t.Error("no connection in the window")
			}
			if n := value[uint64](t, r, "left_open"); n != 0 {
				t.Errorf("%d connections left open", n)
			}
		})
	}
}

// A server may wait for the client to close.
func TestChurnLeftOpen(t *testing.T) {
	c := serveConns(t, func(c net.Conn) {
		talk(c, nil, good)
		c.Read(make([]byte, 1)) // until the client is tired of it
	})
	r, err := churnRun(&c, newChurnMode(0), 2, 0.3, 0)
	check(t, err, "")
	if err == nil && value[uint64](t, r, "left_open") == 0 {
		t.Errorf("none was left open: %s", r.text())
	}
}

func TestSources(t *testing.T) {
	near, err := parseTarget("ws://127.0.0.1:1/")
	if err != nil {
		t.Fatal(err)
	}
	far, err := parseTarget("ws://192.0.2.1:1/")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		target    target
		given     string
		conns     int
		comeAndGo bool
		n         int
		want      string // address of connection n; empty: the kernel chooses
	}{
		{"few", near, "", 10000, false, 0, ""},
		{"many", near, "", 10001, false, 9999, "127.0.0.2"},
		{"many", near, "", 10001, false, 10000, "127.0.0.3"},
		{"given", near, "127.7.0.255", 19000, false, 18999, "127.7.1.0"},
		{"churn", near, "", 1, true, 248, "127.0.0.250"},
		{"churn again", near, "", 1, true, 249, "127.0.0.2"},
		{"another machine", far, "", 19000, true, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := sourcesFor(tt.target, tt.given, tt.conns, tt.comeAndGo)
			if err != nil {
				t.Fatal(err)
			}
			if s.first == 0 {
				if tt.want != "" {
					t.Errorf("the kernel chooses, want %s", tt.want)
				}
				return
			}
			a := s.address(tt.n)
			if got := net.IP(a[:]).String(); got != tt.want {
				t.Errorf("connection %d leaves from %s, want %q", tt.n, got, tt.want)
			}
		})
	}
	if _, err := sourcesFor(near, "::1", 1, false); err == nil || !strings.Contains(err.Error(), "--source") {
		t.Errorf("an IPv6 address: error %v", err)
	}
	if !bytes.Contains(near.request, []byte("GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")) {
		t.Errorf("request %q", near.request)
	}
}
