package codec_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/agloop/agloop/codec"
)

const (
	upgradeKey    = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455 §1.3
	upgradeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

var upgradeChrome = upgradeHead(
	"GET /agents/run?session=7f3a HTTP/1.1",
	"Host: app.example.com",
	"Connection: Upgrade",
	"Pragma: no-cache",
	"Cache-Control: no-cache",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
	"Upgrade: websocket",
	"Origin: https://app.example.com",
	"Sec-WebSocket-Version: 13",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-GB,en;q=0.9",
	"Sec-WebSocket-Key: "+upgradeKey,
	"Sec-WebSocket-Protocol: agui.v1, agui.v0",
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
)

func upgradeHead(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// upgradeWith returns a minimal good head after edit: a line "Name: value"
// replaces the field of that name, "-Name" drops it, "+Name: value" adds one,
// and a line without a colon before its first space replaces the request line.
func upgradeWith(edits ...string) string {
	lines := []string{
		"GET /chat HTTP/1.1", "Host: a.com", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: " + upgradeKey, "Sec-WebSocket-Version: 13",
	}
	for _, edit := range edits {
		if add, ok := strings.CutPrefix(edit, "+"); ok {
			lines = append(lines, add)
			continue
		}
		drop, dropping := strings.CutPrefix(edit, "-")
		name, _, field := strings.Cut(drop, ":")
		if !dropping && (!field || strings.Contains(name, " ")) {
			lines[0] = edit
			continue
		}
		kept := lines[:0:0]
		for i, line := range lines {
			if i == 0 || !strings.HasPrefix(line, name+":") {
				kept = append(kept, line)
			}
		}
		if lines = kept; !dropping {
			lines = append(lines, edit)
		}
	}
	return upgradeHead(lines...)
}

var upgradeGood = map[string]string{
	"chrome": upgradeChrome,
	"firefox": upgradeHead("GET / HTTP/1.1", "Host: localhost:8080", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
		"Accept: */*", "Accept-Language: en-US,en;q=0.5", "Sec-WebSocket-Version: 13", "Origin: http://localhost:8080",
		"Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Key: "+upgradeKey, "Connection: keep-alive, Upgrade",
		"Sec-Fetch-Mode: websocket", "Pragma: no-cache", "Cache-Control: no-cache", "Upgrade: websocket"),
	"gorilla": upgradeHead("GET /ws HTTP/1.1", "Host: 127.0.0.1:9000", "User-Agent: Go-http-client/1.1", "Connection: Upgrade",
		"Sec-WebSocket-Key: "+upgradeKey, "Sec-WebSocket-Version: 13", "Upgrade: websocket"),
	"lower case names": upgradeHead("GET /ws HTTP/1.1", "host: a.com", "upgrade: WebSocket", "connection: upgrade",
		"sec-websocket-key: "+upgradeKey, "sec-websocket-version: 13"),
	"no space after colon": upgradeHead("GET /ws HTTP/1.1", "Host:a.com", "Upgrade:websocket", "Connection:Upgrade",
		"Sec-WebSocket-Key:"+upgradeKey, "Sec-WebSocket-Version:13"),
	"ipv6 host":               upgradeWith("Host: [2001:db8::1]:8443"),
	"absolute target":         upgradeWith("GET http://a.com/chat?x=1 HTTP/1.1"),
	"absolute without path":   upgradeWith("GET https://a.com?x=1 HTTP/1.1"),
	"absolute, host alone":    upgradeWith("GET HTTP://a.com HTTP/1.1"),
	"content length zero":     upgradeWith("+Content-Length: 0"),
	"sixteen protocols":       upgradeWith("+Sec-WebSocket-Protocol: " + upgradeNames(16)),
	"protocols in two fields": upgradeWith("+Sec-WebSocket-Protocol: a, b", "+Sec-WebSocket-Protocol: c"),
	"empty list elements":     upgradeWith("+Sec-WebSocket-Protocol: a,, b ,"),
	"tabs around values":      upgradeWith("Upgrade:\t websocket \t"),
	"latin-1 in a value":      upgradeWith("+X-Name: M\xfcller"),
	"escaped path":            upgradeWith("GET /%C3%BC?a=100%&b= HTTP/1.1"),
}

func upgradeNames(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("p%d", i)
	}
	return strings.Join(names, ", ")
}

func TestUpgradeRequestGood(t *testing.T) {
	for name, head := range upgradeGood {
		t.Run(name, func(t *testing.T) {
			req, upgrade, err := codec.ParseUpgradeRequest([]byte(head))
			if !upgrade || err != nil {
				t.Fatalf("upgrade %v, err %v", upgrade, err)
			}
			if string(req.Key) != upgradeKey || string(req.Version) != "13" || string(req.Method) != "GET" {
				t.Errorf("key %q, version %q, method %q", req.Key, req.Version, req.Method)
			}
			upgradeAgree(t, []byte(head), &req)
		})
	}
}

// upgradeAgree checks that net/http reads an accepted head the same way and
// that the upgrader of gobwas/ws answers it as we do.
func upgradeAgree(t *testing.T, head []byte, req *codec.UpgradeRequest) {
	t.Helper()
	std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		t.Fatalf("net/http refuses an accepted head: %v\n%q", err, head)
	}
	if std.Host != string(req.Host) || std.URL.EscapedPath() == "" && string(req.Path) != "/" ||
		std.URL.RawQuery != string(req.Query) || std.ContentLength > 0 || len(std.TransferEncoding) > 0 {
		t.Fatalf("net/http reads %q %q, we %q %q %q", std.Host, std.URL, req.Host, req.Path, req.Query)
	}
	// It holds each Connection field to naming upgrade, not the fields in sum,
	// and stumbles over tabs inside lists; RFC 9110 §5.3 and §5.6.1 allow both.
	lists := std.Header["Connection"]
	if len(lists) > 1 || strings.Contains(strings.Join(append(lists, std.Header["Sec-Websocket-Protocol"]...), ""), "\t") {
		return
	}
	var out bytes.Buffer
	rw := struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(head), &out}
	hs, err := ws.Upgrader{Protocol: func([]byte) bool { return true }}.Upgrade(rw)
	if err != nil {
		t.Fatalf("gobwas/ws refuses an accepted head: %v\n%q", err, head)
	}
	ours := codec.AppendSwitchingProtocols(nil, req.Key, hs.Protocol)
	if !bytes.Equal(ours, out.Bytes()) {
		t.Fatalf("we answer\n%s\ngobwas/ws\n%s", ours, out.Bytes())
	}
}

func TestUpgradeRequestParts(t *testing.T) {
	req, _, err := codec.ParseUpgradeRequest([]byte(upgradeChrome))
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]string{
		"target": {string(req.Target), "/agents/run?session=7f3a"},
		"path":   {string(req.Path), "/agents/run"},
		"query":  {string(req.Query), "session=7f3a"},
		"host":   {string(req.Host), "app.example.com"},
		"origin": {string(req.Origin), "https://app.example.com"},
		"offers": {string(bytes.Join(req.Protocols(), []byte("|"))), "agui.v1|agui.v0"},
		"field":  {string(req.Field("accept-language")), "en-GB,en;q=0.9"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %q, want %q", name, pair[0], pair[1])
		}
	}
	if req.Field("cookie") != nil {
		t.Error("a field that is not there has a value")
	}
	req, _, _ = codec.ParseUpgradeRequest([]byte(upgradeGood["absolute without path"]))
	if string(req.Path) != "/" || string(req.Query) != "x=1" {
		t.Errorf("absolute form: path %q, query %q", req.Path, req.Query)
	}
	req, _, _ = codec.ParseUpgradeRequest([]byte(upgradeWith()))
	if req.Origin != nil || req.Query != nil || len(req.Protocols()) != 0 {
		t.Error("absent parts are not nil")
	}
}

func TestUpgradeRequestBad(t *testing.T) {
	raw := func(old, with string) string { return strings.Replace(upgradeWith(), old, with, 1) }
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"post":                      {upgradeWith("POST /chat HTTP/1.1"), 405},
		"post with a body":          {upgradeWith("POST /chat HTTP/1.1", "+Content-Length: 5"), 405},
		"lower case method":         {upgradeWith("get /chat HTTP/1.1"), 405},
		"http 1.0":                  {upgradeWith("GET /chat HTTP/1.0"), 505},
		"http 1.2":                  {upgradeWith("GET /chat HTTP/1.2"), 505},
		"http 2.0":                  {upgradeWith("GET /chat HTTP/2.0"), 505},
		"malformed version":         {upgradeWith("GET /chat HTTP/1.10"), 400},
		"lower case version":        {upgradeWith("GET /chat http/1.1"), 400},
		"no version":                {upgradeWith("GET /chat"), 400},
		"empty request line":        {"\r\n" + upgradeWith(), 400},
		"two spaces":                {upgradeWith("GET  /chat HTTP/1.1"), 400},
		"space in target":           {upgradeWith("GET /ch at HTTP/1.1"), 400},
		"tab in request line":       {upgradeWith("GET\t/chat HTTP/1.1"), 400},
		"nul in target":             {upgradeWith("GET /\x00 HTTP/1.1"), 400},
		"utf-8 in target":           {upgradeWith("GET /ü HTTP/1.1"), 400},
		"fragment":                  {upgradeWith("GET /chat#x HTTP/1.1"), 400},
		"bad escape":                {upgradeWith("GET /%zz HTTP/1.1"), 400},
		"asterisk target":           {upgradeWith("GET * HTTP/1.1"), 400},
		"authority target":          {upgradeWith("GET a.com:80 HTTP/1.1"), 400},
		"absolute, no authority":    {upgradeWith("GET http:///chat HTTP/1.1"), 400},
		"absolute, other authority": {upgradeWith("GET http://b.com/chat HTTP/1.1"), 400},
		"absolute, other scheme":    {upgradeWith("GET ftp://a.com/chat HTTP/1.1"), 400},

		"no host":              {upgradeWith("-Host"), 400},
		"empty host":           {upgradeWith("Host:"), 400},
		"two hosts":            {upgradeWith("+Host: a.com"), 400},
		"userinfo in host":     {upgradeWith("Host: a.com@b.com"), 400},
		"list in host":         {upgradeWith("Host: a.com, b.com"), 400},
		"path in host":         {upgradeWith("Host: a.com/x"), 400},
		"letters as port":      {upgradeWith("Host: a.com:http"), 400},
		"port too large":       {upgradeWith("Host: a.com:65536"), 400},
		"open bracket":         {upgradeWith("Host: [::1"), 400},
		"no ipv6 in brackets":  {upgradeWith("Host: [a.com]"), 400},
		"bytes after brackets": {upgradeWith("Host: [::1]x"), 400},

		"no connection":         {upgradeWith("-Connection"), 400},
		"connection keep-alive": {upgradeWith("Connection: keep-alive"), 400},
		"connection no token":   {upgradeWith("Connection: upgrade;q=1"), 400},
		"upgrade part of token": {upgradeWith("Connection: upgraded"), 400},
		"upgrade list":          {upgradeWith("Upgrade: h2c, websocket"), 400},
		"two upgrades":          {upgradeWith("+Upgrade: h2c"), 400},
		"upgrade twice":         {upgradeWith("+Upgrade: websocket"), 400},

		"no version field": {upgradeWith("-Sec-WebSocket-Version"), 426},
		"version 12":       {upgradeWith("Sec-WebSocket-Version: 12"), 426},
		"version 8":        {upgradeWith("Sec-WebSocket-Version: 8"), 426},
		"version list":     {upgradeWith("Sec-WebSocket-Version: 13, 8"), 426},
		"version 013":      {upgradeWith("Sec-WebSocket-Version: 013"), 426},
		"two versions":     {upgradeWith("+Sec-WebSocket-Version: 13"), 400},

		"no key":            {upgradeWith("-Sec-WebSocket-Key"), 400},
		"empty key":         {upgradeWith("Sec-WebSocket-Key:"), 400},
		"two keys":          {upgradeWith("+Sec-WebSocket-Key: " + upgradeKey), 400},
		"key of 23":         {upgradeWith("Sec-WebSocket-Key: " + upgradeKey[1:]), 400},
		"key of 25":         {upgradeWith("Sec-WebSocket-Key: a" + upgradeKey), 400},
		"key of 17 bytes":   {upgradeWith("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="), 400},
		"key of 18 bytes":   {upgradeWith("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA"), 400},
		"key not base64":    {upgradeWith("Sec-WebSocket-Key: dGhlIHNhbXBs*SBub25jZQ=="), 400},
		"key base64url":     {upgradeWith("Sec-WebSocket-Key: dGhlIHNhbXBs-SBub25jZQ=="), 400},
		"key not canonical": {upgradeWith("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="), 400},
		"pad inside key":    {upgradeWith("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j=Q=="), 400},

		"seventeen protocols": {upgradeWith("+Sec-WebSocket-Protocol: " + upgradeNames(17)), 400},
		"seventeen in two":    {upgradeWith("+Sec-WebSocket-Protocol: "+upgradeNames(16), "+Sec-WebSocket-Protocol: x"), 400},
		"protocol no token":   {upgradeWith("+Sec-WebSocket-Protocol: a b"), 400},
		"spaces as protocols": {upgradeWith("+Sec-WebSocket-Protocol: " + strings.Repeat(" ", 100)), 400},
		"commas as protocols": {upgradeWith("+Sec-WebSocket-Protocol: a", "+Sec-WebSocket-Protocol: , ,"), 400},
		"quoted protocol":     {upgradeWith("+Sec-WebSocket-Protocol: \"a\""), 400},
		"two origins":         {upgradeWith("+Origin: http://a.com", "+Origin: http://a.com"), 400},
		"two empty origins":   {upgradeWith("+Origin:", "+Origin: http://a.com"), 400},

		"content length":       {upgradeWith("+Content-Length: 5"), 400},
		"content length 00":    {upgradeWith("+Content-Length: 00"), 400},
		"content length +0":    {upgradeWith("+Content-Length: +0"), 400},
		"empty content length": {upgradeWith("+Content-Length:"), 400},
		"two content lengths":  {upgradeWith("+Content-Length: 0", "+Content-Length: 0"), 400},
		"transfer encoding":    {upgradeWith("+Transfer-Encoding: chunked"), 400},
		"identity encoding":    {upgradeWith("+transfer-encoding: identity"), 400},

		"folded field":          {raw("Host: a.com", "Host: a.com\r\n b"), 400},
		"folded upgrade":        {raw("Upgrade: websocket", "Upgrade:\r\n websocket"), 400},
		"folded first line":     {raw("Host: a.com", " Host: a.com"), 400},
		"bare lf":               {raw("a.com\r\n", "a.com\n"), 400},
		"bare lf, first line":   {raw("1.1\r\n", "1.1\n"), 400},
		"bare lf, last line":    {strings.TrimSuffix(upgradeWith(), "\r\n") + "\n", 400},
		"bare lf everywhere":    {strings.ReplaceAll(upgradeWith(), "\r\n", "\n"), 400},
		"bare cr":               {raw("a.com", "a\rcom"), 400},
		"cr before the end":     {raw("a.com\r\n", "a.com\r\r\n"), 400},
		"hidden line":           {raw("a.com", "a.com\rOrigin: http://a.com"), 400},
		"nul in a value":        {upgradeWith("+X: a\x00b"), 400},
		"escape in a value":     {upgradeWith("+X: a\x1b[2J"), 400},
		"delete in a value":     {upgradeWith("+X: a\x7f"), 400},
		"space before colon":    {upgradeWith("+X : a"), 400},
		"space, known field":    {raw("Upgrade:", "Upgrade :"), 400},
		"tab before colon":      {upgradeWith("+X\t: a"), 400},
		"no colon":              {upgradeWith("+Xyz"), 400},
		"no name":               {upgradeWith("+: a"), 400},
		"name no token":         {upgradeWith("+X(y): a"), 400},
		"utf-8 in a name":       {upgradeWith("+Xü: a"), 400},
		"no blank line":         {strings.TrimSuffix(upgradeWith(), "\r\n"), 400},
		"cut inside the fields": {strings.TrimSuffix(upgradeWith(), "\r\n\r\n"), 400},
	} {
		t.Run(name, func(t *testing.T) {
			_, upgrade, err := codec.ParseUpgradeRequest([]byte(c.head))
			var refused *codec.UpgradeError
			if !upgrade || !errors.As(err, &refused) || refused.Status != c.status {
				t.Fatalf("upgrade %v, err %v, want status %d\n%q", upgrade, err, c.status, c.head)
			}
			upgradeReadRefusal(t, refused)
		})
	}
}

func TestUpgradeRequestOrdinaryHTTP(t *testing.T) {
	for name, head := range map[string]string{
		"get":                upgradeHead("GET /healthz HTTP/1.1", "Host: a.com"),
		"post with a body":   upgradeHead("POST /run?x=1 HTTP/1.1", "Host: a.com", "Content-Length: 12"),
		"chunked":            upgradeHead("PUT / HTTP/1.1", "Host: a.com", "Transfer-Encoding: chunked"),
		"http 1.0":           upgradeHead("GET / HTTP/1.0"),
		"h2c":                upgradeHead("GET / HTTP/1.1", "Host: a.com", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"),
		"h2 preface":         "PRI * HTTP/2.0\r\n\r\n",
		"options":            upgradeHead("OPTIONS * HTTP/1.1", "Host: a.com"),
		"connect":            upgradeHead("CONNECT a.com:443 HTTP/1.1", "Host: a.com:443"),
		"folded and two of":  upgradeHead("GET / HTTP/1.1", "Host: a", "Host: b", " c"),
		"websocket in value": upgradeHead("GET / HTTP/1.1", "Host: a.com", "X-Upgrade: websocket", "Upgrade: websockets"),
		"bare lf":            "GET / HTTP/1.1\nHost: a.com\n\n",
		"garbage":            "\x16\x03\x01\x02\x00\r\n\r\n",
		"blank":              "\r\n\r\n",
		"empty":              "",
	} {
		t.Run(name, func(t *testing.T) {
			req, upgrade, err := codec.ParseUpgradeRequest([]byte(head))
			if upgrade || err != nil {
				t.Fatalf("upgrade %v, err %v", upgrade, err)
			}
			if name == "post with a body" && (string(req.Method) != "POST" || string(req.Path) != "/run") {
				t.Fatalf("method %q, path %q", req.Method, req.Path)
			}
		})
	}
}
