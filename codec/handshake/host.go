package handshake

import (
	"fmt"
	"net/netip"
)

// HostPolicy decides which names a server answers to. A page whose name is made to resolve to this
// machine has an origin that equals its Host field, so the origin alone does not tell it from a
// page of the server's own. The zero policy answers to all names.
type HostPolicy struct {
	// Allowed lists names or addresses as they stand in Host, in lower case: "app.example" with
	// any port, "app.example:8443" with that one alone, "[::1]". "*" is all.
	Allowed []string
}

// Validate reports an entry of Allowed that could never match.
func (p HostPolicy) Validate() error {
	for _, entry := range p.Allowed {
		if _, _, ok := cutHost([]byte(entry)); entry != "*" && (!ok || hasUpper([]byte(entry))) {
			return fmt.Errorf("agloop: host policy: %q is no host in lower case", entry)
		}
	}
	return nil
}

// Check returns an *[UpgradeError] with status 403 for a Host field that is not allowed. When
// nothing is, and loopback says that the server can be reached from its own machine alone, the
// names of that are: localhost and the addresses of the loopback interface.
func (p HostPolicy) Check(host []byte, loopback bool) error {
	if len(p.Allowed) == 0 && !loopback {
		return nil
	}
	name, port, ok := cutHost(host)
	if ok && len(p.Allowed) == 0 && isLoopback(name) {
		return nil
	}
	for _, entry := range p.Allowed {
		var buf [128]byte
		want, wantPort, _ := cutHost(append(buf[:0], entry...))
		if entry == "*" || ok && equalFold(name, want) && (wantPort < 0 || wantPort == port) {
			return nil
		}
	}
	return errHostName
}

// isLoopback reports whether a name or an address, of IPv6 in brackets, is this machine's own.
func isLoopback(name []byte) bool {
	if equalFold(name, "localhost") || string(name) == "127.0.0.1" {
		return true
	}
	if name[0] == '[' {
		name = name[1 : len(name)-1]
	}
	addr, err := netip.ParseAddr(string(name))
	return err == nil && addr.Unmap().IsLoopback()
}
