package loop

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/agloop/agloop/codec/handshake"
	"golang.org/x/time/rate"
)

// networks are the limiters of the networks that connected lately.
type networks struct {
	// Immutable.
	perSecond float64
	burst     int

	// Any goroutine, under mu.
	mu   sync.Mutex
	seen map[netip.Prefix]*rate.Limiter
}

// maxNetworks bounds the map. At it, a new network looks at a few others, wherever the map begins,
// and has one forgotten: to refuse it instead would let an attacker with many networks shut out
// everybody, and to look at all of them would cost each accept milliseconds.
const (
	maxNetworks = 1 << 16
	fewNetworks = 8
)

// allow takes a token for the network of addr. Addresses that are not valid, of unix sockets, are
// always allowed.
func (n *networks) allow(addr netip.Addr, now time.Time) bool {
	if n.perSecond <= 0 || !addr.IsValid() {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.limiter(addr, now).AllowN(now, 1)
}

// spent reports whether the network of addr has no token left.
func (n *networks) spent(addr netip.Addr, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	lim := n.seen[NetworkOf(addr)]
	return lim != nil && lim.TokensAt(now) < 1
}

// limiter is that of the network of addr. Under mu.
func (n *networks) limiter(addr netip.Addr, now time.Time) *rate.Limiter {
	network := NetworkOf(addr)
	lim := n.seen[network]
	if lim == nil {
		if len(n.seen) >= maxNetworks {
			n.forget(now)
		}
		if n.seen == nil {
			n.seen = make(map[netip.Prefix]*rate.Limiter)
		}
		lim = limiter(n.perSecond, n.burst)
		n.seen[network] = lim
	}
	return lim
}

// forget makes room in the full map. Of the few it looks at it drops those that owe nothing, which
// changes nothing for them, or else the one that owes least. Under mu.
func (n *networks) forget(now time.Time) {
	var least netip.Prefix
	most, looked, room := math.Inf(-1), 0, false
	for network, lim := range n.seen {
		switch tokens := lim.TokensAt(now); {
		case tokens >= float64(lim.Burst()):
			delete(n.seen, network)
			room = true
		case tokens > most:
			most, least = tokens, network
		}
		if looked++; looked == fewNetworks {
			break
		}
	}
	if !room {
		delete(n.seen, least)
	}
}

// tooManyGuesses is what further connections of a network are answered: to come back when it has a token.
func tooManyGuesses(perSecond float64) *handshake.UpgradeError {
	return &handshake.UpgradeError{
		Status: 429, Reason: "your network asked too often for what is not there",
		RetryAfter: time.Duration(min(float64(time.Second)/perSecond, float64(time.Hour))),
	}
}

// Guessed notes that addr has asked for what is not there, or not for it. It reports whether its
// network has now done so too often, see Rates.Guesses. Any goroutine.
func (d *Door) Guessed(addr netip.Addr) (tooOften bool) {
	now := time.Now()
	d.guesses.allow(addr, now)
	return d.guesses.spent(addr, now)
}

// RunsOf is the bucket for runs that the network of addr asks for over HTTP, see Rates.Runs; nil for no
// limit. Any goroutine.
func (d *Door) RunsOf(addr netip.Addr) *Bucket {
	n := &d.runs
	if n.perSecond <= 0 || !addr.IsValid() {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return &Bucket{n.limiter(addr, time.Now())}
}
