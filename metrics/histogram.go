package metrics

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// A histogram is log-linear: values below 64 have a bucket each, and each doubling above that is an
// octave of 64 equal buckets. The width of a bucket is at most 1/64 of its values, so its middle is
// within 1/128 of each of them.
const (
	subBits    = 6
	subBuckets = 1 << subBits
	octaves    = 32

	// MaxRecorded is the largest value that is distinguished from larger ones: 137 s in
	// nanoseconds.
	MaxRecorded = subBuckets<<(octaves-1) - 1
)

type octave [subBuckets]atomic.Uint64

// Histogram is the distribution of values from 0 to MaxRecorded: durations in nanoseconds, or plain
// counts. A value read back is within 0.8 % of what was recorded; values below 128 are exact. The
// zero value is empty and ready. A histogram takes 512 bytes for every octave that has a value.
//
// All methods may be called from any goroutine. Recording never waits, and allocates only for the
// first value of an octave. It costs least when one goroutine records.
type Histogram struct {
	octaves [octaves]atomic.Pointer[octave]
	high    atomic.Int64 // largest value
	low     atomic.Int64 // MaxInt64 less the smallest value, so that zero means none
}

// Record adds a value. A negative one counts as 0. One above MaxRecorded falls into the last
// bucket, and Max is then that value.
func (h *Histogram) Record(v int64) {
	v = max(v, 0)
	// The bucket comes last, so that a reader that counts a value also sees the extremes that
	// belong to it. This is the only locked instruction; a sum would need a second one and double
	// the cost.
	if v > h.high.Load() {
		raise(&h.high, v)
	}
	if math.MaxInt64-v > h.low.Load() {
		raise(&h.low, math.MaxInt64-v)
	}
	i, j := bucketOf(v)
	o := h.octaves[i].Load()
	if o == nil {
		o = h.open(i)
	}
	o[j].Add(1)
}

func raise(to *atomic.Int64, v int64) {
	for {
		old := to.Load()
		if old >= v || to.CompareAndSwap(old, v) {
			return
		}
	}
}

func (h *Histogram) open(i uint) *octave {
	h.octaves[i].CompareAndSwap(nil, new(octave))
	return h.octaves[i].Load()
}

// bucketOf is the octave of v, which is not negative, and the bucket in it.
func bucketOf(v int64) (i, j uint) {
	u := uint64(min(v, MaxRecorded))
	if u < subBuckets {
		return 0, uint(u)
	}
	shift := uint(bits.Len64(u)) - subBits - 1
	return (shift + 1) % octaves, uint(u>>shift) % subBuckets // % spares the bounds checks
}

// boundsOf returns the least and the greatest value of a bucket.
func boundsOf(i, j int) (least, greatest int64) {
	if i == 0 {
		return int64(j), int64(j)
	}
	shift := i - 1
	least = int64(subBuckets+j) << shift
	return least, least + 1<<shift - 1
}

// widthOf is the number of values in each bucket of an octave.
func widthOf(i int) uint64 { return 1 << (max(i, 1) - 1) }

// middleOf is the value that stands for those of a bucket.
func middleOf(i, j int) int64 {
	least, greatest := boundsOf(i, j)
	return least + (greatest-least)/2
}

// AddTo adds h's present values to s.
func (h *Histogram) AddTo(s *HistogramSnapshot) {
	var count uint64
	for i := range h.octaves {
		o := h.octaves[i].Load()
		if o == nil {
			continue
		}
		var n, sum uint64
		into := &s.buckets[i]
		middle, step := uint64(middleOf(i, 0)), widthOf(i)
		for j := range o {
			c := o[j].Load()
			into[j] += c
			n += c
			sum += c * middle
			middle += step
		}
		s.counts[i] += n
		s.Sum += sum
		count += n
	}
	if count == 0 {
		return
	}
	if least := math.MaxInt64 - h.low.Load(); s.Count == 0 || least < s.Min {
		s.Min = least
	}
	s.Max = max(s.Max, h.high.Load())
	s.Count += count
}
