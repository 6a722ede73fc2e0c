package tune

import (
	"fmt"
	"math"
	"time"
)

// cause is a rule whose condition is met. A smaller one has precedence.
type cause uint8

const (
	noCause cause = iota
	memoryHigh
	latencyHigh
	writesHigh
	memoryEased
	windowEased
)

// optional reports whether nothing forces the move, so that it may wait longer.
func (c cause) optional() bool { return c >= writesHigh }

// leadsHome reports whether the move leads back to the chosen profile.
func (c cause) leadsHome() bool { return c >= memoryEased }

const (
	memoryLimit      = 0.80 // of the budget
	memoryEasedLimit = 0.70
	writesLimit      = 0.5    // writes per message
	busyRate         = 1000.0 // messages a second; below, saving writes is not worth latency
	// slackPart is the part of MaxLatency below which p99 must be before a step may lengthen it. A
	// step changes a window by less than four times, so it cannot exceed the limit by itself.
	slackPart  = 0.25
	cpuLimit   = 0.85 // above, p99 comes from a lack of CPU, and more writes make it longer
	windowPart = 0.5  // of MaxLatency, which the window may take when CPU is short
	hysteresis = 0.94 // a condition that is met stays met down to this part of its limit
	homeDwells = 4    // how many times longer a cause must hold that leads home
)

// firstCause is the first rule whose condition is met and that has a step left.
func (a *AdaptiveOptimizer) firstCause() cause {
	for c := memoryHigh; c <= windowEased; c++ {
		if a.isMet(c) {
			if _, steps := a.path(c); steps != 0 {
				return c
			}
		}
	}
	return noCause
}

func (a *AdaptiveOptimizer) isMet(c cause) bool {
	s, most, part := &a.means, a.cfg.MaxLatency.Seconds(), 1.0
	if a.cause == c {
		part = hysteresis
	}
	slack := a.hasSlack()
	switch c {
	case memoryHigh:
		return s.memory > part*memoryLimit
	case latencyHigh:
		return !s.latencyUnknown && !a.cpuShort() && s.p99 > part*most
	case writesHigh:
		return (slack || !s.latencyUnknown && a.cpuShort() && a.windowsFit()) && s.messages > part*busyRate && s.writes > part*writesLimit*s.messages
	case memoryEased:
		return s.memory < memoryEasedLimit
	case windowEased:
		// Writes per message do not count, because the larger window itself has lowered them.
		return a.ladders.window.at < a.ladders.window.home && slack || a.ladders.window.at > a.ladders.window.home && s.messages < busyRate/2
	}
	return false
}

// hasSlack reports whether p99 is known and far enough below its limit for a longer window.
func (a *AdaptiveOptimizer) hasSlack() bool {
	return !a.means.latencyUnknown && a.means.p99 < slackPart*a.cfg.MaxLatency.Seconds()
}

// cpuShort reports whether the process lacks CPU.
func (a *AdaptiveOptimizer) cpuShort() bool {
	part := 1.0
	if a.cause == writesHigh {
		part = hysteresis
	}
	return a.means.cpu > part*cpuLimit
}

// windowsFit reports whether the window after the next step toward throughput is at most windowPart
// of MaxLatency. With a longer one p99 would stay above its limit and the step would be undone.
func (a *AdaptiveOptimizer) windowsFit() bool {
	l, steps := a.path(writesHigh)
	l.at += steps
	t := a.ladders.tuning()
	l.at -= steps
	return max(t.MessageBatchTimeout, 0) <= time.Duration(windowPart*float64(a.cfg.MaxLatency))
}

// path returns the ladder that a cause moves on, and the steps to the next rung that changes a
// figure; 0 when there is none.
func (a *AdaptiveOptimizer) path(c cause) (l *ladder, steps int) {
	l, end := &a.ladders.window, a.ladders.window.home
	switch c {
	case memoryHigh:
		l, end = &a.ladders.memory, a.ladders.memory.high
	case memoryEased:
		l, end = &a.ladders.memory, a.ladders.memory.home
	case latencyHigh:
		end = a.ladders.window.low
	case writesHigh:
		end = a.ladders.window.high
	}
	return l, a.ladders.stepsToward(l, end)
}

// holdTime is how long a cause must hold before the move.
func (a *AdaptiveOptimizer) holdTime(c cause, l *ladder, steps int) time.Duration {
	need := a.cfg.Dwell
	switch {
	case c.leadsHome():
		need *= homeDwells
	case l.reverses(steps):
		need *= 2
	}
	if c.optional() {
		need *= time.Duration(l.backoff)
	}
	return need
}

// explain returns the profile that a cause leads to, and a sentence with the smoothed figures.
func (a *AdaptiveOptimizer) explain(c cause) (Profile, string) {
	s, most := &a.means, a.cfg.MaxLatency
	p99 := time.Duration(s.p99 * float64(time.Second)).Round(10 * time.Microsecond)
	budget := "the budget"
	if a.cfg.MaxMemory > 0 {
		budget += fmt.Sprintf(" of %d bytes", a.cfg.MaxMemory)
	}
	slack := fmt.Sprintf("p99 %v, below a quarter of MaxLatency %v,", p99, most)
	memory := fmt.Sprintf("memory at %.0f %% of %s", 100*s.memory, budget)
	switch {
	case c == memoryHigh:
		return ProfileMemory, fmt.Sprintf("%s, above %.0f %%,", memory, 100*memoryLimit)
	case c == latencyHigh:
		return ProfileLatency, fmt.Sprintf("p99 %v, above MaxLatency %v,", p99, most)
	case c == writesHigh:
		why := slack
		if !a.hasSlack() {
			why = fmt.Sprintf("CPU at %.0f %%, above %.0f %%,", 100*s.cpu, 100*cpuLimit)
		}
		return ProfileThroughput, fmt.Sprintf("%.2f writes per message, above %v, at more than %v messages/s, and %s",
			s.writes/s.messages, writesLimit, busyRate, why)
	case c == memoryEased:
		return a.cfg.Profile, fmt.Sprintf("back: %s, below %.0f %%,", memory, 100*memoryEasedLimit)
	case a.ladders.window.at < a.ladders.window.home:
		return a.cfg.Profile, "back: " + slack
	}
	return a.cfg.Profile, fmt.Sprintf("back: %.0f messages/s, below %v,", s.messages, busyRate/2)
}

// smoothed is exponential means of the observations, with half a dwell as time constant. A value
// counts as at most four times its limit, so that one extreme second does not decide.
type smoothed struct {
	any            bool
	latencyUnknown bool // the last observation had messages but no measured latency
	at             time.Time

	p99, memory, cpu, messages, writes float64 // seconds, fractions, and rates per second
}

func (s *smoothed) add(now time.Time, o Observation, cfg *OptimizerConfig) {
	weight := 1.0
	if s.any {
		weight = 1 - math.Exp(-2*max(now.Sub(s.at).Seconds(), 0)/cfg.Dwell.Seconds())
	}
	mean := func(m *float64, v, limit float64) float64 {
		if !(v > 0) { // negative, or NaN
			v = 0
		}
		v = min(v, 4*limit)
		*m += weight * (v - *m)
		return v
	}
	// An observation without messages has no latency, which counts as 0.
	if s.latencyUnknown = o.MessagesPerSecond > 0 && !o.Measured; !s.latencyUnknown {
		mean(&s.p99, o.P99Latency.Seconds(), cfg.MaxLatency.Seconds())
	}
	mean(&s.memory, o.MemoryFraction, memoryLimit)
	mean(&s.cpu, o.CPUFraction, cpuLimit)
	// Writes are weighted by messages, because a ratio from a second without load says little.
	n := mean(&s.messages, o.MessagesPerSecond, busyRate)
	mean(&s.writes, o.WritesPerMessage*n, writesLimit*busyRate*4)
	s.any, s.at = true, now
}
