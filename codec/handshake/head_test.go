package handshake_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/agloop/agloop/codec/handshake"
)

// scanHeadStatus is the outcome of ScanHead in comparable form.
func scanHeadStatus(err error) int {
	var refused *handshake.UpgradeError
	if errors.As(err, &refused) {
		return refused.Status
	}
	return 0
}

// scanHeadPieces feeds data cut at growing lengths: sizes[i] more bytes each time, then one by one.
func scanHeadPieces(data, sizes []byte, lim handshake.HeadLimits) (head int, err error) {
	from := 0
	for have := 0; have < len(data); {
		step := 1
		if len(sizes) > 0 {
			step, sizes = int(sizes[0]), sizes[1:]
		}
		have = min(have+step, len(data))
		if head, from, err = handshake.ScanHead(data[:have], from, lim); head != 0 || err != nil {
			return head, err
		}
	}
	return 0, nil
}

func TestScanHead(t *testing.T) {
	filled := func(size int) string {
		start := "GET / HTTP/1.1\r\nX: "
		return start + strings.Repeat("x", size-len(start)-4) + "\r\n\r\n"
	}
	fields := func(n int) string { return "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", n) + "\r\n" }
	line := func(n int) string { return strings.Repeat("x", n) + "\r\n\r\n" }
	for name, c := range map[string]struct {
		in     string
		lim    handshake.HeadLimits
		head   int
		status int
	}{
		"empty":               {in: ""},
		"no end":              {in: "GET / HTTP/1.1\r\nHost: a\r\n"},
		"blank line cut":      {in: "GET / HTTP/1.1\r\n\r"},
		"no fields":           {in: "GET / HTTP/1.1\r\n\r\n", head: 18},
		"frames behind":       {in: "GET / HTTP/1.1\r\n\r\n\x81\x80abcd\r\n\r\n", head: 18},
		"bare lf":             {in: "GET / HTTP/1.1\n\nrest", head: 16},
		"mixed ends":          {in: "GET / HTTP/1.1\n\r\nrest", head: 17},
		"blank first line":    {in: "\r\n\r\nrest", head: 4},
		"8192 bytes":          {in: filled(8192) + "rest", head: 8192},
		"8193 bytes":          {in: filled(8193), status: 431},
		"8192 without end":    {in: filled(8196)[:8192]},
		"8193 without end":    {in: filled(8197)[:8193], status: 431},
		"64 fields":           {in: fields(64), head: 18 + 64*6},
		"65 fields":           {in: fields(65), status: 431},
		"4096 in first line":  {in: line(4096), head: 4100},
		"4097 in first line":  {in: line(4097), status: 414},
		"first line endless":  {in: strings.Repeat("x", 9000), status: 414},
		"own limits":          {in: fields(3), lim: handshake.HeadLimits{MaxFields: 2}, status: 431},
		"own bytes":           {in: fields(3), lim: handshake.HeadLimits{MaxBytes: 20}, status: 431},
		"own line":            {in: fields(3), lim: handshake.HeadLimits{MaxRequestLine: 13}, status: 414},
		"no limits":           {in: line(100_000) + "x", lim: handshake.HeadLimits{MaxBytes: -1, MaxFields: -1, MaxRequestLine: -1}, head: 100_004},
		"line limit past all": {in: strings.Repeat("x", 9000), lim: handshake.HeadLimits{MaxRequestLine: 8191}, status: 431},
	} {
		t.Run(name, func(t *testing.T) {
			head, _, err := handshake.ScanHead([]byte(c.in), 0, c.lim)
			if head != c.head || scanHeadStatus(err) != c.status {
				t.Errorf("at once: head %d, err %v, want %d, status %d", head, err, c.head, c.status)
			}
			if head, err = scanHeadPieces([]byte(c.in), nil, c.lim); head != c.head || scanHeadStatus(err) != c.status {
				t.Errorf("byte by byte: head %d, err %v, want %d, status %d", head, err, c.head, c.status)
			}
		})
	}
}

func TestScanHeadSplit(t *testing.T) {
	const behind = "\x82\x85abcd\r\n\r\n"
	for name, in := range goodRequests {
		t.Run(name, func(t *testing.T) {
			data := []byte(in + behind)
			for cut := range data {
				head, next, err := handshake.ScanHead(data[:cut], 0, handshake.HeadLimits{})
				if head == 0 && err == nil {
					head, _, err = handshake.ScanHead(data, next, handshake.HeadLimits{})
				}
				if head != len(in) || err != nil {
					t.Fatalf("cut at %d: head %d of %d, err %v", cut, head, len(in), err)
				}
			}
			if head, err := scanHeadPieces(data, nil, handshake.HeadLimits{}); head != len(in) || err != nil {
				t.Fatalf("byte by byte: head %d of %d, err %v", head, len(in), err)
			}
		})
	}
}
