package metrics

import "time"

// LoopMetrics are the distributions of one loop. A nil *LoopMetrics, which a loop without metrics
// has, records nothing at the cost of a comparison. Any goroutine may record and read: those that
// record are the loop, its writer goroutine, and goroutines that send and then write themselves.
type LoopMetrics struct {
	_ [64]byte // keeps other histograms off this cache line

	batchSize Histogram
	batchWait Histogram
	latency   Histogram
	establish Histogram

	_ [64]byte
}

// Wrote records one write: its number of frames, and how long the first of them had waited.
func (m *LoopMetrics) Wrote(frames int, waited time.Duration) {
	if m != nil {
		m.batchSize.Record(int64(frames))
		m.batchWait.Record(int64(waited))
	}
}

// Delivered records the time from queueing a message to handing it to the kernel.
func (m *LoopMetrics) Delivered(took time.Duration) {
	if m != nil {
		m.latency.Record(int64(took))
	}
}

// Established records the time from accepting a connection to its upgrade.
func (m *LoopMetrics) Established(took time.Duration) {
	if m != nil {
		m.establish.Record(int64(took))
	}
}

// AddTo adds m's present values to s. Any goroutine.
func (m *LoopMetrics) AddTo(s *LoopSnapshot) {
	if m != nil {
		m.batchSize.AddTo(&s.BatchSize)
		m.batchWait.AddTo(&s.BatchWait)
		m.latency.AddTo(&s.Latency)
		m.establish.AddTo(&s.Establish)
	}
}

// LoopSnapshot is a sum of LoopMetrics. It takes 64 kB, so reuse it with Reset. It belongs to one
// goroutine.
type LoopSnapshot struct {
	BatchSize HistogramSnapshot // frames of a write
	BatchWait HistogramSnapshot // nanoseconds from queueing the first of a batch to its write
	Latency   HistogramSnapshot // nanoseconds from queueing a message to handing it to the kernel
	Establish HistogramSnapshot // nanoseconds from accept to upgraded
}

// Reset empties s.
func (s *LoopSnapshot) Reset() {
	s.BatchSize.Reset()
	s.BatchWait.Reset()
	s.Latency.Reset()
	s.Establish.Reset()
}

// Difference sets s to what was recorded between two snapshots of the same loops.
func (s *LoopSnapshot) Difference(later, earlier *LoopSnapshot) {
	s.BatchSize.Difference(&later.BatchSize, &earlier.BatchSize)
	s.BatchWait.Difference(&later.BatchWait, &earlier.BatchWait)
	s.Latency.Difference(&later.Latency, &earlier.Latency)
	s.Establish.Difference(&later.Establish, &earlier.Establish)
}
