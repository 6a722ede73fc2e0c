package run_test

import (
	"errors"
	"sort"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/run"
)

// seat is one viewer: where it stands by the model, and what it was sent.
type seat struct {
	life   *life
	out    *seatOutlet
	outlet run.Outlet // out, or what a rig has put before it
	viewer *run.Viewer
	from   uint64   // the offset that it is behind at first
	lead   []string // the prelude that it is to get
	loaded bool     // it views a log from the store, of its own
	// answered are the interrupts that were answered, of one that is loaded.
	answered map[string]bool

	n       int // of a storm, until its run is known
	live    *run.Live
	joins   bool
	follows bool

	born    int // the step in which it came
	pulled  bool
	away    bool
	frozen  int // frames that it had then
	leaving bool
	left    bool
	expect  error // it is to be sent away with that

	checked  int // frames that were compared
	led      int
	next     uint64 // the offset that comes next
	folded   bool   // some frames were no plain events
	expireAt time.Time
}

// seatOutlet is an outlet that may be gone, and sees whether it is called as it should be.
type seatOutlet struct {
	*outlet
	gone, full atomic.Bool
	inside     atomic.Bool
	odd        atomic.Pointer[string]
	onEnd      func() // nil is skipped
}

func (o *seatOutlet) Offer(f *run.Frame) run.Offered {
	if !o.inside.CompareAndSwap(false, true) {
		o.odd.Store(new("is called twice at once"))
	}
	defer o.inside.Store(false)
	select {
	case <-o.over:
		o.odd.Store(new("is offered an event behind its end"))
	default:
	}
	if o.gone.Load() {
		return run.OutletGone
	}
	offered := o.outlet.Offer(f)
	o.full.Store(offered == run.OutletFull)
	return offered
}

// Ended panics when it is called twice.
func (o *seatOutlet) Ended(why error) {
	if o.outlet.Ended(why); o.onEnd != nil {
		o.onEnd()
	}
}

func (o *seatOutlet) hasEnded() bool {
	select {
	case <-o.over:
		return true
	default:
		return false
	}
}

func (g *game) newSeat(room int) *seat {
	s := &seat{out: &seatOutlet{outlet: newOutlet(room)}}
	if s.outlet = s.out; g.rig.outlet != nil {
		s.outlet = g.rig.outlet(s.out)
	}
	return s
}

// sit has a viewer be there.
func (g *game) sit(s *seat, l *life, v *run.Viewer, from uint64, loaded bool) {
	s.life, s.viewer, s.from, s.next, s.loaded, s.born = l, v, from, from+1, loaded, g.steps
	if loaded {
		s.expireAt, s.answered = time.Now().Add(10*time.Minute), make(map[string]bool)
		for _, other := range l.answerers {
			if other.phase != phaseGone { // whose record is gone as well
				other.answer(s.answered)
			}
		}
	} else {
		l.viewers++
		l.vacantAt = time.Time{}
	}
	g.seats = append(g.seats, s)
}

func (s *seat) pull() {
	s.pulled = true
	s.out.full.Store(false)
	pull(s.viewer)
}

func (s *seat) leave() {
	s.leaving = true
	s.viewer.Leave()
}

// attach attaches a viewer to a run at a cursor, whatever there is of it (R9, R10, R13).
func (g *game) attach(s step) {
	n := abs(s.arg(0)) % modelRuns
	at := g.cursor(g.names[n], s.arg(1))
	seat := g.newSeat(s.arg(2))
	if g.tryAttach(n, at, seat) == nil && s.arg(2) != 1 {
		seat.pull()
	}
}

// cursor is a place in a log, by number.
func (g *game) cursor(l *life, where int) run.Cursor {
	if l == nil {
		return run.Cursor{}
	}
	switch at := (run.Cursor{Epoch: l.epoch, Offset: l.last()}); where {
	case 0:
		return run.Cursor{}
	case 1:
		return run.Cursor{Epoch: l.epoch}
	case 2:
		return at
	case 3:
		at.Offset++
		return at
	case 4:
		at.Epoch++
		return at
	case 5:
		at.Epoch = 0
		return at
	case 6, 7: // as far back as a log goes, and one before that
		at.Offset = uint64(sort.Search(int(at.Offset), func(i int) bool { return !g.isTrimmed(l, uint64(i)) }))
		if where == 7 && at.Offset > 0 {
			at.Offset--
		}
		return at
	default:
		at.Offset = uint64(abs(where)-8) % (l.last() + 1)
		return at
	}
}

// tryAttach attaches a viewer, and compares what comes of it.
func (g *game) tryAttach(n int, at run.Cursor, seat *seat) error {
	l := g.names[n]
	want := g.attachable(l, at)
	live, viewer, err := g.hub.Attach(g.t.Context(), keyOf(n), at, seat.outlet)
	if !g.sameError(l, at.Offset, err, want) {
		g.fail("R10: attaching to run %d at %v: %v, want %v", n, at, err, want)
	}
	if l != nil {
		g.saw("attach to one that %v: %v", l.phase, err)
	}
	if err != nil {
		return err
	}
	if live == nil || viewer == nil || live.Info().RunKey != l.key || l.isLive() != (live == l.live) {
		g.fail("attaching to run %d gives another one", n)
	}
	g.sit(seat, l, viewer, at.Offset, !l.isLive())
	if at.Offset == 0 {
		seat.lead = l.prelude
	}
	return nil
}

// attachable is the error of an attach.
func (g *game) attachable(l *life, at run.Cursor) error {
	if l == nil || !l.isLive() {
		if err := g.loadable("read"); err != nil {
			return err
		}
	}
	switch {
	case l == nil:
		return run.ErrGone
	case l.phase >= phaseBuried:
		return run.ErrBuried
	case at != run.Cursor{} && at.Epoch != l.epoch:
		return run.ErrOtherEpoch
	case at.Offset > l.last():
		return run.ErrFuture
	case l.phase != phaseKept:
		return nil
	}
	if err := g.loadable("list"); err != nil {
		return err
	}
	if at.Offset == l.last() {
		return run.ErrBuried
	}
	return nil
}

// open is a viewer that has not left, by number; nil where there is none.
func (g *game) open(n int) *seat {
	if len(g.seats) == 0 {
		return nil
	}
	return g.seats[abs(n)%len(g.seats)]
}

// move does something with a viewer.
func (g *game) move(s step) {
	seat := g.open(s.arg(0))
	if seat == nil {
		return
	}
	switch s.verb {
	case "give":
		seat.out.give(s.arg(1))
		seat.pull()
	case "leave":
		seat.leave()
	case "away":
		seat.viewer.Away()
		seat.away, seat.frozen = true, len(seat.out.frames)
	case "gone": // which its log finds out when it sends something
		seat.out.gone.Store(true)
	}
}

// noteLeft takes note of the viewers that are gone, which may be the end of their runs (R12).
func (g *game) noteLeft() {
	for _, s := range g.seats {
		if s.left || !s.out.hasEnded() {
			continue
		}
		s.left = true
		l := s.life
		g.checkEnd(s)
		if s.loaded {
			continue
		}
		l.viewers--
		if l.viewers > 0 || !l.isLive() || s.out.why == nil {
			continue
		}
		switch p := policies[l.policy]; {
		case p.keep, p.onDisconnect == run.DisconnectContinue && g.grace < 0:
			g.saw("R12: goes on alone")
		case p.onDisconnect == run.DisconnectContinue:
			l.vacantAt = time.Now().Add(g.grace)
		default:
			g.saw("R12: cancelled")
			l.cancel(g, run.ErrAbandoned)
		}
	}
}

// checkEnd compares why a viewer has ended.
func (g *game) checkEnd(s *seat) {
	why := s.out.why
	g.saw("a viewer's end: %v", why)
	switch {
	case why == nil: // whether it has all is compared with its frames
	case errors.Is(why, run.ErrTrimmed):
		at := s.upTo() - 1
		fresh := s.born == g.steps && s.life.before == s.life.emitted && at == s.from // it was attached a moment ago
		if !s.pulled || fresh || !g.mayOutgrow(s.life, at) {
			g.fail("R10: a viewer of run %d is told that %d is trimmed", s.life.n, at)
		}
	case why == run.ErrBuried:
		if s.expect != why {
			g.fail("R13: a viewer of run %d is sent away too soon", s.life.n)
		}
	case why != run.ErrGone || !s.leaving && !s.out.gone.Load():
		g.fail("a viewer of run %d ends with %v", s.life.n, why)
	}
}

// isBehind reports whether a viewer does not take what there is.
func (s *seat) isBehind() bool { return s.away || s.out.full.Load() || !s.pulled }
