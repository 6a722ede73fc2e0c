package agloop

import (
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/metrics"
)

// Stats are a server's figures at one moment. Counters are totals since its start.
type Stats struct {
	Connections int // slots taken now: open, in their handshake, or gone over to HTTP
	Runs        int // connections with an active run now
	metrics.Snapshot
	Refusals Refusals
	Memory   memmon.Reading // of the process
}

// Stats reads the figures without stopping a loop. Before Serve all are zero.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	st := Stats{Runs: len(s.sessions), Memory: memmon.Read()}
	engine, door := s.engine, s.door
	s.mu.Unlock()
	if door != nil {
		st.Connections = door.Slots().Used()
		door.Counters.AddTo(&st.Snapshot)
		st.Refusals = door.Refusals()
		engine.AddTo(&st.Snapshot)
	}
	return st
}
