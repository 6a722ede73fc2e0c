package agloop

import (
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/metrics"
)

// Stats are a server's figures at one moment. Counters are totals since its start.
type Stats struct {
	Connections int // slots taken now: open, or in their handshake
	HTTP        int // connections that speak plain HTTP now
	Runs        int // active now: runs that have a log, and connections with one that has none
	metrics.Snapshot
	Refusals Refusals
	Logged   metrics.Runs // of the runs that have a log
	Topics   TopicFigures
	Memory   memmon.Reading // of the process, and of what the server holds
}

// Stats reads the figures without stopping a loop. Before the server runs all but Memory are zero.
func (s *Server) Stats() Stats {
	conns, borrowed := s.http.count()
	st := Stats{
		Connections: s.door.Slots().Used() - borrowed, HTTP: conns, Runs: s.activeRuns(),
		Refusals: s.door.Refusals(), Memory: s.performance.memory.Now(),
	}
	s.door.Counters.AddTo(&st.Snapshot)
	s.engine.AddTo(&st.Snapshot)
	s.runFigures(&st.Logged, nil)
	st.Topics = s.topicFigures()
	return st
}

// topicFigures reads the figures of topics.
func (s *Server) topicFigures() TopicFigures {
	f := s.topics.Figures()
	f.Dropped = s.threads.dropped.Load()
	return f
}

// runFigures reads the figures of the runs that have a log. times may be nil.
func (s *Server) runFigures(r *metrics.Runs, times *metrics.RunTimes) {
	if s.hub == nil {
		return
	}
	s.hub.Figures(r, times)
	r.Streams = s.streams.count()
	r.Unknown = s.unknownControls.Load()
	r.Gone = metrics.RunsGone{
		Trimmed: s.gone.trimmed.Load(), Epoch: s.gone.epoch.Load(), Future: s.gone.future.Load(),
		Ended: s.gone.ended.Load(), Unknown: s.gone.other.Load(),
	}
}
