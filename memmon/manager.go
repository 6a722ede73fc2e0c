package memmon

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/bufpool"
)

// pace is the least time between two readings that growth asks for: a process that
// grows without pause pays for a thousand readings a second, well under 1 % of one core.
const pace = time.Millisecond

// never is a threshold that no count reaches.
const never = math.MaxInt64

// Config is what a MemoryManager is made of. The zero value watches the whole process
// against Limit and tells nobody but the log.
type Config struct {
	// Budget is what the process may use, in bytes. 0 or less is Limit at the moment of
	// each reading. A budget above Limit is taken as it is.
	Budget int64

	// Live is a cheap count of the bytes that vary most, for the whole process: what Check
	// is called with. nil is bufpool.Live. It is called once per reading.
	Live func() int64

	// Read takes a reading; nil is Read. Its Limit counts only when Budget is 0.
	Read func() Reading

	// OnChange is called after each change of tier, from the manager's goroutine, never
	// concurrently. While it runs no reading is taken. It must not call Start or Stop,
	// nor wait for somebody who does.
	OnChange func(Change)

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
// asked to or when Check or Note show growth. It must be made by NewMemoryManager. All
// methods may be called from any goroutine.
type MemoryManager struct {
	// Immutable.
	cfg     Config
	wake    chan struct{} // a reading is wanted now
	crossed chan struct{} // a threshold was crossed: a reading is wanted, at the pace
	quit    chan struct{}
	done    chan struct{}

	// Atomic. Read in every turn of every loop, written with each reading.
	checkAt  atomic.Int64 // the live count from which Check asks for a reading
	noteAt   atomic.Int64 // the same for noted
	tier     atomic.Uint32
	readings atomic.Uint64
	budget   atomic.Int64

	// Atomic, written by Note; the padding keeps its cache line to itself.
	_     [64]byte
	noted atomic.Int64
	_     [64]byte

	// Any goroutine, under mu.
	mu      sync.Mutex
	started bool
	stopped bool
	last    Reading

	// The manager's goroutine; before there is one, Start.
	at time.Time // of the last reading
}

// NewMemoryManager returns a manager that does nothing before Start.
func NewMemoryManager(cfg Config) *MemoryManager {
	if cfg.Live == nil {
		cfg.Live = bufpool.Live
	}
	if cfg.Read == nil {
		cfg.Read = Read
	}
	if cfg.OnChange == nil {
		cfg.OnChange = func(Change) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	m := &MemoryManager{
		cfg:     cfg,
		wake:    make(chan struct{}, 1),
		crossed: make(chan struct{}, 1),
		quit:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	m.budget.Store(cfg.Budget)
	m.disarm()
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
		change, changed := m.take()
		go m.run(change, changed)
	}
}

// Stop ends the manager's goroutine and returns when it has gone, which may have to wait
// for a reading or for OnChange. The last figures stay readable. It may be called again.
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

// GetMemoryPressure is the usage at the last reading in percent of the budget. It
// exceeds 100 when the budget is overdrawn, and is 0 before Start and without a limit.
func (m *MemoryManager) GetMemoryPressure() float64 { return m.Last().percent() }

// GetMonitoringInterval is the time to the next reading if nothing asks for one earlier.
func (m *MemoryManager) GetMonitoringInterval() time.Duration { return m.Tier().Interval() }

// GetMemoryUsage is Reading.Total at the last reading, in bytes; 0 before Start.
func (m *MemoryManager) GetMemoryUsage() int64 { return m.Last().Total }

// Tier is the tier since the last reading. It costs one atomic load.
func (m *MemoryManager) Tier() Tier { return Tier(m.tier.Load()) }

// Last is the last reading, its Limit the budget it was held against; zero before Start.
func (m *MemoryManager) Last() Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// Readings is the number of readings since Start.
func (m *MemoryManager) Readings() uint64 { return m.readings.Load() }

// SetBudget replaces Config.Budget, with the same meaning of 0, and triggers a reading.
func (m *MemoryManager) SetBudget(bytes int64) {
	m.budget.Store(bytes)
	m.Trigger()
}

// Trigger asks for a reading at once and returns. All that ask before it begins get the
// same one. The interval starts anew with it.
func (m *MemoryManager) Trigger() { signal(m.wake) }

// Check compares live, the count of the whole process as Config.Live has it, with the
// threshold of the last reading and asks for a reading when it was reached: at once, or
// a millisecond after the last one. Below it costs one atomic load.
//
// A loop that knows only its own bytes uses Note.
func (m *MemoryManager) Check(live int64) {
	if live >= m.checkAt.Load() {
		m.cross()
	}
}

// Note adds delta to the bytes that count beside Config.Live, and asks for a reading as
// Check does. It costs an atomic addition on a cache line that all callers share: a loop
// calls it once per turn with what changed in it, not per message. Bytes that Config.Live
// counts as well ask too early, nothing worse.
func (m *MemoryManager) Note(delta int64) {
	if m.noted.Add(delta) >= m.noteAt.Load() {
		m.cross()
	}
}

// cross asks for a reading. The thresholds go first, so that those who come after the
// first pay one load again; the reading, which always follows the signal, sets new ones.
func (m *MemoryManager) cross() {
	m.disarm()
	signal(m.crossed)
}

func (m *MemoryManager) disarm() {
	m.checkAt.Store(never)
	m.noteAt.Store(never)
}

// run is the manager's goroutine.
func (m *MemoryManager) run(change Change, changed bool) {
	defer close(m.done)
	defer m.disarm()
	timer := time.NewTimer(m.Tier().Interval())
	defer timer.Stop()
	for {
		if changed {
			m.tell(change)
			changed = false // a turn that only waits for the pace tells nothing
		}
		select {
		case <-m.quit:
			return
		case <-m.wake:
		case <-timer.C:
		case <-m.crossed:
			if wait := pace - time.Since(m.at); wait > 0 {
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
		change, changed = m.take()
		timer.Reset(m.Tier().Interval())
	}
}

// take takes a reading, settles the tier and sets the thresholds.
func (m *MemoryManager) take() (Change, bool) {
	// Whoever asked up to here is served by this reading; whoever asks from here on may
	// have seen what it missed.
	drain(m.wake)
	drain(m.crossed)
	// Counted before the reading: bytes that appear meanwhile count as growth.
	live, noted := m.cfg.Live(), m.noted.Load()
	m.at = time.Now()
	r := m.cfg.Read()
	if budget := m.budget.Load(); budget > 0 {
		r.Limit = budget
	}
	from := m.Tier()
	to := from.next(r.percent())

	m.mu.Lock()
	m.last = r
	m.mu.Unlock()
	m.tier.Store(uint32(to))
	m.arm(live, noted, to, r)
	m.readings.Add(1)
	return Change{From: from, To: to, Reading: r, At: m.at}, from != to
}

// arm sets the thresholds: each count may take half of the room to the next tier. They
// may grow together, and the runtime maps more than what lives, for garbage comes with
// it. A step is at least a thousandth of the budget, or readings would crowd
// before a boundary.
func (m *MemoryManager) arm(live, noted int64, t Tier, r Reading) {
	room := t.room(r)
	if room == never {
		m.disarm()
		return
	}
	step := max(room/2, r.Limit>>10, 1)
	m.checkAt.Store(live + step)
	m.noteAt.Store(noted + step)
}

// tell reports a change of tier.
func (m *MemoryManager) tell(c Change) {
	level := slog.LevelInfo
	if c.To > c.From {
		level = slog.LevelWarn
	}
	m.cfg.Logger.LogAttrs(context.Background(), level, "agloop: memory tier changed",
		slog.String("from", c.From.String()), slog.String("to", c.To.String()),
		slog.Float64("pressure_percent", c.Reading.percent()),
		slog.Int64("total_bytes", c.Reading.Total), slog.Int64("budget_bytes", c.Reading.Limit))
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
