package frame

import (
	"encoding/binary"
	"math"

	"github.com/gobwas/ws"
)

// Opcode is the kind of a frame (RFC 6455 §5.2).
type Opcode byte

// The opcodes of RFC 6455 §11.8.
const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	Close        Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xA
)

// Control reports whether frames of this opcode are control frames: never fragmented, at most 125
// bytes, allowed between fragments (RFC 6455 §5.5).
func (o Opcode) Control() bool { return o&0x8 != 0 }

// Limits bound what a peer may send on one connection.
type Limits struct {
	MaxMessage   int64 // payload bytes of one message, over all its fragments
	MaxFragments int   // frames of one message; empty ones count
	Server       bool  // we are the server: the peer's frames must be masked (RFC 6455 §5.1)
	Deflate      bool  // messages may be compressed (RFC 7692 §6)
}

// MaxHeader is the longest header a frame can have, in bytes: two, an eight-byte length, and a
// mask.
const MaxHeader = 14

// MaxControl is the longest payload of a control frame, in bytes (RFC 6455 §5.5).
const MaxControl = 125

// parseHeader reads the frame header at the start of b. n is its length, or 0 when b ends inside
// it. An error is reported as soon as the bytes in b show it.
func parseHeader(b []byte, lim *Limits, fragmented bool) (h ws.Header, n int, err error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	h.Fin = b[0]&0x80 != 0
	h.Rsv = b[0] >> 4 & 0x7
	h.OpCode = ws.OpCode(b[0] & 0xF)
	compressed := lim.Deflate && h.Rsv == rsv1 && (h.OpCode == ws.OpText || h.OpCode == ws.OpBinary)
	if compressed {
		h.Rsv = 0 // the only one that means something, and where it does
	}
	h.Masked = b[1]&0x80 != 0
	h.Length = int64(b[1] & 0x7F)

	n = 2
	switch h.Length {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	lengthAt := n
	if h.Masked {
		n += 4
	}
	// The first two bytes decide everything but the length and the mask, so they are checked before
	// the rest of the header has arrived.
	state := ws.StateClientSide
	if lim.Server {
		state = ws.StateServerSide
	}
	if fragmented {
		state |= ws.StateFragmented
	}
	if cause := ws.CheckHeader(h, state); cause != nil {
		return h, 0, protocolError(cause.Error())
	}
	if compressed {
		h.Rsv = rsv1
	}
	if len(b) < n {
		return h, 0, nil
	}
	switch lengthAt {
	case 4:
		h.Length = int64(binary.BigEndian.Uint16(b[2:]))
		if h.Length < 126 {
			return h, 0, errNotMinimal
		}
	case 10:
		u := binary.BigEndian.Uint64(b[2:])
		if u > math.MaxInt64 { // RFC 6455 §5.2: the most significant bit must be 0
			return h, 0, protocolError("frame length has its highest bit set")
		}
		if u <= math.MaxUint16 {
			return h, 0, errNotMinimal
		}
		h.Length = int64(u)
	}
	if h.Masked {
		copy(h.Mask[:], b[lengthAt:n])
	}
	return h, n, nil
}

// rsv1 is the bit of a frame that begins a compressed message (RFC 7692 §6), as parseHeader has it, and
// Compressed as it stands in the first byte of a frame.
const (
	rsv1       = 0b100
	Compressed = 0b0_100_0000
)

// most is the largest payload of a message, in bytes. Deflating what cannot be compressed adds five
// bytes to each 64 KiB, or to less.
func (l *Limits) most(compressed bool) int64 {
	if compressed {
		return l.MaxMessage + l.MaxMessage>>10 + 64
	}
	return l.MaxMessage
}

// HeaderSize is the length of the header of a frame with n bytes of payload.
func HeaderSize(n int, masked bool) int {
	size := 2
	switch {
	case n > math.MaxUint16:
		size = 10
	case n > MaxControl:
		size = 4
	}
	if masked {
		size += 4
	}
	return size
}

// PutHeader writes the header of a final, unmasked frame with n bytes of payload into b, which has
// exactly HeaderSize(n, false) bytes.
func PutHeader(b []byte, op Opcode, n int) {
	putHeader(b, op, n, 0)
}

// PutMasked writes the header of a final frame with n bytes of payload into b, which has exactly
// HeaderSize(n, true) bytes, and masks payload in place.
func PutMasked(b []byte, op Opcode, payload []byte, mask [4]byte) {
	putHeader(b, op, len(payload), 0x80)
	copy(b[len(b)-4:], mask[:])
	ws.Cipher(payload, mask, 0)
}

func putHeader(b []byte, op Opcode, n int, maskBit byte) {
	b[0] = 0x80 | byte(op)
	switch {
	case n > math.MaxUint16:
		b[1] = 127 | maskBit
		binary.BigEndian.PutUint64(b[2:], uint64(n))
	case n > MaxControl:
		b[1] = 126 | maskBit
		binary.BigEndian.PutUint16(b[2:], uint16(n))
	default:
		b[1] = byte(n) | maskBit
	}
}

// HeaderLen is the length in bytes of the header at the start of b, which PutHeader or PutMasked made.
func HeaderLen(b []byte) int {
	size := 2
	switch b[1] & 0x7F {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	if b[1]&0x80 != 0 {
		size += 4
	}
	return size
}

// SizeOf is the length in bytes of the frame at the start of b, header and payload. b must hold the
// whole header, made by PutHeader or PutMasked: it is not checked.
func SizeOf(b []byte) int {
	n := int(b[1] & 0x7F)
	switch n {
	case 126:
		n = int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		n = int(binary.BigEndian.Uint64(b[2:]))
	}
	return HeaderLen(b) + n
}
