package memmon

import (
	"math"
	"sync/atomic"
)

// stripeCount is a power of two, so that any number picks a stripe by its low bits.
const stripeCount = 16

// noThreshold is a threshold that no count reaches.
const noThreshold = math.MaxInt64

// Ledger counts the bytes that connections hold in and out together, by the capacity of their
// buffers. When the count has grown by as much as the last reading allowed, it asks the
// MemoryManager that watches it for another one; without a manager it only counts. It must be made
// by NewLedger and not be copied. All methods may be called from any goroutine.
type Ledger struct {
	stripes     [stripeCount]stripe
	onThreshold atomic.Pointer[func()] // called when a threshold was reached; nil without a manager
}

// stripe has two cache lines to itself: processors fetch them in pairs.
type stripe struct {
	held      atomic.Int64 // below 0 when bytes were added to another stripe
	threshold atomic.Int64 // a count from here on asks for a reading
	_         [128 - 16]byte
}

// stripeCounts are the counts of all stripes at one moment.
type stripeCounts [stripeCount]int64

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	l := new(Ledger)
	l.clearThresholds()
	return l
}

// Add adds delta bytes, which is negative when they are released. stripe may be any number.
// Goroutines with different numbers do not slow each other down, so a loop uses its index. Bytes
// should be removed with the number they were added with. It costs one atomic addition and one
// load.
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

// reachThreshold asks for a reading. It clears the thresholds first, so that later additions do not
// ask again; the reading sets new ones.
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

// snapshot stores the counts in to and returns their sum.
func (l *Ledger) snapshot(to *stripeCounts) (bytes int64) {
	for i := range l.stripes {
		to[i] = l.stripes[i].held.Load()
		bytes += to[i]
	}
	return bytes
}

// setThresholds lets each stripe grow by step from the counts in from. If a stripe has passed its
// threshold meanwhile, it asks for a reading now.
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
