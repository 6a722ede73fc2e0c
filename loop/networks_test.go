package loop_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/agloop/agloop/loop"
)

// network is an address of the i-th /64.
func network(i int) netip.Addr {
	var a [16]byte
	a[0] = 0x20
	binary.BigEndian.PutUint32(a[4:], uint32(i))
	return netip.AddrFrom16(a)
}

// fill makes n networks known from the first on, each at its limit.
func fill(t *testing.T, networks *loop.Networks, first, n int, now time.Time) {
	t.Helper()
	for i := first; i < first+n; i++ {
		if !networks.Allow(network(i), now) || networks.Allow(network(i), now) {
			t.Fatalf("network %d is not at its limit", i)
		}
	}
}

// TestManyNetworksShutNobodyOut: an attacker with more networks than are remembered fills the
// memory, and whoever comes then is let in, at the cost of one that is forgotten.
func TestManyNetworksShutNobodyOut(t *testing.T) {
	networks := loop.NewNetworks(0.001, 1)
	now := time.Unix(1e9, 0)
	fill(t, networks, 0, loop.MaxNetworks, now)
	fill(t, networks, loop.MaxNetworks, 1000, now) // each has a fresh bucket, and a limit
	if n := networks.Len(); n != loop.MaxNetworks {
		t.Errorf("%d networks remembered, want %d", n, loop.MaxNetworks)
	}
}

// TestNewNetworkCostsLittle: with the memory full a new network looks at a few others, whether
// these may be forgotten for nothing or not.
func TestNewNetworkCostsLittle(t *testing.T) {
	const few = 8
	networks := loop.NewNetworks(1, 1)
	now := time.Unix(1e9, 0)
	fill(t, networks, 0, loop.MaxNetworks, now)
	now = now.Add(time.Hour) // none owes anything
	networks.Allow(network(loop.MaxNetworks), now)
	if n := networks.Len(); n > loop.MaxNetworks || n <= loop.MaxNetworks-few {
		t.Errorf("%d of %d networks left after one came", n, loop.MaxNetworks)
	}
}

// TestNetworksThatOweAreRemembered: those whose bucket is full again are forgotten before those at
// their limit.
func TestNetworksThatOweAreRemembered(t *testing.T) {
	const half = loop.MaxNetworks / 2
	networks := loop.NewNetworks(1, 1)
	now := time.Unix(1e9, 0)
	fill(t, networks, 0, half, now)
	now = now.Add(time.Second) // the first half owes nothing from here on
	fill(t, networks, half, half+1000, now)
	forgotten := 0
	for i := range half + 1000 {
		if !networks.Knows(network(half + i)) {
			forgotten++
		}
	}
	if forgotten > 100 { // it is one in hundreds that only such are looked at
		t.Errorf("%d of %d networks at their limit were forgotten, and others were not", forgotten, half+1000)
	}
}

// BenchmarkNewNetwork is a connection of a new network while all that are remembered are at their
// limit.
func BenchmarkNewNetwork(b *testing.B) {
	networks := loop.NewNetworks(0.001, 1)
	now := time.Unix(1e9, 0)
	for i := range loop.MaxNetworks {
		networks.Allow(network(i), now)
	}
	b.ReportAllocs()
	i := loop.MaxNetworks
	for b.Loop() {
		networks.Allow(network(i), now)
		i++
	}
}

// TestNetworkIsSpent: with its last token, and no more when it has the next; who asked for none owes none.
func TestNetworkIsSpent(t *testing.T) {
	networks := loop.NewNetworks(10./60, 10)
	now := time.Now()
	for i := range 10 {
		if networks.Spent(network(0), now) {
			t.Fatalf("spent after %d", i)
		}
		networks.Allow(network(0), now)
	}
	for range 100 { // what is refused makes it no longer
		networks.Allow(network(0), now)
	}
	if !networks.Spent(network(0), now.Add(5*time.Second)) || networks.Spent(network(0), now.Add(7*time.Second)) {
		t.Error("a token is there before or after 6 seconds")
	}
	if networks.Spent(network(1), now) || networks.Knows(network(1)) {
		t.Error("another network")
	}
	if off := loop.NewNetworks(-1, 10); !off.Allow(network(0), now) || off.Spent(network(0), now) || off.Len() != 0 {
		t.Error("a limit that is off")
	}
}
