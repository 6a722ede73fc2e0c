package handshake_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/agloop/agloop/codec/handshake"
)

// TestDialErrorText: whose answer it was, and for a path that may be wrong the question.
func TestDialErrorText(t *testing.T) {
	const hint = `; is the path of the URL the WebSocket's, by default "/ws"?`
	for want, err := range map[string]handshake.DialError{
		"agloop: dial: bad host":                      {Reason: "bad host"},
		"agloop: dial: r: 403 Forbidden":              {Reason: "r", Status: 403, StatusText: "Forbidden"},
		"agloop: dial: r: 404" + hint:                 {Reason: "r", Status: 404},
		"agloop: dial: r: 426 Upgrade" + hint:         {Reason: "r", Status: 426, StatusText: "Upgrade"},
		"agloop: dial: proxy p:1: r: 407 Who":         {Reason: "r", Status: 407, StatusText: "Who", Proxy: "p:1"},
		"agloop: dial: proxy p:1: r: 404 Not Found":   {Reason: "r", Status: 404, StatusText: "Not Found", Proxy: "p:1"},
		"agloop: dial: proxy p:1: bad":                {Reason: "bad", Proxy: "p:1"},
		"agloop: dial: r: 401":                        {Reason: "r", Status: 401, Header: http.Header{"X": {"secret"}}, Body: []byte("secret")},
		"agloop: dial: server refused the upgrade: 1": {Reason: "server refused the upgrade", Status: 1},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestDialErrorTextOfAStranger: what a server writes fits into one line of a log, and says nothing to
// a terminal.
func TestDialErrorTextOfAStranger(t *testing.T) {
	for _, c := range []struct{ phrase, body, want string }{
		{"Not\tFound", "", "403"},
		{"a\xc2\x9b2Jb", "", "403"},
		{"a\xe2\x80\xaeb", "", "403"},
		{strings.Repeat("x", 10_000), "", "403 " + strings.Repeat("x", 100)},
		{"", "host not allowed\r\nmore", `403, "host not allowed"`},
		{"", "\x1b[2J\xc2\x9b\n", `403, "\x1b[2J\u009b"`},
		{"", "", "403"},
		{"", " \n", "403"},
	} {
		head := []byte(requestHead("HTTP/1.1 403 "+c.phrase, "Content-Type: text/plain"))
		_, dialled := handshake.ParseDialResponse(head, testKey, nil, nil)
		for _, err := range []error{dialled, handshake.ParseConnectResponse(head)} {
			e := err.(*handshake.DialError)
			e.ReadResponse(head, strings.NewReader(c.body))
			if got := e.Error(); !strings.HasSuffix(got, ": "+c.want) {
				t.Errorf("%.20q, %q: got %.300q, want %q", c.phrase, c.body, got, c.want)
			}
		}
	}
}

// stuck gives what it has, then never anything but the error of a deadline.
type stuck struct{ io.Reader }

var errStuck = errors.New("deadline")

func (s stuck) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil {
		err = errStuck
	}
	return n, err
}

func TestDialErrorReadResponse(t *testing.T) {
	chunks := "5\r\nhello\r\n6;x=y\r\n world\r\n"
	for name, c := range map[string]struct {
		head   string
		behind io.Reader
		header http.Header
		body   string
	}{
		"length": {
			requestHead("HTTP/1.1 401 x", "www-authenticate: a", "WWW-Authenticate: b", "Content-Length: 5"),
			stuck{strings.NewReader("hello and more")},
			http.Header{"Www-Authenticate": {"a", "b"}, "Content-Length": {"5"}},
			"hello",
		},
		"to the end": {requestHead("HTTP/1.1 403 x"), strings.NewReader("hello"), http.Header{}, "hello"},
		"no end":     {requestHead("HTTP/1.1 403 x"), stuck{strings.NewReader("hel")}, http.Header{}, "hel"},
		"cut": {
			requestHead("HTTP/1.1 403 x", "Content-Length: 50"), strings.NewReader("hel"),
			http.Header{"Content-Length": {"50"}},
			"hel",
		},
		"chunked": {
			requestHead("HTTP/1.1 403 x", "Transfer-Encoding: chunked"),
			strings.NewReader(chunks + "0\r\nTrailer: x\r\n\r\nmore"),
			http.Header{},
			"hello world",
		},
		"chunked without end": {
			requestHead("HTTP/1.1 403 x", "Transfer-Encoding: chunked"),
			stuck{strings.NewReader(chunks)},
			http.Header{},
			"hello world",
		},
		"chunked wrongly": {
			requestHead("HTTP/1.1 403 x", "Transfer-Encoding: chunked"),
			strings.NewReader("5\r\nhello\r\nzz\r\n"),
			http.Header{},
			"hello",
		},
		"unknown coding": {requestHead("HTTP/1.1 403 x", "Transfer-Encoding: gzip"), strings.NewReader("x"), nil, ""},
		"endless":        {requestHead("HTTP/1.1 403 x"), zeros{}, http.Header{}, strings.Repeat("0", 4<<10)},
		"large": {
			requestHead("HTTP/1.1 403 x", "Content-Length: 999999999"),
			zeros{},
			http.Header{"Content-Length": {"999999999"}},
			strings.Repeat("0", 4<<10),
		},
		"none":       {requestHead("HTTP/1.1 403 x", "Content-Length: 0"), stuck{strings.NewReader("x")}, http.Header{"Content-Length": {"0"}}, ""},
		"of a 101":   {requestHead("HTTP/1.1 101 x", "Upgrade: h2c"), zeros{}, http.Header{"Upgrade": {"h2c"}}, ""},
		"of a 204":   {requestHead("HTTP/1.1 204 x"), zeros{}, http.Header{}, ""},
		"malformed":  {"HTTP/1.1 502 Bad Gateway\nx\n\n", zeros{}, nil, ""},
		"no HTTP":    {"SSH-2.0-x\r\n\r\n", zeros{}, nil, ""},
		"bad length": {requestHead("HTTP/1.1 403 x", "Content-Length: -5"), zeros{}, nil, ""},
	} {
		var e handshake.DialError
		e.ReadResponse([]byte(c.head), c.behind)
		if maps.EqualFunc(e.Header, c.header, func(a, b []string) bool { return reflect.DeepEqual(a, b) }) &&
			(e.Header == nil) == (c.header == nil) && string(e.Body) == c.body {
			continue
		}
		t.Errorf("%s: header %v, body %.40q (%d bytes)", name, e.Header, e.Body, len(e.Body))
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}
