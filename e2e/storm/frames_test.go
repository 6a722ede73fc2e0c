package main

import (
	"strings"
	"testing"

	"github.com/agloop/agloop/internal/testkit"
)

// stream is what a server sends: a response, control, a ping, then events of several sizes.
func stream() (all []byte, events int) {
	text := func(s string) { all = append(all, testkit.Plain(0b1_000_0001, []byte(s))...) }
	all = append(all, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {websocket}\r\n\r\n"...)
	text(`["hello",{"version":1}]`)
	all = append(all, testkit.Plain(0b1_000_1001, []byte("{"))...)
	all = append(all, testkit.Plain(0b1_000_1001, nil)...)
	for _, size := range []int{0, 1, 100, 200, 70_000} {
		text("{" + strings.Repeat("x", size))
		text(`["run",{}]`)
	}
	return all, 5
}

// TestFramesCountEvents, however the bytes are cut.
func TestFramesCountEvents(t *testing.T) {
	all, events := stream()
	for _, size := range []int{1, 2, 7, 1000, len(all)} {
		var f frames
		for b := all; len(b) > 0; {
			n := min(size, len(b))
			f.scan(b[:n])
			b = b[n:]
		}
		if f.events != events || f.left != 0 || len(f.head) != 0 {
			t.Errorf("by %d: %d events, %d bytes and %d of a head left", size, f.events, f.left, len(f.head))
		}
	}
}

// TestFramesCutInTheMiddle of one, wherever they are asked to.
func TestFramesCutInTheMiddle(t *testing.T) {
	all, _ := stream()
	for from := 0; from < len(all); from += 1 + from/20 {
		var f frames
		f.scan(all[:from])
		n, ok := f.cut(all[from:])
		if !ok {
			if f.left != 0 || from+n != len(all) {
				t.Errorf("from %d: no frame", from)
			}
			continue
		}
		if f.left == 0 || f.left >= f.size {
			t.Errorf("from %d: %d of a payload of %d are left behind %d", from, f.left, f.size, n)
		}
	}
}
