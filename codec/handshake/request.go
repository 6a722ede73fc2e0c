package handshake

import (
	"bytes"
	"iter"
	"net/http"
)

// maxProtocols limits the subprotocols that a server compares in one handshake.
const maxProtocols = 16

// Request is one parsed request head. Its byte slices are views: valid until the head's buffer is
// reused.
type Request struct {
	Method  []byte
	Target  []byte // as sent
	Path    []byte // of Target, still escaped; never empty in an accepted upgrade
	Query   []byte // of Target, without the question mark; nil when absent
	Host    []byte
	Origin  []byte // nil when absent, which differs from empty
	Key     []byte // 24 bytes, checked
	Version []byte // of the protocol: 13 in an accepted upgrade

	head      []byte
	protocols [maxProtocols][]byte
	offered   int
}

// Protocols returns the subprotocols in the client's order of preference, 16 at most; valid until
// the head's buffer is reused.
func (r *Request) Protocols() [][]byte { return r.protocols[:r.offered] }

// Header returns a copy of all fields but Host, under their canonical names.
func (r *Request) Header() http.Header {
	header := make(http.Header)
	for name, value := range r.fields {
		if !equalFold(name, "host") {
			header.Add(string(name), string(value))
		}
	}
	return header
}

// Field yields the values of the fields of that name, given in lower case, in their order; valid
// until the head's buffer is reused. It reads the whole head each time.
func (r *Request) Field(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for key, value := range r.fields {
			if equalFold(key, name) && !yield(value) {
				return
			}
		}
	}
}

// fields yields the field lines of the head.
func (r *Request) fields(yield func(name, value []byte) bool) {
	_, rest, _ := cutLine(r.head)
	for len(rest) > 0 {
		var line []byte
		if line, rest, _ = cutLine(rest); len(line) == 0 {
			return
		}
		if name, value, _ := cutField(line); !yield(name, value) {
			return
		}
	}
}

// ParseRequest reads one complete head, as [ScanHead] measures it.
//
// upgrade reports whether the request asks for a WebSocket: an Upgrade field names websocket, in
// any case of letters. When it does not, an HTTP handler must answer: err is nil even if the head
// has errors, and req holds what could be read. When it does, err is nil for a valid handshake, and
// otherwise an *[UpgradeError] with status 400, 405, 426 or 505.
func ParseRequest(head []byte) (req Request, upgrade bool, err error) {
	p := requestParser{req: Request{head: head}}
	line, rest, strict := cutLine(head)
	p.require(strict, errLineEnd)
	version := p.requestLine(line)

	for ended := false; !ended; {
		if len(rest) == 0 {
			p.require(false, errIncomplete)
			break
		}
		line, rest, strict = cutLine(rest)
		p.require(strict, errLineEnd)
		switch {
		case len(line) == 0:
			ended = true
		case line[0] == ' ' || line[0] == '\t':
			p.foldedLine(line)
		default:
			p.field(line)
		}
	}
	if !p.upgrade {
		return p.req, false, nil
	}
	if fault := p.judge(version); fault != nil {
		return p.req, true, fault
	}
	return p.req, true, nil
}

// requestParser is the state of one pass over a head. fault is the first error. It is reported only
// at the end, when it is known whether the request asks for a WebSocket.
type requestParser struct {
	req   Request
	fault *UpgradeError

	upgrade    bool // an Upgrade field names websocket
	upgrades   int  // Upgrade fields
	inUpgrade  bool // the last field was one, so a folded line continues it
	connection bool // a Connection field names upgrade
	length     bool // a Content-Length field was there
	body       bool // the request announces a body
	authority  []byte
}

func (p *requestParser) require(ok bool, fault *UpgradeError) {
	if !ok && p.fault == nil {
		p.fault = fault
	}
}

// requestLine splits method SP request-target SP HTTP-version, RFC 9112 §3.
func (p *requestParser) requestLine(line []byte) (version []byte) {
	req := &p.req
	first, last := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if first < 0 || first == last {
		p.require(false, errLine)
		return nil
	}
	req.Method, req.Target, version = line[:first], line[first+1:last], line[last+1:]
	p.require(isToken(req.Method) && isHTTPVersion(version), errLine)
	p.require(validTarget(req.Target), errTarget)

	req.Path = req.Target
	if len(req.Target) > 0 && req.Target[0] != '/' {
		p.require(p.parseAbsolute(), errTarget)
	}
	if n := bytes.IndexByte(req.Path, '?'); n >= 0 {
		req.Path, req.Query = req.Path[:n], req.Path[n+1:]
	}
	p.require(validEscapes(req.Path), errTarget)
	return version
}

// parseAbsolute splits an absolute-form target, which a server must accept, RFC 9112 §3.2.2 and RFC
// 6455 §4.2.1 item 1.
func (p *requestParser) parseAbsolute() bool {
	target := p.req.Target
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(target) < len(scheme) || !equalFold(target[:len(scheme)], scheme) {
			continue
		}
		rest := target[len(scheme):]
		n := bytes.IndexAny(rest, "/?")
		if n < 0 {
			n = len(rest)
		}
		p.authority, p.req.Path = rest[:n], rest[n:]
		if n == len(rest) {
			p.req.Path = target[len(scheme)-1 : len(scheme)] // an empty path is "/"
		} else if rest[n] == '?' {
			p.req.Path, p.req.Query = target[len(scheme)-1:len(scheme)], rest[n+1:]
		}
		return n > 0
	}
	return false
}

// foldedLine handles an obsolete continuation line, which RFC 9112 §5.2 refuses. Other servers join
// it to the field before it, so it may still be what asks for the upgrade.
func (p *requestParser) foldedLine(line []byte) {
	p.require(false, errFold)
	if has, _ := listHas(line, "websocket"); has && p.inUpgrade {
		p.upgrade = true
	}
}

func (p *requestParser) field(line []byte) {
	name, value, strict := cutField(line)
	p.require(strict, errField)
	p.inUpgrade = false
	switch len(name) {
	case len("host"):
		if equalFold(name, "host") {
			p.setOnce(&p.req.Host, value)
		}
	case len("origin"):
		if equalFold(name, "origin") {
			p.setOnce(&p.req.Origin, value)
		}
	case len("upgrade"):
		if equalFold(name, "upgrade") {
			p.inUpgrade = true
			p.upgrades++
			has, _ := listHas(value, "websocket")
			p.upgrade = p.upgrade || has
			// A list would let an intermediary choose another protocol than the one answered here.
			p.require(p.upgrades == 1 && equalFold(value, "websocket"), errUpgrade)
		}
	case len("connection"):
		if equalFold(name, "connection") {
			has, tokens := listHas(value, "upgrade")
			p.connection = p.connection || has
			p.require(tokens, errConnection)
		}
	case len("content-length"):
		if equalFold(name, "content-length") {
			p.require(!p.length, errDuplicate)
			p.length = true
			p.body = p.body || string(value) != "0"
		}
	case len("transfer-encoding"): // as long as sec-websocket-key
		if equalFold(name, "transfer-encoding") {
			p.body = true
		} else if equalFold(name, "sec-websocket-key") {
			p.setOnce(&p.req.Key, value)
		}
	case len("sec-websocket-version"):
		if equalFold(name, "sec-websocket-version") {
			p.setOnce(&p.req.Version, value)
		}
	case len("sec-websocket-protocol"):
		if equalFold(name, "sec-websocket-protocol") {
			p.offer(value)
		}
	}
}

// setOnce keeps the value of a field that may occur only once.
func (p *requestParser) setOnce(field *[]byte, value []byte) {
	p.require(*field == nil, errDuplicate)
	*field = value
}

// offer adds the tokens of one Sec-WebSocket-Protocol field. There may be several fields, each with
// one token or more, RFC 6455 §11.3.4.
func (p *requestParser) offer(list []byte) {
	before := p.req.offered
	for len(list) > 0 {
		var item []byte
		item, list = cutItem(list)
		if len(item) == 0 {
			continue
		}
		if p.req.offered == maxProtocols || !isToken(item) {
			p.require(false, errProtocol)
			return
		}
		p.req.protocols[p.req.offered] = item
		p.req.offered++
	}
	p.require(p.req.offered > before, errProtocol)
}

// judge checks the head as a whole, RFC 6455 §4.2.1.
func (p *requestParser) judge(version []byte) *UpgradeError {
	req := &p.req
	host, _, hostOK := cutHost(req.Host)
	switch {
	case p.fault != nil:
		return p.fault
	case string(req.Method) != "GET": // item 1
		return errMethod
	case string(version) != "HTTP/1.1": // item 1; no later 1.x exists
		return errHTTPVersion
	case !hostOK || len(host) == 0: // item 2
		return errHost
	case p.authority != nil && !bytes.Equal(p.authority, req.Host): // RFC 9112 §3.2
		return errHost
	case !p.connection: // item 4
		return errConnection
	case p.body:
		// A proxy that trusts the length would take the frames for a body.
		return errBody
	case string(req.Version) != "13": // item 6
		return errVersion
	case !validKey(req.Key): // item 5
		return errKey
	}
	return nil
}

// isHTTPVersion reports whether v is HTTP "/" DIGIT "." DIGIT, RFC 9112 §2.3.
func isHTTPVersion(v []byte) bool {
	return len(v) == len("HTTP/1.1") && string(v[:5]) == "HTTP/" && v[6] == '.' &&
		'0' <= v[5] && v[5] <= '9' && '0' <= v[7] && v[7] <= '9'
}

// validEscapes reports whether every percent sign in path begins an escape, RFC 3986 §2.1. Queries
// are not held to it, because browsers do not escape them.
func validEscapes(path []byte) bool {
	for {
		n := bytes.IndexByte(path, '%')
		if n < 0 {
			return true
		}
		path = path[n+1:]
		if len(path) < 2 || !isHex(path[0]) || !isHex(path[1]) {
			return false
		}
	}
}

func isHex(c byte) bool {
	c |= 0x20
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
}

// AsksForWebSocket reports whether a request with this header asks for a WebSocket, as
// [ParseRequest] finds it: an Upgrade field names websocket, in any case of letters.
func AsksForWebSocket(header http.Header) bool {
	for _, list := range header["Upgrade"] {
		if has, _ := listHas([]byte(list), "websocket"); has {
			return true
		}
	}
	return false
}

// AppendHead appends the head of r, which net/http has read, so that [ParseRequest] judges it as it
// judges those of the reactor.
func AppendHead(dst []byte, r *http.Request) []byte {
	dst = append(dst, r.Method...)
	dst = append(dst, ' ')
	dst = append(dst, r.RequestURI...)
	dst = append(dst, ' ')
	dst = append(dst, r.Proto...)
	dst = append(dst, "\r\nHost: "...)
	dst = append(dst, r.Host...)
	dst = append(dst, "\r\n"...)
	for _, coding := range r.TransferEncoding {
		dst = append(dst, "Transfer-Encoding: "...)
		dst = append(dst, coding...)
		dst = append(dst, "\r\n"...)
	}
	for name, values := range r.Header {
		for _, value := range values {
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			dst = append(dst, value...)
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, "\r\n"...)
}
