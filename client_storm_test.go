package agloop_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// TestR40Storm: many clients, each with several runs, whose connections are killed soon after their
// first event; some runs are cancelled, some are told something, viewers come and go. Nothing is
// lost, nothing comes twice, and every run has one end.
func TestR40Storm(t *testing.T) {
	const clients, runs, kills, seed = 20, 10, 8, 1
	s := newTeller(6, 40)
	srv, addr := serveEach(t, agloop.ServerConfig{
		Agent: s, Logger: quiet, Runs: agloop.RunsConfig{WindowEvents: 32},
	})
	w := &weather{teller: s}
	var all sync.WaitGroup
	var visitors [clients]*agloop.Client
	for i := range visitors {
		r := newBreaker(t, addr)
		visitors[i] = r.client(t, nil)
		r.killing(uint64(seed*1000+i), kills, 6000, cutClosed, cutReset)
	}
	for i := range clients {
		r := newBreaker(t, addr)
		c := r.client(t, nil)
		r.killing(uint64(seed*100+i), kills, 6000, cutClosed, cutReset)
		r.cutAll(cutReset)
		for j := range runs {
			rnd := rand.New(rand.NewPCG(seed, uint64(1000*i+j)))
			thread, run := fmt.Sprint("t", i, "-", j), fmt.Sprint("r", i, "-", j)
			if rnd.IntN(4) == 0 {
				units := 1 + rnd.IntN(60)
				all.Go(func() { w.visit(t, visitors[i], thread, run, units) })
			}
			all.Go(func() { w.storm(t, c, thread, run, rnd) })
		}
	}
	all.Wait()
	for _, compare := range w.visits {
		compare()
	}
	if w.cancelled.Load() == 0 || w.steered.Load() == 0 || len(w.visits) == 0 {
		t.Errorf("the storm was none: %d cancelled, %d steered, %d visits", w.cancelled.Load(), w.steered.Load(), len(w.visits))
	}
	testkit.Await(t, "every run has ended", func() bool { return srv.Stats().Runs == 0 })
	ended := srv.Stats().Logged.Ended
	if n := ended.Success + ended.Cancelled; n != clients*runs || ended.Error+ended.Interrupt != 0 {
		t.Errorf("%d runs have ended: %+v", n, ended)
	}
}

// weather is what happens in a storm.
type weather struct {
	*teller
	cancelled, steered atomic.Int64

	mu     sync.Mutex
	visits []func() // compare what visitors heard, when the runs have ended
}

// storm makes a run, which is perhaps cancelled or steered on its way.
func (w *weather) storm(t *testing.T, c *agloop.Client, thread, run string, rnd *rand.Rand) {
	tale := w.of(thread, run)
	var got chronicle
	var end error
	var asked sync.WaitGroup
	at, dice := 10+rnd.IntN(60), rnd.IntN(100)
	for ev, err := range c.Run(t.Context(), inThread(thread, run)) {
		if end = err; err != nil {
			break
		}
		got.hear(ev)
		tale.advance(got.units)
		if got.units < at {
			continue
		}
		at = 1 << 30
		switch {
		case dice < 10:
			asked.Go(func() {
				if err := c.Cancel(t.Context(), thread, run); err != nil {
					t.Errorf("cancel of %s: %v", run, err)
				}
				w.cancelled.Add(1)
			})
		case dice < 15:
			asked.Go(func() {
				_, err := c.Steer(t.Context(), thread, run, "steer")
				if err != nil && !errors.Is(err, agloop.ErrGone) { // the run may have ended
					t.Errorf("steer of %s: %v", run, err)
				}
				w.steered.Add(1)
			})
		}
	}
	asked.Wait()
	w.wantWhole(t, thread, run, got, end)
}

// visit attaches to a run from its start, and leaves it in the middle.
func (w *weather) visit(t *testing.T, c *agloop.Client, thread, run string, units int) {
	testkit.Receive(t, "the agent", w.of(thread, run).began)
	var got chronicle
	for ev, err := range c.Attach(t.Context(), thread, run, agloop.Cursor{}) {
		if err != nil {
			t.Errorf("a visit of %s: %v", run, err)
			return
		}
		if got.hear(ev); got.units >= units {
			break
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.visits = append(w.visits, func() {
		whole := w.whole(thread, run)
		for i, line := range got.lines {
			last := i == len(got.lines)-1
			if i >= len(whole) || line != whole[i] && !(last && strings.HasPrefix(whole[i], line)) {
				t.Errorf("a visitor of %s has heard as line %d: %s", run, i, line)
				return
			}
		}
	})
}
