package agloop

import (
	"log/slog"
	"sync"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/metrics"
	"github.com/agloop/agloop/tune"
)

// The components of the performance system that lower packages define.
type (
	BufferPool            = bufpool.Pool
	ConnectionPoolManager = loop.Slots
	MetricsCollector      = metrics.MetricsCollector
	PerformanceMetrics    = metrics.PerformanceMetrics
	MemoryManager         = memmon.MemoryManager
	MemoryTier            = memmon.Tier
	Tuning                = tune.Tuning
	Profile               = tune.Profile
	AdaptiveOptimizer     = tune.AdaptiveOptimizer
	Observation           = tune.Observation
	Decision              = tune.Decision
)

// The profiles there are.
const (
	ProfileBalanced   = tune.ProfileBalanced   // the default
	ProfileLatency    = tune.ProfileLatency    // no message waits for others
	ProfileThroughput = tune.ProfileThroughput // the fewest writes per message
	ProfileMemory     = tune.ProfileMemory     // little is queued, little is kept
)

// The tiers of memory, from the best.
const (
	MemoryNormal   = memmon.Normal
	MemoryModerate = memmon.Moderate
	MemoryElevated = memmon.Elevated
	MemoryHigh     = memmon.High
	MemoryCritical = memmon.Critical
)

// PerformanceManager coordinates the performance system of one server or transport: it owns the
// components, and what they decide takes effect through it alone. All methods may be called from
// any goroutine.
type PerformanceManager struct {
	// Immutable.
	target      performanceTarget
	base        Tuning // what the host's Limits say
	log         *slog.Logger
	slots       *ConnectionPoolManager
	ledger      *memmon.Ledger // what the connections of the engine hold
	memory      *MemoryManager
	collector   *MetricsCollector
	serializers *SerializerFactory
	optimizer   *AdaptiveOptimizer

	// Any goroutine. Held while the config changes, until every part goes by the new one. It is
	// taken before the locks of the parts and before mu, and by no loop.
	changing sync.Mutex

	// Any goroutine, under mu.
	mu       sync.Mutex
	cfg      PerformanceConfig // written under changing too
	tuning   Tuning            // what was asked for: by the host, a profile, or the optimizer
	tier     MemoryTier
	actions  TierActions
	running  bool
	reducing bool // reduceMemory runs

	cutMu sync.Mutex // held while connections are cut, until what they held is released

	quit chan struct{} // closed by stop; made by start, before there is anybody to read it
	done sync.WaitGroup
}

// performanceTarget is what a manager acts on: connections and loops of a server or a transport.
type performanceTarget interface {
	tune(t Tuning)
	setMaxConnections(n int)
	setZeroCopy(on bool)
	setMetrics(on bool)
	setShedding(on bool)
	cutLargest(bytes int64, most int) (conns int, freed int64)
	totals(s *metrics.Source)
}

// newPerformanceManager makes the components; start starts them. limits have their defaults,
// ledger is the one that the target's engine writes to.
func newPerformanceManager(
	cfg PerformanceConfig, limits *Limits, ledger *memmon.Ledger,
	slots *ConnectionPoolManager, target performanceTarget, log *slog.Logger,
) (*PerformanceManager, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	serializers := &SerializerFactory{limits: eventLimits(limits), textOnly: true}
	if err := serializers.SetType(cfg.MessageSerializerType); err != nil {
		return nil, err
	}
	base := limits.Tuning()
	m := &PerformanceManager{
		target: target, base: base, log: log, slots: slots, ledger: ledger, serializers: serializers, cfg: cfg,
	}
	m.memory = memmon.NewMemoryManager(memmon.Config{
		Budget: cfg.MaxMemoryUsage, InOut: ledger, Logger: log,
		OnChange: m.tierChanged, OnOverdrawn: m.shareExceeded,
	})
	m.collector = metrics.NewMetricsCollector(metrics.CollectorConfig{
		Interval: cfg.MetricsInterval, Source: m.totals, Profiling: cfg.EnableProfiling,
	})
	m.tuning = cfg.tuning(base)
	m.optimizer = tune.NewOptimizer(tune.OptimizerConfig{
		Base: m.tuning, MaxLatency: cfg.MaxLatency, MaxMemory: cfg.MaxMemoryUsage,
		Interval: observeEvery, Logger: log, Apply: m.setTuning,
	})
	return m, nil
}

// tuning is base with what the config says of the same knobs.
func (c *PerformanceConfig) tuning(base Tuning) Tuning {
	base.MessageBatchSize, base.MessageBatchTimeout = c.MessageBatchSize, c.MessageBatchTimeout
	if c.MessageBatchTimeout == 0 {
		base.MessageBatchTimeout = tune.Off
	}
	base.BufferPoolSize, base.MaxBufferSize = c.BufferPoolSize, c.MaxBufferSize
	return base
}

// start starts the components. None of them runs on a loop.
func (m *PerformanceManager) start() {
	m.mu.Lock()
	m.running = true
	m.quit = make(chan struct{})
	m.apply()
	if m.cfg.EnableMetrics {
		m.collector.Start() // under mu, as SetConfig stops it
	}
	m.mu.Unlock()
	m.memory.Start()
	m.done.Go(m.optimize)
}

// stop ends what start began and waits until it has ended.
func (m *PerformanceManager) stop() {
	m.mu.Lock()
	if !m.running {
		m.mu.Unlock()
		return
	}
	m.running = false
	close(m.quit)
	m.mu.Unlock()
	m.memory.Stop()
	m.collector.Stop()
	m.done.Wait()
}

// apply makes config, tuning and tier take effect. Under mu.
func (m *PerformanceManager) apply() {
	t := restrain(m.tier, m.tuning)
	m.target.tune(t)
	m.target.setMaxConnections(m.cfg.MaxConcurrentConnections)
	m.target.setZeroCopy(m.cfg.EnableZeroCopy)
	m.target.setMetrics(m.cfg.EnableMetrics)
	size := t.BufferPoolSize
	if !m.cfg.EnableMemoryPooling {
		size = -1
	}
	bufpool.Default.SetSize(size)
	bufpool.Default.SetMaxBuffer(t.MaxBufferSize)
}

// setTuning sets a new tuning: of a profile or the optimizer.
func (m *PerformanceManager) setTuning(t Tuning) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tuning = t
	if m.running {
		m.apply()
	}
}

// Config returns the present config.
func (m *PerformanceManager) Config() PerformanceConfig {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cfg
}

// SetConfig changes the config, at once and for open connections; those beyond a smaller
// MaxConcurrentConnections stay until they end. After several calls at once one of their configs
// holds as a whole. The error names the field, and nothing changes then.
func (m *PerformanceManager) SetConfig(cfg PerformanceConfig) error {
	return m.changeConfig(func(c *PerformanceConfig) { *c = cfg })
}

// changeConfig replaces the config by what edit makes of it.
func (m *PerformanceManager) changeConfig(edit func(*PerformanceConfig)) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	cfg := m.Config()
	edit(&cfg)
	if err := cfg.Validate(); err != nil {
		return err
	}
	if err := m.serializers.SetType(cfg.MessageSerializerType); err != nil {
		return err
	}
	m.mu.Lock()
	was := m.cfg
	m.cfg = cfg
	if m.running {
		m.apply()
		switch {
		case cfg.EnableMetrics && !was.EnableMetrics:
			m.collector.Start()
		case was.EnableMetrics && !cfg.EnableMetrics:
			m.collector.Stop()
		}
	}
	m.mu.Unlock()

	m.optimizer.Rebase(cfg.tuning(m.base), cfg.MaxLatency, cfg.MaxMemoryUsage)
	m.memory.SetBudget(cfg.MaxMemoryUsage)
	m.collector.SetInterval(cfg.MetricsInterval)
	m.collector.SetProfiling(cfg.EnableProfiling)
	return nil
}

// OptimizeForLatency sets the profile in which no message waits for others: the lowest p99.
func (m *PerformanceManager) OptimizeForLatency() { m.setProfile(ProfileLatency) }

// OptimizeForThroughput sets the profile with the fewest writes per event.
func (m *PerformanceManager) OptimizeForThroughput() { m.setProfile(ProfileThroughput) }

// OptimizeForMemory sets the profile that keeps and queues least.
func (m *PerformanceManager) OptimizeForMemory() { m.setProfile(ProfileMemory) }

// SetProfile sets any profile; ProfileBalanced is what the config says. The error is a *ConfigError
// for a name that is no profile.
func (m *PerformanceManager) SetProfile(p Profile) error { return m.optimizer.SetProfile(p) }

// setProfile is SetProfile for one there is.
func (m *PerformanceManager) setProfile(p Profile) { _ = m.optimizer.SetProfile(p) }

// Profile is the one chosen last. ProfileBalanced until one is.
func (m *PerformanceManager) Profile() Profile { return m.optimizer.Profile() }

// Tuning is what holds for every connection now, as the memory tier allows it.
func (m *PerformanceManager) Tuning() Tuning {
	m.mu.Lock()
	defer m.mu.Unlock()
	return restrain(m.tier, m.tuning)
}
