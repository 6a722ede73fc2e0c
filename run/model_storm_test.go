package run_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/run"
)

// stormWorkers do the steps of a storm, each its share, and none waits for what another one does.
const stormWorkers = 4

// storm plays steps by several goroutines at once, over a store that takes its time. What comes of a single step
// is not known then: what must hold whatever the order is checked when all is over.
type storm struct {
	g   *game // what is made there; its model is used when all is over
	odd bool  // the store fails now and then
	bye chan struct{}

	follows sync.WaitGroup

	mu      sync.Mutex
	rnd     *rand.Rand
	now     int // counts what happens
	calls   []*stormCall
	seats   []*seat
	follow  []*stormFollow
	ceased  [modelRuns]bool // a cancel of it has returned
	calm    bool            // nothing is slow any more, and nothing fails
	closed  bool
	budgets bool
	wrong   string
}

// stormCall is one call of the hub: when it was called and returned, and what came of it.
type stormCall struct {
	verb     string
	n, how   int
	at       run.Cursor
	from, to int
	returned time.Time
	err      error

	agent *puppet   // of a start
	live  *run.Live // the run that its Do was given
	life  *life     // once all is over: what became of that
	id    string    // of a text
	got   []bool    // its answers
	told  int       // when the last of them came
}

func (s *storm) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// chance is a number below n.
func (s *storm) chance(n int) (m int) {
	s.locked(func() { m = s.rnd.IntN(n) })
	return m
}

// fail notes the first thing that is wrong while it goes on.
func (s *storm) fail(format string, args ...any) {
	s.locked(func() {
		if s.wrong == "" {
			s.wrong = fmt.Sprintf(format, args...)
		}
	})
}

func (s *storm) tick() (now int) {
	s.locked(func() { s.now++; now = s.now })
	return now
}

// playStorm plays steps, and returns what was wrong.
func playStorm(t *testing.T, steps []step, r rig) (wrong string) {
	defer func() {
		if p := recover(); p != nil && wrong == "" {
			wrong = fmt.Sprint(p)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		s := &storm{rnd: rand.New(rand.NewPCG(uint64(len(steps)), 1)), bye: make(chan struct{})}
		r.config = func(cfg *run.HubConfig) {
			most := cfg.LogBytes
			cfg.LogBytes = func() int64 { s.yield(); return most() }
		}
		s.g = newGame(t, steps, r)
		s.slow()
		wrong = s.g.guarded(func() {
			s.play(steps)
			s.finish()
		})
		s.locked(func() {
			if wrong == "" {
				wrong = s.wrong
			}
		})
		s.giveUp()
	})
	return wrong
}

// slow has the store take time for what a hub asks of it, and fail now and then.
func (s *storm) slow() {
	if s.g.odd == nil {
		return
	}
	s.odd = true
	hook := func() error {
		calm := false
		if s.locked(func() { calm = s.calm }); calm {
			return nil
		}
		time.Sleep(time.Duration(s.chance(4)) * time.Millisecond)
		if s.chance(40) == 0 {
			return errOdd
		}
		return nil
	}
	s.g.odd.opened = s.pause
	s.g.odd.open, s.g.odd.bury, s.g.odd.read, s.g.odd.list = hook, hook, hook, hook
}

// pause takes a while, now and then.
func (s *storm) pause() {
	if s.chance(4) == 0 {
		time.Sleep(time.Duration(s.chance(3)) * time.Millisecond)
	}
}

// yield lets others go on, while a lock may be held.
func (s *storm) yield() {
	for range s.chance(8) {
		runtime.Gosched()
	}
}

// patience is a context that some calls end with.
func (s *storm) patience() (context.Context, context.CancelFunc) {
	if s.chance(8) > 0 {
		return s.g.t.Context(), func() {}
	}
	return context.WithTimeout(s.g.t.Context(), time.Duration(1+s.chance(3))*time.Millisecond)
}

func (s *storm) play(steps []step) {
	var workers sync.WaitGroup
	for w := range stormWorkers {
		workers.Go(func() {
			for i := w; i < len(steps); i += stormWorkers {
				time.Sleep(time.Duration(s.chance(3)) * time.Millisecond)
				s.step(steps[i])
			}
		})
	}
	workers.Wait()
}

func (s *storm) step(st step) {
	n := abs(st.arg(0)) % modelRuns
	switch st.verb {
	case "start":
		s.start(n, st.arg(1), abs(st.arg(2))&^(3*startAnswer)) // which interrupts are answered depends on the order
	case "crowd":
		for i := range 3 {
			s.start(abs(st.arg(0))%modelThreads+modelThreads*i, -1, 0)
		}
	case "emit":
		for _, ev := range eventsOf(abs(st.arg(1))%100, abs(st.arg(2))) {
			s.tell(n, task{verb: "emit", ev: ev})
		}
	case "end", "listen", "take", "ignore":
		s.tell(n, task{verb: st.verb, how: abs(st.arg(1)) % (endFinishedAndError + 1)})
	case "cancel":
		c := s.call(&stormCall{verb: "cancel", n: n})
		ctx, stop := s.patience()
		defer stop()
		s.returned(c, s.g.hub.Cancel(ctx, keyOf(n), nil))
	case "attach":
		s.attach(n, st.arg(1), st.arg(2), nil)
	case "give", "leave", "away", "gone":
		s.view(st)
	case "follow":
		s.startFollow(abs(st.arg(0)) % modelThreads)
	case "say":
		for range 1 + abs(st.arg(2))%4 {
			s.say(n, fmt.Sprint("k", st.arg(1)))
		}
	case "sleep":
		time.Sleep(choice(lulls[:3], st.arg(0)))
	case "budget":
		s.locked(func() { s.budgets = true })
		s.g.budget.Store(choice(budgets, st.arg(0)))
	case "close":
		s.locked(func() { s.closed = true })
		s.g.real.Close()
	}
}

func (s *storm) call(c *stormCall) *stormCall {
	c.from = s.tick()
	s.locked(func() { s.calls = append(s.calls, c) })
	return c
}

func (s *storm) returned(c *stormCall, err error) {
	c.to, c.err, c.returned = s.tick(), err, time.Now()
	if c.verb == "cancel" && err == nil {
		s.locked(func() { s.ceased[c.n] = true })
		s.checkCancelled(c.n)
	}
}

// checkCancelled checks that a run whose cancel has returned is cancelled (R18), if it was being started meanwhile, too.
func (s *storm) checkCancelled(n int) {
	var wrong bool
	s.locked(func() {
		for _, c := range s.calls {
			if c.agent != nil && c.n == n {
				c.agent.locked(func() { wrong = wrong || c.agent.ended.IsZero() && c.agent.ctx != nil && c.agent.ctx.Err() == nil })
			}
		}
	})
	if wrong {
		s.fail("R18: run %d goes on behind its cancel", n)
	}
}

// start starts a run, which may be there, or be being started by another worker.
func (s *storm) start(n, room, how int) {
	c := &stormCall{verb: "start", n: n, how: how, agent: newPuppet()}
	begin := c.agent.start(inputOf(n, how), keyOf(n).Scope, byte(how&startOther))
	begin.OnDisconnect, begin.Keep = policies[how/startAlone%4].onDisconnect, policies[how/startAlone%4].keep
	do := begin.Do
	begin.Do = func(ctx context.Context, l *run.Live) error {
		s.locked(func() { c.live = l })
		s.pause()
		defer s.pause()
		return do(ctx, l)
	}
	c.agent.onCall = func(ctx context.Context) { s.called(ctx, c) }
	var seat *seat
	var out run.Outlet
	if room != 0 {
		seat = s.g.newSeat(room)
		out = seat.outlet
	}
	ctx, stop := s.patience()
	defer stop()
	s.call(c)
	live, viewer, err := s.g.hub.Start(ctx, begin, out)
	s.returned(c, err)
	if viewer != nil {
		s.sit(seat, n, live, viewer, run.Cursor{}, false)
	}
}

// called is told that an agent is called: not behind a cancel (R18), and not beside the agent of another run of the
// thread that has not ended (R19).
func (s *storm) called(ctx context.Context, c *stormCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wrong := ""
	if s.ceased[c.n] && ctx.Err() == nil {
		wrong = fmt.Sprintf("R18: the agent of run %d is called behind a cancel", c.n)
	}
	for _, other := range s.calls {
		if other == c || other.agent == nil || other.n%modelThreads != c.n%modelThreads {
			continue
		}
		other.agent.locked(func() {
			if other.agent.called > 0 && other.agent.ended.IsZero() {
				wrong = fmt.Sprintf("R19: the agents of runs %d and %d are called at once", other.n, c.n)
			}
		})
	}
	if s.wrong == "" {
		s.wrong = wrong
	}
}

// tell has the agent of a run do something, whichever of its starts has begun it.
func (s *storm) tell(n int, t task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c.agent != nil && c.n == n {
			c.agent.tell(t)
		}
	}
}

// sit takes a viewer that was attached.
func (s *storm) sit(seat *seat, n int, live *run.Live, v *run.Viewer, at run.Cursor, joins bool) {
	seat.n, seat.live, seat.viewer, seat.from, seat.next, seat.joins = n, live, v, at.Offset, at.Offset+1, joins && at.Offset == 0
	seat.born = -1
	seat.pull()
	s.locked(func() { s.seats = append(s.seats, seat) })
}

// attach attaches a viewer: at the start, at the start of the log's epoch, or somewhere in what others have seen.
func (s *storm) attach(n, where, room int, ended func()) error {
	c := &stormCall{verb: "attach", n: n}
	if where > 0 {
		c.at = s.seen(n, where)
	}
	seat := s.g.newSeat(room)
	seat.out.onEnd, seat.follows = ended, ended != nil
	ctx, stop := s.patience()
	defer stop()
	if seat.follows { // which has more
		ctx = s.g.t.Context()
	}
	s.call(c)
	live, viewer, err := s.g.hub.Attach(ctx, keyOf(n), c.at, seat.outlet)
	s.returned(c, err)
	if err == nil {
		s.sit(seat, n, live, viewer, c.at, true)
	}
	return err
}

// seen is a cursor that some viewer of a run has reached.
func (s *storm) seen(n, where int) (at run.Cursor) {
	s.locked(func() {
		for _, seat := range s.seats {
			if frames := seat.out.got(); seat.n == n && len(frames) > 0 && keyOf(n) == seat.live.Info().RunKey {
				f := frames[abs(where)%len(frames)]
				at = run.Cursor{Epoch: f.Epoch, Offset: f.Through}
			}
		}
	})
	return at
}

// view does something with a viewer.
func (s *storm) view(st step) {
	var seat *seat
	s.locked(func() {
		if len(s.seats) > 0 {
			seat = s.seats[abs(st.arg(0))%len(s.seats)]
		}
	})
	if seat == nil || seat.follows {
		return
	}
	switch st.verb {
	case "give":
		seat.out.give(st.arg(1))
		pull(seat.viewer)
	case "leave":
		s.locked(func() { seat.leaving = true })
		seat.viewer.Leave()
	case "away":
		seat.viewer.Away()
		frames := len(seat.out.got())
		s.locked(func() { seat.away, seat.frozen = true, frames })
	case "gone":
		seat.out.gone.Store(true)
	}
}

// say says something to a run.
func (s *storm) say(n int, id string) {
	c := s.call(&stormCall{verb: "say", n: n, id: id})
	err := s.g.hub.Say(s.g.t.Context(), keyOf(n), id, "text", func(ok bool) {
		now := s.tick()
		s.locked(func() { c.got, c.told = append(c.got, ok), now })
	})
	s.returned(c, err)
}
