package handshake

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DialError says why an opening handshake failed.
type DialError struct {
	// Status is the response's HTTP status; 0 when there was no response that could be read, or the
	// request was not fit to be sent.
	Status int
	// StatusText is the reason phrase of the response, if it is printable ASCII.
	StatusText string
	// Reason says what was wrong, in words of this library.
	Reason string
	// RetryAfter is how long the server asks the client to wait, 0 when it does not. It may be any
	// time: callers should limit it.
	RetryAfter time.Duration
	// Proxy is the address of the proxy that gave the response, "host:port". "" is the server's.
	Proxy string
	// Header holds the fields of the response under canonical names; nil when net/http could not
	// read it.
	Header http.Header
	// Body is the body of a refusal, without its transfer coding, and of a longer one or one that
	// takes its time the beginning: at most 4 KiB, and what came within a second. nil is none.
	Body []byte
}

// Error leaves Header out, and of Body all but the first line of plain text: what a server says to
// people, such as "host not allowed". Of that, and of StatusText, it has 100 bytes.
func (e *DialError) Error() string {
	s := "agloop: dial: "
	if e.Proxy != "" {
		s += "proxy " + e.Proxy + ": "
	}
	s += e.Reason
	if e.Status != 0 {
		s += ": " + strconv.Itoa(e.Status)
		if text := e.StatusText; text != "" {
			s += " " + text[:min(len(text), maxErrorText)]
		}
	}
	if strings.HasPrefix(e.Header.Get("Content-Type"), "text/plain") {
		line, _, _ := strings.Cut(strings.TrimSpace(string(e.Body[:min(len(e.Body), maxErrorText)])), "\n")
		if line = strings.TrimSpace(line); line != "" {
			s += fmt.Sprintf(", %q", line)
		}
	}
	if e.Proxy == "" && (e.Status == http.StatusNotFound || e.Status == http.StatusUpgradeRequired) {
		s += `; is the path of the URL the WebSocket's, by default "/ws"?`
	}
	return s
}

// maxErrorText is how much of a body, and of a reason phrase, stands in an error's text, in bytes.
const maxErrorText = 100

// maxRefusalBody bounds DialError.Body, in bytes.
const maxRefusalBody = 4 << 10

// ReadResponse sets e.Header and e.Body from the response that e is about. head is the complete
// head, as [ScanHead] measures it; behind gives what follows it. An error of behind ends the body.
func (e *DialError) ReadResponse(head []byte, behind io.Reader) {
	resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head), behind)), nil)
	if err != nil {
		return
	}
	e.Header = resp.Header
	// Closing resp.Body would read it to its end.
	if body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusalBody)); len(body) > 0 {
		e.Body = body
	}
}
