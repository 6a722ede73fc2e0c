package handshake

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// ParseDialResponse checks one complete response head, as [ScanHead] measures it, against the key
// and the subprotocols of the request. It returns the selected element of protocols, "" when the
// server chose none. extend judges the values of Sec-WebSocket-Extensions in the response, of which there
// may be none; it is nil when no extension was asked for. Anything but a valid 101 is a *[DialError], other interim responses included,
// which no server sends to a handshake in practice.
func ParseDialResponse(head []byte, key string, protocols []string, extend func([]string) error) (protocol string, err error) {
	line, rest, strict := cutLine(head)
	status, text, ok := dialStatusLine(line)
	if !ok {
		return "", &DialError{Reason: "malformed status line"}
	}
	p := responseParser{}
	p.require(strict, "line does not end in CRLF")
	p.require(consistsOf(line, valueByte), "malformed status line")
	p.fields(rest)
	if status != http.StatusSwitchingProtocols {
		return "", p.refusal(status, text, "server refused the upgrade")
	}
	// RFC 9110 §7.8 ties Upgrade to HTTP/1.1.
	p.require(bytes.HasPrefix(line, []byte("HTTP/1.1 ")), "HTTP/1.1 required")
	protocol = p.judge(key, protocols, extend)
	if p.fault != "" {
		return "", &DialError{Status: status, StatusText: text, Reason: p.fault}
	}
	return protocol, nil
}

// dialStatusLine splits HTTP-version SP status-code SP [ reason-phrase ], RFC 9112 §4. The last
// space may be missing with the phrase, as some servers have it.
func dialStatusLine(line []byte) (status int, text string, ok bool) {
	const versionLen = len("HTTP/1.1")
	if len(line) < versionLen+len(" 101") || !isHTTPVersion(line[:versionLen]) || line[versionLen] != ' ' {
		return 0, "", false
	}
	code, phrase := line[versionLen+1:versionLen+4], line[versionLen+4:]
	for _, c := range code {
		if c < '0' || c > '9' {
			return 0, "", false
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 || len(phrase) > 0 && phrase[0] != ' ' {
		return 0, "", false
	}
	if phrase = trim(phrase); isPlain(phrase) {
		text = string(phrase)
	}
	return status, text, true
}

// isPlain reports whether b is printable ASCII, which a terminal shows as it is.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// responseParser is the state of one pass over the fields. fault is the first error, or "".
type responseParser struct {
	fault string

	upgrade    []byte
	accept     []byte
	protocol   []byte
	length     []byte
	retryAfter []byte
	date       []byte
	connection bool
	coding     bool
	extensions []string
}

func (p *responseParser) require(ok bool, fault string) {
	if !ok && p.fault == "" {
		p.fault = fault
	}
}

func (p *responseParser) fields(rest []byte) {
	for {
		if len(rest) == 0 {
			p.require(false, "incomplete header")
			return
		}
		var line []byte
		var strict bool
		line, rest, strict = cutLine(rest)
		p.require(strict, "line does not end in CRLF")
		switch {
		case len(line) == 0:
			p.require(len(rest) == 0, "bytes after the header")
			return
		case line[0] == ' ' || line[0] == '\t': // RFC 9112 §5.2
			p.require(false, "folded header field")
		default:
			p.field(line)
		}
	}
}

func (p *responseParser) field(line []byte) {
	name, value, strict := cutField(line)
	p.require(strict, "malformed header field")
	switch {
	case equalFold(name, "upgrade"):
		p.setOnce(&p.upgrade, value)
	case equalFold(name, "connection"):
		has, tokens := listHas(value, "upgrade")
		p.connection = p.connection || has
		p.require(tokens, "bad Connection")
	case equalFold(name, "sec-websocket-accept"):
		p.setOnce(&p.accept, value)
	case equalFold(name, "sec-websocket-protocol"):
		p.setOnce(&p.protocol, value)
	case equalFold(name, "sec-websocket-extensions"):
		if len(value) > 0 {
			p.extensions = append(p.extensions, string(value))
		}
	case equalFold(name, "content-length"):
		p.setOnce(&p.length, value)
	case equalFold(name, "transfer-encoding"):
		p.coding = true
	case equalFold(name, "retry-after"):
		p.retryAfter = value
	case equalFold(name, "date"):
		p.date = value
	}
}

// setOnce keeps the value of a field that may occur only once.
func (p *responseParser) setOnce(field *[]byte, value []byte) {
	p.require(*field == nil, "repeated header field")
	*field = value
}

// refusal is the error of a response that gives nothing of what was asked for.
func (p *responseParser) refusal(status int, text, reason string) *DialError {
	return &DialError{
		Status: status, StatusText: text, Reason: reason,
		RetryAfter: dialRetryAfter(p.retryAfter, p.date),
	}
}

// judge checks a 101, RFC 6455 §4.1, the list for the server's response.
func (p *responseParser) judge(key string, protocols []string, extend func([]string) error) (protocol string) {
	p.require(equalFold(p.upgrade, "websocket"), "missing or bad Upgrade") // item 2
	p.require(p.connection, "Connection must name upgrade")                // item 3

	var buf [28]byte
	p.require(bytes.Equal(p.accept, appendAccept(buf[:0], key)), "missing or bad Sec-WebSocket-Accept") // item 4
	if extend == nil {
		p.require(p.extensions == nil, "extension nobody asked for") // item 5
	} else if err := extend(p.extensions); err != nil {
		p.require(false, err.Error())
	}
	// RFC 9112 §6.1 and RFC 9110 §8.6: a 1xx has no body. A proxy that trusts the length would take
	// the frames for one.
	p.require(!p.coding && (p.length == nil || string(p.length) == "0"), "body announced with 101")

	if p.protocol == nil {
		return ""
	}
	for _, name := range protocols {
		if string(p.protocol) == name {
			return name
		}
	}
	p.require(false, "subprotocol nobody asked for") // item 6
	return ""
}

// dialRetryAfter reads Retry-After, RFC 9110 §10.2.3: seconds, or a date, which is taken relative
// to the response's own Date. It returns 0 for neither.
func dialRetryAfter(value, date []byte) time.Duration {
	// Nine digits cannot overflow and last thirty years.
	if len(value) > 0 && len(value) <= 9 && value[0] != '+' && value[0] != '-' {
		if n, err := strconv.Atoi(string(value)); err == nil {
			return time.Duration(n) * time.Second
		}
	}
	until, err := http.ParseTime(string(value))
	if err != nil {
		return 0
	}
	sent, err := http.ParseTime(string(date))
	if err != nil {
		return 0
	}
	return max(0, until.Sub(sent))
}
