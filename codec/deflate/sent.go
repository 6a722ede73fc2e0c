package deflate

import (
	"bytes"
	"sync"
)

// Sent is a message that was sent compressed, as the predecessor of the next: immutable, and shared by
// all connections that it was sent to. It is about its plain payload, not about how that was deflated.
type Sent struct {
	plain []byte // the last MaxDict bytes
	size  int    // of the memory that it keeps
}

// Memory is what s keeps from being collected, in bytes, 0 for nil. All that hold s share it.
func (s *Sent) Memory() int {
	if s == nil {
		return 0
	}
	return s.size
}

func (s *Sent) dict() []byte {
	if s == nil {
		return nil
	}
	return s.plain
}

// newSent allocates a Sent together with n bytes, which stay with it.
func newSent(n int) (s *Sent, mem []byte) {
	switch {
	case n <= 96:
		b := new(struct {
			Sent
			mem [96]byte
		})
		s, mem = &b.Sent, b.mem[:0]
	case n <= 168:
		b := new(struct {
			Sent
			mem [168]byte
		})
		s, mem = &b.Sent, b.mem[:0]
	case n <= 224:
		b := new(struct {
			Sent
			mem [224]byte
		})
		s, mem = &b.Sent, b.mem[:0]
	case n <= 384:
		b := new(struct {
			Sent
			mem [384]byte
		})
		s, mem = &b.Sent, b.mem[:0]
	case n <= 1<<10:
		b := new(struct {
			Sent
			mem [1 << 10]byte
		})
		s, mem = &b.Sent, b.mem[:0]
	default:
		s, mem = new(Sent), make([]byte, 0, n)
	}
	s.size = cap(mem) + 32
	return s, mem
}

// scratches hold deflated bytes until their number is known.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// maxScratch is the largest scratch that is kept.
const maxScratch = 64 << 10

// deflate fills in what payload becomes and, unless they are there already, e.payload and e.sent. That
// is one allocation while payload and deflated have 1 KiB together.
func (e *entry) deflate(payload []byte) {
	scratch := scratches.Get().(*[]byte)
	defer scratches.Put(scratch)
	made := Append((*scratch)[:0], payload, e.prev.dict(), e.bits)
	if *scratch = made; cap(made) > maxScratch {
		*scratch = nil
	}
	if len(made) >= len(payload) {
		made = nil
	}
	switch {
	case e.sent != nil:
		e.deflated = bytes.Clone(made)
	case len(payload) <= MaxDict:
		s, mem := newSent(len(payload) + len(made))
		mem = append(append(mem, payload...), made...)
		s.plain = mem[:len(payload):len(payload)]
		e.sent, e.payload = s, s.plain
		if made != nil {
			e.deflated = mem[len(payload):len(mem):len(mem)]
		}
	default: // a connection keeps no more of it than the end
		s, mem := newSent(MaxDict)
		s.plain = append(mem, payload[len(payload)-MaxDict:]...)
		e.sent, e.deflated = s, bytes.Clone(made)
		if len(payload) <= maxShared {
			e.payload = bytes.Clone(payload)
		}
	}
}
