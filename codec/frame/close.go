package frame

import (
	"encoding/binary"
	"errors"
	"strconv"
	"unicode/utf8"
)

// CloseCode says why a connection ends (RFC 6455 §7.4).
type CloseCode uint16

// Close codes of RFC 6455 §7.4.1 and the IANA registry, and agloop's own from the private range
// 4000–4999.
const (
	CloseNormal         CloseCode = 1000
	CloseGoingAway      CloseCode = 1001 // the server shuts down, or a page is left
	CloseProtocolError  CloseCode = 1002
	CloseUnsupported    CloseCode = 1003 // a kind of data that is not accepted here
	CloseNoStatus       CloseCode = 1005 // never on the wire: the close frame was empty
	CloseAbnormal       CloseCode = 1006 // never on the wire: there was no close frame
	CloseInvalidPayload CloseCode = 1007 // not UTF-8 in a text message
	ClosePolicy         CloseCode = 1008
	CloseTooBig         CloseCode = 1009
	CloseInternal       CloseCode = 1011 // a handler panicked
	CloseRestart        CloseCode = 1012
	CloseTryLater       CloseCode = 1013 // overload
	CloseSlowReader     CloseCode = 4008 // the peer did not read fast enough
	CloseAuthTimeout    CloseCode = 4010 // no token came that was to come first, or not in time
	CloseExpired        CloseCode = 4011 // its authorization has expired
)

func (c CloseCode) String() string { return strconv.Itoa(int(c)) }

// ProtocolError says what a peer did wrong and with which code the connection is closed.
type ProtocolError struct {
	Code   CloseCode
	Reason string
}

func (e *ProtocolError) Error() string {
	return "agloop: peer violated the protocol (close " + e.Code.String() + "): " + e.Reason
}

func protocolError(reason string) *ProtocolError {
	return &ProtocolError{Code: CloseProtocolError, Reason: reason}
}

// The errors of a frame that ws.CheckHeader does not find.
var (
	errNotMinimal  = protocolError("frame length is not in its shortest form")
	errTooBig      = &ProtocolError{Code: CloseTooBig, Reason: "message is too big"}
	errFragments   = &ProtocolError{Code: ClosePolicy, Reason: "message has too many fragments"}
	errNotUTF8     = &ProtocolError{Code: CloseInvalidPayload, Reason: "text is not UTF-8"}
	errClosePrefix = protocolError("close frame has one byte")
	errCloseUTF8   = &ProtocolError{Code: CloseInvalidPayload, Reason: "close reason is not UTF-8"}
)

// ParseClose reads the payload of a close frame. An empty one is CloseNoStatus. The reason is a
// part of payload. The error is a *ProtocolError.
func ParseClose(payload []byte) (code CloseCode, reason []byte, err error) {
	switch {
	case len(payload) == 0:
		return CloseNoStatus, nil, nil
	case len(payload) == 1:
		return 0, nil, errClosePrefix
	}
	code, reason = CloseCode(binary.BigEndian.Uint16(payload)), payload[2:]
	if !code.Sendable() {
		return code, nil, protocolError("close code " + code.String() + " may not be sent")
	}
	if !utf8.Valid(reason) {
		return code, nil, errCloseUTF8
	}
	return code, reason, nil
}

// Sendable reports whether a close frame may carry c: 1000–1003 and 1007–1014 by the registry,
// 3000–4999 for libraries, frameworks and applications (RFC 6455 §7.4.2).
func (c CloseCode) Sendable() bool {
	return c >= 1000 && c <= 1003 || c >= 1007 && c <= 1014 || c >= 3000 && c <= 4999
}

// AppendClose appends the payload of a close frame to dst: code and as much of reason as fits into
// a control frame, cut between characters. A code that may not be sent gives an empty payload.
func AppendClose(dst []byte, code CloseCode, reason string) []byte {
	if !code.Sendable() {
		return dst
	}
	if len(reason) > MaxControl-2 {
		cut := MaxControl - 2
		for cut > 0 && !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// CodeOf is the close code to send for err: that of a *ProtocolError, or CloseInternal.
func CodeOf(err error) CloseCode {
	if pe, ok := errors.AsType[*ProtocolError](err); ok {
		return pe.Code
	}
	return CloseInternal
}
