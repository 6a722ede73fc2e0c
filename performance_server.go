package agloop

import (
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/metrics"
)

// GetPerformanceManager returns the server's performance system. What is set before the server runs
// holds then.
func (s *Server) GetPerformanceManager() *PerformanceManager { return s.performance }

// performanceConfig is what the config asks for. A server that says nothing is bounded by the
// process's limits rather than by the figures of DefaultPerformanceConfig, and keeps the window of
// its Limits. slots is how many connections the door takes.
func (c *ServerConfig) performanceConfig(slots int) PerformanceConfig {
	p := c.Performance
	if p != (PerformanceConfig{}) {
		if c.Quotas.Conns > 0 {
			p.MaxConcurrentConnections = slots
		}
		return p
	}
	p = DefaultPerformanceConfig()
	p.MaxConcurrentConnections = slots
	p.MaxMemoryUsage = 0
	p.MessageBatchSize = max(1, c.Limits.MessageBatchSize)
	p.MessageBatchTimeout = max(0, c.Limits.MessageBatchTimeout)
	return p
}

// maxConnections is how many connections may be let in: by Quotas, or what Performance says.
func (c *ServerConfig) maxConnections() int {
	if c.Quotas.Conns == 0 {
		return c.Performance.MaxConcurrentConnections
	}
	return max(0, c.Quotas.Conns)
}

// serverTarget is a server as its manager sees it.
type serverTarget struct {
	engine *loop.Engine
	door   *loop.Door
	runs   func(*metrics.Runs, *metrics.RunTimes) // reads the figures of runs
	topics func() metrics.Topics
}

func (s serverTarget) tune(t Tuning)           { s.door.Tune(t) }
func (s serverTarget) setMaxConnections(n int) { s.door.SetMaxConnections(n) }
func (s serverTarget) setZeroCopy(on bool)     { s.door.SetZeroCopy(on) }
func (s serverTarget) setMetrics(on bool)      { s.engine.SetMetrics(on) }
func (s serverTarget) setShedding(on bool)     { s.door.SetShedding(on) }
func (s serverTarget) cutLargest(bytes int64, most int) (conns int, freed int64) {
	return s.engine.CutLargest(bytes, most)
}

func (s serverTarget) totals(t *metrics.Source) {
	s.engine.AddTo(&t.Snapshot)
	s.door.Counters.AddTo(&t.Snapshot)
	s.engine.AddMeasures(&t.Loops)
	t.Refused, t.Shed = s.door.Refusals(), s.door.Shed()
	s.runs(&t.Runs, &t.RunTimes)
	t.Topics = s.topics()
	t.Connections = int(t.Snapshot.Opened - t.Snapshot.Closed)
}
