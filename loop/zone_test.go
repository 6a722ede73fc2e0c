package loop

import (
	"net"
	"testing"
	"unsafe"
)

// addressed is a connection of which only the addresses are asked.
type addressed struct {
	net.Conn
	local, remote net.TCPAddr
}

func (a *addressed) LocalAddr() net.Addr  { return &a.local }
func (a *addressed) RemoteAddr() net.Addr { return &a.remote }

// TestZonesAreOwn: gnet may overwrite the bytes of a zone once the connection is gone, so they must
// not be those of a string that others use.
func TestZonesAreOwn(t *testing.T) {
	zone := string([]byte("eth0"))
	nc := &addressed{local: net.TCPAddr{Zone: zone}, remote: net.TCPAddr{Zone: zone}}
	ownZones(nc)
	for _, addr := range []net.TCPAddr{nc.local, nc.remote} {
		if addr.Zone != zone || unsafe.StringData(addr.Zone) == unsafe.StringData(zone) {
			t.Errorf("zone %q shares its bytes", addr.Zone)
		}
	}
}
