package loop

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/agloop/agloop/codec/frame"
)

// ErrEngineClosed is returned by everything that needs a running engine.
var ErrEngineClosed = fmt.Errorf("agloop: engine closed: %w", net.ErrClosed)

// CloseError says how a connection ended. It wraps net.ErrClosed and, where there is one, the
// cause.
type CloseError struct {
	// Code is the peer's close code, ours when we closed first, or CloseAbnormal when no close
	// frame was exchanged.
	Code   frame.CloseCode
	Reason string
	// Remote is true when the peer sent its close frame first.
	Remote bool
	// Cause is the error below, such as a reset or a ProtocolError; may be nil.
	Cause error
}

func (e *CloseError) Error() string {
	s := "agloop: connection closed with " + e.Code.String()
	if e.Remote {
		s += " by the peer"
	}
	if e.Reason != "" {
		s += fmt.Sprintf(": %q", e.Reason) // the peer's words may have line ends
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap makes errors.Is find net.ErrClosed and the cause.
func (e *CloseError) Unwrap() []error {
	if e.Cause == nil {
		return []error{net.ErrClosed}
	}
	return []error{net.ErrClosed, e.Cause}
}

// Causes of connections that the loop ends by itself.
var (
	errSlowReader   = errors.New("peer reads too slowly")
	errMemory       = errors.New("memory is short, and much waited for this peer")
	errNoProgress   = errors.New("peer accepted no byte before the write timeout")
	errNoPong       = errors.New("no pong before the deadline")
	errCloseTimeout = errors.New("no close frame before the deadline")
	errRate         = &frame.ProtocolError{Code: frame.ClosePolicy, Reason: "too many messages"}
	errControlRate  = &frame.ProtocolError{Code: frame.ClosePolicy, Reason: "too many control frames"}
	errHandshake    = errors.New("opening handshake not finished before the deadline")
	errPanic        = errors.New("panic in a handler")
	errTruncated    = fmt.Errorf("the TLS connection was cut, no close_notify came: %w", io.ErrUnexpectedEOF) // RFC 8446 §6.1
)
