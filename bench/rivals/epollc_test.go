//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gorilla/websocket"
)

func startEpollc(t *testing.T) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Fatal("epollc needs a C compiler named cc: ", err)
	}
	out := filepath.Join(t.TempDir(), "epollc")
	said, err := exec.Command(cc, "-O2", "-o", out, "epollc/epoll.c", "-Wall", "-Wextra", "-Werror").CombinedOutput()
	if err != nil {
		t.Fatalf("cc: %v\n%s", err, said)
	}
	return start(t, out, "--loops", "1")
}

func TestEpollc(t *testing.T) {
	t.Parallel()
	addr := startEpollc(t)
	testEcho(t, "ws://"+addr+"/", dialGorilla)
	testEmpty(t, "ws://"+addr+"/", dialGorilla)
	t.Run("fragments", func(t *testing.T) { testEpollcFragments(t, addr) })
	t.Run("torn", func(t *testing.T) { testEpollcTorn(t, addr) })
	t.Run("unread", func(t *testing.T) { testEpollcUnread(t, addr) })
	t.Run("refused", func(t *testing.T) { testEpollcRefused(t, addr) })
}

func testEpollcFragments(t *testing.T, addr string) {
	p := dialGorilla(t, "ws://"+addr+"/any/path")
	w, err := p.(gorillaPeer).c.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("fragment "), 10_000) // far above the writer's buffer, so in many frames
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, p, websocket.TextMessage, want)
}

// testEpollcTorn sends the upgrade request, the frames that follow it and a close frame byte by byte: a header or a
// mask may end anywhere.
func testEpollcTorn(t *testing.T, addr string) {
	c, in := dialTCP(t, addr)
	sent := []byte("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"sec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	messages := [][]byte{pattern(1), pattern(0), pattern(5), pattern(126), pattern(300), []byte("\x03\xe8")}
	for i, p := range messages {
		op := ws.OpBinary
		if i == len(messages)-1 {
			op = ws.OpClose
		}
		frame := ws.MaskFrameWith(ws.NewFrame(op, true, p), [4]byte{1, 200, 3, 77})
		sent = append(sent, ws.MustCompileFrame(frame)...)
	}
	go func() {
		for i := range sent {
			c.Write(sent[i : i+1])
		}
	}()

	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The key and its answer are the example of RFC 6455, section 1.3.
	if got := answer.Header.Get("Sec-WebSocket-Accept"); answer.StatusCode != 101 || got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("upgrade answered with %s, accept %q", answer.Status, got)
	}
	for i, want := range messages {
		h, err := ws.ReadHeader(in)
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		got := make([]byte, h.Length)
		if _, err := io.ReadFull(in, got); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if h.Masked || !h.Fin || !bytes.Equal(got, want) {
			t.Fatalf("message %d: %+v with %q, want %q", i, h, got, want)
		}
	}
	if n, err := in.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the close frame: %d bytes, %v; want the end", n, err)
	}
}

// testEpollcUnread sends more than the kernel holds both ways before it reads anything: the server must keep what it
// cannot send, stop reading, and go on later without losing a byte.
func testEpollcUnread(t *testing.T, addr string) {
	p := dialGorilla(t, "ws://"+addr+"/")
	const n = 64
	want := pattern(1 << 20)
	wrote := make(chan error, 1)
	go func() {
		for range n {
			if err := p.write(websocket.BinaryMessage, want); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	select {
	case err := <-wrote:
		t.Fatalf("%d MiB were taken by a server whose answers nobody reads (%v)", n, err)
	case <-time.After(200 * time.Millisecond): // nothing tells that a write is stuck
	}
	for range n {
		expect(t, p, websocket.BinaryMessage, want)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

func testEpollcRefused(t *testing.T, addr string) {
	const upgrade = "GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	for name, tt := range map[string]struct {
		sent   string
		status int
	}{
		"no key":         {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		"short key":      {"GET / HTTP/1.1\r\nSec-WebSocket-Key: abc\r\n\r\n", 400},
		"unmasked frame": {upgrade + "\x81\x02hi", 101},
	} {
		c, in := dialTCP(t, addr)
		if _, err := io.WriteString(c, tt.sent); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil || answer.StatusCode != tt.status {
			t.Fatalf("%s: answer %v, %v; want status %d", name, answer, err, tt.status)
		}
		if n, err := in.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: %d more bytes, %v; want the end", name, n, err)
		}
	}
}

func dialTCP(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c, bufio.NewReader(c)
}
