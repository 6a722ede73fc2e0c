package memmon

import (
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

func TestLedgerCounts(t *testing.T) {
	l := NewLedger()
	l.Add(0, 100)
	l.Add(stripeCount, 10) // the same stripe
	l.Add(1, 5)
	l.Add(-1, 3) // any number picks one
	l.Add(7, -20)
	if n := l.Total(); n != 98 {
		t.Errorf("%d bytes, want 98", n)
	}
	if n := l.stripes[0].held.Load(); n != 110 {
		t.Errorf("%d bytes on the first stripe, want 110", n)
	}
	if n := unsafe.Sizeof(stripe{}); n != 128 {
		t.Errorf("a stripe takes %d bytes, want two cache lines", n)
	}
}

// TestLedgerWithoutAManager asks nobody, whatever it holds.
func TestLedgerWithoutAManager(t *testing.T) {
	l := NewLedger()
	l.Add(0, 1<<62)
	if n := l.Total(); n != 1<<62 {
		t.Errorf("%d bytes", n)
	}
	l.reachThreshold()
}

// TestLedgerAsksOnce: whoever reaches the threshold first takes all thresholds away.
func TestLedgerAsksOnce(t *testing.T) {
	l := NewLedger()
	asked := 0
	edge := func() { asked++ }
	l.onThreshold.Store(&edge)
	var at stripeCounts
	l.Add(2, 50)
	l.snapshot(&at)
	l.setThresholds(&at, 10)
	l.Add(2, 9)
	l.Add(3, 9)
	if asked != 0 {
		t.Fatal("asked below the threshold")
	}
	l.Add(2, 1)
	for range 10 {
		l.Add(2, 1000)
		l.Add(3, 1000)
	}
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	// What came while there was no threshold asks when there is one again.
	l.setThresholds(&at, 10)
	if asked != 2 {
		t.Errorf("asked %d times, want once more", asked)
	}
}

// TestLedgerFromManyGoroutines loses no byte and no crossing.
func TestLedgerFromManyGoroutines(t *testing.T) {
	l := NewLedger()
	var asked atomic.Int64
	edge := func() { asked.Add(1) }
	l.onThreshold.Store(&edge)
	l.setThresholds(new(stripeCounts), 1000)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 1000 {
				l.Add(i%3, 3)
				l.Add(i%3, -2)
			}
		})
	}
	all.Wait()
	if n := l.Total(); n != 8000 {
		t.Errorf("%d bytes, want 8000", n)
	}
	if n := asked.Load(); n < 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestLedgerAllocatesNothing(t *testing.T) {
	l := calm(t)
	if n := testing.AllocsPerRun(1000, func() { l.Add(3, 1); l.Total() }); n != 0 {
		t.Errorf("%v allocations below the threshold", n)
	}
	if n := testing.AllocsPerRun(1000, func() { l.reachThreshold() }); n != 0 {
		t.Errorf("%v allocations above it", n)
	}
}

// BenchmarkLedger is what a loop pays for each buffer that it takes or lets go of.
func BenchmarkLedger(b *testing.B) {
	b.Run("Add", func(b *testing.B) {
		l := calm(b)
		b.ReportAllocs()
		for b.Loop() {
			l.Add(0, 0)
		}
	})
	parallel := func(name string, stripeOf func(worker int) int) {
		b.Run(name, func(b *testing.B) {
			l := calm(b)
			var workers atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				stripe := stripeOf(int(workers.Add(1)))
				for pb.Next() {
					l.Add(stripe, 0)
				}
			})
		})
	}
	parallel("AddFromTwo", func(worker int) int { return worker })
	parallel("AddFromTwoOnOneStripe", func(int) int { return 0 })
	b.Run("Total", func(b *testing.B) {
		l := calm(b)
		for b.Loop() {
			l.Total()
		}
	})
}
