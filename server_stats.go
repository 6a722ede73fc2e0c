package agloop

import (
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/metrics"
)

// Stats are a server's figures at one moment. Counters are totals since its start.
type Stats struct {
	Connections int // slots taken now: open, or in their handshake
	HTTP        int // connections that speak plain HTTP now
	Runs        int // connections with an active run now
	metrics.Snapshot
	Refusals Refusals
	Memory   memmon.Reading // of the process, and of what the server holds
}

// Stats reads the figures without stopping a loop. Before the server runs all but Memory are zero.
func (s *Server) Stats() Stats {
	st := Stats{
		Connections: s.door.Slots().Used(), HTTP: s.http.count(), Runs: s.active.count(),
		Refusals: s.door.Refusals(), Memory: s.performance.memory.Now(),
	}
	s.door.Counters.AddTo(&st.Snapshot)
	s.engine.AddTo(&st.Snapshot)
	return st
}
