package run_test

import (
	"context"
	"errors"
	"slices"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/run"
)

// finish ends all runs of a storm, and checks what must hold whatever the order was.
func (s *storm) finish() {
	g := s.g
	g.budget.Store(0)
	s.locked(func() { s.calm = true })
	time.Sleep(10 * time.Millisecond) // calls of follows
	synctest.Wait()
	for n := range modelRuns {
		s.tell(n, task{verb: "end"})
	}
	g.real.CancelAll(run.ErrShutdown)
	time.Sleep(11 * time.Second)
	for _, l := range g.real.Live() { // one that waited has begun behind its thread's others
		l.Cancel(nil)
	}
	time.Sleep(11 * time.Second)
	synctest.Wait()
	if busy := g.real.Busy(); busy > 0 {
		g.fail("%d runs are left", busy)
	}
	s.casts()
	s.checkSeats()
	s.checkCursors()
	s.checkCalls()
	s.checkTexts()
	s.endFollows()
	for _, f := range s.follow {
		s.checkFollow(f)
	}
	for _, seat := range s.seats {
		seat.viewer.Leave()
	}
	time.Sleep(25 * time.Hour)
	runs, threads, lingering := g.real.Sizes()
	if runs+threads+lingering > 0 || g.real.Held() != 0 || g.ledger.Total() != 0 {
		g.fail("in the end there are %d runs, %d threads, %d lingering, %d bytes", runs, threads, lingering, g.ledger.Total())
	}
}

// casts makes of every start that has begun a run the list of its events: what it has tried to send, without what
// is out of order. There is one for a name, unless all were cancelled before.
func (s *storm) casts() {
	begun := make(map[int][]*stormCall)
	for _, c := range s.calls {
		if c.agent == nil {
			continue
		}
		if c.agent.called > 1 || c.agent.released != 1 {
			s.g.fail("R16: an agent of run %d is called %d times, its place given back %d times", c.n, c.agent.called, c.agent.released)
		}
		if c.live == nil {
			continue
		}
		begun[c.n] = append(begun[c.n], c)
		l := s.g.newLife(c.n, c.how, c.agent)
		l.live, c.life, l.phase = c.live, l, phaseKept
		for _, a := range c.agent.attempts {
			ev := decodedEvent(a.text)
			switch end := !a.bad && l.accept(a, ev) && isEnd(ev); {
			case end && l.outcome != run.OutcomeNone:
				s.g.fail("R4: run %d has a second end", c.n)
			case end:
				l.outcome = outcomeOf(ev)
			}
		}
		if l.outcome == run.OutcomeNone {
			s.g.fail("R4: run %d has no end", c.n)
		}
	}
	for n, list := range begun {
		for _, c := range list {
			if len(list) > 1 && (c.agent.called > 0 || c.life.last() != 2) {
				s.g.fail("R16: run %d has begun %d times", n, len(list))
			}
		}
	}
}

// lifeOf is the run that a viewer sees.
func (s *storm) lifeOf(seat *seat) (l *life) {
	for _, c := range s.calls {
		if c.n != seat.n || c.life == nil {
			continue
		}
		if l = c.life; c.live == seat.live {
			return l
		}
	}
	return l
}

// checkSeats checks every viewer: what it was sent has no gap, and is what the list has; one that takes all has all.
func (s *storm) checkSeats() {
	for _, seat := range s.seats {
		l := s.lifeOf(seat)
		if l == nil {
			s.g.fail("somebody views run %d, which has not begun", seat.n)
		}
		if !seat.out.hasEnded() {
			seat.out.give(-1)
			seat.pull()
		}
		s.checkSeat(seat, l)
	}
}

func (s *storm) checkSeat(seat *seat, l *life) {
	if seat.life = l; seat.joins {
		seat.lead = l.prelude
	}
	if len(seat.out.frames) > 0 && l.epoch == 0 {
		l.epoch = seat.out.frames[0].Epoch
	}
	if l.shed = s.budgets; seat.out.hasEnded() {
		seat.left, seat.loaded = true, true
		s.g.checkEnd(seat)
	}
	s.g.compareSeat(seat)
}

// checkCursors attaches at every cursor of every log that is kept (R7, R10).
func (s *storm) checkCursors() {
	for _, c := range s.calls {
		if c.life == nil || c.life.epoch == 0 || time.Since(c.agent.ended) > modelRetention-time.Second {
			continue
		}
		l := c.life
		for i := range min(l.last(), 6) { // all of a short log, some of another
			offset := i
			if i > 0 && l.last() > 6 {
				offset = uint64(s.chance(int(l.last())))
			}
			seat := s.g.newSeat(-1)
			at := run.Cursor{Epoch: l.epoch, Offset: offset}
			live, viewer, err := s.g.hub.Attach(s.g.t.Context(), l.key, at, seat.outlet)
			if err == run.ErrBuried && (l.last() == 2 || s.budgets) { // it may have been cancelled before it was started
				break
			}
			if err != nil && (err != run.ErrTrimmed || !s.g.mayBeTrimmed(l, offset)) {
				s.g.fail("R10: attaching to run %d at %d of %d: %v", l.n, offset, l.last(), err)
			}
			if err != nil {
				continue
			}
			seat.n, seat.live, seat.viewer, seat.from, seat.next, seat.joins = l.n, live, viewer, offset, offset+1, offset == 0
			seat.pull()
			s.checkSeat(seat, l)
		}
	}
}

// checkCalls checks that no call was answered as it must not be.
func (s *storm) checkCalls() {
	for _, c := range s.calls {
		err := c.err
		switch {
		case err == nil, err == errOdd && s.odd, err == context.DeadlineExceeded && s.odd:
		case c.verb == "start" && err == run.ErrShutdown && s.closed:
		case c.verb == "start" && err == run.ErrThreadBusy && s.g.cfg.OnBusy != run.BusyCancelPrevious:
		case c.verb == "start" && err == run.ErrConflict && s.otherStart(c):
		case c.verb == "cancel" || !errors.Is(err, run.ErrGone):
			s.g.fail("a %s of run %d: %v", c.verb, c.n, err)
		default:
			s.checkGone(c)
		}
	}
}

// otherStart reports whether a run was started with another input.
func (s *storm) otherStart(c *stormCall) bool {
	return slices.ContainsFunc(s.calls, func(o *stormCall) bool {
		return o.life != nil && o.n == c.n && (o.how^c.how)&startOther != 0 && o.from < c.to
	})
}

// checkGone checks that what was told to be gone was: not a run whose start has returned, as long as its log is kept.
func (s *storm) checkGone(c *stormCall) {
	for _, o := range s.calls {
		l := o.life
		if l == nil || o.n != c.n || o.to > c.from || o.to == 0 || l.last() == 2 || s.budgets ||
			!o.agent.ended.IsZero() && c.returned.Sub(o.agent.ended) >= modelRetention {
			continue
		}
		switch {
		case c.err == run.ErrTrimmed && s.g.mayBeTrimmed(l, c.at.Offset):
		case c.err == run.ErrBuried && c.at.Offset == l.last():
		default:
			s.g.fail("R10: a %s of run %d at %d of %d: %v", c.verb, c.n, c.at.Offset, l.last(), c.err)
		}
	}
}

// checkTexts checks that whoever says something has one answer, that it is the same for the same id once the text was taken,
// and that it was taken as often as that says (R22).
func (s *storm) checkTexts() {
	type name struct {
		n  int
		id string
	}
	taken := make(map[name]int) // when it was known that it was taken
	for _, c := range s.calls {
		switch {
		case c.verb != "say":
		case c.err != nil && len(c.got) != 0:
			s.g.fail("R22: a text for run %d has the answers %v, and %v", c.n, c.got, c.err)
		case c.err == nil && len(c.got) != 1:
			s.g.fail("R22: a text for run %d has the answers %v", c.n, c.got)
		case c.err == nil && c.got[0]:
			if k := (name{c.n, c.id}); taken[k] == 0 || c.told < taken[k] {
				taken[k] = c.told
			}
		}
	}
	for _, c := range s.calls {
		if at := taken[name{c.n, c.id}]; c.verb == "say" && c.err == nil && !c.got[0] && at > 0 && c.from > at {
			s.g.fail("R22: a text for run %d that was taken is answered %v", c.n, c.got)
		}
	}
	for _, c := range s.calls {
		if c.life == nil {
			continue
		}
		users := make(map[string]int)
		for _, text := range c.life.events {
			if id, ok := userMessage(text); ok {
				users[id]++
			}
		}
		for id, n := range users {
			if n > 1 {
				s.g.fail("R22: the text %s is taken %d times by run %d", id, n, c.n)
			}
		}
		for k := range taken {
			if k.n == c.n && c.agent.called > 0 && users[k.id] != 1 {
				s.g.fail("R22: the text %s for run %d was not taken", k.id, c.n)
			}
		}
	}
}

// checkFollow checks that a follow has every run of its thread once, in the order of their start.
func (s *storm) checkFollow(f *stormFollow) {
	for i, k := range f.got {
		if slices.Contains(f.got[:i], k) {
			s.g.fail("R20: a follow of thread %d has %s twice, in %v", f.thread, k.Run, f.got)
		}
	}
	for _, c := range s.calls {
		if c.life == nil || c.n%modelThreads != f.thread || c.life.last() == 2 && !slices.Contains(f.got, c.life.key) {
			continue
		}
		i := slices.Index(f.got, c.life.key)
		if i < 0 && (c.from > f.from || c.to > 0 && c.to < f.from && !s.budgets) {
			s.g.fail("R20: a follow of thread %d has no run %d, in %v", f.thread, c.n, f.got)
		}
		for _, o := range s.calls {
			if j := slices.Index(f.got, keyOf(o.n)); o.life != nil && o.to > 0 && o.to < c.from && j > i && i >= 0 {
				s.g.fail("R20: a follow of thread %d has run %d before run %d, in %v", f.thread, c.n, o.n, f.got)
			}
		}
	}
}

func (s *storm) endFollows() {
	select {
	case <-s.bye:
	default:
		close(s.bye)
	}
	s.follows.Wait()
}

// giveUp ends what is left of a storm, so that its goroutines end.
func (s *storm) giveUp() {
	s.locked(func() { s.calm = true })
	s.endFollows()
	for n := range modelRuns {
		s.tell(n, task{verb: "end"})
	}
	for _, seat := range s.seats {
		seat.viewer.Leave()
	}
	s.g.giveUp()
}
