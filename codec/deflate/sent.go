package deflate

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// Sent is what a connection knows of the last compressed message it has sent, as the predecessor of
// the next: immutable, and shared by all connections that are at the same place. It is about the plain
// payload, not about how that was deflated.
type Sent struct {
	plain  []byte // the last MaxDict bytes
	size   int    // of the memory that it keeps
	missed bool   // the message after it was of no use to it

	twin atomic.Pointer[Sent] // the same with missed, once it was needed
}

// afterMiss is s after a message that was sent plain.
func (s *Sent) afterMiss() *Sent {
	if s == nil || s.missed {
		return s
	}
	if s.twin.Load() == nil {
		s.twin.CompareAndSwap(nil, &Sent{plain: s.plain, size: s.size, missed: true})
	}
	return s.twin.Load()
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

// sentSize is about what a Sent is besides its bytes.
const sentSize = 48

// newSent allocates a Sent together with n bytes, which stay with it.
func newSent(n int) (s *Sent, mem []byte) {
	switch {
	case n <= 80:
		b := new(struct {
			Sent
			mem [80]byte
		})
		s, mem = &b.Sent, b.mem[:0]
	case n <= 160:
		b := new(struct {
			Sent
			mem [160]byte
		})
		s, mem = &b.Sent, b.mem[:0]
	case n <= 240:
		b := new(struct {
			Sent
			mem [240]byte
		})
		s, mem = &b.Sent, b.mem[:0]
	case n <= 368:
		b := new(struct {
			Sent
			mem [368]byte
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
	s.size = cap(mem) + sentSize
	return s, mem
}

// primes reports whether payload is to be deflated although that makes it no smaller, by a few bytes at
// most: the first message has nothing to resemble, but if it never came into the window, none after it
// would either. So it is after two misses in a row, when what is sent has changed its kind.
func primes(prev *Sent, payload []byte) bool {
	return (prev == nil || prev.missed) && 0 < len(payload) && len(payload) <= maxSmall
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
	if len(made) >= len(payload) && !primes(e.prev, payload) {
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
