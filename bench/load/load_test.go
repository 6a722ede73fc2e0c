//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// serve runs a server of the test's own: answer gets each frame of a client and returns the bytes
// to send.
func serve(t *testing.T, answer func(count int, op byte, payload []byte) []byte) common {
	t.Helper()
	return serveConns(t, func(c net.Conn) { talk(c, nil, answer) })
}

// serveConns is serve with each connection in the hands of the test.
func serveConns(t *testing.T, handle func(net.Conn)) common {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, "ws", handle)
}

func serveOn(t *testing.T, ln net.Listener, scheme string, handle func(net.Conn)) common {
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return common{
		url: scheme + "://" + ln.Addr().String() + "/", pid: os.Getpid(), cpu: -1, bound: 4,
		limit: 5 * time.Second, drain: 300 * time.Millisecond,
	}
}

// talk answers frames until a close frame has come or there is no answer. opened is called after
// the upgrade.
func talk(c net.Conn, opened func(), answer func(count int, op byte, payload []byte) []byte) {
	r := bufio.NewReader(c)
	if _, err := http.ReadRequest(r); err != nil {
		return
	}
	// In two writes: the answer must be put together again.
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upg")
	time.Sleep(time.Millisecond) // so that they are read apart, if the machine lets them
	io.WriteString(c, "rade\r\nSec-WebSocket-Accept: "+wsAccept+"\r\n\r\n")
	if opened != nil {
		opened()
	}
	for count := 0; ; count++ {
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		size := int(head[1] & 0x7f)
		if size == 126 {
			var ext [2]byte
			io.ReadFull(r, ext[:])
			size = int(binary.BigEndian.Uint16(ext[:]))
		}
		if size == 127 {
			var ext [8]byte
			io.ReadFull(r, ext[:])
			size = int(binary.BigEndian.Uint64(ext[:]))
		}
		b := make([]byte, 4+size)
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		payload := b[4:]
		for i := range payload {
			payload[i] ^= b[i&3]
		}
		out := answer(count, head[0]&0x0f, payload)
		if out == nil {
			return
		}
		c.Write(out)
		if head[0]&0x0f == opClose {
			return
		}
	}
}

func serverFrame(op byte, payload string) []byte {
	b := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

func good(_ int, op byte, p []byte) []byte { return serverFrame(op, string(p)) }

func TestEcho(t *testing.T) {
	tests := []struct {
		name   string
		answer func(count int, op byte, p []byte) []byte
		want   string // in the error; empty for none
	}{
		{"good", good, ""},
		{"pinging", func(count int, op byte, p []byte) []byte {
			if op == opPong {
				return serverFrame(opBinary, string(p))
			}
			// The echo comes as the answer to the pong, so without one the connection stands still.
			return serverFrame(opPing, string(p))
		}, ""},
		{"shorter", func(_ int, op byte, p []byte) []byte { return serverFrame(op, string(p[1:])) }, "echo of 99 bytes"},
		{"changed", func(_ int, op byte, p []byte) []byte {
			p[50]++
			return serverFrame(op, string(p))
		}, "differs"},
		{"doubled", func(_ int, op byte, p []byte) []byte {
			return append(serverFrame(op, string(p)), serverFrame(op, string(p))...)
		}, "echo o"},
		{"lost", func(count int, op byte, p []byte) []byte {
			if count == 5 {
				return []byte{}
			}
			return good(count, op, p)
		}, "out of order"},
		{"all lost", func(int, byte, []byte) []byte { return []byte{} }, "never echoed"},
		{"closing", func(count int, op byte, p []byte) []byte {
			if count == 5 {
				return serverFrame(opClose, "\x03\xf3why")
			}
			return good(count, op, p)
		}, "close 1011 why"},
		{"dropping", func(int, byte, []byte) []byte { return nil }, "messages under way"},
		{"masking", func(int, byte, []byte) []byte { return []byte{0x82, 0x80, 0, 0, 0, 0} }, errMasked.Error()},
	}
	loops := map[string]echoSettings{
		"closed loop": {conns: 3, inflight: 2, size: 100, seconds: 0.1, warm: 10 * time.Millisecond},
		"open loop":   {conns: 3, inflight: 1, rate: 1000, size: 100, seconds: 0.1, warm: 10 * time.Millisecond},
	}
	for loop, settings := range loops {
		for _, tt := range tests {
			t.Run(loop+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				c := serve(t, tt.answer)
				r, err := echoRun(&c, settings)
				check(t, err, tt.want)
				if err != nil {
					return
				}
				has(t, r, "msgs", "server_us_per_msg", "p999_us", "load_saturated", "steal_share", "other_cores", "rss")
				if settings.rate > 0 {
					has(t, r, "kept", "sent_late_p50_us")
				}
			})
		}
	}
}

func TestStream(t *testing.T) {
	content := serverFrame(opText, `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"abcd"}`)
	run := func(contents int, end string) func(int, byte, []byte) []byte {
		return func(_ int, _ byte, input []byte) []byte {
			var index int32
			fmt.Sscanf(string(input), `{"threadId":"thread-%d"`, &index)
			ids := fmt.Sprintf(`"threadId":%q,"runId":%q`, threadOf(index), runOf(index))
			b := serverFrame(opText, `{"type":"RUN_STARTED",`+ids+`}`)
			b = append(b, serverFrame(opText, `{"messageId":"m","type":"TEXT_MESSAGE_START"}`)...)
			for range contents {
				b = append(b, content...)
			}
			b = append(b, serverFrame(opText, `{"type":"TEXT_MESSAGE_END","messageId":"m"}`)...)
			if end != "" {
				b = append(b, serverFrame(opText, `{"type":"`+end+`",`+ids+`}`)...)
			}
			return b
		}
	}
	tests := []struct {
		name   string
		answer func(int, byte, []byte) []byte
		want   string
	}{
		{"good", run(800, "RUN_FINISHED"), ""},
		{"one lost", run(799, "RUN_FINISHED"), "run of 799 content events, want 800"},
		{"failed", run(800, "RUN_ERROR"), "out of order"},
		{"unfinished", run(800, ""), "had not finished"},
		{"closed early", func(int, byte, []byte) []byte { return nil }, "before RUN_FINISHED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, tt.answer)
			m := &streamMode{rate: 100, burst: 8, delta: 4, length: 1, exact: true}
			r, err := streamRun(&c, m, 5, 10*time.Millisecond, 300*time.Millisecond)
			check(t, err, tt.want)
			if err == nil {
				has(t, r, "events", "server_us_per_event", "kept", "p99_us")
			}
		})
	}
}

func TestStreamDue(t *testing.T) {
	m := &streamMode{e: &engine{}, burst: 2, interval: 1000_000, measuring: true, latency: newLatency()}
	r := &runConn{due: 1000_000, left: 2}
	for i, tt := range []struct{ at, late int64 }{
		{1010_000, 10_000},
		{1020_000, 20_000}, // the first burst, due at 1 ms
		{2500_000, 500_000},
		{2500_000, 500_000},
		{2950_000, 0},
		{2960_000, 10_000}, // before its time: the clock goes back by 50 µs
		{4000_000, 50_000},
	} {
		m.e.stamp = tt.at
		m.latency.reset()
		m.content(r)
		if got := m.latency.h.Max(); got < tt.late || got > tt.late+tt.late/500+64 {
			t.Errorf("event %d at %d: latency %d, want %d", i, tt.at, got, tt.late)
		}
	}
}

func TestIdle(t *testing.T) {
	c := serve(t, func(int, byte, []byte) []byte { return nil })
	r, err := idleRun(&c, 20, 0, 20*time.Millisecond, 10*time.Millisecond)
	check(t, err, "")
	if err == nil && !strings.Contains(string(r.text()), "conns=20 message=0 bytes_per_conn=") {
		t.Errorf("report %s", r.text())
	}
}

// has checks that a report has these keys.
func has(t *testing.T, r *report, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if !slices.Contains(r.keys, k) {
			t.Errorf("report lacks %s: %s", k, r.text())
		}
	}
}

// value is a figure of a report.
func value[T any](t *testing.T, r *report, key string) T {
	t.Helper()
	i := slices.Index(r.keys, key)
	if i < 0 {
		t.Fatalf("report lacks %s: %s", key, r.text())
	}
	return r.values[i].(T)
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v", err)
	case want != "" && err == nil:
		t.Errorf("no error, want one with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("error %v, want %q in it", err, want)
	}
}
