package event

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// jsonScan reads JSON strictly by RFC 8259, from borrowed bytes and without allocating. A method
// that fails sets reason, and leaves pos near the failure.
type jsonScan struct {
	data   []byte
	pos    int
	depth  int
	most   int // how deep containers may nest
	reason string
}

// scanText is a string's place in the data, without the quotes.
type scanText struct {
	start, end int
	escaped    bool
}

func (s *jsonScan) fail(reason string) bool {
	if s.reason == "" {
		s.reason = reason
	}
	return false
}

// peek skips white space and returns the byte there, or 0 at the end.
func (s *jsonScan) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// descend goes into the container at whose bracket pos stands; ascend goes out of it.
func (s *jsonScan) descend() bool {
	if s.depth++; s.depth > s.most {
		return s.fail("nested deeper than " + strconv.Itoa(s.most) + " levels")
	}
	s.pos++
	return true
}

func (s *jsonScan) ascend() {
	s.depth--
	s.pos++
}

// skipValue skips any value and checks that it is JSON.
func (s *jsonScan) skipValue() bool {
	switch c := s.peek(); {
	case c == '"':
		_, ok := s.text()
		return ok
	case c == '{':
		return s.skipObject()
	case c == '[':
		return s.skipArray()
	case c == '-' || '0' <= c && c <= '9':
		_, ok := s.number()
		return ok
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.fail("not valid JSON")
}

func (s *jsonScan) skipObject() bool {
	if !s.descend() {
		return false
	}
	if s.peek() == '}' {
		s.ascend()
		return true
	}
	for {
		if _, ok := s.key(); !ok || !s.skipValue() {
			return false
		}
		if more, ok := s.next('}'); !ok || !more {
			return ok
		}
	}
}

func (s *jsonScan) skipArray() bool {
	if !s.descend() {
		return false
	}
	if s.peek() == ']' {
		s.ascend()
		return true
	}
	for {
		if !s.skipValue() {
			return false
		}
		if more, ok := s.next(']'); !ok || !more {
			return ok
		}
	}
}

// key reads a member's name and the colon after it.
func (s *jsonScan) key() (scanText, bool) {
	if s.peek() != '"' {
		return scanText{}, s.fail("not valid JSON: a member name must be a string")
	}
	name, ok := s.text()
	if !ok {
		return name, false
	}
	if s.peek() != ':' {
		return name, s.fail("not valid JSON: no colon after a member name")
	}
	s.pos++
	return name, true
}

// next reads what follows a member or an element: a comma (more) or the end.
func (s *jsonScan) next(end byte) (more, ok bool) {
	switch c := s.peek(); c {
	case ',':
		s.pos++
		return true, true
	case end:
		s.ascend()
		return false, true
	}
	return false, s.fail("not valid JSON: no comma between values")
}

func (s *jsonScan) literal(want string) bool {
	end := s.pos + len(want)
	if end > len(s.data) || string(s.data[s.pos:end]) != want {
		return s.fail("not valid JSON")
	}
	s.pos = end
	return true
}

const (
	scanOnes  = 0x0101010101010101
	scanHighs = 0x8080808080808080
)

// scanSpecial marks the high bit of the bytes of word that are a quote, a backslash, a control
// character or not ASCII. Bytes above the lowest marked one may be marked wrongly, so only the
// lowest mark may be used.
func scanSpecial(word uint64) uint64 {
	quote := word ^ scanOnes*'"'
	slash := word ^ scanOnes*'\\'
	return ((word - scanOnes*0x20) | (quote - scanOnes) | (slash - scanOnes) | word) & scanHighs
}

// text reads a string, at whose opening quote pos stands.
func (s *jsonScan) text() (scanText, bool) {
	data := s.data
	t := scanText{start: s.pos + 1}
	i := t.start
	unicode := false
	for {
		for len(data)-i >= 8 {
			mark := scanSpecial(binary.LittleEndian.Uint64(data[i:]))
			if mark != 0 {
				i += bits.TrailingZeros64(mark) >> 3
				break
			}
			i += 8
		}
		if i >= len(data) {
			s.pos = len(data)
			return t, s.fail("not valid JSON: a string does not end")
		}
		switch c := data[i]; {
		case c == '"':
			t.end = i
			s.pos = i + 1
			if unicode && !utf8.Valid(data[t.start:i]) {
				return t, s.fail("a string is not valid UTF-8")
			}
			return t, true
		case c == '\\':
			t.escaped = true
			n := scanEscape(data[i:])
			if n == 0 {
				s.pos = i
				return t, s.fail("not valid JSON: unknown escape in a string")
			}
			i += n
		case c < 0x20:
			s.pos = i
			return t, s.fail("not valid JSON: control character in a string")
		case c >= utf8.RuneSelf:
			unicode = true
			// Text that is not ASCII is checked at the end of the string, all at once.
			for i < len(data) && data[i] >= utf8.RuneSelf {
				i++
			}
		default:
			i++
		}
	}
}

// scanEscape returns the length of the escape that b starts with, or 0 if it is none.
func scanEscape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := scanHex(b[2:]); ok {
			return 6
		}
	}
	return 0
}

func scanHex(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// scanNumber is a number's place in the data. whole reports whether it has neither fraction nor
// exponent.
type scanNumber struct {
	start, end int
	whole      bool
}

func (s *jsonScan) number() (scanNumber, bool) {
	data, i := s.data, s.pos
	n := scanNumber{start: i, whole: true}
	if data[i] == '-' {
		i++
	}
	switch {
	case i < len(data) && data[i] == '0':
		i++
	default:
		first := i
		if i = scanDigits(data, i); i == first {
			s.pos = i
			return n, s.fail("not valid JSON: a number has no digits")
		}
	}
	if i < len(data) && data[i] == '.' {
		n.whole = false
		first := i + 1
		if i = scanDigits(data, first); i == first {
			s.pos = i
			return n, s.fail("not valid JSON: a number has no digits after the point")
		}
	}
	if i < len(data) && (data[i] == 'e' || data[i] == 'E') {
		n.whole = false
		i++
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		first := i
		if i = scanDigits(data, i); i == first {
			s.pos = i
			return n, s.fail("not valid JSON: a number has no digits in the exponent")
		}
	}
	n.end = i
	s.pos = i
	return n, true
}

func scanDigits(data []byte, i int) int {
	for i < len(data) && '0' <= data[i] && data[i] <= '9' {
		i++
	}
	return i
}

// finish checks that only white space follows.
func (s *jsonScan) finish() bool {
	if s.peek() != 0 || s.pos < len(s.data) {
		return s.fail("not valid JSON: something follows the value")
	}
	return true
}

// string returns a copy of t, unescaped. Half of a surrogate pair becomes U+FFFD.
func (s *jsonScan) string(t scanText) string {
	if !t.escaped {
		return string(s.data[t.start:t.end])
	}
	return string(scanUnescape(make([]byte, 0, t.end-t.start), s.data[t.start:t.end]))
}

// is reports whether t, unescaped, is want.
func (s *jsonScan) is(t scanText, want string) bool {
	if !t.escaped {
		return string(s.data[t.start:t.end]) == want
	}
	return s.string(t) == want
}

func scanUnescape(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			dst = append(dst, text[i])
			i++
			continue
		}
		switch c := text[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := scanHex(text[i+2:])
			i += 6
			if 0xd800 <= r && r < 0xdc00 && i+6 <= len(text) && text[i] == '\\' && text[i+1] == 'u' {
				if low, _ := scanHex(text[i+2:]); 0xdc00 <= low && low < 0xe000 {
					r = (r-0xd800)<<10 | (low - 0xdc00) + 0x10000
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		default: // quote, backslash, slash
			dst = append(dst, c)
		}
		i += 2
	}
	return dst
}
