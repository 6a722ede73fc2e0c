package frame

import "github.com/agloop/agloop/bufpool"

// Prepared is a message that goes to several peers as it is: a whole frame without a mask, in a buffer that
// its holders share. It must not be changed.
type Prepared struct{ buf *bufpool.Buffer }

// Prepare encodes a message, of which the caller is the first holder. op is Text or Binary; payload is
// copied.
func Prepare(op Opcode, payload []byte) Prepared {
	head := HeaderSize(len(payload), false)
	buf := bufpool.Get(head + len(payload))
	buf.B = buf.B[:head+len(payload)]
	PutHeader(buf.B[:head], op, len(payload))
	copy(buf.B[head:], payload)
	return Prepared{buf}
}

// Frame is header and payload, valid while p is held.
func (p Prepared) Frame() []byte { return p.buf.B }

// Payload is valid while p is held.
func (p Prepared) Payload() []byte { return p.buf.B[HeaderLen(p.buf.B):] }

// Opcode is Text or Binary.
func (p Prepared) Opcode() Opcode { return Opcode(p.buf.B[0] & 0xF) }

// Buffer is where the frame lies.
func (p Prepared) Buffer() *bufpool.Buffer { return p.buf }

// Retain adds a holder and returns p.
func (p Prepared) Retain() Prepared {
	p.buf.Retain()
	return p
}

// Release gives up one holder.
func (p Prepared) Release() { p.buf.Release() }
