package deflate

import "strings"

// element is one extension in Sec-WebSocket-Extensions with its parameters (RFC 6455 §9.1). Those of
// any extension but permessage-deflate are not looked at.
type element struct {
	name                               string
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             int // 8 to 15, absent or noValue
}

const (
	absent  = 0
	noValue = -1 // the name stands alone: how a client says that it understands client_max_window_bits
)

// cutElement cuts the first element off a list. A comma within quotes belongs to the element.
func cutElement(list string) (text, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ',' && !quoted:
			return trim(list[:i]), list[i+1:]
		}
	}
	return trim(list), ""
}

// parseElement reads one element. ok is false when it is malformed, or is permessage-deflate with a
// parameter that is unknown, there twice, or has a value that it cannot have (RFC 7692 §7.1).
func parseElement(text string) (e element, ok bool) {
	e.name, text = cutToken(text)
	if e.name == "" {
		return e, false
	}
	for text = trim(text); text != ""; text = trim(text) {
		if text[0] != ';' {
			return e, false
		}
		var name, value string
		name, text = cutToken(trim(text[1:]))
		text = trim(text)
		hasValue := text != "" && text[0] == '='
		if hasValue {
			value, text, ok = cutValue(trim(text[1:]))
			if !ok {
				return e, false
			}
		}
		if name == "" || e.name == extension && !e.set(name, value, hasValue) {
			return e, false
		}
	}
	return e, true
}

// set takes one parameter of permessage-deflate.
func (e *element) set(name, value string, hasValue bool) bool {
	switch name {
	case serverNoTakeover:
		return setOnce(&e.serverNoTakeover, true) && !hasValue
	case clientNoTakeover:
		return setOnce(&e.clientNoTakeover, true) && !hasValue
	case serverBits:
		return setOnce(&e.serverBits, windowBits(value, hasValue))
	case clientBits:
		return setOnce(&e.clientBits, windowBits(value, hasValue))
	}
	return false
}

// setOnce sets what has no value so far to one.
func setOnce[T comparable](field *T, value T) bool {
	var none T
	if *field != none || value == none {
		return false
	}
	*field = value
	return true
}

// windowBits reads 8 to 15, without a leading zero (RFC 7692 §7.1.2). It returns absent for anything
// else.
func windowBits(value string, hasValue bool) int {
	if !hasValue {
		return noValue
	}
	switch {
	case value == "8" || value == "9":
		return int(value[0] - '0')
	case len(value) == 2 && value[0] == '1' && '0' <= value[1] && value[1] <= '5':
		return 10 + int(value[1]-'0')
	}
	return absent
}

// cutValue cuts a token or a quoted-string off s. What a quoted-string says must be a token too (RFC
// 6455 §9.1).
func cutValue(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		value, rest = cutToken(s)
		return value, rest, value != ""
	}
	var said strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return said.String(), s[i+1:], said.Len() > 0
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		if !tokenByte(s[i]) {
			return "", "", false
		}
		said.WriteByte(s[i])
	}
	return "", "", false
}

// cutToken cuts the token off s that it begins with.
func cutToken(s string) (token, rest string) {
	n := 0
	for n < len(s) && tokenByte(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

// tokenByte reports whether c is a tchar, RFC 9110 §5.6.2.
func tokenByte(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func trim(s string) string { return strings.Trim(s, " \t") }
