package handshake_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/handshake"
)

// readRefusal checks that a refusal is one complete response.
func readRefusal(t *testing.T, refused *handshake.UpgradeError) *http.Response {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(refused.AppendResponse(nil)))
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != refused.Reason || in.Buffered() != 0 {
		t.Fatalf("body %q, err %v, %d bytes behind", body, err, in.Buffered())
	}
	if !resp.Close {
		t.Fatal("the response does not close")
	}
	return resp
}

func TestErrorResponse(t *testing.T) {
	_, _, err := handshake.ParseRequest([]byte(chromeWith("Sec-WebSocket-Version: 12")))
	resp := readRefusal(t, err.(*handshake.UpgradeError))
	if resp.Header.Get("Sec-WebSocket-Version") != "13" || resp.Header.Get("Upgrade") != "websocket" {
		t.Errorf("426 with %v", resp.Header)
	}
	_, _, err = handshake.ParseRequest([]byte(chromeWith("POST / HTTP/1.1")))
	if resp = readRefusal(t, err.(*handshake.UpgradeError)); resp.Header.Get("Allow") != "GET" {
		t.Errorf("405 with %v", resp.Header)
	}
	for _, c := range []struct {
		err        handshake.UpgradeError
		status     int
		retryAfter string
	}{
		{handshake.UpgradeError{Status: 503, Reason: "full"}, 503, "1"},
		{handshake.UpgradeError{Status: 503, RetryAfter: 1500 * time.Millisecond}, 503, "2"},
		{handshake.UpgradeError{Status: 429, Reason: "slow down", RetryAfter: 3 * time.Second}, 429, "3"},
		{handshake.UpgradeError{Status: 429}, 429, ""},
		{handshake.UpgradeError{Status: 101, Reason: "no"}, 500, ""},
		{handshake.UpgradeError{Status: 599}, 599, ""},
		{handshake.UpgradeError{Status: 401, Reason: "a\r\nb", Header: http.Header{"X": {"a\r\nSet-Cookie: b"}}}, 401, ""},
		{handshake.UpgradeError{Status: 401, Header: http.Header{"WWW-Authenticate": {"Bearer"}}}, 401, ""},
	} {
		resp := readRefusal(t, &c.err)
		if want := fmt.Sprintf("%d %s", c.err.Status, c.err.Reason); !strings.HasSuffix(c.err.Error(), want) {
			t.Errorf("message %q lacks %q", c.err.Error(), want)
		}
		if resp.StatusCode != c.status || resp.Header.Get("Retry-After") != c.retryAfter || resp.Header["Set-Cookie"] != nil {
			t.Errorf("%v: status %d with %v", &c.err, resp.StatusCode, resp.Header)
		}
		if len(c.err.Header) == 1 && strings.Contains(fmt.Sprint(c.err.Header), "Bearer") && resp.Header.Get("Www-Authenticate") != "Bearer" {
			t.Errorf("%v: the field is missing", &c.err)
		}
	}
}

func TestSwitchingProtocols(t *testing.T) {
	const start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + testAccept + "\r\n"
	for protocol, want := range map[string]string{
		"":             start + "\r\n",
		"agui.v1":      start + "Sec-WebSocket-Protocol: agui.v1\r\n\r\n",
		"a\r\nX: evil": start + "\r\n",
	} {
		if got := handshake.AppendSwitchingProtocols([]byte("x"), []byte(testKey), protocol, "", nil); string(got) != "x"+want {
			t.Errorf("%q: got %q", protocol, got)
		}
	}
}

func TestSelectProtocol(t *testing.T) {
	req, _, _ := handshake.ParseRequest([]byte(chromeWith("+Sec-WebSocket-Protocol: c, b, a")))
	for _, c := range []struct {
		supported []string
		want      string
	}{{nil, ""}, {[]string{"x"}, ""}, {[]string{"x", "a", "b"}, "a"}, {[]string{"B", "b"}, "b"}, {[]string{""}, ""}} {
		if got := handshake.SelectProtocol(c.supported, req.Protocols()); got != c.want {
			t.Errorf("%q: got %q, want %q", c.supported, got, c.want)
		}
	}
}
