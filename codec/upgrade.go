package codec

import "bytes"

// upgradeMaxProtocols bounds the list a server walks per handshake.
const upgradeMaxProtocols = 16

// UpgradeRequest is one parsed request head. Its byte slices are views: valid
// until the head's buffer is reused.
type UpgradeRequest struct {
	Method  []byte
	Target  []byte // as sent
	Path    []byte // of Target, still escaped; never empty in an accepted upgrade
	Query   []byte // of Target, without the question mark; nil when absent
	Host    []byte
	Origin  []byte // nil when absent, which differs from empty
	Key     []byte // 24 bytes, checked
	Version []byte // of the protocol: 13 in an accepted upgrade

	head      []byte
	protocols [upgradeMaxProtocols][]byte
	offered   int
}

// Protocols returns the subprotocols in the client's order of preference, 16
// at most; valid until the head's buffer is reused.
func (r *UpgradeRequest) Protocols() [][]byte { return r.protocols[:r.offered] }

// Field returns the value of the first field of that name, nil when there is
// none; valid until the head's buffer is reused. name is in lower case. It
// walks the head, so it suits the few fields a host asks for, such as cookie
// and authorization.
func (r *UpgradeRequest) Field(name string) []byte {
	_, rest, _ := upgradeCutLine(r.head)
	for len(rest) > 0 {
		var line []byte
		if line, rest, _ = upgradeCutLine(rest); len(line) == 0 {
			break
		}
		if key, value, _ := upgradeCutField(line); upgradeFold(key, name) {
			return value
		}
	}
	return nil
}

// ParseUpgradeRequest reads one complete head, as [ScanHead] measures it.
//
// upgrade tells whether the request asks for a WebSocket: an Upgrade field
// names websocket, in any case. When it does not, the request is somebody
// else's to serve or refuse: err is nil, whatever the head looks like, and req
// holds what could be read. When it does, err is nil only for a flawless
// handshake, otherwise an *[UpgradeError] with status 400, 405, 426 or 505.
func ParseUpgradeRequest(head []byte) (req UpgradeRequest, upgrade bool, err error) {
	p := upgradeParser{req: UpgradeRequest{head: head}}
	line, rest, strict := upgradeCutLine(head)
	p.need(strict, errUpgradeLineEnd)
	version := p.requestLine(line)

	for ended := false; !ended; {
		if len(rest) == 0 {
			p.need(false, errUpgradeIncomplete)
			break
		}
		line, rest, strict = upgradeCutLine(rest)
		p.need(strict, errUpgradeLineEnd)
		switch {
		case len(line) == 0:
			ended = true
		case line[0] == ' ' || line[0] == '\t':
			p.fold(line)
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

// upgradeParser is the state of one walk over a head. The first breach is kept
// in fault and told only at the end, when it is known whose request it is.
type upgradeParser struct {
	req   UpgradeRequest
	fault *UpgradeError

	upgrade    bool // an Upgrade field names websocket
	upgrades   int  // Upgrade fields
	inUpgrade  bool // the last field was one, so a folded line continues it
	connection bool // a Connection field names upgrade
	length     bool // a Content-Length field was there
	body       bool // the request announces a body
	authority  []byte
}

func (p *upgradeParser) need(ok bool, fault *UpgradeError) {
	if !ok && p.fault == nil {
		p.fault = fault
	}
}

// requestLine splits method SP request-target SP HTTP-version, RFC 9112 §3.
func (p *upgradeParser) requestLine(line []byte) (version []byte) {
	req := &p.req
	first, last := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
	if first < 0 || first == last {
		p.need(false, errUpgradeLine)
		return nil
	}
	req.Method, req.Target, version = line[:first], line[first+1:last], line[last+1:]
	p.need(upgradeIsToken(req.Method) && upgradeHTTPVersion(version), errUpgradeLine)
	p.need(upgradeValidTarget(req.Target), errUpgradeTarget)

	req.Path = req.Target
	if len(req.Target) > 0 && req.Target[0] != '/' {
		p.need(p.absolute(), errUpgradeTarget)
	}
	if n := bytes.IndexByte(req.Path, '?'); n >= 0 {
		req.Path, req.Query = req.Path[:n], req.Path[n+1:]
	}
	p.need(upgradeEscapes(req.Path), errUpgradeTarget)
	return version
}

// absolute takes the authority off an absolute-form target, which a server
// must accept, RFC 9112 §3.2.2 and RFC 6455 §4.2.1 item 1.
func (p *upgradeParser) absolute() bool {
	target := p.req.Target
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(target) < len(scheme) || !upgradeFold(target[:len(scheme)], scheme) {
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

// fold is an obsolete continuation line, refused by RFC 9112 §5.2. Others join
// it to the field before it, so it can still be what asks for the upgrade.
func (p *upgradeParser) fold(line []byte) {
	p.need(false, errUpgradeFold)
	if has, _ := upgradeListHas(line, "websocket"); has && p.inUpgrade {
		p.upgrade = true
	}
}

func (p *upgradeParser) field(line []byte) {
	name, value, strict := upgradeCutField(line)
	p.need(strict, errUpgradeField)
	p.inUpgrade = false
	switch len(name) {
	case len("host"):
		if upgradeFold(name, "host") {
			p.once(&p.req.Host, value)
		}
	case len("origin"):
		if upgradeFold(name, "origin") {
			p.once(&p.req.Origin, value)
		}
	case len("upgrade"):
		if upgradeFold(name, "upgrade") {
			p.inUpgrade = true
			p.upgrades++
			has, _ := upgradeListHas(value, "websocket")
			p.upgrade = p.upgrade || has
			// A list would let an intermediary choose another protocol than
			// the one answered here.
			p.need(p.upgrades == 1 && upgradeFold(value, "websocket"), errUpgradeUpgrade)
		}
	case len("connection"):
		if upgradeFold(name, "connection") {
			has, tokens := upgradeListHas(value, "upgrade")
			p.connection = p.connection || has
			p.need(tokens, errUpgradeConnection)
		}
	case len("content-length"):
		if upgradeFold(name, "content-length") {
			p.need(!p.length, errUpgradeDuplicate)
			p.length = true
			p.body = p.body || string(value) != "0"
		}
	case len("transfer-encoding"): // as long as sec-websocket-key
		if upgradeFold(name, "transfer-encoding") {
			p.body = true
		} else if upgradeFold(name, "sec-websocket-key") {
			p.once(&p.req.Key, value)
		}
	case len("sec-websocket-version"):
		if upgradeFold(name, "sec-websocket-version") {
			p.once(&p.req.Version, value)
		}
	case len("sec-websocket-protocol"):
		if upgradeFold(name, "sec-websocket-protocol") {
			p.offer(value)
		}
	}
}

// once keeps the value of a field that may stand only once.
func (p *upgradeParser) once(field *[]byte, value []byte) {
	p.need(*field == nil, errUpgradeDuplicate)
	*field = value
}

// offer adds the tokens of one Sec-WebSocket-Protocol field. There may be
// several fields, each with one token or more, RFC 6455 §11.3.4.
func (p *upgradeParser) offer(list []byte) {
	before := p.req.offered
	for len(list) > 0 {
		var item []byte
		item, list = upgradeCutItem(list)
		if len(item) == 0 {
			continue
		}
		if p.req.offered == upgradeMaxProtocols || !upgradeIsToken(item) {
			p.need(false, errUpgradeProtocol)
			return
		}
		p.req.protocols[p.req.offered] = item
		p.req.offered++
	}
	p.need(p.req.offered > before, errUpgradeProtocol)
}

// judge checks what the whole head amounts to, RFC 6455 §4.2.1.
func (p *upgradeParser) judge(version []byte) *UpgradeError {
	req := &p.req
	host, _, hostOK := upgradeCutHost(req.Host)
	switch {
	case p.fault != nil:
		return p.fault
	case string(req.Method) != "GET": // item 1
		return errUpgradeMethod
	case string(version) != "HTTP/1.1": // item 1; no later 1.x exists
		return errUpgradeHTTPVersion
	case !hostOK || len(host) == 0: // item 2
		return errUpgradeHost
	case p.authority != nil && !bytes.Equal(p.authority, req.Host): // RFC 9112 §3.2
		return errUpgradeHost
	case !p.connection: // item 4
		return errUpgradeConnection
	case p.body:
		// Whoever believes the length sees a body where the frames are.
		return errUpgradeBody
	case string(req.Version) != "13": // item 6
		return errUpgradeVersion
	case !upgradeValidKey(req.Key): // item 5
		return errUpgradeKey
	}
	return nil
}

// upgradeHTTPVersion reports whether v is HTTP "/" DIGIT "." DIGIT, RFC 9112
// §2.3.
func upgradeHTTPVersion(v []byte) bool {
	return len(v) == len("HTTP/1.1") && string(v[:5]) == "HTTP/" && v[6] == '.' &&
		'0' <= v[5] && v[5] <= '9' && '0' <= v[7] && v[7] <= '9'
}

// upgradeEscapes reports whether every percent sign in path begins an escape,
// RFC 3986 §2.1. Queries are not held to it: browsers send them as typed.
func upgradeEscapes(path []byte) bool {
	for {
		n := bytes.IndexByte(path, '%')
		if n < 0 {
			return true
		}
		path = path[n+1:]
		if len(path) < 2 || !upgradeHex(path[0]) || !upgradeHex(path[1]) {
			return false
		}
	}
}

func upgradeHex(c byte) bool {
	c |= 0x20
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
}
