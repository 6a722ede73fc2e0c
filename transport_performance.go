package agloop

import (
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/metrics"
)

// GetPerformanceManager returns the transport's performance system. It works from Start to Stop;
// what is set before Start holds then.
func (t *Transport) GetPerformanceManager() *PerformanceManager { return t.perf }

// GetPerformanceMetrics returns the figures of now, or nil when metrics are off.
func (t *Transport) GetPerformanceMetrics() *PerformanceMetrics { return t.perf.GetMetrics() }

// GetMemoryUsage is the memory of the process in bytes, as of the last reading; 0 before Start.
func (t *Transport) GetMemoryUsage() int64 { return t.perf.GetMemoryManager().GetMemoryUsage() }

// EnableAdaptiveOptimization lets the optimizer change the tuning.
func (t *Transport) EnableAdaptiveOptimization() { t.perf.EnableAdaptiveOptimization() }

// OptimizeForLatency sets the profile with the lowest p99.
func (t *Transport) OptimizeForLatency() { t.perf.OptimizeForLatency() }

// OptimizeForThroughput sets the profile with the fewest writes per event.
func (t *Transport) OptimizeForThroughput() { t.perf.OptimizeForThroughput() }

// OptimizeForMemory sets the profile that keeps and queues least.
func (t *Transport) OptimizeForMemory() { t.perf.OptimizeForMemory() }

// initPerformance makes the manager, which startPerformance sets to work, and the ledger that the
// engines of all lifetimes write to.
func (t *Transport) initPerformance() (err error) {
	t.perf, err = newPerformanceManager(t.cfg.PerformanceConfig, &t.cfg.Client.Limits,
		memmon.NewLedger(), nil, transportTarget{t}, t.log)
	return err
}

// startPerformance starts the manager, unless Stop came first. A manager starts once, so this is
// done by the first Start that has a connection.
func (t *Transport) startPerformance() {
	t.perfMu.Lock()
	defer t.perfMu.Unlock()
	t.mu.Lock()
	running := t.state == transportRunning
	t.mu.Unlock()
	if running {
		t.perf.start()
	}
}

// stopPerformance stops the manager. It is called once no startPerformance can start it any more.
func (t *Transport) stopPerformance() {
	t.perfMu.Lock()
	defer t.perfMu.Unlock()
	t.perf.stop()
}

// transportTarget is a transport as its manager sees it.
type transportTarget struct{ t *Transport }

// current is the lifetime since the last Start, nil before the first.
func (tt transportTarget) current() *lifetime {
	tt.t.mu.Lock()
	defer tt.t.mu.Unlock()
	return tt.t.lifetime
}

func (tt transportTarget) tune(t Tuning) {
	if life := tt.current(); life != nil {
		life.dialer.Tune(t)
	}
}

// setMaxConnections has nothing to do: a transport has as many as its config names.
func (tt transportTarget) setMaxConnections(int) {}

// setZeroCopy has nothing to do: a transport copies what waits for a run, and nothing else.
func (tt transportTarget) setZeroCopy(bool) {}

func (tt transportTarget) setMetrics(on bool) {
	if life := tt.current(); life != nil {
		life.engine.SetMetrics(on)
	}
}

// setShedding has nothing to do: a transport has no connections but those it was asked for.
func (tt transportTarget) setShedding(bool) {}

// cutLargest cuts the connections that hold most; they are dialled again.
func (tt transportTarget) cutLargest(bytes int64, most int) (conns int, freed int64) {
	if life := tt.current(); life != nil {
		return life.engine.CutLargest(bytes, most)
	}
	return 0, 0
}

func (tt transportTarget) totals(s *metrics.Source) {
	if life := tt.current(); life != nil {
		life.engine.AddTo(&s.Snapshot)
		life.engine.AddMeasures(&s.Loops)
		s.Shed = life.dialer.Shed()
	}
	tt.t.mu.Lock()
	defer tt.t.mu.Unlock()
	s.Connections = tt.t.pool.up
}
