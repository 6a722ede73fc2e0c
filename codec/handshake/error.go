package handshake

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// UpgradeError refuses an opening handshake. The connection cannot be used afterwards: write
// [UpgradeError.AppendResponse] and close it. The errors that this package returns are shared and
// must not be changed.
type UpgradeError struct {
	// Status is the HTTP status; one outside 400–599 is sent as 500.
	Status int
	// Reason is the body of the response, for people.
	Reason string
	// Header holds further fields of the response. Fields that are not valid, and those of the
	// response itself, such as Connection and Content-Length, are left out.
	Header http.Header
	// RetryAfter is sent in whole seconds, rounded up. Zero leaves the field out, except with
	// status 503, which always carries one second or more.
	RetryAfter time.Duration
}

var (
	errLongLine   = &UpgradeError{Status: 414, Reason: "request line too long"}
	errLongHead   = &UpgradeError{Status: 431, Reason: "header too large"}
	errManyFields = &UpgradeError{Status: 431, Reason: "too many header fields"}

	errLine       = &UpgradeError{Status: 400, Reason: "malformed request line"}
	errTarget     = &UpgradeError{Status: 400, Reason: "bad request target"}
	errLineEnd    = &UpgradeError{Status: 400, Reason: "line does not end in CRLF"}
	errFold       = &UpgradeError{Status: 400, Reason: "folded header field"}
	errField      = &UpgradeError{Status: 400, Reason: "malformed header field"}
	errDuplicate  = &UpgradeError{Status: 400, Reason: "repeated header field"}
	errIncomplete = &UpgradeError{Status: 400, Reason: "incomplete header"}
	errHost       = &UpgradeError{Status: 400, Reason: "missing or bad Host"}
	errUpgrade    = &UpgradeError{Status: 400, Reason: "Upgrade must be websocket alone"}
	errConnection = &UpgradeError{Status: 400, Reason: "Connection must name upgrade"}
	errProxy      = &UpgradeError{Status: 400, Reason: "PROXY protocol version 2 expected"}
	errBody       = &UpgradeError{Status: 400, Reason: "request body not allowed"}
	errKey        = &UpgradeError{Status: 400, Reason: "missing or bad Sec-WebSocket-Key"}
	errProtocol   = &UpgradeError{Status: 400, Reason: "bad Sec-WebSocket-Protocol"}

	errMethod      = &UpgradeError{Status: 405, Reason: "method must be GET", Header: http.Header{"Allow": {"GET"}}}
	errHTTPVersion = &UpgradeError{Status: 505, Reason: "HTTP/1.1 required"}
	// RFC 6455 §4.4: the versions the server speaks.
	errVersion = &UpgradeError{Status: 426, Reason: "WebSocket version 13 required", Header: http.Header{"Sec-WebSocket-Version": {"13"}}}

	errOrigin   = &UpgradeError{Status: 403, Reason: "origin not allowed"}
	errHostName = &UpgradeError{Status: 403, Reason: "host not allowed"}
)

func (e *UpgradeError) Error() string {
	return "agloop: upgrade refused: " + strconv.Itoa(e.Status) + " " + e.Reason
}

// AppendResponse appends the complete HTTP/1.1 response to dst.
func (e *UpgradeError) AppendResponse(dst []byte) []byte {
	status := e.status()
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	dst = append(dst, "\r\nConnection: "...)
	dst = append(dst, e.connection()...)
	if status == http.StatusUpgradeRequired {
		dst = append(dst, "\r\nUpgrade: websocket"...) // RFC 9110 §15.5.22
	}
	if seconds := e.retryAfter(); seconds > 0 {
		dst = append(dst, "\r\nRetry-After: "...)
		dst = strconv.AppendInt(dst, seconds, 10)
	}
	dst = append(dst, "\r\n"...)
	dst = appendFields(dst, e.Header, responseField)
	dst = append(dst, "X-Content-Type-Options: nosniff\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(e.Reason)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, e.Reason...)
}

// Respond answers a request that net/http has read.
func (e *UpgradeError) Respond(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range e.Header {
		if !responseField(strings.ToLower(name)) {
			h[http.CanonicalHeaderKey(name)] = values
		}
	}
	h.Set("Connection", "close") // alone, or net/http does not close
	if e.status() == http.StatusUpgradeRequired {
		h.Add("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
	}
	if seconds := e.retryAfter(); seconds > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	http.Error(w, e.Reason, e.status())
}

func (e *UpgradeError) status() int {
	if e.Status < 400 || e.Status > 599 {
		return http.StatusInternalServerError
	}
	return e.Status
}

// connection is the Connection field: a proxy that took the upgrade for granted must not reuse the
// connection. RFC 9110 §7.8 has the Upgrade field named in it.
func (e *UpgradeError) connection() string {
	if e.status() == http.StatusUpgradeRequired {
		return "close, Upgrade"
	}
	return "close"
}

// retryAfter is the Retry-After field in seconds, 0 for none.
func (e *UpgradeError) retryAfter() int64 {
	if e.Header.Get("Retry-After") != "" || e.RetryAfter <= 0 && e.status() != http.StatusServiceUnavailable {
		return 0
	}
	return int64(max(1, (e.RetryAfter+time.Second-1)/time.Second))
}

// responseField reports whether a response has the field of that name, given in lower case, by
// itself.
func responseField(name string) bool {
	switch name {
	case "connection", "upgrade", "x-content-type-options", "content-type", "content-length",
		"transfer-encoding", "trailer":
		return true
	}
	return false
}
