package tune

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// AdaptiveOptimizer turns the knobs of a Tuning by what a server or transport measures.
//
// It stands on two ladders, one from ProfileLatency over ProfileBalanced to ProfileThroughput, one
// to ProfileMemory. A decision is one step on one of them, for a cause that held all
// the while since the last; see docs/adr/0008-optimizer.md. All methods may be called from any goroutine.
type AdaptiveOptimizer struct {
	// Immutable.
	log   *slog.Logger
	apply func(Tuning)

	// Any goroutine, under changing, which is taken before mu and held until the hook has
	// returned: what was decided last is what holds.
	changing sync.Mutex

	// Any goroutine, under mu.
	mu        sync.Mutex
	cfg       OptimizerConfig
	enabled   bool
	now       Tuning
	ladders   ladders
	means     smoothed
	cause     cause     // what calls for a step
	since     time.Time // and since when without a pause
	moves     int
	decisions []Decision // the last ones, oldest first
}

// OptimizerConfig says what an optimizer starts from and what it holds to. Every zero is
// the default given beside it.
type OptimizerConfig struct {
	// Base is the host's own figures, those of ProfileBalanced. The zero value is Default().
	Base Tuning
	// Profile is where it starts and what it comes back to. "" is ProfileBalanced.
	Profile Profile
	// MaxLatency is the p99 above which it moves toward latency. 0 is 50 ms.
	MaxLatency time.Duration
	// MaxMemory is the budget in bytes, for the words of a reason alone. 0 is not known.
	MaxMemory int64
	// Dwell is the least time between two moves. 0 is 10 s; at least two Intervals.
	Dwell time.Duration
	// Interval is how often Observe is called. 0 is 1 s.
	Interval time.Duration
	// Keep is how many decisions are kept. 0 is 64.
	Keep int
	// Logger receives every decision. nil is slog.Default.
	Logger *slog.Logger
	// Apply is called with every change, in their order, and must call nothing that
	// changes the optimizer. nil is nobody.
	Apply func(Tuning)
}

// Observation is what was measured since the last one.
type Observation struct {
	// P99Latency is that of a message from Send until the kernel took it.
	P99Latency time.Duration
	// Measured tells that P99Latency was: false when no message was, or metrics are off.
	Measured bool
	// CPUFraction is the CPU time that the process used, as a fraction of what the
	// processors of GOMAXPROCS have. 0 is not known.
	CPUFraction float64
	// MemoryFraction is the memory in use as a fraction of the budget. 0 without a budget.
	MemoryFraction float64
	// WritesPerMessage is system calls per message that left.
	WritesPerMessage float64
	// MessagesPerSecond is the rate of messages that left.
	MessagesPerSecond float64
	// Connections is how many are open. It decides nothing and stands in the decision.
	Connections int
}

// Decision is one move of an AdaptiveOptimizer.
type Decision struct {
	At       time.Time
	From, To Tuning
	// Toward is the profile that the step leads to; on the way back, the one chosen.
	Toward Profile
	// Reason is a sentence with the smoothed figures that led to it and the limits they met.
	Reason string
	// Observation is the last one before the decision, as it came.
	Observation
}

// NewOptimizer returns an optimizer that is not enabled. Config and profile must
// have been checked.
func NewOptimizer(cfg OptimizerConfig) *AdaptiveOptimizer {
	if cfg.Base == (Tuning{}) {
		cfg.Base = Default()
	}
	if cfg.Interval <= 0 {
		cfg.Interval = time.Second
	}
	if cfg.Dwell <= 0 {
		cfg.Dwell = 10 * time.Second
	}
	cfg.Dwell = max(cfg.Dwell, 2*cfg.Interval)
	if cfg.Keep <= 0 {
		cfg.Keep = 64
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Apply == nil {
		cfg.Apply = func(Tuning) {}
	}
	a := &AdaptiveOptimizer{log: cfg.Logger, apply: cfg.Apply, cfg: cfg}
	a.resetToProfile()
	return a
}

// settle goes to where the profile stands and forgets what led elsewhere. Under mu.
func (a *AdaptiveOptimizer) resetToProfile() {
	if a.cfg.Profile == "" {
		a.cfg.Profile = ProfileBalanced
	}
	if a.cfg.MaxLatency <= 0 {
		a.cfg.MaxLatency = 50 * time.Millisecond
	}
	a.ladders = newLadders(a.cfg.Base, a.cfg.Profile)
	a.now = a.ladders.tuning()
	a.forget()
}

// forget drops the evidence: what was seen under other knobs says nothing about these. Under mu.
func (a *AdaptiveOptimizer) forget() { a.means, a.cause = smoothed{}, noCause }

// Enable lets the optimizer decide. It starts without evidence: the first move is a
// dwell away at least.
func (a *AdaptiveOptimizer) Enable() { a.setEnabled(true) }

// Disable stops it deciding. The knobs stay where they are; SetProfile brings them back.
func (a *AdaptiveOptimizer) Disable() { a.setEnabled(false) }

func (a *AdaptiveOptimizer) setEnabled(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.enabled != on {
		a.enabled = on
		a.forget()
	}
}

// Enabled tells whether it decides.
func (a *AdaptiveOptimizer) Enabled() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.enabled
}

// SetProfile turns the knobs to where p has them, at once, and makes that the place
// to come back to. It is no decision and no move. A *ConfigError means that p is none.
func (a *AdaptiveOptimizer) SetProfile(p Profile) error {
	if err := p.check(); err != nil {
		return err
	}
	a.change(func(cfg *OptimizerConfig) { cfg.Profile = p })
	return nil
}

// Rebase replaces what the optimizer starts from and holds to, and keeps the profile. The
// knobs go to where the profile has them.
func (a *AdaptiveOptimizer) Rebase(base Tuning, maxLatency time.Duration, maxMemory int64) {
	a.change(func(cfg *OptimizerConfig) {
		cfg.Base, cfg.MaxLatency, cfg.MaxMemory = base, maxLatency, maxMemory
	})
}

func (a *AdaptiveOptimizer) change(edit func(*OptimizerConfig)) {
	a.changing.Lock()
	defer a.changing.Unlock()
	a.mu.Lock()
	edit(&a.cfg)
	a.resetToProfile()
	t := a.now
	a.mu.Unlock()
	a.apply(t)
}

// Profile is the one chosen, which the knobs come back to.
func (a *AdaptiveOptimizer) Profile() Profile {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg.Profile
}

// Tuning is the figures that hold now.
func (a *AdaptiveOptimizer) Tuning() Tuning {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}

// Moves counts the decisions since the start.
func (a *AdaptiveOptimizer) Moves() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.moves
}

// Decisions are the last 64 decisions, oldest first. The slice is the caller's.
func (a *AdaptiveOptimizer) Decisions() []Decision {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Decision(nil), a.decisions...)
}

// Last is the last decision, false when there was none.
func (a *AdaptiveOptimizer) Last() (Decision, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.decisions) == 0 {
		return Decision{}, false
	}
	return a.decisions[len(a.decisions)-1], true
}

// Observe takes one observation and returns the figures that hold from now on, with the
// decision that led to them if there was one. Times must not go back. Not enabled, it
// decides nothing.
func (a *AdaptiveOptimizer) Observe(now time.Time, o Observation) (Tuning, *Decision) {
	a.changing.Lock()
	a.mu.Lock()
	d := a.step(now, o)
	t := a.now
	a.mu.Unlock()
	if d != nil {
		a.apply(t)
	}
	a.changing.Unlock()
	if d != nil {
		d.log(a.log)
	}
	return t, d
}

// step is Observe under mu.
func (a *AdaptiveOptimizer) step(now time.Time, o Observation) *Decision {
	if !a.enabled {
		return nil
	}
	// A gap in the observations is a gap in the evidence.
	if a.means.any && now.Sub(a.means.at) > 4*a.cfg.Interval {
		a.forget()
	}
	a.means.add(now, o, &a.cfg)
	c := a.firstCause()
	if c != a.cause {
		a.cause, a.since = c, now
		return nil
	}
	l, way := a.path(c)
	held := now.Sub(a.since)
	if c == noCause || held < a.holdTime(c, l, way) {
		return nil
	}
	d := &Decision{At: now, From: a.now, Observation: o}
	d.Toward, d.Reason = a.explain(c)
	d.Reason += " for " + held.Round(time.Second).String()
	// Twice the eased that leads back, or a load that comes and goes would pass.
	l.move(way, now, c.optional(), c.leadsHome(), 2*homeDwells*a.cfg.Dwell*time.Duration(l.backoff))
	a.now = a.ladders.tuning()
	d.To = a.now
	a.forget()
	a.moves++
	if len(a.decisions) == a.cfg.Keep {
		a.decisions = append(a.decisions[:0], a.decisions[1:]...)
	}
	a.decisions = append(a.decisions, *d)
	return d
}

// log writes the decision and every knob that it turned.
func (d *Decision) log(l *slog.Logger) {
	attrs := []slog.Attr{slog.String("toward", string(d.Toward)), slog.String("reason", d.Reason)}
	for i := range knobs {
		if k := &knobs[i]; k.get(&d.From) != k.get(&d.To) {
			attrs = append(attrs, k.attr(&d.From, &d.To))
		}
	}
	l.LogAttrs(context.Background(), slog.LevelInfo, "agloop: optimizer moved", attrs...)
}
