package event

import (
	"bytes"
	"math/bits"
	"unicode/utf8"
)

// appendText appends s as the inside of a JSON string. ok is false when s is not valid UTF-8; the
// appended bytes must then not be used.
func appendText(dst []byte, s string) (_ []byte, ok bool) {
	i := plainEnd(s, 0)
	if i == len(s) {
		return append(dst, s...), true
	}
	done := 0
	judged := false
	for i < len(s) {
		c := s[i]
		if c >= utf8.RuneSelf {
			if !judged && !utf8.ValidString(s[i:]) {
				return dst, false
			}
			judged = true
			for i++; i < len(s) && s[i] >= utf8.RuneSelf; {
				i++
			}
		} else {
			dst = append(dst, s[done:i]...)
			dst = appendEscape(dst, c)
			i++
			done = i
		}
		i = plainEnd(s, i)
	}
	return append(dst, s[done:]...), true
}

// plainEnd returns the index of the first byte of s from i on that is a quote, a backslash, a
// control character or not ASCII, or len(s).
func plainEnd(s string, i int) int {
	for len(s)-i >= 8 {
		b := s[i : i+8]
		word := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		if mark := scanSpecial(word); mark != 0 {
			return i + bits.TrailingZeros64(mark)>>3
		}
		i += 8
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return i
		}
	}
	return i
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// DeltaHalves returns the half of a surrogate pair with which the delta of an event begins, and
// that with which it ends, or 0. A peer that cuts a text between UTF-16 units puts the two halves
// into two deltas, and decoding makes U+FFFD of each. event is the input of DecodeEvent.
func DeltaHalves(event []byte) (low, high rune) {
	if !bytes.Contains(event, []byte(`\ud`)) && !bytes.Contains(event, []byte(`\uD`)) {
		return 0, 0
	}
	text := eventDelta(event)
	if len(text) < 6 {
		return 0, 0
	}
	if r := eventEscape(text); 0xdc00 <= r && r < 0xe000 {
		low = r
	}
	at := len(text) - 6
	slashes := 0 // before the escape; two of them are a backslash
	for slashes < at && text[at-1-slashes] == '\\' {
		slashes++
	}
	if r := eventEscape(text[at:]); 0xd800 <= r && r < 0xdc00 && slashes%2 == 0 {
		high = r
	}
	return low, high
}

// eventEscape returns the unit that text begins with as an escape, or 0.
func eventEscape(text []byte) rune {
	if text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	r, _ := scanHex(text[2:])
	return r
}

// eventDelta returns the inside of the event's own delta, if that is a string. Of two members of
// that name the last one counts.
func eventDelta(event []byte) (text []byte) {
	s := jsonScan{data: event, most: noDepth}
	if s.peek() != '{' || !s.descend() {
		return nil
	}
	for more := true; more; {
		name, ok := s.key()
		if !ok {
			return nil
		}
		own := s.is(name, "delta")
		if c := s.peek(); own && c == '"' {
			t, ok := s.text()
			if !ok {
				return nil
			}
			text = event[t.start:t.end]
		} else if !s.skipValue() {
			return nil
		}
		if more, ok = s.next('}'); !ok {
			return nil
		}
	}
	return text
}
