package memmon

import (
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLiveGrowthIsSeenWithinTheInstant crosses every boundary between two readings.
func TestLiveGrowthIsSeenWithinTheInstant(t *testing.T) {
	for name, report := range map[string]func(w *world, grown int64){
		"Check": func(w *world, _ int64) { w.Check(w.live.Load()) },
		"Note":  func(w *world, grown int64) { w.Note(grown) },
		"both": func(w *world, grown int64) { // each sees half
			w.live.Add(-grown / 2)
			w.Check(w.live.Load())
			w.Note(grown / 2)
		},
	} {
		for tier := Moderate; tier <= Critical; tier++ {
			t.Run(name+"/"+tier.String(), func(t *testing.T) {
				inBubble(t, func(w *world) {
					edge := int64(tiers[tier].floor) * budget / 100
					w.total.Store(edge - 40)
					w.live.Store(300)
					w.Note(200) // what was there before the reading is not growth
					w.Start()
					w.expect(tier-1, 1)
					time.Sleep(10 * pace)
					now := time.Now()
					w.grow(40)
					report(w, 40)
					w.expect(tier, 2)
					if !time.Now().Equal(now) {
						t.Error("time has passed")
					}
				})
			})
		}
	}
}

func TestBelowTheThresholdNothingHappens(t *testing.T) {
	inBubble(t, func(w *world) {
		w.total.Store(100) // 400 to the boundary, half of it for each count
		w.live.Store(50)
		w.Start()
		time.Sleep(10 * pace)
		w.Check(50 + 199)
		w.Note(199)
		w.Check(0)
		w.expect(Normal, 1)
		w.Check(50 + 200)
		w.expect(Normal, 2)
		time.Sleep(10 * pace)
		w.Note(1) // not yet: the second reading began with 199
		w.expect(Normal, 2)
		w.Note(199)
		w.expect(Normal, 3)
	})
}

// TestGrowthIsPaced: growth that asks again and again costs a reading in a millisecond,
// and the last of it is seen.
func TestGrowthIsPaced(t *testing.T) {
	inBubble(t, func(w *world) {
		w.Start()
		w.grow(490)
		w.Check(w.live.Load())
		w.expect(Normal, 1) // the first reading is not a millisecond old
		time.Sleep(pace - instant)
		w.expect(Normal, 1)
		time.Sleep(instant)
		w.expect(Normal, 2)
		for range 100 {
			w.grow(1)
			w.Check(w.live.Load())
			time.Sleep(pace / 10)
		}
		synctest.Wait()
		if n := w.Readings(); w.Tier() != Moderate || n < 3 || n > 13 {
			t.Errorf("%v after %d readings in 11 ms", w.Tier(), n)
		}
		// In critical there is no boundary above, so nothing to ask for.
		time.Sleep(10 * pace)
		w.total.Store(980)
		w.Trigger()
		synctest.Wait()
		n := w.Readings()
		for range 100 {
			w.grow(100)
			w.Check(w.live.Load())
			w.Note(100)
		}
		w.expect(Critical, n)
	})
}

func TestStepIsAtLeastAThousandth(t *testing.T) {
	inBubble(t, func(w *world) {
		w.SetBudget(1 << 20)
		w.total.Store(1<<19 - 1) // one byte below half
		w.Start()
		synctest.Wait()
		time.Sleep(10 * pace)
		w.Check(1<<10 - 1)
		w.expect(Normal, 1)
		w.Check(1 << 10)
		w.expect(Normal, 2)
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
		m := NewMemoryManager(Config{
			Budget: budget,
			Read:   func() Reading { <-gate; return Reading{} },
			Logger: slog.New(slog.DiscardHandler),
		})
		m.Trigger() // served by the first reading
		go m.Start()
		synctest.Wait()
		for range 10 {
			m.Trigger()
			m.SetBudget(budget)
			m.cross()
		}
		gate <- struct{}{}
		gate <- struct{}{}
		time.Sleep(2 * pace)
		synctest.Wait()
		if n := m.Readings(); n != 2 {
			t.Errorf("%d readings", n)
		}
		m.Stop()
	})
}

// TestPaceTellsNothingTwice: growth right after a change waits for the pace, and the
// change is not reported again.
func TestPaceTellsNothingTwice(t *testing.T) {
	inBubble(t, func(w *world) {
		w.total.Store(500)
		w.Start()
		w.changed(Normal, Moderate)
		w.grow(200)
		w.Check(w.live.Load())
		w.expect(Moderate, 1)
		time.Sleep(pace)
		w.expect(Elevated, 2)
		w.changed(Moderate, Elevated)
		if len(w.changes) != 0 {
			t.Errorf("%+v once more", <-w.changes)
		}
	})
}

// calm is a manager far below its first boundary, in the state of its first reading.
func calm(tb testing.TB) *MemoryManager {
	m := NewMemoryManager(Config{Read: func() Reading { return Reading{Total: 1, Limit: 1 << 60} }})
	m.Start()
	tb.Cleanup(m.Stop)
	return m
}

func TestHotPathAllocatesNothing(t *testing.T) {
	m := calm(t)
	if n := testing.AllocsPerRun(1000, func() { m.Check(1); m.Note(1); m.Tier() }); n != 0 {
		t.Errorf("%v allocations below the threshold", n)
	}
	m.Stop() // so that nobody takes the signal away
	if n := testing.AllocsPerRun(1000, func() { m.cross(); m.Trigger() }); n != 0 {
		t.Errorf("%v allocations above it", n)
	}
}

// TestTriggersFromManyGoroutines loses no crossing: whoever crosses last is still seen.
func TestTriggersFromManyGoroutines(t *testing.T) {
	changes := make(chan Change, 10)
	m := NewMemoryManager(Config{
		Budget: 1 << 20,
		Live:   func() int64 { return 0 },
		Logger: slog.New(slog.DiscardHandler),
	})
	m.cfg.Read = func() Reading { return Reading{Total: m.noted.Load()} }
	m.cfg.OnChange = func(c Change) { changes <- c }
	m.Start()
	defer m.Stop()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1 << 17 / 16 {
				m.Note(16)
				m.Check(0)
				m.Tier()
			}
		})
	}
	all.Wait()
	await(t, changes, Critical)
}

func BenchmarkCheck(b *testing.B) {
	m := calm(b)
	b.ReportAllocs()
	for b.Loop() {
		m.Check(1)
	}
}

func BenchmarkCheckParallel(b *testing.B) {
	m := calm(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Check(1)
		}
	})
}

func BenchmarkNote(b *testing.B) {
	m := calm(b)
	b.ReportAllocs()
	for b.Loop() {
		m.Note(0)
	}
}

func BenchmarkNoteParallel(b *testing.B) {
	m := calm(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Note(0)
		}
	})
}

// BenchmarkTake is a whole reading of the manager, as it comes twice a second in Critical.
func BenchmarkTake(b *testing.B) {
	m := NewMemoryManager(Config{})
	b.ReportAllocs()
	for b.Loop() {
		m.take()
	}
}
