package event

import (
	"math/bits"
	"unicode/utf8"
)

// appendText appends s as the inside of a JSON string. ok is false when s is
// not valid UTF-8, and what was appended is then worth nothing.
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

// plainEnd returns the index of the first byte of s from i on that is a quote, a
// backslash, a control character or not ASCII, or len(s).
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
