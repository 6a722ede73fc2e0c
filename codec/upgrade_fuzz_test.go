package codec_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec"
)

// upgradeForbidden reports whether an accepted head holds a byte or line end it
// must not.
func upgradeForbidden(head []byte) bool {
	text := strings.ReplaceAll(string(head), "\r\n", "")
	return !bytes.HasSuffix(head, []byte("\r\n\r\n")) || strings.ContainsAny(text, "\r\n\x00\x7f\x1b") ||
		bytes.Contains(head, []byte("\r\n ")) || bytes.Contains(head, []byte("\r\n\t"))
}

func FuzzUpgradeRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, data, sizes []byte) {
		head, err := scanHeadPieces(data, sizes, codec.HeadLimits{})
		if once, _, onceErr := codec.ScanHead(data, 0, codec.HeadLimits{}); once != head || scanHeadStatus(onceErr) != scanHeadStatus(err) {
			t.Fatalf("at once: head %d, %v; in pieces: %d, %v", once, onceErr, head, err)
		}
		if head == 0 {
			return
		}
		req, upgrade, err := codec.ParseUpgradeRequest(data[:head])
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
		if upgradeForbidden(data[:head]) || len(req.Host) == 0 || len(req.Path) == 0 || req.Path[0] != '/' {
			t.Fatalf("accepted %q", data[:head])
		}
		if n := len(req.Protocols()); n > 16 {
			t.Fatalf("%d protocols", n)
		}
		upgradeAgree(t, data[:head], &req)
	})
}

func TestUpgradeAllocs(t *testing.T) {
	if upgradeRace {
		t.Skip("the race detector allocates")
	}
	head, dst := []byte(upgradeChrome), make([]byte, 0, 512)
	supported := []string{"agui.v2", "agui.v1"}
	policy := codec.OriginPolicy{Allowed: []string{"https://other.example.com:443", "https://a-rather-long-name.of-another.example.com"}}
	other := []byte("https://a-rather-long-name.of-yet-another.example.com:8443")
	if n := testing.AllocsPerRun(100, func() {
		n, _, err := codec.ScanHead(head, 0, codec.HeadLimits{})
		if err != nil {
			t.Fatal(err)
		}
		req, upgrade, err := codec.ParseUpgradeRequest(head[:n])
		if !upgrade || err != nil || policy.Check(req.Origin, req.Host, true) != nil || policy.Check(other, req.Host, true) == nil {
			t.Fatal(upgrade, err)
		}
		dst = codec.AppendSwitchingProtocols(dst[:0], req.Key, codec.SelectProtocol(supported, &req))
	}); n != 0 {
		t.Errorf("a handshake allocates %v times", n)
	}
	bad := []byte(upgradeWith("Sec-WebSocket-Version: 12"))
	if n := testing.AllocsPerRun(100, func() {
		_, _, err := codec.ParseUpgradeRequest(bad)
		dst = err.(*codec.UpgradeError).AppendResponse(dst[:0])
	}); n != 0 {
		t.Errorf("a refusal allocates %v times", n)
	}
}

// Heads built to make a careless parser slow. The limits hold by a wide margin
// on any machine as long as the work is linear.
func TestUpgradeLinear(t *testing.T) {
	fill := func(prefix, unit string) []byte {
		return []byte(upgradeWith("+" + prefix + strings.Repeat(unit, (7900-len(prefix))/len(unit))))
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
			_, upgrade, _ := codec.ParseUpgradeRequest(head)
			best = min(best, time.Since(start))
			if !upgrade {
				t.Fatalf("%s: no upgrade", name)
			}
		}
		if best > time.Millisecond && !upgradeRace {
			t.Errorf("%s: %v for %d bytes", name, best, len(head))
		}
	}
	best := time.Hour
	data := bytes.Repeat([]byte{'x'}, 8192)
	copy(data, "GET / HTTP/1.1\r\nX: ")
	for range 5 {
		start := time.Now()
		if _, err := scanHeadPieces(data, nil, codec.HeadLimits{}); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > 2*time.Millisecond && !upgradeRace {
		t.Errorf("%d bytes one by one: %v", len(data), best)
	}
}

func BenchmarkScanHead(b *testing.B) {
	head := []byte(upgradeChrome)
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	for b.Loop() {
		if n, _, _ := codec.ScanHead(head, 0, codec.HeadLimits{}); n == 0 {
			b.Fatal("no head")
		}
	}
}

func BenchmarkScanHeadBytewise(b *testing.B) {
	head := []byte(upgradeChrome)
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	for b.Loop() {
		if n, _ := scanHeadPieces(head, nil, codec.HeadLimits{}); n == 0 {
			b.Fatal("no head")
		}
	}
}

func BenchmarkUpgradeRequest(b *testing.B) {
	for name, text := range map[string]string{"chrome": upgradeChrome, "minimal": upgradeWith(), "refused": upgradeWith("POST / HTTP/1.1")} {
		b.Run(name, func(b *testing.B) {
			head := []byte(text)
			b.SetBytes(int64(len(head)))
			b.ReportAllocs()
			for b.Loop() {
				if _, upgrade, _ := codec.ParseUpgradeRequest(head); !upgrade {
					b.Fatal("no upgrade")
				}
			}
		})
	}
}

func BenchmarkUpgradeSwitchingProtocols(b *testing.B) {
	dst, key := make([]byte, 0, 512), []byte(upgradeKey)
	b.ReportAllocs()
	for b.Loop() {
		dst = codec.AppendSwitchingProtocols(dst[:0], key, "agui.v1")
	}
}

func BenchmarkOriginPolicy(b *testing.B) {
	origin, host := []byte("https://app.example.com"), []byte("app.example.com")
	b.ReportAllocs()
	for b.Loop() {
		if (codec.OriginPolicy{}).Check(origin, host, true) != nil {
			b.Fatal("refused")
		}
	}
}

func BenchmarkDialResponse(b *testing.B) {
	head, offers := []byte(dialAnswer("+Sec-WebSocket-Protocol: agui.v1")), []string{"agui.v1"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.ParseDialResponse(head, upgradeKey, offers); err != nil {
			b.Fatal(err)
		}
	}
}
