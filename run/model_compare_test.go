package run_test

import (
	"slices"

	"github.com/agloop/agloop/metrics"
	"github.com/agloop/agloop/run"
)

// compare compares all that can be seen of the hub, which is at rest, with the model.
func (g *game) compare() {
	for _, l := range g.lives {
		g.compareRun(l)
	}
	for _, s := range g.seats {
		g.compareSeat(s)
	}
	for _, f := range g.follows {
		f.compare(g)
	}
	g.compareSaid()
	g.compareFigures()
	g.tidy()
}

// compareRun checks that a run is as far as it can be, and no further.
func (g *game) compareRun(l *life) {
	var called, released int
	var errs []error
	l.agent.locked(func() { called, released, errs = l.agent.called, l.agent.released, l.agent.errs })
	if begins := l.phase != phaseWaits && l.phase != phaseBanned; called > 1 || called == 1 && !begins {
		g.fail("R16: the agent of run %d is called %d times in phase %v", l.n, called, l.phase)
	}
	if over := !l.isLive() && !l.hanging; l.live != nil && !l.apart && over != (released == 1) {
		g.fail("run %d has given back its place %d times in phase %v", l.n, released, l.phase)
	}
	for i, err := range errs {
		last := i == l.emitted-1 && l.cancelled != nil // what closes the run may look like what was to be emitted
		if i < l.emitted && isCancelled(err) && !last {
			g.fail("run %d: an event that was sent is refused with %v", l.n, err)
		}
	}
	if called > 0 && l.uncalled {
		g.fail("R18: run %d was cancelled before it began, and its agent is called", l.n)
	}
	if l.phase == phaseRuns && l.cancelled == nil && called == 0 {
		g.fail("R19: the thread of run %d is free, and its agent is not called", l.n)
	}
	if l.phase == phaseRuns {
		g.compareProducer(l)
	}
	if found := g.real.Find(l.key); g.names[l.n] == l && (found != nil) != l.isLive() || found != nil && found != l.live && g.names[l.n] == l {
		g.fail("run %d is not found in phase %v", l.n, l.phase)
	}
	if l.ended == g.steps && !l.isLive() && !l.apart && l.live != nil {
		g.compareResult(l)
	}
}

// compareResult compares how a run has ended for who waits for that.
func (g *game) compareResult(l *life) {
	err := l.live.Wait(g.t.Context())
	switch {
	case l.outcome == run.OutcomeCancelled && err != l.cancelled:
		g.fail("R18: run %d is cancelled with %v, and ends with %v", l.n, l.cancelled, err)
	case l.outcome == run.OutcomeInterrupt && err != nil, l.outcome == run.OutcomeSuccess && err != nil && err != errOdd:
		g.fail("run %d ends with %v", l.n, err)
	}
}

// compareProducer checks that a run goes on, and that its agent waits exactly while it is to (R11, R18).
func (g *game) compareProducer(l *life) {
	if l.cancelled != nil && (!l.ignores || l.giveUpAt.IsZero()) {
		g.fail("R18: run %d is cancelled, and does not end", l.n)
	}
	lag, viewers, left := l.last(), 0, false
	for _, s := range g.seats {
		switch {
		case s.loaded || s.life != l:
		case s.left:
			left = true
		case !s.isBehind():
			lag = 0
			viewers++
		default:
			lag = min(lag, l.last()+1-s.upTo())
			viewers++
		}
	}
	if viewers == 0 {
		lag = 0
	}
	window := uint64(g.cfg.Limits.WindowEvents)
	bytes := g.cfg.Limits.WindowBytes > 0 || l.size > 256<<10 // which may be what it waits for
	mayWait := lag >= window || bytes && lag > 0
	if len(l.tasks) > 0 && l.cancelled == nil && (!mayWait || l.tasks[0].verb == "end" && l.tasks[0].how < endFinished) {
		g.fail("R11: run %d does not go on; %d viewers, the first lacks %d events", l.n, viewers, lag)
	}
	if l.emitted > l.before && !left && lag > window {
		g.fail("R11: run %d is %d events ahead of its first viewer", l.n, lag)
	}
	if len(l.tasks) > 0 {
		g.saw("R11: the producer waits")
	}
	l.before = l.emitted
}

// compareSaid checks that who says something has just the answers that the model has.
func (g *game) compareSaid() {
	left := g.said[:0]
	for _, s := range g.said {
		s.mu.Lock()
		got := slices.Clone(s.got)
		s.mu.Unlock()
		if !slices.Equal(got, s.want) {
			g.fail("R22: answers %v to a text, want %v", got, s.want)
		}
		if len(s.want) == 0 {
			left = append(left, s)
		}
	}
	g.said = left
}

// compareFigures compares what a hub counts.
func (g *game) compareFigures() {
	want := g.total
	want.Started = g.called.Load()
	running, lingering := 0, 0
	for _, l := range g.lives {
		switch {
		case l.apart:
		case l.isLive():
			want.Live++
			want.Viewers += l.viewers
			if l.viewers == 0 {
				want.Detached++
			}
		case l.phase == phaseKept:
			want.Retained++
		case l.phase != phaseGone:
			want.Tombstones++
		}
		if !l.apart && !l.isLive() && l.viewers > 0 {
			lingering++
		}
		if l.phase == phaseRuns || l.hanging {
			running++
		}
	}
	threads := 0
	for i, t := range g.threads {
		if t.active != nil || slices.ContainsFunc(g.follows, func(f *following) bool { return f.thread == i }) {
			threads++
		}
	}
	for _, s := range g.seats {
		if s.loaded && !s.left {
			lingering++
		}
	}
	if s := g.memory.Stats(); s.Live != want.Live || s.Ended != want.Retained || s.Tombstones != want.Tombstones {
		g.fail("R13: the store has %d live logs, %d ended and %d tombstones; want %d, %d, %d",
			s.Live, s.Ended, s.Tombstones, want.Live, want.Retained, want.Tombstones)
	}
	var got metrics.Runs
	g.real.Figures(&got, nil)
	if g.odd != nil { // of such a store the hub knows nothing
		want.Retained, want.Tombstones = 0, 0
	}
	want.LogBytes, want.Folds, want.Shed = got.LogBytes, got.Folds, got.Shed
	if got != want {
		g.fail("the hub counts\n%+v, want\n%+v", got, want)
	}
	runs, ts, ls := g.real.Sizes()
	if busy := max(want.Live, running); runs != want.Live || ts != threads || ls != lingering || g.real.Busy() != busy {
		g.fail("the hub has %d runs, %d threads, %d lingering, %d busy; want %d, %d, %d, %d",
			runs, ts, ls, g.real.Busy(), want.Live, threads, lingering, busy)
	}
	held, store, total := g.real.Held(), g.memory.Held(), g.ledger.Total()
	some, none := runs > 0 || g.odd != nil && ls > 0, runs+ls == 0 && !g.apartViewers()
	if held+store != total || some && held <= 0 || none && held != 0 {
		g.fail("R3: %d bytes are counted, the hub has %d and the store %d", total, held, store)
	}
}

// apartViewers reports whether somebody views a run that the hub does not know.
func (g *game) apartViewers() bool {
	return slices.ContainsFunc(g.seats, func(s *seat) bool { return s.life.apart && !s.left })
}
