package run_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/metrics"
	"github.com/agloop/agloop/run"
)

// hubCalls are the methods of a hub that a model may be given a mistake in.
type hubCalls interface {
	Start(ctx context.Context, s *run.Start, out run.Outlet) (*run.Live, *run.Viewer, error)
	Attach(ctx context.Context, k run.RunKey, at run.Cursor, out run.Outlet) (*run.Live, *run.Viewer, error)
	Cancel(ctx context.Context, k run.RunKey, cause error) error
	Say(ctx context.Context, k run.RunKey, id, text string, told func(ok bool)) error
	Follow(scope, thread string, wake func(run.RunKey)) (stop func())
	List(ctx context.Context, scope, thread string) iter.Seq2[run.Record, error]
}

// rig is what stands between a game and the library; nil is nothing. Mistakes are put there.
type rig struct {
	store  func(run.Store) run.Store
	hub    func(hubCalls) hubCalls
	outlet func(run.Outlet) run.Outlet
	config func(*run.HubConfig)
}

var quiet = slog.New(slog.DiscardHandler)

// game plays steps on a hub and on a plain model of it, and compares the two after each.
type game struct {
	t *testing.T

	hub    hubCalls
	real   *run.Hub
	memory *run.MemoryStore
	odd    *oddStore // nil: the hub knows that its store is in memory
	ledger *memmon.Ledger
	rig    rig
	budget atomic.Int64

	cfg     run.HubConfig
	grace   time.Duration
	failing string // what of the store fails in this step

	steps   int
	closed  bool
	names   map[int]*life
	lives   []*life // all that are not gone, in the order of their start
	threads [modelThreads]modelThread
	seats   []*seat
	follows []*following
	said    []*said
	total   metrics.Runs  // what is counted
	called  atomic.Uint64 // agents, of all runs
}

// modelThread is what a thread has.
type modelThread struct {
	active *life
	queue  []*life
}

// next has the next run of a thread be its active one.
func (t *modelThread) next() {
	if t.active = nil; len(t.queue) > 0 {
		t.active, t.queue = t.queue[0], t.queue[1:]
	}
}

func (g *game) threadOf(l *life) *modelThread { return &g.threads[l.n%modelThreads] }

func keyOf(n int) run.RunKey {
	k := run.RunKey{Scope: "s", Thread: fmt.Sprint("t", n%modelThreads), Run: fmt.Sprint("r", n)}
	if n%modelThreads == modelThreads-1 {
		k.Scope = "z"
	}
	return k
}

// mismatch is what a game ends with in which the hub and the model differ.
type mismatch string

func (g *game) fail(format string, args ...any) {
	panic(mismatch(fmt.Sprintf(format, args...)))
}

// play plays steps, and returns what was wrong, "" where nothing was.
func play(t *testing.T, steps []step, r rig) (wrong string) {
	defer func() {
		if p := recover(); p != nil && wrong == "" { // goroutines that never end are one
			wrong = fmt.Sprint(p)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		g := newGame(t, steps, r)
		wrong = g.guarded(func() {
			for _, s := range steps {
				g.step(s)
			}
			g.finish()
		})
		g.giveUp()
	})
	return wrong
}

// guarded is the mismatch that f ends with, "" where it ends well.
func (g *game) guarded(f func()) (wrong string) {
	defer func() {
		if p := recover(); p != nil {
			why, ok := p.(mismatch)
			if !ok {
				panic(p)
			}
			wrong = fmt.Sprintf("step %d: %s", g.steps, why)
		}
	}()
	f()
	return ""
}

func newGame(t *testing.T, steps []step, r rig) *game {
	g := &game{t: t, rig: r, names: make(map[int]*life), ledger: memmon.NewLedger()}
	if eventSamples == nil {
		eventSamples = newStreams(t, 0).samples
	}
	g.memory = run.NewMemoryStore(g.ledger)
	made := step{verb: "hub"}
	if len(steps) > 0 && steps[0].verb == "hub" {
		made = steps[0]
	}
	g.cfg = run.HubConfig{
		Limits: run.LogLimits{
			WindowEvents: choice(windows, made.arg(0)), FoldedBytes: choice(folds, made.arg(1)), WindowBytes: choice(byteSizes, made.arg(2)),
		},
		Grace: choice(graces, made.arg(3)), OnBusy: run.Busy(abs(made.arg(4)) % 3),
		LogBytes: g.budget.Load, Ledger: g.ledger, Log: quiet, Store: g.memory,
	}
	if g.grace = g.cfg.Grace; g.grace == 0 {
		g.grace = 2 * time.Minute
	}
	if made.arg(5)%2 == 1 || r.store != nil {
		g.odd = &oddStore{MemoryStore: g.memory}
		hook := func(what string) func() error {
			return func() error {
				if g.failing == what {
					return errOdd
				}
				return nil
			}
		}
		g.odd.open, g.odd.bury, g.odd.read, g.odd.list = hook("open"), hook("bury"), hook("read"), hook("list")
		g.cfg.Store = g.odd
	}
	if r.store != nil {
		g.cfg.Store = r.store(g.odd)
	}
	cfg := g.cfg
	if r.config != nil {
		r.config(&cfg)
	}
	g.real = run.NewHub(cfg)
	if g.hub = g.real; r.hub != nil {
		g.hub = r.hub(g.real)
	}
	return g
}

func choice[T any](list []T, n int) T { return list[abs(n)%len(list)] }

func abs(n int) int { return max(n, -n) }

// step does one step, on both sides.
func (g *game) step(s step) {
	g.steps++
	g.sleep(time.Microsecond) // no two runs start at the same time
	failing := g.failing
	g.do(s)
	g.settle()
	g.saw("step %s", s.verb)
	if failing == g.failing {
		g.failing = ""
	}
}

func (g *game) do(s step) {
	switch s.verb {
	case "start":
		g.start(s)
	case "emit":
		g.emit(s)
	case "end", "listen", "take", "ignore":
		g.task(s)
	case "cancel":
		g.cancel(s)
	case "attach":
		g.attach(s)
	case "give", "leave", "away", "gone":
		g.move(s)
	case "follow":
		g.follow(s)
	case "unfollow":
		g.unfollow(s)
	case "say":
		g.say(s)
	case "close":
		g.close()
	case "sleep":
		g.sleep(choice(lulls, s.arg(0)))
	case "budget":
		g.budget.Store(choice(budgets, s.arg(0)))
	case "fail":
		if g.odd != nil {
			g.failing = choice([]string{"open", "bury", "read", "list"}, s.arg(0))
		}
	case "crowd":
		for i := range 11 {
			g.start(step{"start", []int{abs(s.arg(0))%modelThreads + modelThreads*i, -1}})
			g.settle()
			g.sleep(time.Microsecond)
		}
	}
}

// saw notes what has come of a step, unless that may be the work of a rig.
func (g *game) saw(format string, args ...any) {
	if r := g.rig; r.store == nil && r.hub == nil && r.outlet == nil && r.config == nil {
		outcomes[fmt.Sprintf(format, args...)]++
	}
}

// sleep lets time pass. What a hub does by itself is compared at each moment at which the model says that
// something happens.
func (g *game) sleep(d time.Duration) {
	end := time.Now().Add(d)
	for {
		next := g.nextTime(end)
		time.Sleep(time.Until(next))
		if g.fire() {
			g.settle()
		}
		if !next.Before(end) {
			return
		}
	}
}

// nextTime is when something happens next, at the latest at end.
func (g *game) nextTime(end time.Time) time.Time {
	consider := func(at time.Time) {
		if !at.IsZero() && at.Before(end) {
			end = at
		}
	}
	for _, l := range g.lives {
		for _, at := range [...]time.Time{l.vacantAt, l.giveUpAt, l.expireAt, l.until, l.answersUntil} {
			consider(at)
		}
	}
	for _, s := range g.seats {
		consider(s.expireAt)
	}
	return end
}

// fire has happen in the model what is due, and reports whether anything was.
func (g *game) fire() (happened bool) {
	now := time.Now()
	due := func(at *time.Time) bool {
		if at.IsZero() || at.After(now) {
			return false
		}
		*at, happened = time.Time{}, true
		return true
	}
	for _, l := range g.lives {
		if due(&l.vacantAt) {
			g.saw("R12: abandoned after a while")
			l.cancel(g, run.ErrAbandoned)
		}
		if due(&l.giveUpAt) && l.isLive() {
			g.saw("R18: given up")
			g.total.GivenUp++
		}
		if due(&l.answersUntil) {
			l.answers = nil
		}
		if due(&l.until) {
			l.expire(g)
		}
		if due(&l.expireAt) {
			g.sendAway(l)
		}
	}
	for _, s := range g.seats {
		if s.loaded && due(&s.expireAt) {
			s.expect = run.ErrBuried
		}
	}
	return happened
}

// expire has a log become a tombstone, and a tombstone nothing.
func (l *life) expire(g *game) {
	if l.phase != phaseKept {
		g.saw("R16: a tombstone is forgotten")
		l.phase = phaseGone
		delete(g.names, l.n)
		return
	}
	g.saw("R13: a log is forgotten")
	l.bury()
}

func (l *life) bury() { l.phase, l.until = phaseBuried, time.Now().Add(24*time.Hour) }

// sendAway expects those who view a log that has ended long ago to be told so.
func (g *game) sendAway(l *life) {
	for _, s := range g.seats {
		if s.life == l && !s.loaded && !s.left {
			s.expect = run.ErrBuried
		}
	}
}

// settle waits until nothing goes on any more, and compares.
func (g *game) settle() {
	for again := true; again; {
		synctest.Wait()
		g.noteLeft()
		g.learn()
		g.noteShed()
		again = g.advance()
	}
	g.compare()
}

// learn has all runs say what they have sent, those first that let others begin.
func (g *game) learn() {
	for again := true; again; {
		again = false
		for _, l := range g.lives {
			before := l.phase
			l.learn(g)
			again = again || before != l.phase
		}
	}
}

// ends counts a run that has ended.
func (g *game) ends(o run.Outcome) {
	g.saw("outcome %s", [...]string{"", "success", "interrupt", "cancelled", "error"}[o])
	switch e := &g.total.Ended; o {
	case run.OutcomeSuccess:
		e.Success++
	case run.OutcomeInterrupt:
		e.Interrupt++
	case run.OutcomeCancelled:
		e.Cancelled++
	default:
		e.Error++
	}
}

// finish ends all that there is, and checks that nothing is left.
func (g *game) finish() {
	g.budget.Store(0)
	g.failing = ""
	g.step(step{verb: "close"})
	g.steps++
	for _, l := range g.lives {
		l.cancel(g, run.ErrShutdown)
	}
	g.real.CancelAll(run.ErrShutdown)
	g.settle()
	g.sleep(11 * time.Second)
	for _, l := range g.lives {
		if l.hanging {
			l.tell(task{verb: "end"})
		}
	}
	for len(g.follows) > 0 {
		g.unfollow(step{})
	}
	for _, s := range g.seats {
		s.leave()
	}
	g.settle()
	g.sleep(25 * time.Hour)
	if runs, threads, lingering := g.real.Sizes(); runs+threads+lingering+g.real.Busy() > 0 || g.ledger.Total() != 0 || len(g.lives)+len(g.seats) > 0 {
		g.fail("in the end there are %d runs, %d threads, %d lingering, %d busy, %d bytes; the model has %d runs and %d viewers",
			runs, threads, lingering, g.real.Busy(), g.ledger.Total(), len(g.lives), len(g.seats))
	}
}

// giveUp ends what is left of a game, so that its goroutines end.
func (g *game) giveUp() {
	g.real.CancelAll(nil)
	for _, l := range g.lives {
		l.agent.tell(task{verb: "end"})
	}
	for _, s := range g.seats {
		s.viewer.Leave()
	}
	time.Sleep(time.Minute)
	_ = g.memory.Close()
}
