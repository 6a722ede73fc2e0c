package metrics

import (
	"runtime"
	"time"
)

// shortestWindow is the least time that rates are computed over. In a shorter one a single event
// could double a rate.
const shortestWindow = 100 * time.Millisecond

// rates fills in the figures per second and per message of the window from base to now.
func (m *PerformanceMetrics) rates(now, base *Snapshot, cpu time.Duration) {
	seconds := max(m.Interval, 1).Seconds() // a coarse clock may not have advanced
	in, out := float64(now.MessagesIn-base.MessagesIn), float64(now.FramesOut-base.FramesOut)
	bytesIn, bytesOut := float64(now.BytesIn-base.BytesIn), float64(now.BytesOut-base.BytesOut)

	m.ConnectionsPerSecond = float64(now.Opened-base.Opened) / seconds
	m.MessagesInPerSecond, m.MessagesOutPerSecond = in/seconds, out/seconds
	m.MessagesPerSecond = m.MessagesInPerSecond + m.MessagesOutPerSecond
	m.BytesInPerSecond, m.BytesOutPerSecond = bytesIn/seconds, bytesOut/seconds
	m.AvgMessageSize = ratio(bytesIn+bytesOut, in+out)
	m.FramesPerWrite = ratio(out, float64(now.Writes-base.Writes))
	m.WriterWakesPerMessage = ratio(float64(now.WriterWakes-base.WriterWakes), out)
	m.CPUUsage = min(cpu.Seconds()/seconds/float64(runtime.NumCPU()), 1)
}

// distributions fills in the figures that come from histograms. With keep, those without a value in
// d stay as they are.
func (m *PerformanceMetrics) distributions(d *LoopSnapshot, keep bool) {
	if h := &d.Establish; h.Count > 0 || !keep {
		m.AvgConnectionEstablishTime = time.Duration(h.Mean())
		m.P95ConnectionEstablishTime = time.Duration(h.Quantile(0.95))
	}
	if h := &d.Latency; h.Count > 0 || !keep {
		m.AvgLatency = time.Duration(h.Mean())
		m.MinLatency, m.MaxLatency = time.Duration(h.Min), time.Duration(h.Max)
		m.P50Latency = time.Duration(h.Quantile(0.50))
		m.P95Latency = time.Duration(h.Quantile(0.95))
		m.P99Latency = time.Duration(h.Quantile(0.99))
	}
	if h := &d.BatchSize; h.Count > 0 || !keep {
		m.AvgBatchSize = h.Mean()
		m.P50BatchSize, m.P95BatchSize = float64(h.Quantile(0.50)), float64(h.Quantile(0.95))
	}
	if h := &d.BatchWait; h.Count > 0 || !keep {
		m.P50BatchWait, m.P99BatchWait = time.Duration(h.Quantile(0.50)), time.Duration(h.Quantile(0.99))
	}
}

// totals fills in the figures that are copied from s.
func (m *PerformanceMetrics) totals(s *Source) {
	m.ActiveConnections = s.Connections
	m.TotalConnections = s.Snapshot.Opened
	m.Failures = Failures{
		Panics:         s.Snapshot.Panics,
		SlowReaders:    s.Snapshot.SlowCuts,
		AcceptErrors:   s.Snapshot.AcceptErrs,
		BadHandshakes:  s.Snapshot.BadUpgrade,
		ProtocolErrors: s.Snapshot.ProtoErrs,
		Shed:           s.Shed,
		Refused:        s.Refused,
	}
	m.MemoryUsage, m.MemoryPressure = s.MemoryUsage, s.MemoryPressure
	m.MemoryHeld, m.MemoryBudget = s.MemoryHeld, s.MemoryBudget
	m.MemoryTier, m.MonitoringInterval = s.MemoryTier, s.MonitoringInterval
	m.BufferPoolInUse, m.BufferPoolIdle = s.PoolInUse, s.PoolIdle
	m.BufferPoolUtilization = ratio(float64(s.PoolInUse), float64(s.PoolInUse+s.PoolIdle))
}

// ratio is a/b, and 0 when b is 0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
