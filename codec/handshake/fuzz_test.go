package handshake_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/internal/testkit"
)

// forbidden reports whether an accepted head holds a byte or line end it must not.
func forbidden(head []byte) bool {
	text := strings.ReplaceAll(string(head), "\r\n", "")
	return !bytes.HasSuffix(head, []byte("\r\n\r\n")) || strings.ContainsAny(text, "\r\n\x00\x7f\x1b") ||
		bytes.Contains(head, []byte("\r\n ")) || bytes.Contains(head, []byte("\r\n\t"))
}

func FuzzRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, data, sizes []byte) {
		head, err := scanHeadPieces(data, sizes, handshake.HeadLimits{})
		if once, _, onceErr := handshake.ScanHead(data, 0, handshake.HeadLimits{}); once != head || scanHeadStatus(onceErr) != scanHeadStatus(err) {
			t.Fatalf("at once: head %d, %v; in pieces: %d, %v", once, onceErr, head, err)
		}
		if head == 0 {
			return
		}
		req, upgrade, err := handshake.ParseRequest(data[:head])
		if !upgrade {
			if err != nil {
				t.Fatalf("an ordinary request is refused: %v", err)
			}
			return
		}
		if err != nil {
			switch scanHeadStatus(err) {
			case 400, 405, 426, 505:
			default:
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if nonce, err := base64.StdEncoding.Strict().DecodeString(string(req.Key)); err != nil || len(nonce) != 16 {
			t.Fatalf("key %q accepted", req.Key)
		}
		if forbidden(data[:head]) || len(req.Host) == 0 || len(req.Path) == 0 || req.Path[0] != '/' {
			t.Fatalf("accepted %q", data[:head])
		}
		if n := len(req.Protocols()); n > 16 {
			t.Fatalf("%d protocols", n)
		}
		agree(t, data[:head], &req)
	})
}

func TestAllocs(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	head, dst := []byte(chrome), make([]byte, 0, 512)
	supported := []string{"agui.v2", "agui.v1"}
	policy := handshake.OriginPolicy{Allowed: []string{"https://other.example.com:443", "https://a-rather-long-name.of-another.example.com"}}
	other := []byte("https://a-rather-long-name.of-yet-another.example.com:8443")
	if n := testing.AllocsPerRun(100, func() {
		n, _, err := handshake.ScanHead(head, 0, handshake.HeadLimits{})
		if err != nil {
			t.Fatal(err)
		}
		req, upgrade, err := handshake.ParseRequest(head[:n])
		if !upgrade || err != nil || policy.Check(req.Origin, req.Host, true) != nil || policy.Check(other, req.Host, true) == nil {
			t.Fatal(upgrade, err)
		}
		dst = handshake.AppendSwitchingProtocols(dst[:0], req.Key, handshake.SelectProtocol(supported, req.Protocols()), "", nil)
	}); n != 0 {
		t.Errorf("a handshake allocates %v times", n)
	}
	bad := []byte(chromeWith("Content-Length: 5")) // one that adds no field to the response
	if n := testing.AllocsPerRun(100, func() {
		_, _, err := handshake.ParseRequest(bad)
		dst = err.(*handshake.UpgradeError).AppendResponse(dst[:0])
	}); n != 0 {
		t.Errorf("a refusal allocates %v times", n)
	}
}

// Heads built to make a careless parser slow. The limits hold by a wide margin on any machine as
// long as the work is linear.
func TestLinear(t *testing.T) {
	fill := func(prefix, unit string) []byte {
		return []byte(chromeWith("+" + prefix + strings.Repeat(unit, (7900-len(prefix))/len(unit))))
	}
	for name, head := range map[string][]byte{
		"spaces in protocols": fill("Sec-WebSocket-Protocol: a", " "),
		"commas in protocols": fill("Sec-WebSocket-Protocol: ", ","),
		"commas and spaces":   fill("Sec-WebSocket-Protocol: ", " , "),
		"connection list":     fill("Connection: ", "a,"),
		"upgrade list":        fill("Upgrade: ", ", "),
		"folded lines":        fill("X: y", "\r\n ,"),
	} {
		best := time.Hour
		for range 5 { // the best of a few, for a machine that is busy elsewhere
			start := time.Now()
			_, upgrade, _ := handshake.ParseRequest(head)
			best = min(best, time.Since(start))
			if !upgrade {
				t.Fatalf("%s: no upgrade", name)
			}
		}
		if best > time.Millisecond && !testkit.Race {
			t.Errorf("%s: %v for %d bytes", name, best, len(head))
		}
	}
	best := time.Hour
	data := bytes.Repeat([]byte{'x'}, 8192)
	copy(data, "GET / HTTP/1.1\r\nX: ")
	for range 5 {
		start := time.Now()
		if _, err := scanHeadPieces(data, nil, handshake.HeadLimits{}); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > 2*time.Millisecond && !testkit.Race {
		t.Errorf("%d bytes one by one: %v", len(data), best)
	}
}

func BenchmarkScanHead(b *testing.B) {
	head := []byte(chrome)
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	for b.Loop() {
		if n, _, _ := handshake.ScanHead(head, 0, handshake.HeadLimits{}); n == 0 {
			b.Fatal("no head")
		}
	}
}

func BenchmarkScanHeadBytewise(b *testing.B) {
	head := []byte(chrome)
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	for b.Loop() {
		if n, _ := scanHeadPieces(head, nil, handshake.HeadLimits{}); n == 0 {
			b.Fatal("no head")
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	for name, text := range map[string]string{"chrome": chrome, "minimal": chromeWith(), "refused": chromeWith("POST / HTTP/1.1")} {
		b.Run(name, func(b *testing.B) {
			head := []byte(text)
			b.SetBytes(int64(len(head)))
			b.ReportAllocs()
			for b.Loop() {
				if _, upgrade, _ := handshake.ParseRequest(head); !upgrade {
					b.Fatal("no upgrade")
				}
			}
		})
	}
}

func BenchmarkSwitchingProtocols(b *testing.B) {
	dst, key := make([]byte, 0, 512), []byte(testKey)
	b.ReportAllocs()
	for b.Loop() {
		dst = handshake.AppendSwitchingProtocols(dst[:0], key, "agui.v1", "", nil)
	}
}

func BenchmarkOriginPolicy(b *testing.B) {
	origin, host := []byte("https://app.example.com"), []byte("app.example.com")
	b.ReportAllocs()
	for b.Loop() {
		if (handshake.OriginPolicy{}).Check(origin, host, true) != nil {
			b.Fatal("refused")
		}
	}
}

func BenchmarkDialResponse(b *testing.B) {
	head, offers := []byte(dialAnswer("+Sec-WebSocket-Protocol: agui.v1")), []string{"agui.v1"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := handshake.ParseDialResponse(head, testKey, offers, nil); err != nil {
			b.Fatal(err)
		}
	}
}
