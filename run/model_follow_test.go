package run_test

import (
	"errors"
	"slices"
	"sync"

	"github.com/agloop/agloop/metrics"
	"github.com/agloop/agloop/run"
)

// following is a follow of a thread as a server does it: registered, then listed, and one run after another is
// attached to (R20).
type following struct {
	thread int
	stop   func()
	after  *life // it begins behind a cursor in that run; nil: at the start
	at     run.Cursor

	mu      sync.Mutex
	waiting []run.RunKey

	current *seat
	got     []run.RunKey // runs that it has attached to, or could not

	want []*life // the model: all that it is to give, in order
}

func (f *following) wake(k run.RunKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting = append(f.waiting, k)
}

func (g *game) follow(s step) {
	if len(g.follows) == 8 {
		return
	}
	f := &following{thread: abs(s.arg(0)) % modelThreads}
	for _, l := range g.lives { // in the order of their start
		if l.n%modelThreads == f.thread && !l.apart && l.phase <= phaseKept {
			f.want = append(f.want, l)
		}
	}
	if i := abs(s.arg(1)); i > 0 && i <= len(f.want) {
		f.after, f.want = f.want[i-1], f.want[i-1:]
		f.at = run.Cursor{Epoch: f.after.epoch, Offset: uint64(abs(s.arg(2))) % (f.after.last() + 1)}
	}
	key := keyOf(f.thread)
	f.stop = g.hub.Follow(key.Scope, key.Thread, f.wake)
	var listed []run.RunKey
	for r, err := range g.hub.List(g.t.Context(), key.Scope, key.Thread) {
		if err != nil {
			if want := g.loadable("list"); err != want {
				g.fail("R20: listing thread %d: %v, want %v", f.thread, err, want)
			}
			f.stop()
			return
		}
		if f.after != nil && r.Info.RunKey == f.after.key {
			listed = nil
		}
		if r.State <= run.RecordEnded {
			listed = append(listed, r.Info.RunKey)
		}
	}
	f.waiting = append(listed, f.waiting...)
	g.follows = append(g.follows, f)
}

func (g *game) unfollow(s step) {
	if len(g.follows) == 0 {
		return
	}
	i := abs(s.arg(0)) % len(g.follows)
	f := g.follows[i]
	f.stop()
	if f.current != nil && !f.current.left {
		f.current.leave()
	}
	g.follows = slices.Delete(g.follows, i, i+1)
}

// advance has the follows go on to their next runs. It reports whether any did.
func (g *game) advance() (went bool) {
	for _, f := range g.follows {
		for f.current == nil || f.current.left {
			key, ok := f.next()
			if !ok {
				f.current = nil
				break
			}
			went = true
			g.followTo(f, key)
		}
	}
	return went
}

func (f *following) next() (key run.RunKey, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) == 0 {
		return key, false
	}
	key, f.waiting = f.waiting[0], f.waiting[1:]
	return key, true
}

// followTo attaches a follow to its next run. One that has gone meanwhile is left out.
func (g *game) followTo(f *following, key run.RunKey) {
	f.got = append(f.got, key)
	if len(f.got) > len(f.want) || f.want[len(f.got)-1].key != key {
		g.fail("R20: the follow of thread %d goes on to %v", f.thread, key)
	}
	l := f.want[len(f.got)-1]
	if g.names[l.n] != l {
		return // its name is free again, or another's
	}
	var at run.Cursor
	if l == f.after {
		at = f.at
	}
	f.current = g.newSeat(-1)
	if err := g.tryAttach(l.n, at, f.current); err != nil {
		g.saw("R20: a follow goes on without a run: %v", err)
		f.current = nil
		return
	}
	g.saw("R20: a follow goes on")
	f.current.pull()
}

// compare checks that a follow that has nothing attached has given all that there was.
func (f *following) compare(g *game) {
	waiting := 0
	f.mu.Lock()
	waiting = len(f.waiting)
	f.mu.Unlock()
	if len(f.got)+waiting != len(f.want) || f.current == nil && waiting > 0 {
		g.fail("R20: the follow of thread %d has %d runs and %d before it, want %d", f.thread, len(f.got), waiting, len(f.want))
	}
}

// noteShed takes note of what was dropped for the budget (R14): ended logs, of a scope the oldest first, and before what
// is older of runs without a viewer.
func (g *game) noteShed() {
	var figures metrics.Runs
	g.real.Figures(&figures, nil)
	shed := int(figures.Shed - g.total.Shed)
	g.total.Shed = figures.Shed
	kept, fresh := 0, false
	gone := make(map[string]int) // the step in which the last one of a scope ended that is gone
	for _, l := range g.lives {
		if l.phase != phaseKept || g.names[l.n] != l {
			continue
		}
		_, err := g.memory.Read(g.t.Context(), l.key, run.Cursor{}, 1)
		switch {
		case err == nil, errors.Is(err, run.ErrTrimmed):
			kept++
			fresh = fresh || l.ended == g.steps
		case shed == 0:
			g.fail("R13: the log of run %d is gone: %v", l.n, err)
		default:
			g.saw("R14: an ended log is shed")
			shed--
			l.bury()
			gone[l.key.Scope] = max(gone[l.key.Scope], l.ended)
		}
	}
	for _, l := range g.lives {
		if l.phase == phaseKept && l.ended < gone[l.key.Scope] {
			g.fail("R14: run %d is kept, and one that ended after it is not", l.n)
		}
	}
	if shed == 0 {
		return
	}
	g.saw("R14: what is older of a live log is shed")
	if g.budget.Load() <= 0 || kept > 0 && !fresh && g.odd == nil {
		g.fail("R14: live logs are shed while %d ended ones are kept", kept)
	}
	for _, l := range g.lives {
		if l.isLive() || l.ended == g.steps {
			l.shed = true
		}
	}
}

// tidy forgets what is gone.
func (g *game) tidy() {
	g.seats = slices.DeleteFunc(g.seats, func(s *seat) bool { return s.left })
	g.lives = slices.DeleteFunc(g.lives, func(l *life) bool {
		return l.phase == phaseGone && !l.hanging && !slices.ContainsFunc(g.seats, func(s *seat) bool { return s.life == l })
	})
}
