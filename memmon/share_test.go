package memmon

import (
	"testing"
	"testing/synctest"
	"time"
)

// expectOverdrawn takes one call of OnOverdrawn, and expects no other.
func (w *world) expectOverdrawn(excess int64) {
	w.Helper()
	synctest.Wait()
	if len(w.overdrawn) != 1 {
		w.Fatalf("told %d times of an overdrawn share, want once", len(w.overdrawn))
	}
	if got := <-w.overdrawn; got != excess {
		w.Errorf("overdrawn by %d, want %d", got, excess)
	}
}

// TestOverdrawnShareIsToldWithEachReading, though the tier is at rest, every half second.
func TestOverdrawnShareIsToldWithEachReading(t *testing.T) {
	inBubble(t, func(w *world) {
		w.ledger.Add(0, 250) // a quarter is allowed
		w.Start()
		w.expect(Normal, 1)
		if len(w.overdrawn) != 0 || w.GetMonitoringInterval() != time.Minute {
			t.Errorf("told of a share that is not exceeded, every %v", w.GetMonitoringInterval())
		}
		time.Sleep(10 * minReadingInterval)
		w.ledger.Add(3, 1)
		w.expect(Normal, 2)
		w.expectOverdrawn(1)
		for n := range uint64(5) {
			time.Sleep(Critical.Interval())
			w.expect(Normal, n+3)
			w.expectOverdrawn(1)
		}
		w.Trigger()
		w.expect(Normal, 8)
		w.expectOverdrawn(1)
		w.ledger.Add(0, -2)
		time.Sleep(Critical.Interval())
		w.expect(Normal, 9)
		if len(w.overdrawn) != 0 || w.GetMonitoringInterval() != time.Minute || len(w.changes) != 0 {
			t.Errorf("told %d times of a share that is not exceeded any more", len(w.overdrawn))
		}
	})
}

// TestWhatIsCutIsReadAgain: a reading follows at the pace, so that the tier is left at once and the
// share is watched anew.
func TestWhatIsCutIsReadAgain(t *testing.T) {
	inBubble(t, func(w *world) {
		w.cut = func() { w.ledger.Add(1, -700) }
		w.Start()
		w.expect(Normal, 1)
		for n := range uint64(3) {
			time.Sleep(10 * minReadingInterval)
			w.ledger.Add(0, 875)
			w.expect(High, 2*n+2)
			w.changed(Normal, High)
			w.expectOverdrawn(625)
			time.Sleep(minReadingInterval)
			w.expect(Normal, 2*n+3)
			w.changed(High, Normal)
			w.ledger.Add(0, -175)
		}
		if len(w.overdrawn) != 0 {
			t.Error("told of a share that is not exceeded")
		}
	})
}

// TestGrowthBeyondTheShareIsSeen: who goes on taking is not left alone until the interval ends.
func TestGrowthBeyondTheShareIsSeen(t *testing.T) {
	inBubble(t, func(w *world) {
		w.ledger.Add(0, 300)
		w.Start()
		w.expect(Normal, 1)
		w.expectOverdrawn(50)
		for n := range uint64(3) {
			time.Sleep(10 * minReadingInterval)
			w.ledger.Add(0, 62) // a quarter of the share
			w.expect(Normal, n+2)
			w.expectOverdrawn(50 + 62*(int64(n)+1))
		}
	})
}
