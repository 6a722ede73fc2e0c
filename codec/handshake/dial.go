package handshake

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// DialRequest is what a client asks for in its opening handshake.
type DialRequest struct {
	// Host is the Host field: a name or address, with the port unless it is the scheme's default.
	Host string
	// Target is the escaped path, with the query if there is one. It begins with a slash; "" means
	// "/".
	Target string
	// Key comes from [NewDialKey]; [ParseDialResponse] needs it again.
	Key string
	// Protocols are the offered subprotocols in order of preference.
	Protocols []string
	// Extensions is the value of Sec-WebSocket-Extensions, "" for none.
	Extensions string
	// Header holds further fields, such as Authorization, Cookie and Origin. The fields of the
	// handshake itself may not stand in it.
	Header http.Header
}

// NewDialKey returns a fresh Sec-WebSocket-Key: 16 random bytes in base64, RFC 6455 §4.1.
func NewDialKey() string {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails: it ends the program instead
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// AppendDialRequest appends the opening handshake to dst. When a part of r is not valid in a head,
// it returns dst as it was and a *[DialError] without a status, so that no value can add lines to
// the request. Fields of r.Header are written in the order of their names.
func AppendDialRequest(dst []byte, r DialRequest) ([]byte, error) {
	if r.Target == "" {
		r.Target = "/"
	}
	if fault := dialFault(&r); fault != "" {
		return dst, &DialError{Reason: fault}
	}
	dst = append(dst, "GET "...)
	dst = append(dst, r.Target...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, r.Host...)
	dst = append(dst, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "...)
	dst = append(dst, r.Key...)
	dst = append(dst, "\r\nSec-WebSocket-Version: 13\r\n"...)
	for i, name := range r.Protocols {
		if i == 0 {
			dst = append(dst, "Sec-WebSocket-Protocol: "...)
		} else {
			dst = append(dst, ", "...)
		}
		dst = append(dst, name...)
	}
	if len(r.Protocols) > 0 {
		dst = append(dst, "\r\n"...)
	}
	if r.Extensions != "" {
		dst = append(dst, "Sec-WebSocket-Extensions: "...)
		dst = append(dst, r.Extensions...)
		dst = append(dst, "\r\n"...)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			dst = append(dst, strings.Trim(value, " \t")...)
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, "\r\n"...), nil
}

// dialFault returns what is wrong with r, or "". It does not quote values, which may be
// credentials.
func dialFault(r *DialRequest) string {
	if _, _, ok := cutHost([]byte(r.Host)); !ok {
		return "bad host"
	}
	if r.Target[0] != '/' || !validTarget(r.Target) {
		return "bad request target"
	}
	if !validKey(r.Key) {
		return "bad key"
	}
	if !consistsOf(r.Extensions, valueByte) {
		return "bad extensions"
	}
	for i, name := range r.Protocols {
		// RFC 6455 §4.1 item 10: tokens, each offered once.
		if !isToken(name) || slices.Contains(r.Protocols[:i], name) {
			return "bad or repeated subprotocol"
		}
	}
	for name, values := range r.Header {
		if !isToken(name) {
			return "bad header field name"
		}
		if dialReserved(name) {
			return "reserved header field " + name
		}
		for _, value := range values {
			if !consistsOf(value, valueByte) {
				return "bad value of header field " + name
			}
		}
	}
	return ""
}

// dialReserved reports whether a field belongs to the handshake, or would announce a body or change
// how the connection is used.
func dialReserved(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "host", "upgrade", "connection", "keep-alive", "proxy-connection",
		"content-length", "transfer-encoding", "te", "trailer", "expect":
		return true
	}
	return strings.HasPrefix(name, "sec-websocket-")
}
