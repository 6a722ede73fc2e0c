package handshake_test

import (
	"testing"

	"github.com/agloop/agloop/codec/handshake"
)

func TestOriginPolicy(t *testing.T) {
	const none = "absent"
	open := handshake.OriginPolicy{Allowed: []string{"*"}}
	list := handshake.OriginPolicy{Allowed: []string{"https://b.com", "https://c.com:8443", "http://d.com:80", "app://e"}}
	for _, c := range []struct {
		policy       handshake.OriginPolicy
		origin, host string
		tls, want    bool
	}{
		{origin: none, host: "a.com", want: true},
		{policy: handshake.OriginPolicy{RequireOrigin: true}, origin: none, host: "a.com"},
		{origin: "http://a.com", host: "a.com", want: true},
		{origin: "https://a.com", host: "a.com", tls: true, want: true},
		{origin: "https://a.com", host: "A.Com", tls: true, want: true},
		{origin: "http://localhost:3000", host: "localhost:3000", want: true},
		{origin: "http://[::1]:3000", host: "[::1]:3000", want: true},
		{origin: "http://127.0.0.1", host: "127.0.0.1", want: true},
		{origin: "http://a.com.", host: "a.com.", want: true},
		// Default ports, written out or not.
		{origin: "http://a.com", host: "a.com:80", want: true},
		{origin: "http://a.com", host: "a.com:", want: true},
		{origin: "http://a.com:80", host: "a.com", want: true},
		{origin: "https://a.com", host: "a.com:443", tls: true, want: true},
		{origin: "https://a.com", host: "a.com:80", tls: true},
		{origin: "http://a.com", host: "a.com:443"},

		{origin: "", host: "a.com"},
		{origin: "null", host: "a.com"},
		{origin: "null", host: "null"},
		{origin: "http://evil.com", host: "a.com"},
		{origin: "https://a.com", host: "a.com"},
		{origin: "http://a.com", host: "a.com", tls: true},
		{origin: "http://a.com.evil", host: "a.com"},
		{origin: "http://evila.com", host: "a.com"},
		{origin: "http://x.a.com", host: "a.com"},
		{origin: "http://a.co", host: "a.com"},
		{origin: "http://a.com@evil.com", host: "a.com"},
		{origin: "http://evil.com@a.com", host: "a.com"},
		{origin: "http://a.com:80@evil.com", host: "a.com"},
		{origin: "http://a.com.", host: "a.com"},
		{origin: "http://a.com", host: "a.com."},
		{origin: "http://A.com", host: "a.com"},
		{origin: "HTTP://a.com", host: "a.com"},
		{origin: "http://a.com:8080", host: "a.com"},
		{origin: "http://a.com", host: "a.com:8080"},
		{origin: "http://a.com:8081", host: "a.com:8080"},
		{origin: "http://a.com:", host: "a.com"},
		{origin: "http://[::1]", host: "[::2]"},
		{origin: "http://[::1]:80", host: "[::1]:81"},
		{origin: "http://::1", host: "[::1]"},
		{origin: "http://a.com/", host: "a.com"},
		{origin: "http://a.com?", host: "a.com"},
		{origin: "http://a.com#a.com", host: "a.com"},
		{origin: "http://a.com\\@evil.com", host: "a.com"},
		{origin: "http://a.com http://a.com", host: "a.com"},
		{origin: "http://a.com, http://evil.com", host: "a.com"},
		{origin: "//a.com", host: "a.com"},
		{origin: "a.com", host: "a.com"},
		{origin: "http://", host: ""},
		{origin: "ws://a.com", host: "a.com"},
		{origin: "file://", host: "a.com"},
		{origin: "http://a%2ecom", host: "a.com"},

		{policy: list, origin: "http://a.com", host: "a.com", want: true},
		{policy: list, origin: "https://b.com", host: "a.com", want: true},
		{policy: list, origin: "https://b.com:443", host: "a.com", want: true},
		{policy: list, origin: "https://c.com:8443", host: "a.com", want: true},
		{policy: list, origin: "http://d.com", host: "a.com", want: true},
		{policy: list, origin: "app://e", host: "a.com", want: true},
		{policy: list, origin: "http://b.com", host: "a.com"},
		{policy: list, origin: "https://b.com:8443", host: "a.com"},
		{policy: list, origin: "https://c.com", host: "a.com"},
		{policy: list, origin: "https://B.com", host: "a.com"},
		{policy: list, origin: "https://b.com.evil", host: "a.com"},
		{policy: list, origin: "https://x.b.com", host: "a.com"},
		{policy: list, origin: "app://f", host: "a.com"},
		{policy: list, origin: "null", host: "a.com"},
		{policy: list, origin: "", host: "a.com"},

		{policy: open, origin: "https://evil.com", host: "a.com", want: true},
		{policy: open, origin: "null", host: "a.com", want: true},
		{policy: handshake.OriginPolicy{Allowed: []string{"null"}}, origin: "null", host: "a.com", want: true},
		{policy: handshake.OriginPolicy{Allowed: []string{"null"}}, origin: "https://b.com", host: "a.com"},
		{policy: handshake.OriginPolicy{Allowed: []string{"https://b.com/"}}, origin: "https://b.com", host: "a.com"},
	} {
		var origin []byte
		if c.origin != none {
			origin = append([]byte{}, c.origin...)
		}
		err := c.policy.Check(origin, []byte(c.host), c.tls)
		if (err == nil) != c.want {
			t.Errorf("origin %q, host %q, tls %v, allowed %q: %v", c.origin, c.host, c.tls, c.policy.Allowed, err)
		}
		if err != nil && scanHeadStatus(err) != 403 {
			t.Errorf("origin %q: %v, want 403", c.origin, err)
		}
	}
}

func TestOriginPolicyValidate(t *testing.T) {
	good := handshake.OriginPolicy{Allowed: []string{"*", "null", "https://a.com", "https://a.com:8443", "http://[::1]:80", "app://e", "chrome-extension://abc"}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, entry := range []string{"", "NULL", "a.com", "https://a.com/", "https://A.com", "https://*.a.com", "https://a.com/x", "https://a.com:", "https://u@a.com"} {
		if (handshake.OriginPolicy{Allowed: []string{entry}}).Validate() == nil {
			t.Errorf("%q passes as an origin", entry)
		}
	}
}
