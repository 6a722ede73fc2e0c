//go:build linux

package main

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// hub sends each message to all connections. spoil may change what the second connection gets
// instead of message n.
type hub struct {
	mu    sync.Mutex
	conns []net.Conn
	count int
	spoil func(n int, frame []byte) [][]byte
	held  []byte // for spoil
}

func serveHub(t *testing.T, spoil func(h *hub, n int, frame []byte) [][]byte) common {
	t.Helper()
	h := &hub{}
	h.spoil = func(n int, frame []byte) [][]byte { return spoil(h, n, frame) }
	return serveConns(t, func(c net.Conn) {
		talk(c, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.conns = append(h.conns, c)
		}, func(_ int, op byte, payload []byte) []byte {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.count++
			frame := serverFrame(op, string(payload))
			for i, to := range h.conns {
				if i != 1 {
					to.Write(frame)
					continue
				}
				for _, f := range h.spoil(h.count, slices.Clone(frame)) {
					to.Write(f)
				}
			}
			return []byte{}
		})
	})
}

func TestFanout(t *testing.T) {
	const when = 30 // past the probes
	tests := []struct {
		name  string
		spoil func(h *hub, n int, frame []byte) [][]byte
		want  string
	}{
		{"good", func(_ *hub, _ int, f []byte) [][]byte { return [][]byte{f} }, ""},
		{"first ones missed", func(_ *hub, n int, f []byte) [][]byte {
			if n < 3 {
				return nil
			}
			return [][]byte{f}
		}, ""},
		{"lost", func(_ *hub, n int, f []byte) [][]byte {
			if n == when {
				return nil
			}
			return [][]byte{f}
		}, "lost, doubled or out of order"},
		{"all lost", func(_ *hub, n int, f []byte) [][]byte {
			if n >= when {
				return nil
			}
			return [][]byte{f}
		}, "never came"},
		{"doubled", func(_ *hub, n int, f []byte) [][]byte {
			if n == when {
				return [][]byte{f, f}
			}
			return [][]byte{f}
		}, "delivery of message"},
		{"reordered", func(h *hub, n int, f []byte) [][]byte {
			switch n {
			case when:
				h.held = f
				return nil
			case when + 1:
				return [][]byte{f, h.held}
			}
			return [][]byte{f}
		}, "lost, doubled or out of order"},
		{"changed", func(_ *hub, n int, f []byte) [][]byte {
			f[len(f)-1]++
			return [][]byte{f}
		}, "differs"},
		{"shorter", func(*hub, int, []byte) [][]byte {
			return [][]byte{serverFrame(opBinary, "12345678")}
		}, "delivery of 8 bytes"},
		{"another type", func(_ *hub, n int, f []byte) [][]byte {
			f[0] = 0x80 | opText
			return [][]byte{f}
		}, "differs"},
		{"invented", func(_ *hub, n int, f []byte) [][]byte {
			if n == when {
				f[2+4]++ // in the middle of the sequence number
			}
			return [][]byte{f}
		}, "not published"},
		{"closing", func(_ *hub, n int, f []byte) [][]byte {
			if n == when {
				return [][]byte{serverFrame(opClose, "\x03\xf0slow")}
			}
			return [][]byte{f}
		}, "close 1008 slow"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := serveHub(t, tt.spoil)
			r, err := fanoutRun(&c, 4, 500, 100, 0.2, 10*time.Millisecond)
			check(t, err, tt.want)
			if err != nil {
				return
			}
			has(t, r, "server_us_per_msg", "kept", "p999_us", "sent_late_p99_us")
			if msgs, checked := value[uint64](t, r, "msgs"), value[uint64](t, r, "checked"); msgs == 0 || checked < msgs {
				t.Errorf("%d deliveries in the window, %d checked", msgs, checked)
			}
		})
	}
}

func TestFanoutNobodyJoins(t *testing.T) {
	c := serveHub(t, func(*hub, int, []byte) [][]byte { return nil })
	c.limit = 300 * time.Millisecond
	_, err := fanoutRun(&c, 4, 500, 100, 0.2, 0)
	check(t, err, "3 of 4 connections got a message")
}
