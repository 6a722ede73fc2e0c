package loop

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/agloop/agloop/tune"
)

// Quotas bound how much there may be at one moment, counted over the whole server. Zero is the
// default given beside the field; a negative number is no limit. Networks are those of the client's
// address, /24 or /64; peers on unix sockets and anonymous principals have none of their own.
type Quotas struct {
	// Conns is connections. 0 or a negative number is what the descriptor limit of the process
	// allows, and more is cut down to that. Further ones are answered 503.
	Conns int
	// ConnsPerPrincipal and ConnsPerNetwork are connections of one principal and of one network.
	// Further ones are answered 429. 0 is no limit.
	ConnsPerPrincipal int
	ConnsPerNetwork   int
	// Runs is runs that are active. A run holds its place until its agent has returned, also when
	// its connection is long gone. 0 is as many as connections. Further ones are refused with
	// RUN_ERROR, code too_many_runs.
	Runs int
	// RunsPerPrincipal and RunsPerNetwork are runs of one principal and of one network. 0 is no
	// limit.
	RunsPerPrincipal int
	RunsPerNetwork   int
	// TopicsPerConn is topics to which one connection may subscribe. 0 is 1,024.
	TopicsPerConn int
}

// MaxTopics is how many topics a connection may have; 0 is any number.
func (q Quotas) MaxTopics() int {
	if q.TopicsPerConn == 0 {
		return 1024
	}
	return max(q.TopicsPerConn, 0)
}

// Check returns a *tune.ConfigError for a quota that could never let anything in.
func (q Quotas) Check() error {
	for _, f := range []struct {
		name        string
		part, whole int
	}{
		{"Quotas.ConnsPerPrincipal", q.ConnsPerPrincipal, q.Conns},
		{"Quotas.ConnsPerNetwork", q.ConnsPerNetwork, q.Conns},
		{"Quotas.RunsPerPrincipal", q.RunsPerPrincipal, q.Runs},
		{"Quotas.RunsPerNetwork", q.RunsPerNetwork, q.Runs},
	} {
		if f.whole > 0 && f.part > f.whole {
			return &tune.ConfigError{Field: f.name, Reason: fmt.Sprintf(
				"%d is above the whole server's %d; lower it, or raise that", f.part, f.whole,
			)}
		}
	}
	return nil
}

// Tally counts what is taken by key, up to a limit for each key. A nil Tally has no limit and
// counts nothing. Any goroutine.
type Tally[K comparable] struct {
	// Immutable.
	limit int

	// Any goroutine, under mu.
	mu    sync.Mutex
	taken map[K]int // none is zero
}

// NewTally returns a tally, nil for no limit: 0 or a negative number.
func NewTally[K comparable](limit int) *Tally[K] {
	if limit <= 0 {
		return nil
	}
	return &Tally[K]{limit: limit, taken: make(map[K]int)}
}

// Take takes one for the key and reports whether there was one. The zero key has no limit.
func (t *Tally[K]) Take(key K) bool {
	var none K
	if t == nil || key == none {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.taken[key]
	if n >= t.limit {
		return false
	}
	t.taken[key] = n + 1
	return true
}

// Give gives back one that Take took for the key.
func (t *Tally[K]) Give(key K) {
	var none K
	if t == nil || key == none {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.taken[key]; n > 1 {
		t.taken[key] = n - 1
	} else {
		delete(t.taken, key)
	}
}

// NetworkOf is the unit of quotas and rates by network, what one subscriber usually has: a /24 of
// IPv4, a /64 of IPv6. It is the zero Prefix for an address that is not valid.
func NetworkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	p, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
