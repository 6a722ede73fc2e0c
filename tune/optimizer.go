package tune

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// AdaptiveOptimizer changes the figures of a Tuning by what a server or transport measures.
//
// It moves on two ladders, one from ProfileLatency over ProfileBalanced to ProfileThroughput and
// one to ProfileMemory. A decision is one step on one of them, for a cause that has held for a time
// without a pause; see docs/adr/0008-optimizer.md. It must be made by NewOptimizer. All methods may
// be called from any goroutine.
type AdaptiveOptimizer struct {
	// Immutable.
	log   *slog.Logger
	apply func(Tuning)

	// changing is locked before mu and until apply has returned, so that changes are applied in the
	// order of the decisions.
	changing sync.Mutex

	// Any goroutine, under mu.
	mu        sync.Mutex
	cfg       OptimizerConfig
	enabled   bool
	now       Tuning
	ladders   ladders
	means     smoothed
	cause     cause     // of the next step
	since     time.Time // when cause began to hold
	moves     int
	decisions []Decision // the last ones, oldest first
}

// OptimizerConfig says what an optimizer starts from and which limits it keeps. Every zero is the
// default given beside it.
type OptimizerConfig struct {
	// Base is the figures of ProfileBalanced, as the host has set them. The zero value is
	// Default().
	Base Tuning
	// Profile is where it starts and where it returns to. "" is ProfileBalanced.
	Profile Profile
	// MaxLatency is the p99 above which it moves toward latency. 0 is 50 ms.
	MaxLatency time.Duration
	// MaxMemory is the budget in bytes. It stands in reasons and decides nothing. 0 is not known.
	MaxMemory int64
	// Dwell is the least time between two moves. 0 is 10 s; at least two Intervals.
	Dwell time.Duration
	// Interval is how often Observe is called. 0 is 1 s.
	Interval time.Duration
	// Keep is how many decisions are kept. 0 is 64.
	Keep int
	// Logger receives every decision. nil is slog.Default.
	Logger *slog.Logger
	// Apply is called with every change, in order, by the goroutine that caused it. It must not
	// call a method that changes the optimizer. nil is no call.
	Apply func(Tuning)
}

// Observation is what was measured since the observation before.
type Observation struct {
	// P99Latency is the 99th percentile of the time from Send until the kernel has the message.
	P99Latency time.Duration
	// Measured reports whether P99Latency is known: false without messages or with metrics off.
	Measured bool
	// CPUFraction is the CPU time that the process used, as a fraction of what the processors of
	// GOMAXPROCS have. 0 is not known.
	CPUFraction float64
	// MemoryFraction is the memory in use as a fraction of the budget. 0 without a budget.
	MemoryFraction float64
	// WritesPerMessage is the write calls for frames, divided by the frames sent. It is 1 when
	// every message has a write of its own. Wakes of goroutines and other system calls are not in
	// it.
	WritesPerMessage float64
	// MessagesPerSecond is the rate of messages sent.
	MessagesPerSecond float64
	// Connections is how many are open. It stands in the decision and decides nothing.
	Connections int
}

// Decision is one move of an AdaptiveOptimizer.
type Decision struct {
	At       time.Time
	From, To Tuning
	// Toward is the profile that the step leads to; on the way home, the one that was chosen.
	Toward Profile
	// Reason is a sentence with the smoothed figures that led to it and the limits they passed.
	Reason string
	// Observation is the last one before the decision, not smoothed.
	Observation
}

// NewOptimizer returns an optimizer that is not enabled. The caller must have checked that the
// profile and the figures are valid.
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

// resetToProfile returns to the figures of the profile and drops the evidence. Under mu.
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

// forget drops the evidence, because it was measured under other figures than those from now on.
// Under mu.
func (a *AdaptiveOptimizer) forget() { a.means, a.cause = smoothed{}, noCause }

// Enable lets the optimizer decide. It starts without evidence, so the first move comes after one
// Dwell at the earliest.
func (a *AdaptiveOptimizer) Enable() { a.setEnabled(true) }

// Disable stops the decisions. The figures stay as they are; SetProfile resets them.
func (a *AdaptiveOptimizer) Disable() { a.setEnabled(false) }

func (a *AdaptiveOptimizer) setEnabled(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.enabled != on {
		a.enabled = on
		a.forget()
	}
}

// Enabled reports whether the optimizer decides.
func (a *AdaptiveOptimizer) Enabled() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.enabled
}

// SetProfile applies the figures of p at once, and the optimizer returns to them from then on. It
// is counted neither as a decision nor as a move. The error is a *ConfigError when p is no profile.
func (a *AdaptiveOptimizer) SetProfile(p Profile) error {
	if err := p.check(); err != nil {
		return err
	}
	a.change(func(cfg *OptimizerConfig) { cfg.Profile = p })
	return nil
}

// Rebase replaces OptimizerConfig's Base, MaxLatency and MaxMemory and applies the figures that the
// present profile has with them.
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

// Profile is the profile that was chosen, to which the optimizer returns.
func (a *AdaptiveOptimizer) Profile() Profile {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg.Profile
}

// Tuning is the figures that were applied last.
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

// Decisions returns the last decisions, oldest first, at most OptimizerConfig.Keep. The slice is a
// copy.
func (a *AdaptiveOptimizer) Decisions() []Decision {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Decision(nil), a.decisions...)
}

// Last returns the last decision, or false when there was none.
func (a *AdaptiveOptimizer) Last() (Decision, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.decisions) == 0 {
		return Decision{}, false
	}
	return a.decisions[len(a.decisions)-1], true
}

// Observe adds one observation and returns the figures from now on, with the decision that changed
// them or nil. now must not be before that of the call before. While the optimizer is not enabled
// it decides nothing.
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
	// A cause must hold without a pause, and nothing is known about a gap in the observations.
	if a.means.any && now.Sub(a.means.at) > 4*a.cfg.Interval {
		a.forget()
	}
	a.means.add(now, o, &a.cfg)
	c := a.firstCause()
	if c != a.cause {
		a.cause, a.since = c, now
		return nil
	}
	l, steps := a.path(c)
	held := now.Sub(a.since)
	if c == noCause || held < a.holdTime(c, l, steps) {
		return nil
	}
	d := &Decision{At: now, From: a.now, Observation: o}
	d.Toward, d.Reason = a.explain(c)
	d.Reason += " for " + held.Round(time.Second).String()
	// Probation is twice the time that a move home takes, so that a load which comes and goes does
	// not make an optional move look right.
	l.move(steps, now, c.optional(), c.leadsHome(), 2*homeDwells*a.cfg.Dwell*time.Duration(l.backoff))
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

// log logs the decision with every knob that it changed.
func (d *Decision) log(l *slog.Logger) {
	attrs := []slog.Attr{slog.String("toward", string(d.Toward)), slog.String("reason", d.Reason)}
	for i := range knobs {
		if k := &knobs[i]; k.get(&d.From) != k.get(&d.To) {
			attrs = append(attrs, k.attr(&d.From, &d.To))
		}
	}
	l.LogAttrs(context.Background(), slog.LevelInfo, "agloop: optimizer moved", attrs...)
}
