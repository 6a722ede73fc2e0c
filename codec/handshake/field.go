package handshake

import (
	"bytes"
	"net/netip"
)

const (
	tokenByte = 1 << iota // tchar, RFC 9110 §5.6.2
	valueByte             // field-vchar, SP and HTAB, RFC 9110 §5.5
	hostByte              // unreserved, RFC 3986 §2.3
	keyByte               // base64 alphabet, RFC 4648 §4
)

var classes = func() (class [256]uint8) {
	for c := range class {
		alnum := '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if alnum || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0 {
			class[c] |= tokenByte
		}
		if c == '\t' || c >= ' ' && c != 0x7f {
			class[c] |= valueByte
		}
		if alnum || bytes.IndexByte([]byte("-._~"), byte(c)) >= 0 {
			class[c] |= hostByte
		}
		if alnum || c == '+' || c == '/' {
			class[c] |= keyByte
		}
	}
	return class
}()

type byteString interface{ ~string | ~[]byte }

// consistsOf reports whether every byte of s is of the class.
func consistsOf[T byteString](s T, class uint8) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

func isToken[T byteString](s T) bool {
	return len(s) > 0 && consistsOf(s, tokenByte)
}

// equalFold reports whether b equals lower, which is in lower case, in any
// ASCII case.
func equalFold[B, L byteString](b B, lower L) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(lower) {
		if lowerByte(b[i]) != lower[i] {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// cutLine cuts the first line off b. strict reports whether it ended in
// CRLF, RFC 9112 §2.2; a line that ends in LF alone, or not at all, is cut too.
func cutLine(b []byte) (line, rest []byte, strict bool) {
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		return b, nil, false
	}
	line, rest = b[:n], b[n+1:]
	if n > 0 && line[n-1] == '\r' {
		return line[:n-1], rest, true
	}
	return line, rest, false
}

// cutField splits a field line at its colon, RFC 9112 §5. strict reports
// whether the name is a token right up to the colon, §5.1, and the value holds
// no control bytes, RFC 9110 §5.5. Otherwise the parts are what other parsers would most likely read.
func cutField(line []byte) (name, value []byte, strict bool) {
	n := 0
	for n < len(line) && classes[line[n]]&tokenByte != 0 {
		n++
	}
	strict = n > 0 && n < len(line) && line[n] == ':'
	if !strict {
		if n = bytes.IndexByte(line, ':'); n < 0 {
			return line, nil, false
		}
	}
	value = trim(line[n+1:])
	if !strict {
		return bytes.TrimSpace(line[:n]), value, false
	}
	return line[:n], value, consistsOf(value, valueByte)
}

// trim removes optional white space, RFC 9110 §5.6.3.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for n := len(b); n > 0 && (b[n-1] == ' ' || b[n-1] == '\t'); n = len(b) {
		b = b[:n-1]
	}
	return b
}

// cutItem cuts the first element off a comma separated list. Elements
// may be empty: RFC 9110 §5.6.1.2 has recipients ignore those.
func cutItem(list []byte) (item, rest []byte) {
	if n := bytes.IndexByte(list, ','); n >= 0 {
		return trim(list[:n]), list[n+1:]
	}
	return trim(list), nil
}

// listHas reports whether the list names the token, given in lower
// case, and whether all its elements are tokens.
func listHas(list []byte, token string) (has, tokens bool) {
	tokens = true
	for len(list) > 0 {
		var item []byte
		item, list = cutItem(list)
		has = has || equalFold(item, token)
		tokens = tokens && consistsOf(item, tokenByte)
	}
	return has, tokens
}

// cutHost splits uri-host [ ":" port ], RFC 9110 §7.2. The port is -1
// when absent or empty. Registered names may have only unreserved bytes:
// all names in use do, and user information, escapes and lists are excluded.
func cutHost(host []byte) (name []byte, port int, ok bool) {
	if len(host) > 0 && host[0] == '[' {
		n := bytes.IndexByte(host, ']')
		if n < 0 {
			return nil, 0, false
		}
		addr, err := netip.ParseAddr(string(host[1:n]))
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return nil, 0, false
		}
		name, host = host[:n+1], host[n+1:]
	} else {
		n := bytes.IndexByte(host, ':')
		if n < 0 {
			n = len(host)
		}
		if n == 0 || !consistsOf(host[:n], hostByte) {
			return nil, 0, false
		}
		name, host = host[:n], host[n:]
	}
	switch {
	case len(host) == 0:
		return name, -1, true
	case host[0] != ':':
		return nil, 0, false
	case len(host) == 1:
		return name, -1, true
	}
	for _, c := range host[1:] {
		if c < '0' || c > '9' {
			return nil, 0, false
		}
		if port = port*10 + int(c-'0'); port > 65535 {
			return nil, 0, false
		}
	}
	return name, port, true
}

// validKey reports whether key is the canonical base64 form of 16
// bytes, RFC 6455 §4.2.1 item 5: 22 digits, of which the last carries only two
// bits, and two pads.
func validKey[T byteString](key T) bool {
	if len(key) != 24 || key[22] != '=' || key[23] != '=' {
		return false
	}
	switch key[21] {
	case 'A', 'Q', 'g', 'w':
		return consistsOf(key[:21], keyByte)
	}
	return false
}

// validTarget reports whether target can stand in a request line: no
// white space, controls or bytes outside ASCII, RFC 9112 §3.2, and no fragment,
// RFC 6455 §3.
func validTarget[T byteString](target T) bool {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return len(target) > 0
}
