package tune

import "time"

// rungs is how many steps lead from balanced to another column.
const rungs = 3

// ladder is a way from one column to another with the place where an optimizer stands on it.
type ladder struct {
	at, home, low, high int

	// The last move:
	lastSteps int       // its steps, with their direction; 0: there was none
	lastMove  time.Time // when
	optional  bool      // nothing forced it

	// patience multiplies how long the cause of a move that nothing forces must hold.
	// It doubles with each that had to be undone, so that no steady load drives a cycle.
	backoff int
}

const maxBackoff = 32

// move takes so many steps. A willing move has proved right when nothing followed it within
// probation; it was wrong when one back did, other than by a eased.
func (l *ladder) move(way int, now time.Time, willing, eased bool, probation time.Duration) {
	switch {
	case !l.optional:
	case now.Sub(l.lastMove) > probation:
		l.backoff = 1
	case l.reverses(way) && !eased:
		l.backoff = min(2*l.backoff, maxBackoff)
	}
	l.at += way
	l.lastSteps, l.lastMove, l.optional = way, now, willing
}

// turns tells whether a move that way goes back where the last one came from.
func (l *ladder) reverses(way int) bool {
	return l.lastSteps > 0 && way < 0 || l.lastSteps < 0 && way > 0
}

// ladders is a place among the columns.
type ladders struct {
	base   Tuning // the figures of ProfileBalanced
	window ladder // ProfileLatency at -rungs, ProfileThroughput at rungs
	memory ladder // from what the window gives to ProfileMemory at rungs
}

// newLadders stands at the profile's column.
func newLadders(base Tuning, p Profile) ladders {
	s := ladders{
		base:   base,
		window: ladder{low: -rungs, high: rungs, backoff: 1},
		memory: ladder{high: rungs, backoff: 1},
	}
	switch p {
	case ProfileLatency:
		// Who asked for latency has said what its slack is for.
		s.window.home, s.window.high = -rungs, -rungs
	case ProfileThroughput:
		s.window.home = rungs
	case ProfileMemory:
		s.memory.home = rungs
	}
	s.window.at, s.memory.at = s.window.home, s.memory.home
	return s
}

// tuning is the figures at the place.
func (s *ladders) tuning() Tuning {
	t := s.base
	if at := s.window.at; at < 0 {
		t = t.toward(ProfileLatency, -at)
	} else {
		t = t.toward(ProfileThroughput, at)
	}
	return t.toward(ProfileMemory, s.memory.at)
}

// way is the steps on l, one of s, toward end up to the first rung that changes a figure;
// 0 when there is none.
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
