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
	"strings"
	"testing"
	"time"
)

// serve runs a server of the test's own: answer gets each frame of a client and returns the bytes to send.
func serve(t *testing.T, answer func(count int, op byte, payload []byte) []byte) common {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				talk(c, answer)
			}()
		}
	}()
	return common{url: "ws://" + ln.Addr().String() + "/", pid: os.Getpid(), cpu: -1, bound: 4, limit: 5 * time.Second}
}

func talk(c net.Conn, answer func(int, byte, []byte) []byte) {
	r := bufio.NewReader(c)
	if _, err := http.ReadRequest(r); err != nil {
		return
	}
	// In two writes: the answer must be put together again.
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upg")
	time.Sleep(time.Millisecond) // so that they are read apart, if the machine lets them
	io.WriteString(c, "rade\r\nSec-WebSocket-Accept: "+wsAccept+"\r\n\r\n")
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
	}
}

func serverFrame(op byte, payload string) []byte {
	b := []byte{0x80 | op, byte(len(payload))}
	if len(payload) > 125 {
		b = append([]byte{0x80 | op, 126}, byte(len(payload)>>8), byte(len(payload)))
	}
	return append(b, payload...)
}

func TestEcho(t *testing.T) {
	good := func(_ int, op byte, p []byte) []byte { return serverFrame(op, string(p)) }
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
		{"dropping", func(int, byte, []byte) []byte { return nil }, "closed with"},
		{"masking", func(int, byte, []byte) []byte { return []byte{0x82, 0x80, 0, 0, 0, 0} }, errMasked.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, tt.answer)
			c.drain = 300 * time.Millisecond
			r, err := echoRun(&c, 3, 2, 100, 0.1, 10*time.Millisecond)
			check(t, err, tt.want)
			if err == nil && !strings.Contains(string(r.text()), "server_us_per_msg=") {
				t.Errorf("report %s", r.text())
			}
		})
	}
}

func TestStream(t *testing.T) {
	content := serverFrame(opText, `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"abcd"}`)
	run := func(contents int, end string) func(int, byte, []byte) []byte {
		return func(_ int, _ byte, input []byte) []byte {
			var index int
			fmt.Sscanf(string(input), `{"threadId":"thread-%d"`, &index)
			ids := fmt.Sprintf(`"threadId":"thread-%d","runId":"run-%d"`, index, index)
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
			_, err := streamRun(&c, m, 5, 10*time.Millisecond, 300*time.Millisecond)
			check(t, err, tt.want)
		})
	}
}

func TestIdle(t *testing.T) {
	c := serve(t, func(int, byte, []byte) []byte { return nil })
	r, err := idleRun(&c, 20, 20*time.Millisecond, 10*time.Millisecond)
	check(t, err, "")
	if err == nil && !strings.Contains(string(r.text()), "conns=20 bytes_per_conn=") {
		t.Errorf("report %s", r.text())
	}
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
