package handshake_test

import (
	"bufio"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/handshake"
)

func TestConnectRequest(t *testing.T) {
	for _, c := range []struct {
		req  handshake.ConnectRequest
		want string
	}{
		{handshake.ConnectRequest{Addr: "a.com:80"}, requestHead("CONNECT a.com:80 HTTP/1.1", "Host: a.com:80")},
		{handshake.ConnectRequest{Addr: "[::1]:8080"}, requestHead("CONNECT [::1]:8080 HTTP/1.1", "Host: [::1]:8080")},
		{
			handshake.ConnectRequest{Addr: "a.com:80", Authorization: "Basic dTpw"},
			requestHead("CONNECT a.com:80 HTTP/1.1", "Host: a.com:80", "Proxy-Authorization: Basic dTpw"),
		},
	} {
		got, err := handshake.AppendConnectRequest([]byte("x"), c.req)
		if err != nil || string(got) != "x"+c.want {
			t.Errorf("%+v: err %v, got\n%s", c.req, err, got)
		}
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(c.want)))
		if err != nil || req.Method != http.MethodConnect || req.URL.Host != c.req.Addr {
			t.Errorf("net/http reads %v, %v", req, err)
		}
	}
	for name, req := range map[string]handshake.ConnectRequest{
		"no host":         {},
		"no port":         {Addr: "a.com"},
		"empty port":      {Addr: "a.com:"},
		"port too large":  {Addr: "a.com:65536"},
		"crlf":            {Addr: "a.com:80\r\nX: y"},
		"userinfo":        {Addr: "secret@a.com:80"},
		"credential crlf": {Addr: "a.com:80", Authorization: "secret\r\nX: y"},
	} {
		got, err := handshake.AppendConnectRequest([]byte("x"), req)
		failed, ok := errors.AsType[*handshake.DialError](err)
		if !ok || failed.Status != 0 || string(got) != "x" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: err %v, wrote %q", name, err, got)
		}
	}
}

func TestConnectResponse(t *testing.T) {
	for _, line := range []string{
		"HTTP/1.1 200 Connection established", "HTTP/1.0 200 OK", "HTTP/1.1 200", "HTTP/1.1 204 No Content", "HTTP/1.1 299 x",
	} {
		// What it says of a body is to be ignored.
		if err := handshake.ParseConnectResponse([]byte(requestHead(line, "Content-Length: 5", "Transfer-Encoding: chunked"))); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if err := handshake.ParseConnectResponse([]byte("HTTP/1.1 200 OK\n\n")); err != nil {
		t.Errorf("LF alone: %v", err)
	}
	for line, status := range map[string]int{
		"HTTP/1.1 407 Proxy Authentication Required": 407, "HTTP/1.1 503 x": 503, "HTTP/1.1 302 Found": 302,
		"HTTP/1.1 100 Continue": 100, "HTTP/1.1 300 x": 300, "HTTP/1.1 199 x": 199,
		"HTTP/1.1 20 x": 0, "HTTP/1.1 2000 x": 0, "SSH-2.0-x 200 OK": 0, "": 0,
	} {
		err := handshake.ParseConnectResponse([]byte(requestHead(line, "Retry-After: 7")))
		failed, ok := errors.AsType[*handshake.DialError](err)
		if !ok || failed.Status != status || status != 0 && failed.RetryAfter != 7*time.Second {
			t.Errorf("%q: %#v, want status %d", line, err, status)
		}
	}
}
