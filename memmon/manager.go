package memmon

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// pace is the least time between two readings that growth asks for: a process that
// grows without pause pays for a thousand readings a second, well under 1 % of one core.
const minReadingInterval = time.Millisecond

// Config is what a MemoryManager is made of. The zero value watches the process against
// Limit and tells nobody but the log.
type Config struct {
	// Budget is what agloop may hold, in bytes. 0 or less is Limit at the moment of each
	// reading. A budget above Limit is taken as it is.
	Budget int64

	// InOut counts what connections hold in and out together. It has no other manager. nil
	// is a ledger in which nobody writes.
	InOut *Ledger

	// Read takes a reading of the process; nil is Read.
	Read func() Reading

	// Collect collects garbage and returns what is free to the system; nil is
	// debug.FreeOSMemory. It is called by Start and by the manager's goroutine, at most
	// once in two seconds, and not for more than a tenth of the time.
	Collect func()

	// OnChange is called after each change of tier, from the manager's goroutine, never
	// concurrently. While it runs no reading is taken. It must not call Start or Stop,
	// nor wait for somebody who does.
	OnChange func(Change)

	// OnOverdrawn is called after each reading in which InOut exceeds its share of the
	// budget, Reading.Share, and says by how many bytes. It is called as OnChange is, and
	// after it. When it brings InOut down a reading follows at once.
	OnOverdrawn func(excess int64)

	// Logger receives a line for each change of tier: a warning upward, information
	// downward. nil is slog.Default.
	Logger *slog.Logger
}

// Change is the step from one tier to another, which need not be its neighbour.
type Change struct {
	From, To Tier
	Reading  Reading // the one that showed it
	At       time.Time
}

// MemoryManager takes readings at the interval of the tier it is in, and earlier when
// asked to or when its ledger shows growth. It must be made by NewMemoryManager. All
// methods may be called from any goroutine.
type MemoryManager struct {
	// Immutable.
	cfg       Config
	triggered chan struct{} // a reading is wanted now
	grown     chan struct{} // the ledger grew: a reading is wanted, at the pace
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

// Start takes the first reading before it returns, so that every figure is true from here
// on, and starts the manager's goroutine, which tells OnChange of it. A second Start and
// one after Stop do nothing.
func (m *MemoryManager) Start() {
	m.mu.Lock()
	idle := !m.started && !m.stopped
	m.started = m.started || idle
	m.mu.Unlock()
	if idle {
		go m.run(m.evaluate())
	}
}

// Stop ends the manager's goroutine and returns when it has gone, which may have to wait
// for a reading or for a callback. The last figures stay readable. It may be called again.
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

// GetMemoryPressure is Reading.Pressure at the last reading in percent: the greater of
// what is held in percent of the budget, and of the live heap in percent of the process's
// limit. It exceeds 100 when the budget is overdrawn, and is 0 before Start and without a limit.
func (m *MemoryManager) GetMemoryPressure() float64 { return m.Last().pressurePercent() }

// GetMonitoringInterval is the time from the last reading to the next if nothing asks for
// one earlier: that of the tier, or less while garbage or an overdrawn share is looked after.
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

// Now takes a reading for the caller alone: nothing is decided by it.
func (m *MemoryManager) Now() Reading { return m.complete(m.cfg.InOut.Total()) }

// SetBudget replaces Config.Budget, with the same meaning of 0, and triggers a reading.
func (m *MemoryManager) SetBudget(bytes int64) {
	m.budget.Store(bytes)
	m.Trigger()
}

// Trigger asks for a reading at once and returns. All that ask before it begins get the
// same one. The interval starts anew with it.
func (m *MemoryManager) Trigger() { signal(m.triggered) }

// verdict is what came of a reading.
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
		v = verdict{} // a turn that only waits for the pace tells nothing
		select {
		case <-m.quit:
			return
		case <-m.triggered:
		case <-timer.C:
		case <-m.grown:
			if wait := minReadingInterval - time.Since(m.at); wait > 0 {
				// Sooner than the interval's end, since every interval is longer.
				timer.Reset(wait)
				continue
			}
		}
		select {
		case <-m.quit: // was ready together with another
			return
		default:
		}
		v = m.evaluate()
		timer.Reset(m.GetMonitoringInterval())
	}
}

// act tells those whom it concerns.
func (m *MemoryManager) report(v verdict) {
	if v.changed {
		m.reportChange(v.Change)
	}
	if v.excess == 0 {
		return
	}
	m.cfg.OnOverdrawn(v.excess)
	if m.cfg.InOut.Total() < v.Reading.InOut {
		signal(m.grown) // the thresholds and the tier are those of what is held no more
	}
}

// take takes a reading, settles the tier and sets the thresholds.
func (m *MemoryManager) evaluate() verdict {
	// Whoever asked up to here is served by this reading; whoever asks from here on may
	// have seen what it missed.
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

// look marks the ledger and reads. The ledger comes first: bytes that appear meanwhile
// count as growth.
func (m *MemoryManager) takeReading() Reading { return m.complete(m.cfg.InOut.snapshot(&m.counted)) }

// complete reads the process and adds what the ledger says.
func (m *MemoryManager) complete(inOut int64) Reading {
	r := m.cfg.Read()
	r.Held, r.InOut, r.Budget = inOut, inOut, r.Limit
	if budget := m.budget.Load(); budget > 0 {
		r.Budget = budget
	}
	return r
}

// interval is the time to the next reading: that of the tier, unless garbage must be
// looked after, or an overdrawn share.
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

// arm sets the thresholds. Any of the stripes may grow, or all of them, so each may take
// its part of the room. A step is at least a part of the limits that all stripes together
// overshoot by less than half a percent, or readings would crowd before a boundary.
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

// room is the number of bytes by which what is held may grow before a reading would show
// something new: the next tier, the share exceeded, or so much mapped that garbage must go.
func (r Reading) headroom(t Tier) int64 {
	room := t.headroom(r)
	if r.Budget > 0 {
		share := r.Share()
		if r.InOut <= share {
			room = min(room, share-r.InOut+1)
		} else {
			room = min(room, share/4+1) // and then again
		}
	}
	if r.Limit > 0 && r.mappedPercent() < collectAt {
		room = min(room, bytesAt(collectAt, r.Limit)-r.Total)
	}
	return room
}

// tell reports a change of tier.
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

// signal leaves one token in a channel that holds one.
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
