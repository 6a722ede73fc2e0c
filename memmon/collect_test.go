package memmon

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestGarbageIsCollectedBeforeTheVerdict: nobody hears of a pressure that a collection ends.
func TestGarbageIsCollectedBeforeTheVerdict(t *testing.T) {
	inBubble(t, func(w *world) {
		w.total.Store(960)
		w.live.Store(960) // when they were last looked for
		w.collect = func() { w.total.Store(300); w.live.Store(200) }
		w.Start()
		w.expect(Normal, 1)
		if w.Collections() != 1 || w.GetMemoryPressure() != 20 || w.GetMonitoringInterval() != time.Minute || len(w.changes) != 0 {
			t.Errorf("%d collections, %v %%, then every %v", w.Collections(), w.GetMemoryPressure(), w.GetMonitoringInterval())
		}
	})
}

// TestMappedMemoryIsLookedAfter: above 85 % mapped garbage is collected every two seconds, whatever
// asks for readings meanwhile, and below only rest counts.
func TestMappedMemoryIsLookedAfter(t *testing.T) {
	for _, total := range []int64{850, 960, 2000} {
		inBubble(t, func(w *world) {
			w.total.Store(total)
			w.live.Store(100)
			w.Start()
			for n := range uint64(5) {
				w.expect(Normal, n+1)
				if w.Collections() != n+1 || w.GetMonitoringInterval() != collectInterval {
					t.Errorf("%d collections, want %d, then every %v", w.Collections(), n+1, w.GetMonitoringInterval())
				}
				time.Sleep(collectInterval)
			}
			w.expect(Normal, 6)
			readings := w.Readings()
			for range 19 {
				time.Sleep(collectInterval / 20)
				w.Trigger()
				readings++
				w.expect(Normal, readings)
			}
			if w.Collections() != 6 {
				t.Errorf("%d collections, want none within two seconds", w.Collections())
			}
			w.total.Store(849)
			w.Trigger()
			w.expect(Normal, readings+1)
			if w.Collections() != 6 || w.GetMonitoringInterval() != time.Minute {
				t.Errorf("below: %d collections, then every %v", w.Collections(), w.GetMonitoringInterval())
			}
		})
	}
}

// TestStaleLiveHeapIsLookedAfter: what would refuse connections is looked for again even when less
// is mapped, on the way up as on the way down.
func TestStaleLiveHeapIsLookedAfter(t *testing.T) {
	inBubble(t, func(w *world) {
		var alive atomic.Int64 // what a collection finds out
		w.collect = func() { w.live.Store(alive.Load()) }
		w.total.Store(840)
		w.live.Store(839)
		w.Start()
		w.expect(Elevated, 1)
		if w.Collections() != 0 {
			t.Error("collected in Elevated")
		}
		w.live.Store(860)
		alive.Store(860)
		w.Trigger()
		w.expect(High, 2)
		alive.Store(810) // keeps High
		time.Sleep(High.Interval())
		w.expect(High, 3)
		alive.Store(100)
		time.Sleep(High.Interval())
		w.expect(Normal, 4)
		if w.Collections() != 3 {
			t.Errorf("%d collections, want 3", w.Collections())
		}
	})
}

// TestLongCollectionsAreRarer: a heap so large that a collection takes a second is not collected
// for more than a tenth of the time.
func TestLongCollectionsAreRarer(t *testing.T) {
	inBubble(t, func(w *world) {
		w.total.Store(900)
		w.collect = func() { time.Sleep(time.Second) }
		w.Start()
		time.Sleep(collectShare*time.Second - instant)
		w.expect(Normal, 5)
		if w.Collections() != 1 {
			t.Errorf("%d collections in ten seconds", w.Collections())
		}
		time.Sleep(collectInterval)
		if w.Collections() != 2 {
			t.Errorf("%d collections in eleven seconds", w.Collections())
		}
		time.Sleep(time.Second) // out of the collection, for Stop
	})
}
