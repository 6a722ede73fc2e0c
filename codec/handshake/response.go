package handshake

import (
	"crypto/sha1"
	"encoding/base64"
)

// acceptGUID is fixed by RFC 6455 §1.3.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AppendSwitchingProtocols appends the response that accepts a handshake with this
// Sec-WebSocket-Key. protocol is the selected subprotocol, "" for none; one that is not a token is
// left out rather than echoed.
func AppendSwitchingProtocols(dst, key []byte, protocol string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = appendAccept(dst, key)
	if isToken(protocol) {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, protocol...)
	}
	return append(dst, "\r\n\r\n"...)
}

// appendAccept appends the answer to a key, RFC 6455 §4.2.2 item 5.4.
func appendAccept[T byteString](dst []byte, key T) []byte {
	var buf [24 + len(acceptGUID)]byte
	sum := sha1.Sum(append(append(buf[:0], key...), acceptGUID...))
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// SelectProtocol returns the first of supported, the server's order of preference, that the client
// offered, and "" when there is none. Names are compared exactly, RFC 6455 §4.2.2 item 5.5.
func SelectProtocol(supported []string, req *Request) string {
	for _, name := range supported {
		for _, offer := range req.Protocols() {
			if string(offer) == name {
				return name
			}
		}
	}
	return ""
}
