package main

import "math/bits"

// Each power of two is split into subBuckets equal parts, so a value is known to 1/64, or 1.6 %.
const (
	subBits    = 6
	subBuckets = 1 << subBits
	buckets    = (64 - subBits + 1) * subBuckets
)

// hist is a log-linear histogram of nanoseconds. Recording is a shift and an add.
type hist struct {
	count [buckets]uint64
	total uint64
	max   uint64
}

func (h *hist) record(ns int64) {
	v := uint64(max(ns, 0))
	h.count[bucketOf(v)]++
	h.total++
	h.max = max(h.max, v)
}

func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return shift<<subBits + int(v>>shift)
}

// upper is the largest value of a bucket.
func upper(bucket int) uint64 {
	if bucket < 2*subBuckets {
		return uint64(bucket)
	}
	shift := bucket>>subBits - 1
	return uint64(bucket-shift<<subBits+1)<<shift - 1
}

// quantile returns a value that at least the fraction q of the recorded ones do not exceed: the upper end of its
// bucket, but never more than the largest value seen.
func (h *hist) quantile(q float64) uint64 {
	rank, seen := uint64(q*float64(h.total)+0.5), uint64(0)
	for i, n := range &h.count {
		if seen += n; n > 0 && seen >= rank {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

func (h *hist) reset() { *h = hist{} }
