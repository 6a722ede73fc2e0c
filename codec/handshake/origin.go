package handshake

import (
	"bytes"
	"fmt"
)

// OriginPolicy decides which web pages may open a connection. Browsers let any page connect to any
// host and send that host's cookies along, so the server has to check. The zero policy admits pages
// of the server's own origin and clients that send no Origin, which no browser does.
type OriginPolicy struct {
	// Allowed lists further origins as browsers write them, scheme, host and port if not the
	// default: "https://a.com", "https://a.com:8443". "*" allows any. "null" allows what browsers
	// call pages without an origin: any page can be one, in a sandboxed frame.
	Allowed []string
	// RequireOrigin refuses requests without an Origin field.
	RequireOrigin bool
}

// Validate reports an entry of Allowed that could never match: with a path, a trailing slash, a
// wildcard inside, or upper case.
func (p OriginPolicy) Validate() error {
	for _, entry := range p.Allowed {
		if entry != "*" && entry != "null" && !isOrigin([]byte(entry)) {
			return fmt.Errorf("agloop: origin policy: %q is not an origin", entry)
		}
	}
	return nil
}

// Check returns an *[UpgradeError] with status 403 for an origin that is not allowed. origin is nil
// when the request had none. host is the Host field and tls reports whether the client used https.
// Behind a proxy that ends TLS, it is what the proxy says and not how the request arrived.
//
// Origins are compared as browsers serialise them, RFC 6454 §6.2, so one with upper case letters,
// user information or a path is refused. Host is compared in any case.
func (p OriginPolicy) Check(origin, host []byte, tls bool) error {
	if origin == nil {
		if p.RequireOrigin {
			return errOrigin
		}
		return nil
	}
	o, parsed := cutOrigin(origin)
	if parsed && o.tls == tls {
		name, port, ok := cutHost(host)
		if ok && o.port == portOf(port, tls) && equalFold(name, o.name) {
			return nil
		}
	}
	for _, entry := range p.Allowed {
		if entry == "*" || sameOrigin(origin, entry, o, parsed) {
			return nil
		}
	}
	return errOrigin
}

// webOrigin is an http or https origin, RFC 6454 §4.
type webOrigin struct {
	tls  bool
	name []byte
	port int
}

// sameOrigin reports whether origin, whose parsed form is o, equals an entry of the policy.
func sameOrigin(origin []byte, entry string, o webOrigin, parsed bool) bool {
	if entry == "null" {
		return string(origin) == entry
	}
	if !parsed {
		// Other schemes, of apps and extensions, have no default port.
		return string(origin) == entry && isOrigin(origin)
	}
	if string(origin) == entry {
		return true
	}
	// "https://a.com:443" and "https://a.com" are one origin.
	var buf [128]byte
	e, ok := cutOrigin(append(buf[:0], entry...))
	return ok && e.tls == o.tls && e.port == o.port && bytes.Equal(e.name, o.name)
}

// cutOrigin reads a serialised http or https origin.
func cutOrigin(b []byte) (o webOrigin, ok bool) {
	switch {
	case bytes.HasPrefix(b, []byte("http://")):
		b = b[len("http://"):]
	case bytes.HasPrefix(b, []byte("https://")):
		b, o.tls = b[len("https://"):], true
	default:
		return o, false
	}
	if hasUpper(b) {
		return o, false
	}
	o.name, o.port, ok = cutHost(b)
	// A serialised origin has no colon without a port.
	ok = ok && b[len(b)-1] != ':'
	o.port = portOf(o.port, o.tls)
	return o, ok
}

// isOrigin reports whether b is scheme "://" host [ ":" port ] in lower case, of any scheme.
func isOrigin(b []byte) bool {
	scheme, rest, ok := bytes.Cut(b, []byte("://"))
	if !ok || !isToken(scheme) || hasUpper(b) {
		return false
	}
	_, _, ok = cutHost(rest)
	return ok && rest[len(rest)-1] != ':'
}

func hasUpper(b []byte) bool {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

func portOf(port int, tls bool) int {
	switch {
	case port >= 0:
		return port
	case tls:
		return 443
	}
	return 80
}
