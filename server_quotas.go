package agloop

import (
	"net/netip"
	"sync/atomic"

	"github.com/agloop/agloop/loop"
)

// runPlaces are the places that Quotas has for runs.
type runPlaces struct {
	// Immutable.
	most         func() int // in all; negative: any number
	perPrincipal *loop.Tally[string]
	perNetwork   *loop.Tally[netip.Prefix]

	// Any goroutine.
	taken atomic.Int64
}

// newRunPlaces returns places that are all free. Where the quotas say nothing of runs in all, there
// are as many as conns says when one is taken.
func newRunPlaces(q Quotas, conns func() int) *runPlaces {
	p := &runPlaces{
		most:         func() int { return q.Runs },
		perPrincipal: loop.NewTally[string](q.RunsPerPrincipal),
		perNetwork:   loop.NewTally[netip.Prefix](q.RunsPerNetwork),
	}
	if q.Runs == 0 {
		p.most = conns
	}
	return p
}

// take takes a place for a run, or returns which quota has none left. Any goroutine.
func (p *runPlaces) take(principal string, network netip.Prefix) (full string) {
	switch {
	case !p.takeOne():
		return "too many runs are active on this server"
	case !p.perPrincipal.Take(principal):
		p.taken.Add(-1)
		return "too many runs of this user are active"
	case !p.perNetwork.Take(network):
		p.perPrincipal.Give(principal)
		p.taken.Add(-1)
		return "too many runs from this network are active"
	}
	return ""
}

// takeOne counts one more run unless there are as many as may be.
func (p *runPlaces) takeOne() bool {
	for {
		n, most := p.taken.Load(), int64(p.most())
		if most >= 0 && n >= most {
			return false
		}
		if p.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// give gives a place back that take took for the same. Any goroutine.
func (p *runPlaces) give(principal string, network netip.Prefix) {
	p.perNetwork.Give(network)
	p.perPrincipal.Give(principal)
	p.taken.Add(-1)
}

// mayBeOpen is how many connections may be open: more than the slots allow where their number was
// lowered, since those that are open stay.
func (s *Server) mayBeOpen() int {
	slots := s.door.Slots()
	return max(slots.Cap(), slots.Open())
}
