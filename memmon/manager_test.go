package memmon

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// budget of the tests, and the limit of their process: a thousandth is a tenth of a point.
const budget = 1000

// instant is what separates before from after.
const instant = time.Nanosecond

// world is what a manager sees in a test, and what it says.
type world struct {
	*testing.T
	*MemoryManager
	ledger             *Ledger
	total, live, limit atomic.Int64 // of the process
	changes            chan Change
	overdrawn          chan int64

	collect func() // what a collection does, if it does anything
	cut     func() // what is done about an overdrawn share
}

// inBubble runs f in a bubble of its own time, with a manager that was not started.
func inBubble(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			T: t, ledger: NewLedger(), changes: make(chan Change, 100), overdrawn: make(chan int64, 10000),
			collect: func() {}, cut: func() {},
		}
		w.limit.Store(budget)
		w.MemoryManager = NewMemoryManager(Config{
			Budget:      budget,
			InOut:       w.ledger,
			Read:        func() Reading { return Reading{Total: w.total.Load(), Live: w.live.Load(), Limit: w.limit.Load()} },
			Collect:     func() { w.collect() },
			OnChange:    func(c Change) { w.changes <- c },
			OnOverdrawn: func(excess int64) { w.overdrawn <- excess; w.cut() },
			Logger:      slog.New(slog.DiscardHandler),
		})
		f(w)
		w.Stop()
	})
}

// expect compares the state after everything at this instant has been done.
func (w *world) expect(tier Tier, readings uint64) {
	w.Helper()
	synctest.Wait()
	if w.Tier() != tier || w.Readings() != readings {
		w.Fatalf("%v after %d readings at %.1f %%, want %v after %d",
			w.Tier(), w.Readings(), w.GetMemoryPressure(), tier, readings)
	}
}

// changed takes the next change and compares it.
func (w *world) changed(from, to Tier) {
	w.Helper()
	synctest.Wait()
	select {
	case c := <-w.changes:
		if c.From != from || c.To != to {
			w.Fatalf("%v → %v, want %v → %v", c.From, c.To, from, to)
		}
	default:
		w.Fatalf("no change, want %v → %v", from, to)
	}
}

func TestFirstReadingAtStart(t *testing.T) {
	inBubble(t, func(w *world) {
		w.total.Store(980)
		w.live.Store(970)
		if w.GetMemoryPressure() != 0 || w.GetMemoryUsage() != 0 || w.Tier() != Normal || w.Last() != (Reading{}) {
			t.Error("figures before Start")
		}
		began := time.Now()
		w.Start()
		// Before anything else could run:
		if w.Tier() != Critical || w.GetMemoryPressure() != 97 || w.GetMemoryUsage() != 980 ||
			w.GetMonitoringInterval() != 500*time.Millisecond || w.Readings() != 1 {
			t.Errorf("%v at %v %% after Start", w.Tier(), w.GetMemoryPressure())
		}
		synctest.Wait()
		c := <-w.changes
		if want := (Change{Normal, Critical, Reading{Total: 980, Live: 970, Limit: budget, Budget: budget}, began}); c != want {
			t.Errorf("got  %+v\nwant %+v", c, want)
		}
		w.Start() // a second one does nothing
		w.expect(Critical, 1)
	})
}

func TestIntervalIsFollowedExactly(t *testing.T) {
	for tier := Normal; tier <= Critical; tier++ {
		t.Run(tier.String(), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.live.Store(int64(tiers[tier].floor) * budget / 100)
				w.Start()
				if got := w.GetMonitoringInterval(); got != tier.Interval() {
					t.Errorf("interval %v", got)
				}
				for n := range uint64(20) {
					w.expect(tier, n+1)
					time.Sleep(tier.Interval() - instant)
					w.expect(tier, n+1)
					time.Sleep(instant)
				}
			})
		})
	}
}

// TestIntervalChangesWithTheTier goes all the way up and down by the timer alone.
func TestIntervalChangesWithTheTier(t *testing.T) {
	inBubble(t, func(w *world) {
		w.Start()
		tier, readings := Normal, uint64(1)
		w.expect(tier, readings)
		for _, c := range []struct {
			live int64
			next Tier
		}{
			{499, Normal},
			{500, Moderate},
			{699, Moderate},
			{700, Elevated},
			{849, Elevated},
			{850, High},
			{949, High},
			{950, Critical},
			{901, Critical},
			{900, High},
			{801, High},
			{800, Elevated},
			{651, Elevated},
			{650, Moderate},
			{451, Moderate},
			{450, Normal},
		} {
			w.live.Store(c.live)
			time.Sleep(tier.Interval() - instant)
			w.expect(tier, readings)
			time.Sleep(instant)
			readings++
			w.expect(c.next, readings)
			if c.next != tier {
				w.changed(tier, c.next)
			}
			tier = c.next
		}
		if len(w.changes) != 0 {
			t.Errorf("%d more changes", len(w.changes))
		}
	})
}

func TestNoOscillationAroundABoundary(t *testing.T) {
	for tier := Moderate; tier <= Critical; tier++ {
		t.Run(tier.String(), func(t *testing.T) {
			inBubble(t, func(w *world) {
				edge := int64(tiers[tier].floor) * budget / 100
				w.live.Store(edge - 20)
				w.Start()
				synctest.Wait()
				before := len(w.changes) // on the way to where it starts
				for i := range 1000 {
					w.live.Store(edge - 20 + int64(i%2)*40)
					time.Sleep(w.GetMonitoringInterval())
					synctest.Wait()
				}
				if w.Tier() != tier || len(w.changes) != before+1 {
					t.Errorf("%v after %d changes", w.Tier(), len(w.changes)-before)
				}
			})
		})
	}
}

func TestSetBudget(t *testing.T) {
	inBubble(t, func(w *world) {
		w.limit.Store(1 << 40)
		w.ledger.Add(0, 400)
		w.SetBudget(1600) // before Start
		w.Start()
		w.expect(Normal, 1)
		w.SetBudget(410)
		w.expect(Critical, 2)
		w.changed(Normal, Critical)
		if r := w.Last(); r.Budget != 410 || r.Share() != 102 || <-w.overdrawn != 400-102 {
			t.Errorf("%+v, share %d", r, r.Share())
		}
		time.Sleep(Critical.Interval())
		w.expect(Critical, 3)
		w.SetBudget(0) // the limit of the readings, which is large
		w.expect(Normal, 4)
		w.changed(Critical, Normal)
		if r := w.Last(); r.Budget != 1<<40 || r.Limit != 1<<40 {
			t.Errorf("%+v", r)
		}
		w.SetBudget(-1)
		w.expect(Normal, 5)
	})
}

// TestPressureIsTheGreater of what the ledger says and what is alive; garbage has no part in it.
func TestPressureIsTheGreater(t *testing.T) {
	for _, c := range []struct {
		held        int
		total, live int64
		want        float64
	}{
		{0, 849, 0, 0},
		{200, 849, 100, 20},
		{200, 849, 300, 30},
		{960, 100, 300, 96},
		{1200, 100, 0, 120},
		{0, 2000, 960, 96},
	} {
		inBubble(t, func(w *world) {
			w.ledger.Add(0, c.held)
			w.total.Store(c.total)
			w.live.Store(c.live)
			w.Start()
			if got := w.GetMemoryPressure(); got != c.want || w.Tier() != Normal.next(c.want) {
				t.Errorf("%+v: %v %%, %v", c, got, w.Tier())
			}
			if r := w.Now(); r != w.Last() || r.Pressure() != c.want/100 || r.Held != int64(c.held) || r.InOut != r.Held {
				t.Errorf("%+v now, last %+v", r, w.Last())
			}
		})
	}
}

func TestWithoutALimitNothingIsHigh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger()
		m := NewMemoryManager(Config{
			InOut: l, Read: func() Reading { return Reading{Total: 1 << 60, Live: 1 << 60} },
			Collect:     func() { t.Error("collected") },
			OnOverdrawn: func(int64) { t.Error("overdrawn") },
		})
		m.Start()
		l.Add(0, 1<<60)
		m.Trigger()
		synctest.Wait()
		l.Add(0, 1<<60)
		synctest.Wait()
		if m.Tier() != Normal || m.GetMemoryPressure() != 0 || m.Readings() != 2 {
			t.Errorf("%v at %v %% after %d readings", m.Tier(), m.GetMemoryPressure(), m.Readings())
		}
		m.Stop()
	})
}

func TestStop(t *testing.T) {
	t.Run("before Start", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.Stop()
			w.Start()
			w.expect(Normal, 0)
		})
	})
	t.Run("twice", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.live.Store(960)
			w.Start()
			go w.Stop()
			w.Stop()
			w.Stop()
			// The last figures stay; nothing moves them.
			w.live.Store(10)
			w.Trigger()
			w.ledger.Add(0, 1000)
			time.Sleep(time.Hour)
			w.expect(Critical, 1)
		})
	})
	t.Run("during a reading", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			gate, stopped := make(chan struct{}, 1), make(chan struct{})
			gate <- struct{}{} // for the first reading
			m := NewMemoryManager(Config{Budget: budget, Read: func() Reading { <-gate; return Reading{Live: 1} }})
			m.Start()
			m.Trigger()
			synctest.Wait() // in the second reading now
			m.Trigger()
			go func() {
				m.Stop()
				close(stopped)
			}()
			synctest.Wait()
			select {
			case <-stopped:
				t.Fatal("Stop returned during a reading")
			default:
			}
			gate <- struct{}{}
			<-stopped
			if n := m.Readings(); n != 2 {
				t.Errorf("%d readings", n)
			}
		})
	})
}

// TestOnChangeIsNeverConcurrent: while a callback runs the tier stands still; the reading that came
// due meanwhile follows at once.
func TestOnChangeIsNeverConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var live atomic.Int64
		var inside atomic.Int32
		var seen []Tier
		m := NewMemoryManager(Config{
			Budget:  budget,
			Collect: func() {},
			Read:    func() Reading { return Reading{Live: live.Load(), Limit: budget} },
			OnChange: func(c Change) {
				if inside.Add(1) != 1 {
					t.Error("two at once")
				}
				if len(seen) > 0 && seen[len(seen)-1] != c.From {
					t.Errorf("from %v after %v", c.From, seen)
				}
				seen = append(seen, c.To)
				time.Sleep(10 * time.Second)
				inside.Add(-1)
			},
			Logger: slog.New(slog.DiscardHandler),
		})
		for _, next := range []int64{960, 870, 750, 550, 100, 960} {
			live.Store(next)
			m.Start()
			for range 5 {
				m.Trigger()
			}
			time.Sleep(11 * time.Second)
			synctest.Wait()
		}
		m.Stop()
		want := []Tier{Critical, High, Elevated, Moderate, Normal, Critical}
		if len(seen) != len(want) {
			t.Fatalf("%v, want %v", seen, want)
		}
		for i := range want {
			if seen[i] != want[i] {
				t.Fatalf("%v, want %v", seen, want)
			}
		}
	})
}

func TestChangesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var live atomic.Int64
		m := NewMemoryManager(Config{
			Budget:  budget,
			Collect: func() {},
			Read:    func() Reading { return Reading{Live: live.Load(), Limit: budget} },
			Logger:  slog.New(slog.NewTextHandler(&out, nil)),
		})
		live.Store(960)
		m.Start()
		synctest.Wait()
		live.Store(100)
		m.Trigger()
		synctest.Wait()
		m.Stop()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 {
			t.Fatalf("%q", lines)
		}
		for i, parts := range [][]string{
			{"level=WARN", "agloop: ", "from=normal", "to=critical", "pressure_percent=96", "live_bytes=960", "limit_bytes=1000", "budget_bytes=1000", "held_bytes=0"},
			{"level=INFO", "from=critical", "to=normal"},
		} {
			for _, part := range parts {
				if !strings.Contains(lines[i], part) {
					t.Errorf("no %q in %s", part, lines[i])
				}
			}
		}
	})
}
