package openaichat

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// half puts together the characters that a server cuts in two: in UTF-16, where the first half of a
// surrogate pair is escaped at the end of one string and the second at the start of the next.
// encoding/json and its like make U+FFFD of either. Bytes of a character that are cut in UTF-8 are for
// TextMessage.Write to join.
type half struct{ first rune }

const replacement = string(utf8.RuneError)

// join returns what to add to a text now for the next string, whose JSON is raw.
func (h *half) join(text, raw string) string {
	if text == "" {
		return ""
	}
	var low, high rune
	if strings.HasPrefix(text, replacement) {
		low = leading(raw)
	}
	if strings.HasSuffix(text, replacement) {
		high = trailing(raw)
	}
	if h.first != 0 {
		if low != 0 {
			text = string(utf16.DecodeRune(h.first, low)) + strings.TrimPrefix(text, replacement)
		} else {
			text = replacement + text
		}
		h.first = 0
	}
	if high != 0 {
		text, h.first = strings.TrimSuffix(text, replacement), high
	}
	return text
}

// flush returns a half whose other half has not come.
func (h *half) flush() string {
	if h.first == 0 {
		return ""
	}
	h.first = 0
	return replacement
}

// leading is the second half of a pair that a JSON string begins with, 0 for another string.
func leading(raw string) rune {
	if len(raw) < 8 || raw[0] != '"' {
		return 0
	}
	return escaped(raw[1:7], 0xDC00)
}

// trailing is the first half of a pair that a JSON string ends with, 0 for another string.
func trailing(raw string) rune {
	if len(raw) < 8 || raw[len(raw)-1] != '"' {
		return 0
	}
	at := len(raw) - 7
	before := raw[:at]
	if slashes := len(before) - len(strings.TrimRight(before, `\`)); slashes%2 == 1 {
		return 0 // the backslash is escaped itself
	}
	return escaped(raw[at:len(raw)-1], 0xD800)
}

// escaped is the surrogate of an escape such as \ud83d, which must be one of the 1,024 from base on.
func escaped(s string, base rune) rune {
	hex, ok := strings.CutPrefix(s, `\u`)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(hex, 16, 16)
	if r := rune(n); err == nil && r >= base && r < base+0x400 {
		return r
	}
	return 0
}
