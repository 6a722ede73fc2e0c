package run_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// step is one operation of an interleaving: a verb and numbers. Any list of steps can be played: one
// that means nothing where it stands, such as an emit of a run that is not there, does nothing. A number that
// is missing is 0.
type step struct {
	verb string
	args []int
}

func (s step) arg(i int) int {
	if i < len(s.args) {
		return s.args[i]
	}
	return 0
}

func (s step) String() string {
	b := []byte(s.verb)
	for _, n := range s.args {
		b = strconv.AppendInt(append(b, ' '), int64(n), 10)
	}
	return string(b)
}

// textOf is what stepsOf reads.
func textOf(steps []step) string {
	list := make([]string, len(steps))
	for i, s := range steps {
		list[i] = s.String()
	}
	return strings.Join(list, "; ")
}

func stepsOf(text string) (steps []step) {
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		s := step{verb: words[0]}
		if verbs[s.verb] == nil {
			panic("model: no such step: " + part)
		}
		for _, w := range words[1:] {
			n, err := strconv.Atoi(w)
			if err != nil {
				panic("model: " + part)
			}
			s.args = append(s.args, n)
		}
		steps = append(steps, s)
	}
	return steps
}

// What the numbers of the step "hub" choose of; the first of each is what a hub has where there is no
// such step.
var (
	windows   = []int{8, 4, 16, 64}
	folds     = []int{0, 2 << 10, 6 << 10, 24 << 10}
	byteSizes = []int{0, 1 << 10}
	graces    = []time.Duration{0, 5 * time.Second, -1}
	budgets   = []int64{0, 1, 4 << 10, 16 << 10}
	// lulls are how long a step waits; with these all timers of a hub are passed.
	lulls = []time.Duration{
		time.Millisecond, 5 * time.Second, 10 * time.Second, 31 * time.Second, 2 * time.Minute, 8 * time.Minute, 25 * time.Hour,
	}
)

const (
	modelThreads = 3 // run n is of thread n % 3, the last of which is of another scope
	modelRuns    = 36

	modelRetention = 2 * time.Minute // which a hub has where nothing else is said
)

// The bits of what a start is like.
const (
	startOther  = 1 << 0 // its input has another message
	startAnswer = 1 << 1 // two bits: which of two interrupts it answers
	startState  = 1 << 3 // its input has a state
	startAlone  = 1 << 4 // two bits: what becomes of it when its last viewer is gone, see policies
	startUnseen = 1 << 6 // its viewer does not pull yet
	startBits   = 1 << 7
)

// dice draw the numbers of steps.
type dice struct {
	*rand.Rand
	run int // the one that most steps are for
}

// aRun names a run: mostly one of a few, and mostly the same for a while.
func (r *dice) aRun() int {
	if r.IntN(10) == 0 {
		r.run = r.IntN(1 + r.IntN(9))
	}
	if r.IntN(3) == 0 {
		return r.IntN(1 + r.IntN(9))
	}
	return r.run
}

// room is how many frames a viewer takes; -1 is any number.
func (r *dice) room() int {
	if r.IntN(2) == 0 {
		return -1
	}
	return r.IntN(1 + r.IntN(24))
}

// verbs are the steps there are, by name. Each draws numbers for itself.
var verbs = map[string]func(*dice) []int{
	// how the hub is made: window, folded bytes, window's bytes, grace, policy of busy threads, and whether it knows
	// that its store is in memory
	"hub": func(r *dice) []int {
		return []int{r.IntN(len(windows)), r.IntN(len(folds)), max(0, r.IntN(6)-4), r.IntN(len(graces)), r.IntN(3), r.IntN(2)}
	},
	// run, room of the viewer (0: there is none), what it is like
	"start": func(r *dice) []int {
		how := r.IntN(startBits)
		if r.IntN(4) > 0 {
			how &^= startOther
		}
		return []int{r.aRun(), r.room(), how}
	},
	// run, how many, which
	"emit": func(r *dice) []int { return []int{r.aRun(), 1 + r.IntN(1+r.IntN(60)), r.IntN(3 + r.IntN(18))} },
	// run, how
	"end":    func(r *dice) []int { return []int{r.aRun(), r.IntN(9)} },
	"listen": func(r *dice) []int { return []int{r.aRun()} },
	"take":   func(r *dice) []int { return []int{r.aRun()} },
	"ignore": func(r *dice) []int { return []int{r.aRun()} },
	"cancel": func(r *dice) []int { return []int{r.aRun()} },
	// run, cursor, room
	"attach": func(r *dice) []int { return []int{r.aRun(), r.IntN(8 + r.IntN(40)), r.room()} },
	// viewer, room
	"give":  func(r *dice) []int { return []int{r.IntN(8), r.room()} },
	"leave": func(r *dice) []int { return []int{r.IntN(8)} },
	"away":  func(r *dice) []int { return []int{r.IntN(8)} },
	"gone":  func(r *dice) []int { return []int{r.IntN(8)} },
	// thread, behind which of its runs (0: from the start), and how far in that
	"follow":   func(r *dice) []int { return []int{r.IntN(modelThreads), max(0, r.IntN(8)-4), r.IntN(12)} },
	"unfollow": func(r *dice) []int { return []int{r.IntN(4)} },
	// run, id, how often; 4 is more texts than may wait
	"say": func(r *dice) []int { return []int{r.aRun(), r.IntN(5), max(0, r.IntN(20)-15)} },
	// how long
	"sleep":  func(r *dice) []int { return []int{r.IntN(len(lulls))} },
	"budget": func(r *dice) []int { return []int{r.IntN(len(budgets))} },
	// what of the store fails in the step behind it
	"fail":  func(r *dice) []int { return []int{r.IntN(4)} },
	"close": func(*dice) []int { return nil },
	// thread: as many starts as may wait in it, and one more
	"crowd": func(r *dice) []int { return []int{r.IntN(modelThreads)} },
}

// often is how often a step comes, of a hundred or so.
var often = []struct {
	verb string
	n    int
}{
	{"start", 14},
	{"emit", 22},
	{"end", 7},
	{"listen", 3},
	{"take", 4},
	{"ignore", 2},
	{"cancel", 4},
	{"attach", 14},
	{"give", 14},
	{"leave", 5},
	{"away", 2},
	{"gone", 2},
	{"follow", 3},
	{"unfollow", 1},
	{"say", 6},
	{"sleep", 8},
	{"budget", 1},
	{"fail", 1},
	{"crowd", 1},
}

// scenes are steps that come together more often than by chance. F is the run that most steps are for, W one event less
// than a window.
var scenes = []string{
	"listen F; say F 1 1; take F; say F 1",
	"start F -1 0; listen F; say F 0 2; say F 2; take F; take F; cancel F; say F 2",
	"listen F; emit F 40 2; say F 3 1; take F; say F 3 2; leave 0",
	"start F 1; end F 6; start 9 -1 2; give 0 -1; attach F 0 -1; start 9 -1 2; start 12 0 4; attach F 9 -1",
	"start F 1; end F 6; sleep 0; start 3 -1 6; attach F; start 4 -1 6; give 0; give 1",
	"attach F 0 -1; emit F 60 2; emit F 60 0; attach F 0 4; attach F 9 -1; attach F 30 -1",
	"attach F 0 -1; emit F 60 14; emit F 40 4; attach F 0 3; attach F 17 -1; give 1 3; give 1 -1",
	"emit F 3; attach F 3; attach F 4; attach F 5; cancel F; attach F 3; attach F 4; attach F 2",
	"start F 5 15; emit F 50 4; emit F 50 2; attach F 20 -1; give 0 -1; end F; attach F 12 -1",
	"ignore F; emit F 4 2; cancel F; sleep 2; emit F 1; end F",
	"start F 0; emit F 90 7; budget 1; emit F 5 6; attach F 6; attach F 7; budget 0",
	"start F 1; listen F; emit F W 4; say F 1; take F; say F 1; give 0 -1; say F 1",
	"start F 1; ignore F; crowd 0; crowd 1; crowd 2; sleep 2",
	"fail 2; attach F; fail 3; follow 0; fail 1; cancel 35; fail 0; start 30; fail 2; say F",
}

// drawn are the steps of a seed.
func drawn(seed uint64) []step {
	r := &dice{Rand: rand.New(rand.NewPCG(seed, 22))}
	steps := []step{{"hub", verbs["hub"](r)}, {"start", verbs["start"](r)}}
	total := 0
	for _, o := range often {
		total += o.n
	}
	for range 8 + r.IntN(40) {
		if r.IntN(20) == 0 {
			scene := strings.ReplaceAll(scenes[r.IntN(len(scenes))], "F", strconv.Itoa(r.aRun()))
			window := windows[steps[0].arg(0)]
			steps = append(steps, stepsOf(strings.ReplaceAll(scene, "W", strconv.Itoa(window-1)))...)
			continue
		}
		n, i := r.IntN(total), 0
		for n >= often[i].n {
			n -= often[i].n
			i++
		}
		steps = append(steps, step{often[i].verb, verbs[often[i].verb](r)})
	}
	if r.IntN(8) == 0 {
		steps = append(steps, step{verb: "close"}, step{"start", verbs["start"](r)})
	}
	return steps
}

// outcomes are what may come of steps. That each came is checked over the seeds that are played by default, so
// that none is a branch of the model that nothing reaches.
var outcomes = map[string]int{}

// outcomesWanted are those that playing by default leads to.
const outcomesWanted = `
	R11: the producer waits
	R12: abandoned after a while
	R12: cancelled
	R12: goes on alone
	R13: a log is forgotten
	R14: an ended log is shed
	R14: what is older of a live log is shed
	R16: a tombstone is forgotten
	R18: given up
	R19: waits for its thread
	R20: a follow goes on
	R20: a follow goes on without a run: agloop: run is gone: ended
	R20: a follow goes on without a run: agloop: run is gone: trimmed
	R21: the end without 1 interrupts
	R21: the end without 2 interrupts
	R9: trimmed
	a viewer's end: <nil>
	a viewer's end: agloop: run is gone
	a viewer's end: agloop: run is gone: ended
	a viewer's end: agloop: run is gone: trimmed
	attach to one that has ended: <nil>
	attach to one that has ended: agloop: run is gone: ended
	attach to one that has ended: agloop: run is gone: epoch
	attach to one that has ended: agloop: run is gone: future
	attach to one that has ended: agloop: run is gone: trimmed
	attach to one that has ended: odd
	attach to one that is buried: agloop: run is gone: ended
	attach to one that runs: <nil>
	attach to one that runs: agloop: run is gone: epoch
	attach to one that runs: agloop: run is gone: future
	attach to one that runs: agloop: run is gone: trimmed
	attach to one that waits: <nil>
	attach to one that waits: agloop: run is gone: epoch
	attach to one that waits: agloop: run is gone: future
	attach to one that was cancelled before: agloop: run is gone: ended
	attach to one that was cancelled before: odd
	cancel: a store that fails
	cancel: ended
	cancel: live
	cancel: unknown
	frame: computed snapshot
	frame: fold of delta
	frame: fold of snapshot
	frame: of what a cursor lies in, or behind it
	frame: prelude
	frames: folded, with the same effect
	outcome cancelled
	outcome error
	outcome interrupt
	outcome success
	say: again while it is taken
	say: again while it waits
	say: ended
	say: live false, listens true
	say: live true, listens false
	say: the answer false again
	say: the answer true again
	say: unknown
	start begins: <nil>
	start has ended: <nil>
	start has ended: agloop: a run of that name has another input
	start has ended: agloop: run is gone: trimmed
	start has ended: odd
	start joins: <nil>
	start joins: agloop: a run of that name has another input
	start joins: agloop: run is gone: trimmed
	start of a busy thread: agloop: thread has a run already
	start of a closed hub: agloop: server shuts down
	start of a store that fails: odd
	start of a tombstone: agloop: run is gone: ended
	start was cancelled: <nil>
	steer: false
	steer: true
`
