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
	Memory   memmon.Reading // of the process, and of what the server holds
}

// Stats reads the figures without stopping a loop. Before Serve all but Memory are zero.
func (s *Server) Stats() Stats {
	st := Stats{Runs: s.active.count()}
	s.mu.Lock()
	engine, door, performance := s.engine, s.door, s.performance
	s.mu.Unlock()
	if performance == nil {
		st.Memory = memmon.Read()
		return st
	}
	st.Memory = performance.memory.Now()
	st.Connections = door.Slots().Used()
	door.Counters.AddTo(&st.Snapshot)
	st.Refusals = door.Refusals()
	engine.AddTo(&st.Snapshot)
	return st
}
