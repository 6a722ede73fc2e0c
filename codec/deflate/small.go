package deflate

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// maxSmall is the longest payload that small is for, in bytes. Longer ones seldom are as the message
// before them but for some bytes.
const maxSmall = 1 << 10

// small deflates one short message into one block of the fixed codes (RFC 1951 §3.2.6). It has no
// state between messages but its memory.
type small struct {
	buf   [MaxDict + maxSmall]byte // the dictionary and the payload
	table [1 << tableBits]uint32   // hash of four bytes: base and the last place in buf that has it
	base  uint32                   // entries below it are of other messages
}

const (
	tableBits = 12
	minMatch  = 4   // shorter ones save no more than some bits
	maxMatch  = 258 // RFC 1951 §3.2.5
	stored    = 6   // bytes that a message has above its payload when it is stored
)

var smalls = sync.Pool{New: func() any { return &small{base: 1} }}

// appendSmall is Append for a payload of at most maxSmall bytes.
func appendSmall(dst, payload, dict []byte, window int) []byte {
	s := smalls.Get().(*small)
	dst = s.append(dst, payload, dict, window)
	smalls.Put(s)
	return dst
}

func (s *small) append(dst, payload, dict []byte, window int) []byte {
	if s.base > 1<<31 {
		s.base = 1
		clear(s.table[:])
	}
	start := copy(s.buf[:], dict[max(0, len(dict)-min(MaxDict, window)):])
	n := start + copy(s.buf[start:], payload)
	buf := s.buf[:n]
	for i := range max(0, min(start, n-minMatch+1)) {
		s.table[hash(buf, i)] = s.base + uint32(i)
	}

	w := bitWriter{dst: dst}
	w.put(0b010, 3) // not the last block, fixed codes
	for i := start; i < n; {
		length, distance := s.match(buf, i, window)
		if length == 0 {
			w.literal(buf[i])
			i++
			continue
		}
		w.match(length, distance)
		for j := i + 1; j < min(i+length, n-minMatch+1); j++ {
			s.table[hash(buf, j)] = s.base + uint32(j)
		}
		i += length
	}
	s.base += uint32(n)
	w.put(0, 7) // the end of the block
	// The last block is an empty stored one, of which the four bytes behind its header are left out
	// (RFC 7692 §7.2.1).
	w.put(0, 3)
	if out := w.bytes(); len(out)-len(dst) <= len(payload)+stored {
		return out
	}
	// What the codes make longer, such as text outside of ASCII, is stored (RFC 1951 §3.2.4).
	dst = binary.LittleEndian.AppendUint16(append(dst, 0), uint16(len(payload)))
	dst = binary.LittleEndian.AppendUint16(dst, ^uint16(len(payload)))
	return append(append(dst, payload...), 0)
}

// match looks for what begins at i within the window before it.
func (s *small) match(buf []byte, i, window int) (length, distance int) {
	if i > len(buf)-minMatch {
		return 0, 0
	}
	h := hash(buf, i)
	last := s.table[h]
	s.table[h] = s.base + uint32(i)
	if last < s.base {
		return 0, 0
	}
	at := int(last - s.base)
	if i-at > window {
		return 0, 0
	}
	length = common(buf[at:], buf[i:min(len(buf), i+maxMatch)])
	if length < minMatch {
		return 0, 0
	}
	return length, i - at
}

// common is the length of the common beginning of a and b; a is not shorter than b.
func common(a, b []byte) int {
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		if diff := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); diff != 0 {
			return n + bits.TrailingZeros64(diff)/8
		}
	}
	for n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func hash(buf []byte, i int) uint32 {
	return binary.LittleEndian.Uint32(buf[i:]) * 0x9e3779b1 >> (32 - tableBits)
}

// bitWriter appends bits to dst, the lowest first (RFC 1951 §3.1.1).
type bitWriter struct {
	dst []byte
	acc uint64
	n   uint
}

func (w *bitWriter) put(v uint32, n uint) {
	w.acc |= uint64(v) << w.n
	if w.n += n; w.n >= 32 {
		w.dst = binary.LittleEndian.AppendUint32(w.dst, uint32(w.acc))
		w.acc >>= 32
		w.n -= 32
	}
}

func (w *bitWriter) literal(b byte) {
	c := literals[b]
	w.put(uint32(c.bits), uint(c.n))
}

// match writes a length and a distance (RFC 1951 §3.2.5).
func (w *bitWriter) match(length, distance int) {
	c := lengths[length]
	w.put(uint32(c.bits), uint(c.n))
	x := uint32(distance - 1)
	if x < 4 {
		w.put(uint32(bits.Reverse8(uint8(x))>>3), 5)
		return
	}
	extra := uint(bits.Len32(x) - 2)
	symbol := uint32(extra+1)*2 + x>>extra&1
	w.put(uint32(bits.Reverse8(uint8(symbol))>>3)|x&(1<<extra-1)<<5, 5+extra)
}

// bytes pads to a whole byte.
func (w *bitWriter) bytes() []byte {
	for n := int(w.n); n > 0; n -= 8 {
		w.dst = append(w.dst, byte(w.acc))
		w.acc >>= 8
	}
	return w.dst
}

type code struct {
	bits uint16 // in the order they are written
	n    uint8
}

// literals and lengths are the fixed codes of RFC 1951 §3.2.6, those of lengths with their extra
// bits behind them.
var (
	literals = func() (codes [256]code) {
		for b := range codes {
			codes[b] = fixed(b)
		}
		return codes
	}()
	lengths = func() (codes [maxMatch + 1]code) {
		length := 3
		for symbol := 257; symbol < 285; symbol++ {
			extra := max(0, (symbol-261)/4)
			for v := range 1 << extra {
				c := fixed(symbol)
				codes[length] = code{c.bits | uint16(v)<<c.n, c.n + uint8(extra)}
				length++
			}
		}
		codes[maxMatch] = fixed(285)
		return codes
	}()
)

func fixed(symbol int) code {
	switch {
	case symbol < 144:
		return reversed(0b00110000+symbol, 8)
	case symbol < 256:
		return reversed(0b110010000+symbol-144, 9)
	case symbol < 280:
		return reversed(symbol-256, 7)
	}
	return reversed(0b11000000+symbol-280, 8)
}

func reversed(v, n int) code {
	return code{bits.Reverse16(uint16(v)) >> (16 - n), uint8(n)}
}
