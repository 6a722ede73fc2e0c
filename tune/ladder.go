package tune

import "time"

// rungs is how many steps lead from balanced to another column.
const rungs = 3

// ladder is a way from one column to another with the place where an optimizer stands on it.
type ladder struct {
	at, home, low, high int

	// The last move:
	way     int       // its steps, with their direction; 0: there was none
	moved   time.Time // when
	willing bool      // nothing forced it

	// patience multiplies how long the cause of a move that nothing forces must hold.
	// It doubles with each that had to be undone, so that no steady load drives a cycle.
	patience int
}

const maxPatience = 32

// move takes so many steps. A willing move has proved right when nothing followed it within
// probation; it was wrong when one back did, other than by a eased.
func (l *ladder) move(way int, now time.Time, willing, eased bool, probation time.Duration) {
	switch {
	case !l.willing:
	case now.Sub(l.moved) > probation:
		l.patience = 1
	case l.turns(way) && !eased:
		l.patience = min(2*l.patience, maxPatience)
	}
	l.at += way
	l.way, l.moved, l.willing = way, now, willing
}

// turns tells whether a move that way goes back where the last one came from.
func (l *ladder) turns(way int) bool { return l.way > 0 && way < 0 || l.way < 0 && way > 0 }

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
		window: ladder{low: -rungs, high: rungs, patience: 1},
		memory: ladder{high: rungs, patience: 1},
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
func (s *ladders) way(l *ladder, end int) int {
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
