package frame

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/agloop/agloop/bufpool"
	sonicutf8 "github.com/bytedance/sonic/utf8"
	"github.com/gobwas/ws"
)

// Message is a whole data message or control frame, unmasked. Payload is borrowed: it is valid
// until the next call with the same view or Reader.
type Message struct {
	Opcode  Opcode
	Payload []byte
	// Deflated says that Payload is still to be inflated; nobody has looked whether it is UTF-8.
	Deflated bool
}

// Whole parses the first frame of view if the frame is complete and a message by itself: a control
// frame, or a data message of one frame. It unmasks in place and copies nothing. n is the number of
// bytes consumed; 0 without an error means that the bytes must go to a Reader. Call it only between
// messages. The error is a *ProtocolError.
func Whole(view []byte, lim *Limits) (m Message, n int, err error) {
	if m, n := parseCommon(view, lim); n > 0 {
		if m.Opcode == Text && !validUTF8(m.Payload) {
			return m, n, errNotUTF8
		}
		return m, n, nil
	}
	h, size, err := parseHeader(view, lim, false)
	if err != nil {
		return m, 0, err
	}
	if size == 0 {
		return m, 0, nil
	}
	compressed := h.Rsv == rsv1
	if h.Length > lim.most(compressed) && !h.OpCode.IsControl() {
		return m, 0, errTooBig
	}
	if !h.Fin || int64(len(view)-size) < h.Length {
		return m, 0, nil
	}
	n = size + int(h.Length)
	m = Message{Opcode: Opcode(h.OpCode), Payload: view[size:n:n], Deflated: compressed}
	if h.Masked {
		ws.Cipher(m.Payload, h.Mask, 0)
	}
	if m.Opcode == Text && !compressed && !validUTF8(m.Payload) {
		return m, n, errNotUTF8
	}
	return m, n, nil
}

// parseCommon is Whole for the most frequent frames: a masked data message of one frame, below 64
// KiB, within the limits and complete. For any other n is 0. It does not check UTF-8.
func parseCommon(view []byte, lim *Limits) (m Message, n int) {
	if len(view) < 6 || !lim.Server || view[1]&0x80 == 0 {
		return m, 0
	}
	op := Opcode(view[0] &^ 0x80)
	if view[0]&0x80 == 0 || op != Text && op != Binary {
		return m, 0
	}
	head, length := 6, int(view[1]&0x7F)
	switch {
	case length == 127:
		return m, 0
	case length == 126:
		head, length = 8, int(binary.BigEndian.Uint16(view[2:]))
		if length < 126 {
			return m, 0
		}
	}
	n = head + length
	if len(view) < n || int64(length) > lim.MaxMessage {
		return m, 0
	}
	m = Message{Opcode: op, Payload: view[head:n:n]}
	ws.Cipher(m.Payload, [4]byte(view[head-4:head]), 0)
	return m, n
}

// Reader assembles messages that arrive in pieces: split frames, fragments, and control frames
// between them. Its memory grows with the bytes received and never with a declared length. The zero
// value is ready. Only one goroutine may use a Reader at a time.
type Reader struct {
	head  [MaxHeader]byte
	nhead int // bytes of head received

	frame   ws.Header
	inFrame bool
	got     int64 // payload bytes of frame received

	msg     *bufpool.Buffer // data message so far
	op      Opcode          // its opcode; 0: none is open
	packed  bool            // it is compressed
	frags   int             // its frames so far
	checked int             // bytes of msg known to be UTF-8

	control [MaxControl]byte
	lent    bool // msg was returned by the last Next
}

// Next consumes bytes of view until a message is complete. n is the number of bytes consumed;
// m.Opcode is 0 when all were consumed and more are needed. m.Payload is valid until the next call
// of Next or Reset. The error is a *ProtocolError.
func (r *Reader) Next(view []byte, lim *Limits) (m Message, n int, err error) {
	r.reclaim()
	for {
		if !r.inFrame {
			took, err := r.header(view[n:], lim)
			n += took
			if err != nil || !r.inFrame {
				return m, n, err
			}
		}
		took, done, err := r.payload(view[n:])
		n += took
		if err != nil || !done {
			return m, n, err
		}
		if m, ok := r.finish(); ok {
			return m, n, nil
		}
	}
}

// Empty reports whether the next byte starts a message.
func (r *Reader) Empty() bool {
	return !r.inFrame && r.nhead == 0 && (r.op == 0 || r.lent)
}

// Memory is the capacity in bytes of the buffer that the Reader holds; 0 without one.
func (r *Reader) Memory() int {
	if r.msg == nil {
		return 0
	}
	return r.msg.Cap()
}

// Reset releases the buffer and makes the Reader ready for another stream.
func (r *Reader) Reset() {
	if r.msg != nil {
		r.msg.Release()
	}
	*r = Reader{}
}

// reclaim releases the message that the call before has returned.
func (r *Reader) reclaim() {
	if r.lent {
		r.msg.Release()
		r.msg, r.op, r.packed, r.frags, r.checked, r.lent = nil, 0, false, 0, 0, false
	}
}

// header collects the bytes of one frame header and checks it.
func (r *Reader) header(view []byte, lim *Limits) (took int, err error) {
	took = copy(r.head[r.nhead:], view)
	h, size, err := parseHeader(r.head[:r.nhead+took], lim, r.op != 0)
	if err != nil {
		return took, err
	}
	if size == 0 {
		r.nhead += took
		return took, nil
	}
	took = size - r.nhead
	if !h.OpCode.IsControl() {
		if r.op == 0 {
			r.op, r.packed = Opcode(h.OpCode), h.Rsv == rsv1
			r.msg = bufpool.Get(0)
		}
		r.frags++
		if h.Length > lim.most(r.packed)-int64(len(r.msg.B)) {
			return took, errTooBig
		}
		if r.frags > lim.MaxFragments {
			return took, errFragments
		}
	}
	r.frame, r.inFrame, r.got, r.nhead = h, true, 0, 0
	return took, nil
}

// payload collects and unmasks bytes of the current frame.
func (r *Reader) payload(view []byte) (took int, done bool, err error) {
	part := view[:min(int64(len(view)), r.frame.Length-r.got)]
	at := r.got
	r.got += int64(len(part))
	done = r.got == r.frame.Length
	if r.frame.OpCode.IsControl() {
		part = r.control[at : int(at)+copy(r.control[at:], part)]
		if r.frame.Masked {
			ws.Cipher(part, r.frame.Mask, int(at))
		}
		return len(part), done, nil
	}
	start := len(r.msg.B)
	r.msg = r.msg.Append(part)
	if r.frame.Masked {
		ws.Cipher(r.msg.B[start:], r.frame.Mask, int(at&3))
	}
	if r.op == Text && !r.packed && !r.checkText(done && r.frame.Fin) {
		return len(part), done, errNotUTF8
	}
	return len(part), done, nil
}

// finish ends the current frame. ok reports whether m is complete.
func (r *Reader) finish() (m Message, ok bool) {
	r.inFrame = false
	if r.frame.OpCode.IsControl() {
		return Message{Opcode: Opcode(r.frame.OpCode), Payload: r.control[:r.got]}, true
	}
	if !r.frame.Fin {
		return m, false
	}
	r.lent = true
	return Message{Opcode: r.op, Payload: r.msg.B, Deflated: r.packed}, true
}

// checkText reports whether the bytes received so far are UTF-8, apart from an incomplete character
// at their end, so that bad text fails at its first bad byte (RFC 6455 §8.1).
func (r *Reader) checkText(last bool) bool {
	fresh := r.msg.B[r.checked:]
	if !last {
		// An incomplete character is at most three bytes. FullRune is also true for bytes that can
		// no longer become a character.
		for back := 1; back <= min(3, len(fresh)); back++ {
			if tail := fresh[len(fresh)-back:]; utf8.RuneStart(tail[0]) {
				if !utf8.FullRune(tail) {
					fresh = fresh[:len(fresh)-back]
				}
				break
			}
		}
	}
	r.checked += len(fresh)
	return validUTF8(fresh)
}

// CheckText returns a *ProtocolError unless p, the payload of a text message, is UTF-8 (RFC 6455 §8.1).
func CheckText(p []byte) error {
	if !validUTF8(p) {
		return errNotUTF8
	}
	return nil
}

// validUTF8 uses the faster check for each size: sonic's vector code is faster from about 64 bytes
// on, and below that its set-up costs more than the standard library's whole check.
func validUTF8(p []byte) bool {
	if len(p) <= 64 {
		return utf8.Valid(p)
	}
	return sonicutf8.Validate(p)
}
