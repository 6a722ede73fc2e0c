package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/gorilla/websocket"
)

func TestEcho(t *testing.T) {
	tests := []struct {
		rival string
		dial  func(t *testing.T, url string) peer
		flags []string
	}{
		{"gnet", dialGorilla, []string{"--loops", "2"}},
		{"nbio", dialGorilla, []string{"--loops", "2"}},
		{"gobwas", dialGorilla, nil},
		{"gobwas-corked", dialGorilla, nil},
		{"gws", dialGorilla, nil},
		{"gorilla", dialCoder, nil}, // two ends of one library could agree on a mistake
		{"coder", dialGorilla, nil},
	}
	for _, tt := range tests {
		t.Run(tt.rival, func(t *testing.T) {
			t.Parallel()
			url := "ws://" + startRival(t, tt.rival, tt.flags...) + "/"
			testEcho(t, url, tt.dial)
			if tt.rival != "nbio" { // whose OnMessage is not called for an empty message
				testEmpty(t, url, tt.dial)
			}
		})
	}
}

// testEcho checks what the load relies on, on one connection after the other.
func testEcho(t *testing.T, url string, dial func(t *testing.T, url string) peer) {
	t.Run("messages", func(t *testing.T) {
		p := dial(t, url)
		for _, m := range []struct {
			op      int
			payload []byte
		}{
			{websocket.TextMessage, []byte("grüße, 世界")},
			{websocket.BinaryMessage, []byte{0, 255, 128, 1}},
			{websocket.BinaryMessage, pattern(125)},
			{websocket.BinaryMessage, pattern(126)},
			{websocket.BinaryMessage, pattern(65535)},
			{websocket.BinaryMessage, pattern(65536)},
			{websocket.BinaryMessage, pattern(1 << 20)},
		} {
			if err := p.write(m.op, m.payload); err != nil {
				t.Fatal(err)
			}
			expect(t, p, m.op, m.payload)
		}
	})
	t.Run("pipelined", func(t *testing.T) {
		p := dial(t, url)
		const n = 100
		message := func(i int) (int, []byte) {
			return websocket.TextMessage + i%2, fmt.Appendf(nil, "%d %s", i, bytes.Repeat([]byte{'x'}, i*i%300))
		}
		for i := range n {
			if err := p.write(message(i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range n {
			op, want := message(i)
			expect(t, p, op, want)
		}
	})
	t.Run("ping", func(t *testing.T) {
		if err := dial(t, url).ping(); err != nil {
			t.Error(err)
		}
	})
	t.Run("close", func(t *testing.T) {
		p := dial(t, url)
		if err := p.write(websocket.TextMessage, []byte("last")); err != nil {
			t.Fatal(err)
		}
		expect(t, p, websocket.TextMessage, []byte("last"))
		if err := p.leave(); err != nil {
			t.Error(err)
		}
	})
}

// Over TLS the same holds. The certificate is what load tools may check: for this machine, and of the kind that is asked for.
func TestEchoOverTLS(t *testing.T) {
	for name, dial := range map[string]func(t *testing.T, url string) peer{
		"nbio": dialGorilla, "gobwas": dialGorilla, "gobwas-corked": dialGorilla, "gws": dialGorilla, "gorilla": dialCoder,
		"coder": dialGorilla,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := startRival(t, name, "--tls")
			testEcho(t, "wss://"+addr+"/", dial)
			testCertificate(t, addr)
		})
	}
}

func testCertificate(t *testing.T, addr string) {
	c, err := tls.Dial("tcp", addr, trusting)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	state := c.ConnectionState()
	cert := state.PeerCertificates[0]
	if state.Version != tls.VersionTLS13 {
		t.Errorf("it speaks %s", tls.VersionName(state.Version))
	}
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("its key is a %T", cert.PublicKey)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := cert.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

func testEmpty(t *testing.T, url string, dial func(t *testing.T, url string) peer) {
	t.Run("empty", func(t *testing.T) {
		p := dial(t, url)
		for _, op := range []int{websocket.TextMessage, websocket.BinaryMessage} {
			if err := p.write(op, nil); err != nil {
				t.Fatal(err)
			}
			expect(t, p, op, nil)
		}
	})
}

func expect(t *testing.T, p peer, op int, want []byte) {
	t.Helper()
	gotOp, got, err := p.read()
	if err != nil {
		t.Fatalf("waiting for %d bytes of opcode %d: %v", len(want), op, err)
	}
	if gotOp != op || !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes of opcode %d, %.40q; want %d of %d, %.40q", len(got), gotOp, got, len(want), op, want)
	}
}

// pattern is n bytes in which a piece that is lost, doubled or unmasked with the wrong byte shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}
