package handshake_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/handshake"
)

func TestDialKey(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		key := handshake.NewDialKey()
		if nonce, err := base64.StdEncoding.Strict().DecodeString(key); err != nil || len(nonce) != 16 || seen[key] {
			t.Fatalf("key %q: %d bytes, %v", key, len(nonce), err)
		}
		seen[key] = true
	}
}

func TestDialRequest(t *testing.T) {
	got, err := handshake.AppendDialRequest([]byte("x"), handshake.DialRequest{
		Host: "a.com:8080", Target: "/run?x=1", Key: testKey, Protocols: []string{"agui.v1", "agui.v0"},
		Header: http.Header{"Origin": {"http://a.com:8080"}, "Authorization": {" Bearer t "}, "X": {"1", "2"}},
	})
	want := requestHead("xGET /run?x=1 HTTP/1.1", "Host: a.com:8080", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: "+testKey, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: agui.v1, agui.v0",
		"Authorization: Bearer t", "Origin: http://a.com:8080", "X: 1", "X: 2")
	if err != nil || string(got) != want {
		t.Fatalf("err %v, got\n%s", err, got)
	}
}

// The two ends of this package understand each other.
func TestDialMeetsUpgrade(t *testing.T) {
	for _, protocols := range [][]string{nil, {"agui.v1"}, {"agui.v0", "agui.v1"}} {
		key := handshake.NewDialKey()
		head, err := handshake.AppendDialRequest(nil, handshake.DialRequest{Host: "[::1]:80", Key: key, Protocols: protocols})
		if err != nil {
			t.Fatal(err)
		}
		req, upgrade, err := handshake.ParseRequest(head)
		if !upgrade || err != nil {
			t.Fatalf("upgrade %v, err %v", upgrade, err)
		}
		chosen := handshake.SelectProtocol([]string{"agui.v1"}, req.Protocols())
		got, err := handshake.ParseDialResponse(handshake.AppendSwitchingProtocols(nil, req.Key, chosen, "", nil), key, protocols, nil)
		if err != nil || got != chosen || (chosen == "") != (protocols == nil) {
			t.Fatalf("protocol %q, chosen %q, err %v", got, chosen, err)
		}
	}
}

func TestDialRequestBad(t *testing.T) {
	header := func(name, value string) handshake.DialRequest {
		return handshake.DialRequest{Header: http.Header{name: {value}}}
	}
	for name, r := range map[string]handshake.DialRequest{
		"host with crlf":        {Host: "a.com\r\nX: y"},
		"host with userinfo":    {Host: "u@a.com"},
		"host with path":        {Host: "a.com/x"},
		"target with crlf":      {Target: "/ HTTP/1.1\r\nX: y"},
		"target with space":     {Target: "/a b"},
		"target with fragment":  {Target: "/a#b"},
		"target without slash":  {Target: "a"},
		"key of 23":             {Key: testKey[1:]},
		"protocol with crlf":    {Protocols: []string{"a\r\nX: y"}},
		"empty protocol":        {Protocols: []string{""}},
		"protocol list":         {Protocols: []string{"a, b"}},
		"repeated protocol":     {Protocols: []string{"a", "b", "a"}},
		"value with crlf":       header("X", "a\r\nY: b"),
		"value with lf":         header("X", "a\nY: b"),
		"value with cr":         header("X", "a\r"),
		"value with nul":        header("X", "\x00"),
		"name with crlf":        header("X: a\r\nY", "b"),
		"name with colon":       header("X:", "b"),
		"empty name":            header("", "b"),
		"host twice":            header("Host", "b.com"),
		"upgrade":               header("upgrade", "h2c"),
		"connection":            header("Connection", "close"),
		"key":                   header("Sec-Websocket-Key", testKey),
		"extensions":            header("sec-webSocket-Extensions", "permessage-deflate"),
		"content length":        header("Content-Length", "5"),
		"transfer encoding":     header("Transfer-Encoding", "chunked"),
		"reserved, no values":   {Header: http.Header{"Upgrade": nil}},
		"expect a continuation": header("Expect", "100-continue"),
	} {
		if r.Host == "" {
			r.Host = "a.com"
		}
		if r.Key == "" {
			r.Key = testKey
		}
		got, err := handshake.AppendDialRequest([]byte("x"), r)
		var failed *handshake.DialError
		if !errors.As(err, &failed) || failed.Status != 0 || string(got) != "x" {
			t.Errorf("%s: err %v, wrote %q", name, err, got)
		}
	}
	if _, err := handshake.AppendDialRequest(nil, handshake.DialRequest{Key: testKey}); err == nil {
		t.Error("no host: no error")
	}
}

// dialAnswer returns a good 101 head after edits, as chromeWith does.
func dialAnswer(edits ...string) string {
	lines := []string{"HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: " + testAccept}
	for _, edit := range edits {
		if add, ok := strings.CutPrefix(edit, "+"); ok {
			lines = append(lines, add)
			continue
		}
		drop, dropping := strings.CutPrefix(edit, "-")
		name, _, _ := strings.Cut(drop, ":")
		for i, line := range lines {
			if strings.HasPrefix(line, name) && dropping {
				lines = append(lines[:i:i], lines[i+1:]...)
				break
			} else if strings.HasPrefix(line, name) {
				lines[i] = edit
			}
		}
		if strings.HasPrefix(edit, "HTTP") {
			lines[0] = edit
		}
	}
	return requestHead(lines...)
}

func TestDialResponseGood(t *testing.T) {
	for name, c := range map[string]struct{ head, protocol string }{
		"plain":            {dialAnswer(), ""},
		"lower case":       {strings.ToLower(dialAnswer("-Sec-WebSocket-Accept"))[8:], ""},
		"no phrase":        {dialAnswer("HTTP/1.1 101 "), ""},
		"no space":         {dialAnswer("HTTP/1.1 101"), ""},
		"more fields":      {dialAnswer("+Server: x", "+Date: y", "+Content-Length: 0"), ""},
		"connection list":  {dialAnswer("Connection: keep-alive, Upgrade"), ""},
		"empty extensions": {dialAnswer("+Sec-WebSocket-Extensions:"), ""},
		"protocol":         {dialAnswer("+Sec-WebSocket-Protocol: agui.v0"), "agui.v0"},
	} {
		if name == "lower case" {
			c.head = "HTTP/1.1" + strings.Replace(c.head, "\r\n\r\n", "\r\nsec-websocket-accept: "+testAccept+"\r\n\r\n", 1)
		}
		got, err := handshake.ParseDialResponse([]byte(c.head), testKey, []string{"agui.v1", "agui.v0"}, nil)
		if err != nil || got != c.protocol {
			t.Errorf("%s: protocol %q, err %v\n%s", name, got, err, c.head)
		}
		if _, err := http.ReadResponse(bufio.NewReader(strings.NewReader(c.head)), nil); err != nil {
			t.Errorf("%s: net/http: %v", name, err)
		}
	}
}

func TestDialResponseBad(t *testing.T) {
	raw := func(old, with string) string { return strings.Replace(dialAnswer(), old, with, 1) }
	for name, c := range map[string]struct {
		head   string
		status int
		retry  time.Duration
	}{
		"forbidden":             {requestHead("HTTP/1.1 403 Forbidden", "Content-Length: 0"), 403, 0},
		"redirect":              {requestHead("HTTP/1.1 302 Found", "Location: http://b.com"), 302, 0},
		"ok":                    {dialAnswer("HTTP/1.1 200 OK"), 200, 0},
		"early hints":           {dialAnswer("HTTP/1.1 103 Early Hints"), 103, 0},
		"http 1.0 refusal":      {requestHead("HTTP/1.0 400 Bad Request"), 400, 0},
		"malformed refusal":     {"HTTP/1.1 502 Bad Gateway\nx\n\n", 502, 0},
		"retry in seconds":      {requestHead("HTTP/1.1 503 Service Unavailable", "Retry-After: 120"), 503, 2 * time.Minute},
		"retry never":           {requestHead("HTTP/1.1 503 x", "Retry-After: 99999999999999999999"), 503, 0},
		"retry negative":        {requestHead("HTTP/1.1 503 x", "Retry-After: -5"), 503, 0},
		"retry at a date":       {requestHead("HTTP/1.1 429 x", "Date: Fri, 31 Dec 1999 23:59:00 GMT", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"), 429, 59 * time.Second},
		"retry in the past":     {requestHead("HTTP/1.1 429 x", "Date: Fri, 31 Dec 1999 23:59:59 GMT", "Retry-After: Fri, 31 Dec 1999 23:59:00 GMT"), 429, 0},
		"retry without date":    {requestHead("HTTP/1.1 429 x", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"), 429, 0},
		"empty":                 {"", 0, 0},
		"garbage":               {"\x15\x03\x03\x00\x02\r\n\r\n", 0, 0},
		"no code":               {dialAnswer("HTTP/1.1 "), 0, 0},
		"code of two digits":    {dialAnswer("HTTP/1.1 10 x"), 0, 0},
		"code of four digits":   {dialAnswer("HTTP/1.1 1010 x"), 0, 0},
		"code 099":              {dialAnswer("HTTP/1.1 099 x"), 0, 0},
		"two spaces":            {dialAnswer("HTTP/1.1  101 x"), 0, 0},
		"http 1.0":              {dialAnswer("HTTP/1.0 101 x"), 101, 0},
		"http 2.0":              {dialAnswer("HTTP/2.0 101 x"), 101, 0},
		"wrong accept":          {dialAnswer("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp="), 101, 0},
		"accept in lower case":  {dialAnswer("Sec-WebSocket-Accept: " + strings.ToLower(testAccept)), 101, 0},
		"no accept":             {dialAnswer("-Sec-WebSocket-Accept"), 101, 0},
		"two accepts":           {dialAnswer("+Sec-WebSocket-Accept: " + testAccept), 101, 0},
		"no upgrade":            {dialAnswer("-Upgrade"), 101, 0},
		"other upgrade":         {dialAnswer("Upgrade: h2c"), 101, 0},
		"upgrade list":          {dialAnswer("Upgrade: websocket, h2c"), 101, 0},
		"two upgrades":          {dialAnswer("+Upgrade: websocket"), 101, 0},
		"no connection":         {dialAnswer("-Connection"), 101, 0},
		"connection close":      {dialAnswer("Connection: close"), 101, 0},
		"unoffered protocol":    {dialAnswer("+Sec-WebSocket-Protocol: agui.v2"), 101, 0},
		"protocol, other case":  {dialAnswer("+Sec-WebSocket-Protocol: AGUI.v1"), 101, 0},
		"empty protocol":        {dialAnswer("+Sec-WebSocket-Protocol:"), 101, 0},
		"protocol list":         {dialAnswer("+Sec-WebSocket-Protocol: agui.v1, agui.v0"), 101, 0},
		"two protocols":         {dialAnswer("+Sec-WebSocket-Protocol: agui.v1", "+Sec-WebSocket-Protocol: agui.v1"), 101, 0},
		"extension":             {dialAnswer("+Sec-WebSocket-Extensions: permessage-deflate"), 101, 0},
		"second extension":      {dialAnswer("+Sec-WebSocket-Extensions:", "+Sec-WebSocket-Extensions: x"), 101, 0},
		"content length":        {dialAnswer("+Content-Length: 5"), 101, 0},
		"transfer encoding":     {dialAnswer("+Transfer-Encoding: chunked"), 101, 0},
		"folded field":          {raw("websocket\r\n", "websocket\r\n \r\n"), 101, 0},
		"bare lf":               {raw("websocket\r\n", "websocket\n"), 101, 0},
		"bare cr":               {raw("Upgrade\r\n", "Upgrade\rX: y\r\n"), 101, 0},
		"nul in a value":        {dialAnswer("+X: \x00"), 101, 0},
		"space before colon":    {raw("Upgrade:", "Upgrade :"), 101, 0},
		"no colon":              {dialAnswer("+X"), 101, 0},
		"no blank line":         {strings.TrimSuffix(dialAnswer(), "\r\n"), 101, 0},
		"frames behind":         {dialAnswer() + "\x81\x00", 101, 0},
		"escape in the phrase":  {dialAnswer("HTTP/1.1 404 \x1b[2J"), 404, 0},
		"control in the phrase": {dialAnswer("HTTP/1.1 101 a\x00b"), 101, 0},
	} {
		t.Run(name, func(t *testing.T) {
			protocol, err := handshake.ParseDialResponse([]byte(c.head), testKey, []string{"agui.v1", "agui.v0"}, nil)
			var failed *handshake.DialError
			if !errors.As(err, &failed) || failed.Status != c.status || failed.RetryAfter != c.retry || protocol != "" {
				t.Fatalf("protocol %q, err %#v, want status %d\n%q", protocol, err, c.status, c.head)
			}
			if strings.ContainsAny(err.Error(), "\x00\x1b\r\n") {
				t.Fatalf("the message carries control bytes: %q", err)
			}
		})
	}
	if _, err := handshake.ParseDialResponse([]byte(dialAnswer("+Sec-WebSocket-Protocol: a")), testKey, nil, nil); err == nil {
		t.Error("a protocol passes though none was offered")
	}
}

func TestDialResponseSplit(t *testing.T) {
	head := dialAnswer("+Sec-WebSocket-Protocol: agui.v1")
	n, err := scanHeadPieces(append([]byte(head), "\x81\x00\r\n\r\n"...), nil, handshake.HeadLimits{})
	if err != nil || n != len(head) {
		t.Fatalf("head %d of %d, err %v", n, len(head), err)
	}
}

func FuzzDialResponse(f *testing.F) {
	offers := []string{"agui.v1", "agui.v0"}
	f.Fuzz(func(t *testing.T, data, sizes []byte) {
		head, err := scanHeadPieces(data, sizes, handshake.HeadLimits{})
		if once, _, onceErr := handshake.ScanHead(data, 0, handshake.HeadLimits{}); once != head || scanHeadStatus(onceErr) != scanHeadStatus(err) {
			t.Fatalf("at once: head %d, %v; in pieces: %d, %v", once, onceErr, head, err)
		}
		if head == 0 {
			return
		}
		fuzzRefusal(t, data, head)
		protocol, err := handshake.ParseDialResponse(data[:head], testKey, offers, nil)
		if err != nil {
			if protocol != "" || err.(*handshake.DialError).Status != 0 && err.(*handshake.DialError).Status < 100 {
				t.Fatalf("protocol %q with %#v", protocol, err)
			}
			return
		}
		if protocol != "" && protocol != offers[0] && protocol != offers[1] {
			t.Fatalf("protocol %q was not offered", protocol)
		}
		if !bytes.Contains(data[:head], []byte(testAccept)) || forbidden(data[:head]) {
			t.Fatalf("accepted %q", data[:head])
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data[:head])), nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Protocol") != protocol {
			t.Fatalf("net/http reads an accepted head as %v, %v", resp, err)
		}
	})
}

// fuzzRefusal takes data for the answer of a proxy, and of who refuses.
func fuzzRefusal(t *testing.T, data []byte, head int) {
	var e handshake.DialError
	e.ReadResponse(data[:head], bytes.NewReader(data[head:]))
	if len(e.Body) > 4<<10 || e.Header == nil && e.Body != nil {
		t.Fatalf("%d bytes of body, header %v", len(e.Body), e.Header)
	}
	connected := handshake.ParseConnectResponse(data[:head])
	if failed, ok := connected.(*handshake.DialError); connected != nil && (!ok || failed.Status/100 == 2) {
		t.Fatalf("a proxy refused with %#v", connected)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data[:head])), nil)
	if err == nil && connected == nil && resp.StatusCode/100 != 2 {
		t.Fatalf("net/http reads the consent of a proxy as %d", resp.StatusCode)
	}
}
