package main

import (
	"math"
	"testing"
)

func TestHistBuckets(t *testing.T) {
	last := -1
	for _, v := range []uint64{0, 1, 63, 64, 127, 128, 129, 130, 255, 256, 1000, 1 << 20, 1<<40 + 12345, math.MaxInt64, math.MaxUint64} {
		b := bucketOf(v)
		if b < last || b >= buckets {
			t.Fatalf("bucket of %d is %d, after %d", v, b, last)
		}
		last = b
		if up := upper(b); up < v || float64(up-v) > float64(v)/subBuckets {
			t.Errorf("%d lies in a bucket that ends at %d", v, up)
		}
	}
	// Each bucket begins where the one before ends.
	for b := range buckets - 1 {
		if end := upper(b); bucketOf(end) != b || bucketOf(end+1) != b+1 {
			t.Fatalf("bucket %d ends at %d, which lies in %d; the next value in %d", b, end, bucketOf(end), bucketOf(end+1))
		}
	}
}

func TestHistQuantile(t *testing.T) {
	var h hist
	if h.quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	for v := int64(1); v <= 100_000; v++ {
		h.record(v)
	}
	for _, q := range []float64{0.01, 0.5, 0.99, 0.999} {
		want := q * 100_000
		if got := float64(h.quantile(q)); got < want-1 || got > want*(1+1.0/subBuckets) {
			t.Errorf("quantile %g is %g, want %g", q, got, want)
		}
	}
	if h.quantile(1) != 100_000 || h.max != 100_000 || h.total != 100_000 {
		t.Errorf("top %d, max %d, total %d", h.quantile(1), h.max, h.total)
	}
	h.record(-5)
	if h.count[0] != 1 {
		t.Error("a clock that stepped back is not counted as 0")
	}
}

func TestHistRecordAllocatesNothing(t *testing.T) {
	var h hist
	if n := testing.AllocsPerRun(100, func() { h.record(12345) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}
