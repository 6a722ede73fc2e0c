package handshake

import (
	"net/http"
	"strconv"
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
	// Header is one additional field line, "Name: value" without a line end. It is left out when it
	// is not a valid field line.
	Header string
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
	errBody       = &UpgradeError{Status: 400, Reason: "request body not allowed"}
	errKey        = &UpgradeError{Status: 400, Reason: "missing or bad Sec-WebSocket-Key"}
	errProtocol   = &UpgradeError{Status: 400, Reason: "bad Sec-WebSocket-Protocol"}

	errMethod      = &UpgradeError{Status: 405, Reason: "method must be GET", Header: "Allow: GET"}
	errHTTPVersion = &UpgradeError{Status: 505, Reason: "HTTP/1.1 required"}
	// RFC 6455 §4.4: the versions the server speaks.
	errVersion = &UpgradeError{Status: 426, Reason: "WebSocket version 13 required", Header: "Sec-WebSocket-Version: 13"}

	errOrigin = &UpgradeError{Status: 403, Reason: "origin not allowed"}
)

func (e *UpgradeError) Error() string {
	return "agloop: upgrade refused: " + strconv.Itoa(e.Status) + " " + e.Reason
}

// AppendResponse appends the complete HTTP/1.1 response to dst.
func (e *UpgradeError) AppendResponse(dst []byte) []byte {
	status := e.Status
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	// A proxy that took the upgrade for granted must not reuse the connection.
	dst = append(dst, "\r\nConnection: close"...)
	if status == http.StatusUpgradeRequired {
		// RFC 9110 §15.5.22 requires the field, §7.8 its connection option.
		dst = append(dst, ", Upgrade\r\nUpgrade: websocket"...)
	}
	if e.Header != "" {
		if _, _, ok := cutField([]byte(e.Header)); ok {
			dst = append(dst, "\r\n"...)
			dst = append(dst, e.Header...)
		}
	}
	if e.RetryAfter > 0 || status == http.StatusServiceUnavailable {
		seconds := max(1, (e.RetryAfter+time.Second-1)/time.Second)
		dst = append(dst, "\r\nRetry-After: "...)
		dst = strconv.AppendInt(dst, int64(seconds), 10)
	}
	dst = append(dst, "\r\nX-Content-Type-Options: nosniff\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(e.Reason)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, e.Reason...)
}
