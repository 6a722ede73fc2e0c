package handshake_test

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/agloop/agloop/codec/handshake"
)

const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// proxied is a header of the PROXY protocol.
func proxied(command, family byte, body string) string {
	length := binary.BigEndian.AppendUint16(nil, uint16(len(body)))
	return proxySignature + string([]byte{command, family}) + string(length) + body
}

var (
	proxied4 = proxied(0x21, 0x11, "\x01\x02\x03\x04\x7f\x00\x00\x01\x12\x34\x00\x50")
	proxied6 = proxied(0x21, 0x21, "\x20\x01\x0d\xb8"+strings.Repeat("\x00", 11)+"\x07"+strings.Repeat("\x00", 16)+"\xff\xff\x00\x50")
	mapped6  = proxied(0x21, 0x21, strings.Repeat("\x00", 10)+"\xff\xff\x01\x02\x03\x04"+strings.Repeat("\x00", 16)+"\x00\x01\x00\x50")
)

func TestParseProxy(t *testing.T) {
	for name, tt := range map[string]struct {
		header string
		source string // "": not valid
	}{
		"IPv4":             {proxied4, "1.2.3.4:4660"},
		"IPv6":             {proxied6, "[2001:db8::7]:65535"},
		"IPv4 as IPv6":     {mapped6, "1.2.3.4:1"},
		"with more behind": {proxied(0x21, 0x11, "\x01\x02\x03\x04\x7f\x00\x00\x01\x12\x34\x00\x50\x04\x00\x01x"), "1.2.3.4:4660"},
		"LOCAL":            {proxied(0x20, 0x00, ""), ""},
		"LOCAL with bytes": {proxied(0x20, 0x11, "whatever"), ""},
		"UNIX":             {proxied(0x21, 0x31, strings.Repeat("x", 216)), ""},
		"UNSPEC":           {proxied(0x21, 0x00, ""), ""},
	} {
		all := tt.header + "GET / HTTP/1.1\r\n"
		for cut := range len(tt.header) {
			if _, n, err := handshake.ParseProxy([]byte(all[:cut])); n != 0 || err != nil {
				t.Fatalf("%s, %d bytes of it: %d, %v", name, cut, n, err)
			}
		}
		source, n, err := handshake.ParseProxy([]byte(all))
		if err != nil || n != len(tt.header) || source.IsValid() != (tt.source != "") || source.IsValid() && source.String() != tt.source {
			t.Errorf("%s: %v, %d, %v", name, source, n, err)
		}
	}
	for name, header := range map[string]string{
		"HTTP":            "GET / HTTP/1.1\r\n",
		"version 1":       "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
		"CRLFs":           "\r\n\r\n\r\n",
		"version 3":       proxied(0x31, 0x11, strings.Repeat("x", 12)),
		"command 2":       proxied(0x22, 0x11, strings.Repeat("x", 12)),
		"IPv4 too short":  proxied(0x21, 0x11, strings.Repeat("x", 11)),
		"IPv6 too short":  proxied(0x21, 0x21, strings.Repeat("x", 35)),
		"longer than may": proxied(0x21, 0x11, "")[:14] + "\xff\xff",
	} {
		if _, _, err := handshake.ParseProxy([]byte(header)); err == nil || scanHeadStatus(err) != 400 {
			t.Errorf("%s: %v, want 400", name, err)
		}
	}
}

// FuzzParseProxy: the outcome does not depend on how much has arrived, and nothing is read beyond
// the length that the header has.
func FuzzParseProxy(f *testing.F) {
	for _, seed := range []string{proxied4, proxied6, mapped6, proxied(0x20, 0, ""), "GET / HTTP/1.1\r\n\r\n", ""} {
		f.Add([]byte(seed), uint16(7))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		source, n, err := handshake.ParseProxy(b)
		if n < 0 || n > len(b) || err != nil && (n != 0 || source.IsValid()) {
			t.Fatal(source, n, err)
		}
		part := b[:min(int(cut), len(b))]
		_, m, partErr := handshake.ParseProxy(part)
		switch {
		case partErr != nil && err == nil, m != 0 && m != n:
			t.Fatalf("of %d bytes %d, %v; of all %d, %v", len(part), m, partErr, n, err)
		case err == nil && n == 0 && len(b) > 4<<10:
			t.Fatal("more is awaited than a header may have")
		}
	})
}

func TestProxiesClient(t *testing.T) {
	trusted := handshake.Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, tt := range map[string]struct {
		peer   string // "": a unix socket
		fields string // for and proto fields
		client string
		https  bool
	}{
		"no fields":               {"10.0.0.1:5", "", "10.0.0.1:5", false},
		"one":                     {"10.0.0.1:5", "X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: https", "1.2.3.4:0", true},
		"untrusted peer":          {"9.0.0.1:5", "X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: https", "9.0.0.1:5", false},
		"chain":                   {"10.0.0.1:5", "X-Forwarded-For: 1.2.3.4, 10.0.0.2, 10.0.0.3", "1.2.3.4:0", false},
		"forged start":            {"10.0.0.1:5", "X-Forwarded-For: 6.6.6.6, 1.2.3.4", "1.2.3.4:0", false},
		"forged proxy":            {"10.0.0.1:5", "X-Forwarded-For: 10.9.9.9, 1.2.3.4", "1.2.3.4:0", false},
		"two fields":              {"10.0.0.1:5", "X-Forwarded-For: 6.6.6.6|X-Forwarded-For: 1.2.3.4", "1.2.3.4:0", false},
		"proxies alone":           {"10.0.0.1:5", "X-Forwarded-For: 10.0.0.2", "10.0.0.2:0", false},
		"with a port":             {"10.0.0.1:5", "X-Forwarded-For: 1.2.3.4:99", "1.2.3.4:99", false},
		"IPv6":                    {"[fd00::1]:5", "X-Forwarded-For: 2001:db8::1", "[2001:db8::1]:0", false},
		"IPv6 in brackets":        {"[fd00::1]:5", "X-Forwarded-For: [2001:db8::1]", "[2001:db8::1]:0", false},
		"IPv6 with a port":        {"[fd00::1]:5", "X-Forwarded-For: [2001:db8::1]:7", "[2001:db8::1]:7", false},
		"IPv4 as IPv6":            {"[::ffff:10.0.0.1]:5", "X-Forwarded-For: ::ffff:1.2.3.4", "1.2.3.4:0", false},
		"empty":                   {"10.0.0.1:5", "X-Forwarded-For: ", "10.0.0.1:5", false},
		"commas":                  {"10.0.0.1:5", "X-Forwarded-For: ,,,", "10.0.0.1:5", false},
		"no address":              {"10.0.0.1:5", "X-Forwarded-For: 1.2.3.4, unknown", "10.0.0.1:5", false},
		"a thousand":              {"10.0.0.1:5", "X-Forwarded-For: " + strings.Repeat("10.0.0.9,", 999) + "10.0.0.9", "10.0.0.9:0", false},
		"unix socket":             {"", "X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: https", "1.2.3.4:0", true},
		"proto of several":        {"10.0.0.1:5", "X-Forwarded-Proto: https, http", "10.0.0.1:5", false},
		"proto in capitals":       {"10.0.0.1:5", "X-Forwarded-Proto: HTTPS", "10.0.0.1:5", true},
		"proto of a WebSocket":    {"10.0.0.1:5", "X-Forwarded-Proto: wss", "10.0.0.1:5", true},
		"proto that is something": {"10.0.0.1:5", "X-Forwarded-Proto: httpsx", "10.0.0.1:5", false},
	} {
		head := chromeWith()
		if tt.fields != "" {
			head = chromeWith(strings.Split("+"+strings.ReplaceAll(tt.fields, "|", "|+"), "|")...)
		}
		req, _, err := handshake.ParseRequest([]byte(head))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var peer netip.AddrPort
		if tt.peer != "" {
			peer = netip.MustParseAddrPort(tt.peer)
		}
		told := name != "untrusted peer" && strings.Contains(tt.fields, "-Proto")
		for _, secure := range []bool{false, true} { // which counts where nobody tells
			want := tt.https || secure && !told
			if client, https := trusted.Client(&req, peer, secure); client.String() != tt.client || https != want {
				t.Errorf("%s, secure %t: %v, https %t; want %s, %t", name, secure, client, https, tt.client, want)
			}
		}
	}
	if (handshake.Proxies{}).Trusts(netip.Addr{}) {
		t.Error("a unix socket is trusted though no proxy is")
	}
}
