package memmon

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// minReadingInterval is the least time between two readings that growth asks for. A process that
// grows all the time then takes a thousand readings a second, which is well under 1 % of one core.
const minReadingInterval = time.Millisecond

// Config is what a MemoryManager is made of. The zero value compares the process with Limit and
// only logs changes.
type Config struct {
	// Budget is what agloop may hold, in bytes. 0 or less is Limit at the moment of each reading. A
	// budget above Limit is taken as it is.
	Budget int64

	// InOut counts what connections hold in and out together. It has no other manager. nil is a
	// ledger in which nobody writes.
	InOut *Ledger

	// Read takes a reading of the process; nil is Read.
	Read func() Reading

	// Collect collects garbage and returns free memory to the system; nil is debug.FreeOSMemory. It
	// is called by Start and by the manager's goroutine, at most once in two seconds and for at
	// most a tenth of the time.
	Collect func()

	// OnChange is called after each change of tier, from the manager's goroutine and never
	// concurrently. No reading is taken while it runs. It must not call Start or Stop, nor wait for
	// a goroutine that does. nil is no call.
	OnChange func(Change)

	// OnOverdrawn is called after each reading in which InOut exceeds its share of the budget,
	// Reading.Share, with the excess in bytes. It is called as OnChange is, and after it. When it
	// reduces InOut, another reading follows at once. nil is no call.
	OnOverdrawn func(excess int64)

	// Logger receives a line for each change of tier: a warning upward, information downward. nil
	// is slog.Default.
	Logger *slog.Logger
}

// Change is the step from one tier to another, which need not be its neighbour.
type Change struct {
	From, To Tier
	Reading  Reading // the one that showed it
	At       time.Time
}

// MemoryManager takes readings at the interval of the tier it is in, and earlier when asked to or
// when its ledger shows growth. It must be made by NewMemoryManager. All methods may be called from
// any goroutine.
type MemoryManager struct {
	// Immutable.
	cfg       Config
	triggered chan struct{} // a reading is wanted now
	grown     chan struct{} // a reading is wanted, minReadingInterval after the last
	quit      chan struct{}
	done      chan struct{}

	// Atomic, written with each reading.
	tier        atomic.Uint32
	interval    atomic.Int64 // nanoseconds
	readings    atomic.Uint64
	collections atomic.Uint64
	budget      atomic.Int64

	// Any goroutine, under mu.
	mu      sync.Mutex
	started bool
	stopped bool
	last    Reading

	// The manager's goroutine; before there is one, Start.
	at          time.Time    // of the last reading
	counted     stripeCounts // the ledger just before it
	collected   time.Time
	collectWait time.Duration // from collected to the next collection
}

// NewMemoryManager returns a manager that does nothing before Start.
func NewMemoryManager(cfg Config) *MemoryManager {
	if cfg.InOut == nil {
		cfg.InOut = NewLedger()
	}
	if cfg.Read == nil {
		cfg.Read = Read
	}
	if cfg.Collect == nil {
		cfg.Collect = collectGarbage
	}
	if cfg.OnChange == nil {
		cfg.OnChange = func(Change) {}
	}
	if cfg.OnOverdrawn == nil {
		cfg.OnOverdrawn = func(int64) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	m := &MemoryManager{
		cfg:       cfg,
		triggered: make(chan struct{}, 1),
		grown:     make(chan struct{}, 1),
		quit:      make(chan struct{}),
		done:      make(chan struct{}),
	}
	m.budget.Store(cfg.Budget)
	m.interval.Store(int64(Normal.Interval()))
	edge := func() { signal(m.grown) }
	cfg.InOut.onThreshold.Store(&edge)
	return m
}

// Start takes the first reading before it returns, so that every figure is known from here on, and
// starts the manager's goroutine, which calls OnChange for it. A second Start and one after Stop do
// nothing.
func (m *MemoryManager) Start() {
	m.mu.Lock()
	idle := !m.started && !m.stopped
	m.started = m.started || idle
	m.mu.Unlock()
	if idle {
		go m.run(m.evaluate())
	}
}

// Stop ends the manager's goroutine and waits for its end, which may mean waiting for a reading or
// a callback. The last figures stay readable. It may be called again.
func (m *MemoryManager) Stop() {
	m.mu.Lock()
	if !m.stopped {
		m.stopped = true
		close(m.quit)
	}
	started := m.started
	m.mu.Unlock()
	if started {
		<-m.done
	}
}

// GetMemoryPressure is Reading.Pressure at the last reading in percent: the greater of what is held
// in percent of the budget, and of the live heap in percent of the process's limit. It exceeds 100
// when the budget is overdrawn, and is 0 before Start and without a limit.
func (m *MemoryManager) GetMemoryPressure() float64 { return m.Last().pressurePercent() }

// GetMonitoringInterval is the time from the last reading to the next if nothing asks for one
// earlier: that of the tier, or less while much is mapped or the share of InOut is exceeded.
func (m *MemoryManager) GetMonitoringInterval() time.Duration {
	return time.Duration(m.interval.Load())
}

// GetMemoryUsage is Reading.Total at the last reading, in bytes; 0 before Start.
func (m *MemoryManager) GetMemoryUsage() int64 { return m.Last().Total }

// Tier is the tier since the last reading. It costs one atomic load.
func (m *MemoryManager) Tier() Tier { return Tier(m.tier.Load()) }

// Last is the last reading; zero before Start.
func (m *MemoryManager) Last() Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// Readings is the number of readings since Start.
func (m *MemoryManager) Readings() uint64 { return m.readings.Load() }

// Collections is how often garbage was collected since Start.
func (m *MemoryManager) Collections() uint64 { return m.collections.Load() }

// Now takes a reading and changes nothing by it: neither tier nor thresholds.
func (m *MemoryManager) Now() Reading { return m.complete(m.cfg.InOut.Total()) }

// SetBudget replaces Config.Budget, with the same meaning of 0, and triggers a reading.
func (m *MemoryManager) SetBudget(bytes int64) {
	m.budget.Store(bytes)
	m.Trigger()
}

// Trigger asks for a reading at once and returns without waiting for it. Calls before the reading
// begins share it. The interval begins again with it.
func (m *MemoryManager) Trigger() { signal(m.triggered) }

// verdict is the result of a reading.
type verdict struct {
	Change
	changed bool
	excess  int64 // beyond the share, in bytes
}

// run is the manager's goroutine.
func (m *MemoryManager) run(v verdict) {
	defer close(m.done)
	defer m.cfg.InOut.clearThresholds()
	timer := time.NewTimer(m.GetMonitoringInterval())
	defer timer.Stop()
	for {
		m.report(v)
		v = verdict{} // the turn may end without a reading
		select {
		case <-m.quit:
			return
		case <-m.triggered:
		case <-timer.C:
		case <-m.grown:
			if wait := minReadingInterval - time.Since(m.at); wait > 0 {
				// This makes the timer earlier, because every interval is longer.
				timer.Reset(wait)
				continue
			}
		}
		select {
		case <-m.quit: // select picks at random among the channels that are ready
			return
		default:
		}
		v = m.evaluate()
		timer.Reset(m.GetMonitoringInterval())
	}
}

// report calls the callbacks that v asks for.
func (m *MemoryManager) report(v verdict) {
	if v.changed {
		m.reportChange(v.Change)
	}
	if v.excess == 0 {
		return
	}
	m.cfg.OnOverdrawn(v.excess)
	if m.cfg.InOut.Total() < v.Reading.InOut {
		signal(m.grown) // tier and thresholds still belong to what was held before the callback
	}
}

// evaluate takes a reading, decides the tier by it and sets the thresholds.
func (m *MemoryManager) evaluate() verdict {
	// This reading serves all requests up to here. Later requests may be for bytes that it has
	// missed.
	drain(m.triggered)
	drain(m.grown)
	m.at = time.Now()
	r := m.takeReading()
	if m.mustCollect(r) {
		m.collect()
		r = m.takeReading()
	}
	from := m.Tier()
	to := from.next(r.pressurePercent())

	m.mu.Lock()
	m.last = r
	m.mu.Unlock()
	m.tier.Store(uint32(to))
	m.interval.Store(int64(r.interval(to)))
	m.setThresholds(to, r)
	m.readings.Add(1)
	return verdict{Change{From: from, To: to, Reading: r, At: m.at}, from != to, r.excess()}
}

// takeReading notes the counts of the ledger and reads. The ledger comes first, so that bytes added
// meanwhile count as growth.
func (m *MemoryManager) takeReading() Reading { return m.complete(m.cfg.InOut.snapshot(&m.counted)) }

// complete reads the process and adds the count of the ledger.
func (m *MemoryManager) complete(inOut int64) Reading {
	r := m.cfg.Read()
	r.Held, r.InOut, r.Budget = inOut, inOut, r.Limit
	if budget := m.budget.Load(); budget > 0 {
		r.Budget = budget
	}
	return r
}

// interval is the time to the next reading: that of the tier, or less while much is mapped or the
// share of InOut is exceeded.
func (r Reading) interval(t Tier) time.Duration {
	d := t.Interval()
	if r.mappedPercent() >= collectAt {
		d = min(d, max(collectInterval, Normal.next(r.mappedPercent()).Interval()))
	}
	if r.excess() > 0 {
		d = min(d, Critical.Interval())
	}
	return d
}

// setThresholds sets the thresholds of the ledger. All stripes may grow at once, so each gets an
// equal part of the headroom. A step is at least 1/4096 of the limit, or readings would follow each
// other ever faster before a boundary; so all stripes together may exceed it by less than half a
// percent.
func (m *MemoryManager) setThresholds(t Tier, r Reading) {
	room := r.headroom(t)
	if room == noThreshold {
		m.cfg.InOut.clearThresholds()
		return
	}
	least := r.Budget
	if r.Limit > 0 {
		least = min(least, r.Limit)
	}
	m.cfg.InOut.setThresholds(&m.counted, max(room/stripeCount, least>>12, 1))
}

// headroom is the number of bytes that may be added before a reading would find something new: the
// next tier, the share exceeded, or collectAt percent mapped.
func (r Reading) headroom(t Tier) int64 {
	room := t.headroom(r)
	if r.Budget > 0 {
		share := r.Share()
		if r.InOut <= share {
			room = min(room, share-r.InOut+1)
		} else {
			room = min(room, share/4+1) // OnOverdrawn again after each quarter of the share
		}
	}
	if r.Limit > 0 && r.mappedPercent() < collectAt {
		room = min(room, bytesAt(collectAt, r.Limit)-r.Total)
	}
	return room
}

// reportChange logs a change of tier and calls OnChange.
func (m *MemoryManager) reportChange(c Change) {
	level := slog.LevelInfo
	if c.To > c.From {
		level = slog.LevelWarn
	}
	r := c.Reading
	m.cfg.Logger.LogAttrs(context.Background(), level, "agloop: memory tier changed",
		slog.String("from", c.From.String()), slog.String("to", c.To.String()),
		slog.Float64("pressure_percent", r.pressurePercent()),
		slog.Int64("held_bytes", r.Held), slog.Int64("budget_bytes", r.Budget),
		slog.Int64("live_bytes", r.Live), slog.Int64("total_bytes", r.Total), slog.Int64("limit_bytes", r.Limit))
	m.cfg.OnChange(c)
}

// signal sends on a channel of capacity 1, unless it is full.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}
