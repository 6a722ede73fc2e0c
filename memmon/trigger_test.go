package memmon

import (
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestGrowthIsSeenWithinTheInstant crosses every boundary between two readings.
func TestGrowthIsSeenWithinTheInstant(t *testing.T) {
	const step = stripeCount * 2
	for name, grow := range map[string]func(l *Ledger){
		"one stripe": func(l *Ledger) { l.Add(5, step) },
		"all stripes": func(l *Ledger) {
			const last = stripeCount - 1 // which alone asks, as a reading may be quicker than the adds that follow
			for i := range last {
				l.Add(i, step/stripeCount-1)
			}
			l.Add(last, step-last*(step/stripeCount-1))
		},
		"to and fro": func(l *Ledger) {
			l.Add(1, -2*step)
			l.Add(2, 3*step)
		},
	} {
		for tier := Moderate; tier <= Critical; tier++ {
			t.Run(name+"/"+tier.String(), func(t *testing.T) {
				inBubble(t, func(w *world) {
					w.ledger.Add(1, int(tiers[tier].floor)*budget/100-step)
					w.Start()
					w.expect(tier-1, 1)
					time.Sleep(10 * minReadingInterval)
					now := time.Now()
					grow(w.ledger)
					w.expect(tier, 2)
					if !time.Now().Equal(now) {
						t.Error("time has passed")
					}
				})
			})
		}
	}
}

// TestGrowthTowardTheLimitIsSeen: bytes that are held are mapped, and may be the last that the
// process can have.
func TestGrowthTowardTheLimitIsSeen(t *testing.T) {
	inBubble(t, func(w *world) {
		w.total.Store(800)
		w.Start()
		w.expect(Normal, 1)
		time.Sleep(10 * minReadingInterval)
		w.total.Store(850)
		w.ledger.Add(0, 50)
		w.expect(Normal, 2)
		if w.Collections() != 1 {
			t.Errorf("%d collections", w.Collections())
		}
	})
}

func TestBelowTheThresholdNothingHappens(t *testing.T) {
	inBubble(t, func(w *world) {
		w.limit.Store(1 << 40)
		w.SetBudget(16000)
		w.ledger.Add(0, 1007) // 2993 to the share: 2994 for 16 stripes, 187 each
		w.Start()
		w.expect(Normal, 1)
		time.Sleep(10 * minReadingInterval)
		w.ledger.Add(0, 186)
		w.ledger.Add(0, -186)
		w.ledger.Add(1, 186)
		w.ledger.Add(2, -5000)
		w.expect(Normal, 1)
		w.ledger.Add(1, 1)
		w.expect(Normal, 2)
	})
}

// TestGrowthIsPaced: growth that asks again and again costs a reading in a millisecond, and the
// last of it is seen.
func TestGrowthIsPaced(t *testing.T) {
	inBubble(t, func(w *world) {
		w.Start()
		w.ledger.Add(0, 490)
		w.expect(Normal, 1) // the first reading is not a millisecond old
		time.Sleep(minReadingInterval - instant)
		w.expect(Normal, 1)
		time.Sleep(instant)
		w.expect(Normal, 2)
		for range 100 {
			w.ledger.Add(0, 1)
			time.Sleep(minReadingInterval / 10)
		}
		synctest.Wait()
		if n := w.Readings(); w.Tier() != Moderate || n < 3 || n > 13 {
			t.Errorf("%v after %d readings in 11 ms", w.Tier(), n)
		}
	})
}

// TestStepIsAPartOfTheBudget: close to a boundary not every byte asks for a reading.
func TestStepIsAPartOfTheBudget(t *testing.T) {
	inBubble(t, func(w *world) {
		w.limit.Store(1 << 40)
		w.SetBudget(1 << 20)
		w.ledger.Add(0, 1<<18) // no byte below the share's end
		w.Start()
		w.expect(Normal, 1)
		time.Sleep(10 * minReadingInterval)
		w.ledger.Add(0, 1<<8-1)
		w.expect(Normal, 1)
		w.ledger.Add(0, 1)
		w.expect(Normal, 2)
		w.expectOverdrawn(1 << 8)
	})
}

func TestTriggerIsCoalesced(t *testing.T) {
	inBubble(t, func(w *world) {
		w.Start()
		synctest.Wait()
		for range 10 {
			w.Trigger()
		}
		synctest.Wait()
		n := w.Readings()
		if n < 2 || n > 11 { // the manager may run in between, see also the next test
			t.Errorf("%d readings", n)
		}
		// The interval starts anew.
		time.Sleep(Normal.Interval() / 2)
		w.Trigger()
		w.expect(Normal, n+1)
		time.Sleep(Normal.Interval() - instant)
		w.expect(Normal, n+1)
		time.Sleep(instant)
		w.expect(Normal, n+2)
	})
}

func TestTriggersDuringAReadingGetOneMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		ledger := NewLedger()
		m := NewMemoryManager(Config{
			Budget: budget, InOut: ledger,
			Read:   func() Reading { <-gate; return Reading{} },
			Logger: slog.New(slog.DiscardHandler),
		})
		m.Trigger() // served by the first reading
		go m.Start()
		synctest.Wait()
		for range 10 {
			m.Trigger()
			m.SetBudget(budget)
			ledger.reachThreshold()
		}
		gate <- struct{}{}
		gate <- struct{}{}
		time.Sleep(2 * minReadingInterval)
		synctest.Wait()
		if n := m.Readings(); n != 2 {
			t.Errorf("%d readings", n)
		}
		m.Stop()
	})
}

// TestPaceTellsNothingTwice: growth right after a change waits for the pace, and the change is not
// reported again.
func TestPaceTellsNothingTwice(t *testing.T) {
	inBubble(t, func(w *world) {
		w.ledger.Add(0, 500)
		w.Start()
		w.changed(Normal, Moderate)
		w.expectOverdrawn(250)
		w.ledger.Add(0, 200)
		w.expect(Moderate, 1)
		time.Sleep(minReadingInterval)
		w.expect(Elevated, 2)
		w.changed(Moderate, Elevated)
		w.expectOverdrawn(450)
		if len(w.changes) != 0 {
			t.Errorf("%+v once more", <-w.changes)
		}
	})
}

// calm is a ledger whose manager saw it far below the first threshold, and is gone.
func calm(tb testing.TB) *Ledger {
	l := NewLedger()
	m := NewMemoryManager(Config{InOut: l, Read: func() Reading { return Reading{Total: 1, Limit: 1 << 60} }})
	m.evaluate()
	if tb.Failed() || l.stripes[0].threshold.Load() == noThreshold {
		tb.Fatal("no threshold")
	}
	return l
}

func TestTriggerAllocatesNothing(t *testing.T) {
	m := NewMemoryManager(Config{})
	if n := testing.AllocsPerRun(1000, func() { m.Trigger(); m.Tier() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestGrowthFromManyGoroutines loses no crossing: whoever crosses last is still seen.
func TestGrowthFromManyGoroutines(t *testing.T) {
	changes := make(chan Change, 10)
	ledger := NewLedger()
	m := NewMemoryManager(Config{
		Budget: 1 << 20, InOut: ledger,
		Read:     func() Reading { return Reading{} },
		OnChange: func(c Change) { changes <- c },
		Logger:   slog.New(slog.DiscardHandler),
	})
	m.Start()
	defer m.Stop()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 1 << 17 / 16 {
				ledger.Add(i, 16)
				m.Tier()
			}
		})
	}
	all.Wait()
	reach(t, changes, Critical)
}

// BenchmarkTake is a whole reading of the manager, as it comes twice a second in Critical.
func BenchmarkTake(b *testing.B) {
	m := NewMemoryManager(Config{Collect: func() {}})
	b.ReportAllocs()
	for b.Loop() {
		m.evaluate()
	}
}
