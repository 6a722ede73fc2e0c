package handshake_test

import (
	"testing"

	"github.com/agloop/agloop/codec/handshake"
)

func TestHostPolicy(t *testing.T) {
	listed := []string{"app.example", "b.example:8443", "[::1]"}
	for _, tt := range []struct {
		allowed  []string
		host     string
		loopback bool
		want     bool
	}{
		{nil, "anything.example", false, true},
		{nil, "", false, true}, // whether there is a Host is not its business
		{nil, "localhost", true, true},
		{nil, "LOCALHOST:8080", true, true},
		{nil, "127.0.0.1:8080", true, true},
		{nil, "127.9.9.9", true, true},
		{nil, "[::1]:8080", true, true},
		{nil, "[::ffff:127.0.0.1]", true, true},
		{nil, "evil.example:8080", true, false}, // DNS rebinding
		{nil, "localhost.evil.example", true, false},
		{nil, "notlocalhost", true, false},
		{nil, "192.168.0.1", true, false},
		{nil, "0.0.0.0", true, false},
		{nil, "2130706433", true, false}, // some resolvers take it for 127.0.0.1
		{nil, "user@localhost", true, false},
		{nil, "", true, false},

		{listed, "app.example", false, true},
		{listed, "APP.example:1234", false, true},
		{listed, "b.example:8443", false, true},
		{listed, "b.example", false, false},
		{listed, "b.example:443", false, false},
		{listed, "[::1]:99", false, true},
		{listed, "app.example.", false, false},
		{listed, "x.app.example", false, false},
		{listed, "localhost", true, false}, // the list says all
		{listed, "app.example", true, true},
		{[]string{"*"}, "evil.example", true, true},
	} {
		err := handshake.HostPolicy{Allowed: tt.allowed}.Check([]byte(tt.host), tt.loopback)
		if (err == nil) != tt.want {
			t.Errorf("host %q, allowed %q, loopback %t: %v", tt.host, tt.allowed, tt.loopback, err)
		}
		if err != nil && scanHeadStatus(err) != 403 {
			t.Errorf("host %q: %v, want 403", tt.host, err)
		}
	}
}

func TestHostPolicyValidate(t *testing.T) {
	good := handshake.HostPolicy{Allowed: []string{"*", "a.example", "a.example:1", "[::1]", "10.0.0.1"}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, entry := range []string{"", "A.example", "https://a.example", "a.example/", "*.example", "::1", "a.example:http", "u@a"} {
		if (handshake.HostPolicy{Allowed: []string{entry}}).Validate() == nil {
			t.Errorf("%q passes as a host", entry)
		}
	}
}
