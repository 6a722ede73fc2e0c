package handshake_test

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

	"github.com/agloop/agloop/codec/handshake"
)

const (
	testKey    = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455 §1.3
	testAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

var chrome = requestHead(
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
	"Sec-WebSocket-Key: "+testKey,
	"Sec-WebSocket-Protocol: agui.v1, agui.v0",
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
)

func requestHead(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// chromeWith returns a minimal good head after edit: a line "Name: value" replaces the field of
// that name, "-Name" drops it, "+Name: value" adds one, and a line without a colon before its first
// space replaces the request line.
func chromeWith(edits ...string) string {
	lines := []string{
		"GET /chat HTTP/1.1", "Host: a.com", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: " + testKey, "Sec-WebSocket-Version: 13",
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
	return requestHead(lines...)
}

var goodRequests = map[string]string{
	"chrome": chrome,
	"firefox": requestHead("GET / HTTP/1.1", "Host: localhost:8080", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
		"Accept: */*", "Accept-Language: en-US,en;q=0.5", "Sec-WebSocket-Version: 13", "Origin: http://localhost:8080",
		"Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Key: "+testKey, "Connection: keep-alive, Upgrade",
		"Sec-Fetch-Mode: websocket", "Pragma: no-cache", "Cache-Control: no-cache", "Upgrade: websocket"),
	"gorilla": requestHead("GET /ws HTTP/1.1", "Host: 127.0.0.1:9000", "User-Agent: Go-http-client/1.1", "Connection: Upgrade",
		"Sec-WebSocket-Key: "+testKey, "Sec-WebSocket-Version: 13", "Upgrade: websocket"),
	"lower case names": requestHead("GET /ws HTTP/1.1", "host: a.com", "upgrade: WebSocket", "connection: upgrade",
		"sec-websocket-key: "+testKey, "sec-websocket-version: 13"),
	"no space after colon": requestHead("GET /ws HTTP/1.1", "Host:a.com", "Upgrade:websocket", "Connection:Upgrade",
		"Sec-WebSocket-Key:"+testKey, "Sec-WebSocket-Version:13"),
	"ipv6 host":               chromeWith("Host: [2001:db8::1]:8443"),
	"absolute target":         chromeWith("GET http://a.com/chat?x=1 HTTP/1.1"),
	"absolute without path":   chromeWith("GET https://a.com?x=1 HTTP/1.1"),
	"absolute, host alone":    chromeWith("GET HTTP://a.com HTTP/1.1"),
	"content length zero":     chromeWith("+Content-Length: 0"),
	"sixteen protocols":       chromeWith("+Sec-WebSocket-Protocol: " + manyNames(16)),
	"protocols in two fields": chromeWith("+Sec-WebSocket-Protocol: a, b", "+Sec-WebSocket-Protocol: c"),
	"empty list elements":     chromeWith("+Sec-WebSocket-Protocol: a,, b ,"),
	"tabs around values":      chromeWith("Upgrade:\t websocket \t"),
	"latin-1 in a value":      chromeWith("+X-Name: M\xfcller"),
	"escaped path":            chromeWith("GET /%C3%BC?a=100%&b= HTTP/1.1"),
}

func manyNames(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("p%d", i)
	}
	return strings.Join(names, ", ")
}

func TestRequestGood(t *testing.T) {
	for name, head := range goodRequests {
		t.Run(name, func(t *testing.T) {
			req, upgrade, err := handshake.ParseRequest([]byte(head))
			if !upgrade || err != nil {
				t.Fatalf("upgrade %v, err %v", upgrade, err)
			}
			if string(req.Key) != testKey || string(req.Version) != "13" || string(req.Method) != "GET" {
				t.Errorf("key %q, version %q, method %q", req.Key, req.Version, req.Method)
			}
			agree(t, []byte(head), &req)
		})
	}
}

// agree checks that net/http reads an accepted head the same way and that the upgrader of gobwas/ws
// answers it as we do.
func agree(t *testing.T, head []byte, req *handshake.Request) {
	t.Helper()
	std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		t.Fatalf("net/http refuses an accepted head: %v\n%q", err, head)
	}
	if std.Host != string(req.Host) || std.URL.EscapedPath() == "" && string(req.Path) != "/" ||
		std.URL.RawQuery != string(req.Query) || std.ContentLength > 0 || len(std.TransferEncoding) > 0 {
		t.Fatalf("net/http reads %q %q, we %q %q %q", std.Host, std.URL, req.Host, req.Path, req.Query)
	}
	// It holds each Connection field to naming upgrade, not the fields in sum, and stumbles over
	// tabs inside lists; RFC 9110 §5.3 and §5.6.1 allow both.
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
	ours := handshake.AppendSwitchingProtocols(nil, req.Key, hs.Protocol, "", nil)
	if !bytes.Equal(ours, out.Bytes()) {
		t.Fatalf("we answer\n%s\ngobwas/ws\n%s", ours, out.Bytes())
	}
}

func TestRequestParts(t *testing.T) {
	req, _, err := handshake.ParseRequest([]byte(chrome))
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
		"header": {req.Header().Get("accept-LANGUAGE"), "en-GB,en;q=0.9"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %q, want %q", name, pair[0], pair[1])
		}
	}
	for value := range req.Field("cookie") {
		t.Errorf("a field that is not there has the value %q", value)
	}
	if req.Header()["Host"] != nil {
		t.Error("Host is among the others")
	}
	req, _, _ = handshake.ParseRequest([]byte(goodRequests["absolute without path"]))
	if string(req.Path) != "/" || string(req.Query) != "x=1" {
		t.Errorf("absolute form: path %q, query %q", req.Path, req.Query)
	}
	req, _, _ = handshake.ParseRequest([]byte(chromeWith()))
	if req.Origin != nil || req.Query != nil || len(req.Protocols()) != 0 {
		t.Error("absent parts are not nil")
	}
}

func TestRequestBad(t *testing.T) {
	raw := func(old, with string) string { return strings.Replace(chromeWith(), old, with, 1) }
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"post":                      {chromeWith("POST /chat HTTP/1.1"), 405},
		"post with a body":          {chromeWith("POST /chat HTTP/1.1", "+Content-Length: 5"), 405},
		"lower case method":         {chromeWith("get /chat HTTP/1.1"), 405},
		"http 1.0":                  {chromeWith("GET /chat HTTP/1.0"), 505},
		"http 1.2":                  {chromeWith("GET /chat HTTP/1.2"), 505},
		"http 2.0":                  {chromeWith("GET /chat HTTP/2.0"), 505},
		"malformed version":         {chromeWith("GET /chat HTTP/1.10"), 400},
		"lower case version":        {chromeWith("GET /chat http/1.1"), 400},
		"no version":                {chromeWith("GET /chat"), 400},
		"empty request line":        {"\r\n" + chromeWith(), 400},
		"two spaces":                {chromeWith("GET  /chat HTTP/1.1"), 400},
		"space in target":           {chromeWith("GET /ch at HTTP/1.1"), 400},
		"tab in request line":       {chromeWith("GET\t/chat HTTP/1.1"), 400},
		"nul in target":             {chromeWith("GET /\x00 HTTP/1.1"), 400},
		"utf-8 in target":           {chromeWith("GET /ü HTTP/1.1"), 400},
		"fragment":                  {chromeWith("GET /chat#x HTTP/1.1"), 400},
		"bad escape":                {chromeWith("GET /%zz HTTP/1.1"), 400},
		"asterisk target":           {chromeWith("GET * HTTP/1.1"), 400},
		"authority target":          {chromeWith("GET a.com:80 HTTP/1.1"), 400},
		"absolute, no authority":    {chromeWith("GET http:///chat HTTP/1.1"), 400},
		"absolute, other authority": {chromeWith("GET http://b.com/chat HTTP/1.1"), 400},
		"absolute, other scheme":    {chromeWith("GET ftp://a.com/chat HTTP/1.1"), 400},

		"no host":              {chromeWith("-Host"), 400},
		"empty host":           {chromeWith("Host:"), 400},
		"two hosts":            {chromeWith("+Host: a.com"), 400},
		"userinfo in host":     {chromeWith("Host: a.com@b.com"), 400},
		"list in host":         {chromeWith("Host: a.com, b.com"), 400},
		"path in host":         {chromeWith("Host: a.com/x"), 400},
		"letters as port":      {chromeWith("Host: a.com:http"), 400},
		"port too large":       {chromeWith("Host: a.com:65536"), 400},
		"open bracket":         {chromeWith("Host: [::1"), 400},
		"no ipv6 in brackets":  {chromeWith("Host: [a.com]"), 400},
		"bytes after brackets": {chromeWith("Host: [::1]x"), 400},

		"no connection":         {chromeWith("-Connection"), 400},
		"connection keep-alive": {chromeWith("Connection: keep-alive"), 400},
		"connection no token":   {chromeWith("Connection: upgrade;q=1"), 400},
		"upgrade part of token": {chromeWith("Connection: upgraded"), 400},
		"upgrade list":          {chromeWith("Upgrade: h2c, websocket"), 400},
		"two upgrades":          {chromeWith("+Upgrade: h2c"), 400},
		"upgrade twice":         {chromeWith("+Upgrade: websocket"), 400},

		"no version field": {chromeWith("-Sec-WebSocket-Version"), 426},
		"version 12":       {chromeWith("Sec-WebSocket-Version: 12"), 426},
		"version 8":        {chromeWith("Sec-WebSocket-Version: 8"), 426},
		"version list":     {chromeWith("Sec-WebSocket-Version: 13, 8"), 426},
		"version 013":      {chromeWith("Sec-WebSocket-Version: 013"), 426},
		"two versions":     {chromeWith("+Sec-WebSocket-Version: 13"), 400},

		"no key":            {chromeWith("-Sec-WebSocket-Key"), 400},
		"empty key":         {chromeWith("Sec-WebSocket-Key:"), 400},
		"two keys":          {chromeWith("+Sec-WebSocket-Key: " + testKey), 400},
		"key of 23":         {chromeWith("Sec-WebSocket-Key: " + testKey[1:]), 400},
		"key of 25":         {chromeWith("Sec-WebSocket-Key: a" + testKey), 400},
		"key of 17 bytes":   {chromeWith("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="), 400},
		"key of 18 bytes":   {chromeWith("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA"), 400},
		"key not base64":    {chromeWith("Sec-WebSocket-Key: dGhlIHNhbXBs*SBub25jZQ=="), 400},
		"key base64url":     {chromeWith("Sec-WebSocket-Key: dGhlIHNhbXBs-SBub25jZQ=="), 400},
		"key not canonical": {chromeWith("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="), 400},
		"pad inside key":    {chromeWith("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j=Q=="), 400},

		"seventeen protocols": {chromeWith("+Sec-WebSocket-Protocol: " + manyNames(17)), 400},
		"seventeen in two":    {chromeWith("+Sec-WebSocket-Protocol: "+manyNames(16), "+Sec-WebSocket-Protocol: x"), 400},
		"protocol no token":   {chromeWith("+Sec-WebSocket-Protocol: a b"), 400},
		"spaces as protocols": {chromeWith("+Sec-WebSocket-Protocol: " + strings.Repeat(" ", 100)), 400},
		"commas as protocols": {chromeWith("+Sec-WebSocket-Protocol: a", "+Sec-WebSocket-Protocol: , ,"), 400},
		"quoted protocol":     {chromeWith("+Sec-WebSocket-Protocol: \"a\""), 400},
		"two origins":         {chromeWith("+Origin: http://a.com", "+Origin: http://a.com"), 400},
		"two empty origins":   {chromeWith("+Origin:", "+Origin: http://a.com"), 400},

		"content length":       {chromeWith("+Content-Length: 5"), 400},
		"content length 00":    {chromeWith("+Content-Length: 00"), 400},
		"content length +0":    {chromeWith("+Content-Length: +0"), 400},
		"empty content length": {chromeWith("+Content-Length:"), 400},
		"two content lengths":  {chromeWith("+Content-Length: 0", "+Content-Length: 0"), 400},
		"transfer encoding":    {chromeWith("+Transfer-Encoding: chunked"), 400},
		"identity encoding":    {chromeWith("+transfer-encoding: identity"), 400},

		"folded field":          {raw("Host: a.com", "Host: a.com\r\n b"), 400},
		"folded upgrade":        {raw("Upgrade: websocket", "Upgrade:\r\n websocket"), 400},
		"folded first line":     {raw("Host: a.com", " Host: a.com"), 400},
		"bare lf":               {raw("a.com\r\n", "a.com\n"), 400},
		"bare lf, first line":   {raw("1.1\r\n", "1.1\n"), 400},
		"bare lf, last line":    {strings.TrimSuffix(chromeWith(), "\r\n") + "\n", 400},
		"bare lf everywhere":    {strings.ReplaceAll(chromeWith(), "\r\n", "\n"), 400},
		"bare cr":               {raw("a.com", "a\rcom"), 400},
		"cr before the end":     {raw("a.com\r\n", "a.com\r\r\n"), 400},
		"hidden line":           {raw("a.com", "a.com\rOrigin: http://a.com"), 400},
		"nul in a value":        {chromeWith("+X: a\x00b"), 400},
		"escape in a value":     {chromeWith("+X: a\x1b[2J"), 400},
		"delete in a value":     {chromeWith("+X: a\x7f"), 400},
		"space before colon":    {chromeWith("+X : a"), 400},
		"space, known field":    {raw("Upgrade:", "Upgrade :"), 400},
		"tab before colon":      {chromeWith("+X\t: a"), 400},
		"no colon":              {chromeWith("+Xyz"), 400},
		"no name":               {chromeWith("+: a"), 400},
		"name no token":         {chromeWith("+X(y): a"), 400},
		"utf-8 in a name":       {chromeWith("+Xü: a"), 400},
		"no blank line":         {strings.TrimSuffix(chromeWith(), "\r\n"), 400},
		"cut inside the fields": {strings.TrimSuffix(chromeWith(), "\r\n\r\n"), 400},
	} {
		t.Run(name, func(t *testing.T) {
			_, upgrade, err := handshake.ParseRequest([]byte(c.head))
			var refused *handshake.UpgradeError
			if !upgrade || !errors.As(err, &refused) || refused.Status != c.status {
				t.Fatalf("upgrade %v, err %v, want status %d\n%q", upgrade, err, c.status, c.head)
			}
			readRefusal(t, refused)
		})
	}
}

func TestRequestOrdinaryHTTP(t *testing.T) {
	for name, head := range map[string]string{
		"get":                requestHead("GET /healthz HTTP/1.1", "Host: a.com"),
		"post with a body":   requestHead("POST /run?x=1 HTTP/1.1", "Host: a.com", "Content-Length: 12"),
		"chunked":            requestHead("PUT / HTTP/1.1", "Host: a.com", "Transfer-Encoding: chunked"),
		"http 1.0":           requestHead("GET / HTTP/1.0"),
		"h2c":                requestHead("GET / HTTP/1.1", "Host: a.com", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"),
		"h2 preface":         "PRI * HTTP/2.0\r\n\r\n",
		"options":            requestHead("OPTIONS * HTTP/1.1", "Host: a.com"),
		"connect":            requestHead("CONNECT a.com:443 HTTP/1.1", "Host: a.com:443"),
		"folded and two of":  requestHead("GET / HTTP/1.1", "Host: a", "Host: b", " c"),
		"websocket in value": requestHead("GET / HTTP/1.1", "Host: a.com", "X-Upgrade: websocket", "Upgrade: websockets"),
		"bare lf":            "GET / HTTP/1.1\nHost: a.com\n\n",
		"garbage":            "\x16\x03\x01\x02\x00\r\n\r\n",
		"blank":              "\r\n\r\n",
		"empty":              "",
	} {
		t.Run(name, func(t *testing.T) {
			req, upgrade, err := handshake.ParseRequest([]byte(head))
			if upgrade || err != nil {
				t.Fatalf("upgrade %v, err %v", upgrade, err)
			}
			if name == "post with a body" && (string(req.Method) != "POST" || string(req.Path) != "/run") {
				t.Fatalf("method %q, path %q", req.Method, req.Path)
			}
		})
	}
}
