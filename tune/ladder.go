package tune

import "time"

// rungs is how many steps lead from balanced to another column.
const rungs = 3

// ladder is the rungs from one column to another, and the rung on which the optimizer is.
type ladder struct {
	at, home, low, high int

	// The last move:
	lastSteps int       // its steps, negative toward low; 0: there was none
	lastMove  time.Time // when
	optional  bool      // no limit forced it

	// backoff multiplies the time for which the cause of an optional move must hold. It doubles
	// with each such move that had to be undone, so that a steady load does not move the knobs for
	// ever.
	backoff int
}

const maxBackoff = 32

// move goes by steps. It also judges the last move, if that was optional: it was right when no move
// followed within probation, and wrong when one back followed that does not lead home.
func (l *ladder) move(steps int, now time.Time, optional, leadsHome bool, probation time.Duration) {
	switch {
	case !l.optional:
	case now.Sub(l.lastMove) > probation:
		l.backoff = 1
	case l.reverses(steps) && !leadsHome:
		l.backoff = min(2*l.backoff, maxBackoff)
	}
	l.at += steps
	l.lastSteps, l.lastMove, l.optional = steps, now, optional
}

// reverses reports whether a move by steps goes against the direction of the last one.
func (l *ladder) reverses(steps int) bool {
	return l.lastSteps > 0 && steps < 0 || l.lastSteps < 0 && steps > 0
}

// ladders is the position of an optimizer among the columns.
type ladders struct {
	base   Tuning // the figures of ProfileBalanced
	window ladder // ProfileLatency at -rungs, ProfileThroughput at rungs
	memory ladder // from what the window gives to ProfileMemory at rungs
}

// newLadders returns the position at the column of p.
func newLadders(base Tuning, p Profile) ladders {
	s := ladders{
		base:   base,
		window: ladder{low: -rungs, high: rungs, backoff: 1},
		memory: ladder{high: rungs, backoff: 1},
	}
	switch p {
	case ProfileLatency:
		// A host that has chosen latency does not want it spent on fewer writes.
		s.window.home, s.window.high = -rungs, -rungs
	case ProfileThroughput:
		s.window.home = rungs
	case ProfileMemory:
		s.memory.home = rungs
	}
	s.window.at, s.memory.at = s.window.home, s.memory.home
	return s
}

// tuning is the figures at the position.
func (s *ladders) tuning() Tuning {
	t := s.base
	if at := s.window.at; at < 0 {
		t = t.toward(ProfileLatency, -at)
	} else {
		t = t.toward(ProfileThroughput, at)
	}
	return t.toward(ProfileMemory, s.memory.at)
}

// stepsToward returns the steps on l, one of s, toward end up to the first rung that changes a
// figure; 0 when there is none.
func (s *ladders) stepsToward(l *ladder, end int) int {
	from, now := l.at, s.tuning()
	defer func() { l.at = from }()
	for l.at != end {
		if l.at < end {
			l.at++
		} else {
			l.at--
		}
		if s.tuning() != now {
			return l.at - from
		}
	}
	return 0
}
