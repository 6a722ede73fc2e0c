package testkit

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/agloop/agloop/codec/frame"
)

// Frame is a frame as it was read. Its payload, unmasked, is valid until the next one is read.
type Frame struct {
	Head    byte // FIN, RSV, opcode
	Masked  bool
	Mask    [4]byte
	Payload []byte
}

// Masked is a client's frame. head is FIN, RSV and opcode, best written as bits. The framing here
// is written anew from RFC 6455, so that it shares no mistake with codec/frame.
func Masked(head byte, payload []byte) []byte { return framed(head, 0b1_0000000, payload) }

// Plain is a server's frame.
func Plain(head byte, payload []byte) []byte { return framed(head, 0, payload) }

// Message is a client's message in one frame.
func Message(op frame.Opcode, payload []byte) []byte { return Masked(0b1_000_0000|byte(op), payload) }

// Text is a client's text message in one frame.
func Text(s string) []byte { return Masked(0b1_000_0001, []byte(s)) }

// Closing is a client's close frame.
func Closing(code uint16, reason string) []byte {
	return Masked(0b1_000_1000, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}

func framed(head, maskBit byte, payload []byte) []byte {
	b := append(make([]byte, 0, 14+len(payload)), head)
	switch n := len(payload); {
	case n > 0xFFFF:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), uint64(n))
	case n > 125:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	default:
		b = append(b, maskBit|byte(n))
	}
	if maskBit == 0 {
		return append(b, payload...)
	}
	mask := [4]byte{0x37, 0xFA, 0x21, 0x3D} // of RFC 6455 §5.7
	b = append(b, mask[:]...)
	b = append(b, payload...)
	xor(b[len(b)-len(payload):], mask)
	return b
}

func xor(p []byte, mask [4]byte) {
	for i := range p {
		p[i] ^= mask[i&3]
	}
}

// ShowClose is the payload of a close frame for people: its code and its reason.
func ShowClose(payload []byte) string {
	if len(payload) < 2 {
		return fmt.Sprintf("%q", payload)
	}
	return fmt.Sprintf("%d %q", binary.BigEndian.Uint16(payload), payload[2:])
}

// readFrame reads the next frame into buf if that has room for its payload.
func readFrame(r io.Reader, head *[8]byte, buf []byte) (f Frame, err error) {
	if _, err = io.ReadFull(r, head[:2]); err != nil {
		return f, err
	}
	f.Head, f.Masked = head[0], head[1]&0x80 != 0
	n := uint64(head[1] & 0x7F)
	least := uint64(0)
	switch n {
	case 126:
		_, err = io.ReadFull(r, head[:2])
		n, least = uint64(binary.BigEndian.Uint16(head[:2])), 126
	case 127:
		_, err = io.ReadFull(r, head[:8])
		n, least = binary.BigEndian.Uint64(head[:8]), 1<<16
	}
	if err == nil && (n < least || n > 64<<20) {
		return f, fmt.Errorf("frame length %d in the wrong form, or absurd", n)
	}
	if f.Masked && err == nil {
		_, err = io.ReadFull(r, head[:4])
		f.Mask = [4]byte(head[:4])
	}
	if err != nil {
		return f, err
	}
	if uint64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	f.Payload = buf[:n]
	_, err = io.ReadFull(r, f.Payload)
	if f.Masked {
		xor(f.Payload, f.Mask)
	}
	return f, err
}
