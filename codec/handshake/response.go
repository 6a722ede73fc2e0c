package handshake

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// acceptGUID is fixed by RFC 6455 §1.3.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AppendSwitchingProtocols appends the response that accepts a handshake with this
// Sec-WebSocket-Key. protocol is the selected subprotocol, "" for none; one that is not a token is
// left out rather than echoed. extensions is the value of Sec-WebSocket-Extensions, "" for none. header
// holds further fields, see [CheckHeader]; what that complains
// of is left out.
func AppendSwitchingProtocols(dst, key []byte, protocol, extensions string, header http.Header) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = appendAccept(dst, key)
	if isToken(protocol) {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, protocol...)
	}
	if extensions != "" {
		dst = append(dst, "\r\nSec-WebSocket-Extensions: "...)
		dst = append(dst, extensions...)
	}
	dst = append(dst, "\r\n"...)
	dst = appendFields(dst, header, dialReserved)
	return append(dst, "\r\n"...)
}

// CheckHeader returns an error that names the first field that may not stand in a response that
// accepts: one that is not valid, or that belongs to the handshake. It does not quote values.
func CheckHeader(header http.Header) error {
	for name, values := range header {
		switch {
		case !isToken(name):
			return fmt.Errorf("%q is no name of a header field", name)
		case dialReserved(strings.ToLower(name)):
			return fmt.Errorf("header field %s belongs to the handshake", name)
		}
		for _, value := range values {
			if !consistsOf(value, valueByte) {
				return fmt.Errorf("bad value of header field %s", name)
			}
		}
	}
	return nil
}

// appendFields appends the lines of the valid fields of header, in the order of their names, but
// for those that reserved, asked in lower case, names.
func appendFields(dst []byte, header http.Header, reserved func(name string) bool) []byte {
	if len(header) == 0 {
		return dst
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if !isToken(name) || reserved(strings.ToLower(name)) {
			continue
		}
		for _, value := range header[name] {
			if !consistsOf(value, valueByte) {
				continue
			}
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			dst = append(dst, strings.Trim(value, " \t")...)
			dst = append(dst, "\r\n"...)
		}
	}
	return dst
}

// appendAccept appends the answer to a key, RFC 6455 §4.2.2 item 5.4.
func appendAccept[T byteString](dst []byte, key T) []byte {
	var buf [24 + len(acceptGUID)]byte
	sum := sha1.Sum(append(append(buf[:0], key...), acceptGUID...))
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// CheckProtocols reports a name that no client can offer, RFC 6455 §4.1 item 10, or that is there
// twice.
func CheckProtocols(names []string) error {
	for i, name := range names {
		switch {
		case !isToken(name):
			return fmt.Errorf("%q is no token, such as \"agui.v1\"", name)
		case slices.Contains(names[:i], name):
			return fmt.Errorf("%q is there twice", name)
		}
	}
	return nil
}

// SelectProtocol returns the first of supported, the server's order of preference, that the client
// offered, and "" when there is none. Names are compared exactly, RFC 6455 §4.2.2 item 5.5.
func SelectProtocol[T byteString](supported []string, offered []T) string {
	for _, name := range supported {
		for _, offer := range offered {
			if string(offer) == name {
				return name
			}
		}
	}
	return ""
}
