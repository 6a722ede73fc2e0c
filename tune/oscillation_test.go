package tune

import (
	"math/rand/v2"
	"testing"
	"time"
)

// alternate lets loads take turns, and returns the moves made.
func (d *drive) alternate(each, total time.Duration, loads ...Observation) int {
	before := d.Moves()
	for n := range int(total / time.Second) {
		d.second(loads[n/int(each/time.Second)%len(loads)])
	}
	return d.Moves() - before
}

// TestNoOscillation alternates loads every second for ten minutes. The bound is 6 moves, each
// ladder once from its middle or its start to an end: every step on its way, none back. From
// ProfileThroughput the way is 9, twice as far on one ladder.
func TestNoOscillation(t *testing.T) {
	named := []Observation{idle, slow, full, costly}
	rnd := rand.New(rand.NewPCG(10, 60))
	random := func() Observation {
		return Observation{
			P99Latency:     time.Duration(rnd.ExpFloat64() * float64(40*time.Millisecond)),
			Measured:       true,
			MemoryFraction: 0.5 + rnd.Float64()/2, MessagesPerSecond: 3000 * rnd.ExpFloat64(),
			WritesPerMessage: rnd.Float64(),
		}
	}
	worst := 0
	try := func(p Profile, x, y Observation) {
		d := newDrive(t, OptimizerConfig{Profile: p})
		d.alternate(time.Second, 10*time.Minute, x, y)
		bound := 2 * rungs
		if p == ProfileThroughput {
			bound = 3 * rungs
		}
		if d.Moves() > bound {
			t.Errorf("%s: %d moves between %+v and %+v:", p, d.Moves(), x, y)
			for _, m := range d.Decisions() {
				t.Log(m.At.Sub(time.Unix(1e9, 0)), m.Toward, m.Reason)
			}
		}
		worst = max(worst, d.Moves())
	}
	for _, p := range profiles {
		for _, x := range named {
			for _, y := range named {
				try(p, x, y)
			}
		}
		for range 100 {
			try(p, random(), random())
		}
	}
	t.Logf("worst: %d moves", worst)
}

// TestSlowAlternation: a load that comes and goes about as slowly as the optimizer moves is
// learned. It may follow at first, twice forth and back over all six steps, and then stays.
func TestSlowAlternation(t *testing.T) {
	for _, each := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second, time.Minute, 90 * time.Second} {
		for name, loads := range map[string][]Observation{
			"slow, idle": {slow, idle}, "full, idle": {full, idle}, "costly, idle": {costly, idle}, "slow, costly": {slow, costly},
		} {
			d := newDrive(t, OptimizerConfig{})
			first, third := d.alternate(each, time.Hour, loads...), 0
			for range 2 {
				third = d.alternate(each, time.Hour, loads...)
			}
			t.Logf("%s, %v each: %d moves in the first hour, %d in the third", name, each, first, third)
			if first > 24 || third > 2 {
				t.Errorf("%s, %v each: %d moves in the first hour, %d in the third, want 24 and 2 at most", name, each, first, third)
			}
		}
	}
}

// TestClosedLoop lets the figures answer to the window and finds the place where both rest.
func TestClosedLoop(t *testing.T) {
	// A load of n connections with a steady rate each: a window gathers what arrives in it, but not
	// more than its size.
	model := func(t Tuning, conns int, rate float64, floor time.Duration) Observation {
		window := max(t.MessageBatchTimeout, 0).Seconds()
		gathered := min(1+rate*window, float64(t.MessageBatchSize))
		writes := 1 / gathered
		return Observation{
			P99Latency:        floor + max(t.MessageBatchTimeout, 0),
			Measured:          true,
			MemoryFraction:    0.3,
			WritesPerMessage:  writes,
			MessagesPerSecond: rate * float64(conns), Connections: conns,
		}
	}
	for _, tc := range []struct {
		name  string
		max   time.Duration
		conns int
		rate  float64
		floor time.Duration
		most  int
	}{
		{"nothing to gain", 50 * time.Millisecond, 10, 10, time.Millisecond, 0},
		{"window too long for the limit", 3 * time.Millisecond, 10, 20, 200 * time.Microsecond, 2},
		{"window far too long", time.Millisecond, 10, 20, 100 * time.Microsecond, 3},
		{"tight limit without a way", 500 * time.Microsecond, 10, 20, time.Millisecond, 3},
		{"one write a message", 100 * time.Millisecond, 20, 120, time.Millisecond, 3},
		{"many writes, no slack", 20 * time.Millisecond, 20, 120, 8 * time.Millisecond, 0},
		{"windows that gather nothing", 50 * time.Millisecond, 2000, 2, time.Millisecond, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDrive(t, OptimizerConfig{MaxLatency: tc.max})
			moves := [2]int{}
			for half := range 2 {
				for range 3600 {
					d.second(model(d.Tuning(), tc.conns, tc.rate, tc.floor))
				}
				moves[half] = d.Moves()
			}
			for _, m := range d.Decisions() {
				t.Log(m.Toward, m.Reason)
			}
			if moves[0] > tc.most || moves[1] != moves[0] {
				t.Errorf("%d moves in the first hour, %d after the second, want %d at most and then none", moves[0], moves[1], tc.most)
			}
		})
	}
}

// TestAFailedReturnTeachesPatience: a load that only one rung suits, whose figures look calm there,
// is tried ever more rarely.
func TestAFailedReturnTeachesPatience(t *testing.T) {
	d := newDrive(t, OptimizerConfig{})
	for range 3600 {
		o := slow
		if d.Tuning() != Default() {
			o = idle
		}
		d.second(o)
	}
	var returns []time.Time
	for _, m := range d.Decisions() {
		if m.Toward == ProfileBalanced {
			returns = append(returns, m.At)
		}
	}
	if d.Moves() > 14 || len(returns) < 4 {
		t.Errorf("%d moves in an hour, %d back", d.Moves(), len(returns))
	}
	for i := 2; i < len(returns); i++ {
		if before, gap := returns[i-1].Sub(returns[i-2]), returns[i].Sub(returns[i-1]); gap < before*3/2 {
			t.Errorf("return %d came %v after the one before, that one %v", i, gap, before)
		}
	}
}
