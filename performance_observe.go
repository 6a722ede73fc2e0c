package agloop

import (
	"runtime"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/metrics"
)

// observeEvery is how often the optimizer looks.
const observeEvery = time.Second

// optimize gives observations to the optimizer until the manager stops. It measures windows of its
// own, since those of the collector are as long as the host wants.
func (m *PerformanceManager) optimize() {
	var seen observer
	tick := time.NewTicker(observeEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if !m.optimizer.Enabled() {
				seen.started = false
				continue
			}
			if o, ok := seen.observe(m, now); ok {
				m.optimizer.Observe(now, o)
			}
		case <-m.quit:
			return
		}
	}
}

// observer turns totals into observations of the time between.
type observer struct {
	started      bool
	at           time.Time
	cpu          time.Duration
	now, before  metrics.Source
	distribution metrics.LoopSnapshot
}

func (s *observer) observe(m *PerformanceManager, now time.Time) (o Observation, ok bool) {
	s.before, s.now = s.now, s.before
	s.now.Reset()
	m.totals(&s.now)
	elapsed, cpu := now.Sub(s.at).Seconds(), metrics.CPUTime()
	used := (cpu - s.cpu).Seconds()
	s.at, s.cpu = now, cpu
	if !s.started {
		s.started = true
		return o, false
	}
	s.distribution.Difference(&s.now.Loops, &s.before.Loops)
	frames := float64(s.now.Snapshot.FramesOut - s.before.Snapshot.FramesOut)
	o = Observation{
		P99Latency:        time.Duration(s.distribution.Latency.Quantile(0.99)),
		Measured:          s.distribution.Latency.Count > 0,
		CPUFraction:       min(used/elapsed/float64(runtime.GOMAXPROCS(0)), 1),
		MemoryFraction:    s.now.MemoryPressure / 100,
		MessagesPerSecond: frames / elapsed,
		Connections:       s.now.Connections,
	}
	if frames > 0 {
		o.WritesPerMessage = float64(s.now.Snapshot.Writes-s.before.Snapshot.Writes) / frames
	}
	return o, true
}

// totals is the source of the collector and of an observer.
func (m *PerformanceManager) totals(s *metrics.Source) {
	m.target.totals(s)
	s.MemoryUsage = m.memory.GetMemoryUsage()
	s.MemoryHeld, s.MemoryBudget = m.ledger.Total(), m.memory.Last().Budget
	s.MemoryPressure = m.memory.GetMemoryPressure()
	s.MemoryTier = int(m.memory.Tier())
	s.MonitoringInterval = m.memory.GetMonitoringInterval()
	s.PoolInUse, s.PoolIdle = bufpool.Default.InUse(), bufpool.Default.Idle()
}

// GetMetrics returns the figures of now, or nil when metrics are off. It costs some microseconds
// and stops no loop.
func (m *PerformanceManager) GetMetrics() *PerformanceMetrics {
	if !m.Config().EnableMetrics {
		return nil
	}
	return m.collector.Collect()
}

// GetBufferPool returns the pool of buffers, which all servers and transports of the process share:
// the size that was set last holds.
func (m *PerformanceManager) GetBufferPool() *BufferPool { return bufpool.Default }

// GetConnectionPoolManager returns the slots of a server; nil for a transport, whose connections
// are as many as its config names.
func (m *PerformanceManager) GetConnectionPoolManager() *ConnectionPoolManager { return m.slots }

// GetSerializerFactory returns the serializers of events.
func (m *PerformanceManager) GetSerializerFactory() *SerializerFactory { return m.serializers }

// GetMetricsCollector returns the collector. It records nothing while metrics are off.
func (m *PerformanceManager) GetMetricsCollector() *MetricsCollector { return m.collector }

// GetMemoryManager returns the manager that watches memory.
func (m *PerformanceManager) GetMemoryManager() *MemoryManager { return m.memory }

// GetAdaptiveOptimizer returns the optimizer, with its decisions.
func (m *PerformanceManager) GetAdaptiveOptimizer() *AdaptiveOptimizer { return m.optimizer }

// EnableAdaptiveOptimization lets the optimizer change the tuning.
func (m *PerformanceManager) EnableAdaptiveOptimization() { m.optimizer.Enable() }
