package memmon

import (
	"math"
	"sync/atomic"
)

// stripeCount is a power of two, so that any number picks a stripe by its low bits.
const stripeCount = 16

// never is a threshold that no count reaches.
const noThreshold = math.MaxInt64

// Ledger counts bytes that agloop holds, by capacity and not by what is in use of it. It
// is one account: what connections hold in and out together. A MemoryManager that watches it
// is asked for a reading when the count has grown by as much as the last reading allowed;
// without one it only counts. It must be made by NewLedger and not be copied. All methods
// may be called from any goroutine.
type Ledger struct {
	stripes     [stripeCount]stripe
	onThreshold atomic.Pointer[func()] // called when a threshold was reached; nil without a manager
}

// stripe has two cache lines to itself: processors fetch them in pairs.
type stripe struct {
	held      atomic.Int64 // below 0 when bytes were taken off here that had been added elsewhere
	threshold atomic.Int64 // from here on a reading is asked for
	_         [128 - 16]byte
}

// marks are the counts of all stripes at one moment.
type stripeCounts [stripeCount]int64

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	l := new(Ledger)
	l.clearThresholds()
	return l
}

// Add adds delta bytes, which is negative when they are let go of. stripe is any number;
// goroutines with different ones do not slow each other down, a loop uses its own index.
// What was added with one number is best taken off with the same. It costs one atomic
// addition and one load.
func (l *Ledger) Add(stripe, delta int) {
	s := &l.stripes[stripe&(stripeCount-1)]
	if s.held.Add(int64(delta)) >= s.threshold.Load() {
		l.reachThreshold()
	}
}

// Total is the number of bytes held. While others add it may be off by what they add.
func (l *Ledger) Total() (bytes int64) {
	for i := range l.stripes {
		bytes += l.stripes[i].held.Load()
	}
	return bytes
}

// cross asks for a reading. The thresholds go first, so that those who come after the
// first find none; the reading, which always follows, sets new ones.
func (l *Ledger) reachThreshold() {
	l.clearThresholds()
	if f := l.onThreshold.Load(); f != nil {
		(*f)()
	}
}

func (l *Ledger) clearThresholds() {
	for i := range l.stripes {
		l.stripes[i].threshold.Store(noThreshold)
	}
}

// mark notes the counts, and is their sum.
func (l *Ledger) snapshot(to *stripeCounts) (bytes int64) {
	for i := range l.stripes {
		to[i] = l.stripes[i].held.Load()
		bytes += to[i]
	}
	return bytes
}

// arm lets each stripe grow by step from what was marked. Bytes that came since then, and
// found no threshold, ask now.
func (l *Ledger) setThresholds(from *stripeCounts, step int64) {
	late := false
	for i := range l.stripes {
		s, ask := &l.stripes[i], from[i]+step
		s.threshold.Store(ask)
		late = s.held.Load() >= ask || late
	}
	if late {
		l.reachThreshold()
	}
}
