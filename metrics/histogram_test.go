package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// within reports whether got is within 1 % of want.
func within(got, want int64) bool {
	return math.Abs(float64(got)-float64(want)) <= 0.01*math.Abs(float64(want))
}

// TestEveryValueIsInItsBucket: buckets touch, and their middle is within 1 %.
func TestEveryValueIsInItsBucket(t *testing.T) {
	next := int64(0)
	for i := range octaves {
		for j := range subBuckets {
			least, greatest := boundsOf(i, j)
			if least != next {
				t.Fatalf("bucket %d/%d begins at %d, the one before ends at %d", i, j, least, next-1)
			}
			next = greatest + 1
			for _, v := range []int64{least, (least + greatest) / 2, greatest} {
				if gi, gj := bucketOf(v); int(gi) != i || int(gj) != j {
					t.Fatalf("%d is in %d/%d, want %d/%d", v, gi, gj, i, j)
				}
				if !within(middleOf(i, j), v) {
					t.Fatalf("%d reads as %d", v, middleOf(i, j))
				}
			}
		}
	}
	if next-1 != MaxRecorded || MaxRecorded < int64(100*time.Second) {
		t.Fatalf("the last value is %d, want %d and at least 100 s", next-1, int64(MaxRecorded))
	}
}

var distributions = map[string]func(*rand.Rand) int64{
	"uniform":     func(r *rand.Rand) int64 { return r.Int64N(int64(100 * time.Second)) },
	"exponential": func(r *rand.Rand) int64 { return int64(r.ExpFloat64() * float64(time.Millisecond)) },
	"log normal":  func(r *rand.Rand) int64 { return int64(math.Exp(r.NormFloat64()*2 + 13)) },
	"batch sizes": func(r *rand.Rand) int64 { return 1 + r.Int64N(1<<r.IntN(17)) },
	"two humps": func(r *rand.Rand) int64 {
		return int64(time.Microsecond) << (20 * r.IntN(2)) * (1 + r.Int64N(4))
	},
	"one value": func(*rand.Rand) int64 { return int64(1234 * time.Microsecond) },
}

// TestQuantilesAgainstSorted holds every quantile within 1 % of the value that stands at its rank
// when all are sorted.
func TestQuantilesAgainstSorted(t *testing.T) {
	for name, draw := range distributions {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(5) {
				r := rand.New(rand.NewPCG(seed, 1))
				var h Histogram
				values := make([]int64, 1+r.IntN(20000))
				sum := uint64(0)
				for i := range values {
					values[i] = draw(r)
					sum += uint64(values[i])
					h.Record(values[i])
				}
				var s HistogramSnapshot
				h.AddTo(&s)
				slices.Sort(values)
				n := len(values)
				if s.Count != uint64(n) || !within(int64(s.Sum), int64(sum)) || s.Min != values[0] || s.Max != values[n-1] {
					t.Fatalf("count %d sum %d min %d max %d, want %d %d %d %d",
						s.Count, s.Sum, s.Min, s.Max, n, sum, values[0], values[n-1])
				}
				if got, want := s.Mean(), float64(sum)/float64(n); math.Abs(got-want) > 0.01*want {
					t.Errorf("mean %f, want %f", got, want)
				}
				for q := 0.001; q < 1; q += 0.001 {
					want := values[int(math.Ceil(q*float64(n)))-1]
					if got := s.Quantile(q); !within(got, want) {
						t.Fatalf("seed %d, quantile %.3f of %d values: %d, want %d", seed, q, n, got, want)
					}
				}
				if s.Quantile(0) != values[0] || s.Quantile(1) != values[n-1] || s.Quantile(math.NaN()) != values[0] {
					t.Errorf("ends are %d and %d", s.Quantile(0), s.Quantile(1))
				}
			}
		})
	}
}

// TestDifferenceIsTheWindow: what came before the window has no part in it.
func TestDifferenceIsTheWindow(t *testing.T) {
	var h Histogram
	var before, after, window HistogramSnapshot
	for range 1000 {
		h.Record(int64(9 * time.Second))
	}
	h.Record(3)
	h.AddTo(&before)
	window.Difference(&before, &before)
	if window.Count != 0 || window.Quantile(0.5) != 0 || window.Mean() != 0 {
		t.Errorf("an empty window has %d values, median %d, mean %f", window.Count, window.Quantile(0.5), window.Mean())
	}
	for i := range int64(100) {
		h.Record((i + 1) * int64(time.Millisecond))
	}
	h.AddTo(&after)
	window.Difference(&after, &before)
	ms := int64(time.Millisecond)
	if window.Count != 100 || !within(int64(window.Sum), 5050*ms) {
		t.Errorf("count %d, sum %d", window.Count, window.Sum)
	}
	if !within(window.Min, ms) || !within(window.Max, 100*ms) || !within(window.Quantile(0.99), 99*ms) {
		t.Errorf("min %d max %d p99 %d", window.Min, window.Max, window.Quantile(0.99))
	}
	window.Difference(&before, &HistogramSnapshot{})
	if window.Count != before.Count || window.Quantile(0.5) != before.Quantile(0.5) {
		t.Error("a reused snapshot keeps what it held")
	}
}

// TestBeyondTheRange: values out of range are counted, and the extremes stay true.
func TestBeyondTheRange(t *testing.T) {
	var h Histogram
	for _, v := range []int64{math.MinInt64, -1, math.MaxInt64, 2 * MaxRecorded} {
		h.Record(v)
	}
	var s, d HistogramSnapshot
	h.AddTo(&s)
	d.Difference(&s, &HistogramSnapshot{})
	for _, s := range []*HistogramSnapshot{&s, &d} {
		if s.Count != 4 || s.Min != 0 || s.Max != math.MaxInt64 || s.Quantile(0.5) != 0 || s.Quantile(0.9) != math.MaxInt64 {
			t.Errorf("count %d min %d max %d median %d p90 %d", s.Count, s.Min, s.Max, s.Quantile(0.5), s.Quantile(0.9))
		}
	}
	if s.Below(-1) != 0 || s.Below(0) != 2 || s.Below(MaxRecorded-1<<30) != 2 || s.Below(math.MaxInt64) != 4 {
		t.Error("Below", s.Below(-1), s.Below(0), s.Below(MaxRecorded-1<<30), s.Below(math.MaxInt64))
	}
}

// TestBelowCountsUpToTheBucket holds Below between the exact count and that of the values up to 1.6
// % more.
func TestBelowCountsUpToTheBucket(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var h Histogram
	values := make([]int64, 5000)
	for i := range values {
		values[i] = distributions["log normal"](r)
		h.Record(values[i])
	}
	var s HistogramSnapshot
	h.AddTo(&s)
	count := func(limit int64) (n uint64) {
		for _, v := range values {
			if v <= limit {
				n++
			}
		}
		return n
	}
	for limit := int64(1); limit < MaxRecorded; limit = limit*5/4 + 1 {
		if got := s.Below(limit); got < count(limit) || got > count(limit+limit/64+1) {
			t.Fatalf("Below(%d) = %d, exact is %d", limit, got, count(limit))
		}
	}
}

// TestRecordAndReadAtOnce: nothing is lost, and what a reader sees makes sense at every moment.
func TestRecordAndReadAtOnce(t *testing.T) {
	const writers, each = 3, 20000
	var h Histogram
	var wg sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			for i := range int64(each) {
				h.Record(1000 + i*int64(w+1))
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	var s, earlier, d HistogramSnapshot
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		earlier, s = s, earlier
		s.Reset()
		h.AddTo(&s)
		d.Difference(&s, &earlier)
		if d.Count != s.Count-earlier.Count {
			t.Fatalf("a window of %d values between %d and %d", d.Count, earlier.Count, s.Count)
		}
		if p := s.Quantile(0.5); s.Count > 0 && (s.Min < 1000 || p < s.Min || p > s.Max || s.Max > 1000+each*writers) {
			t.Fatalf("min %d, median %d, max %d of %d", s.Min, p, s.Max, s.Count)
		}
	}
	if s.Count != writers*each {
		t.Errorf("%d values, want %d", s.Count, writers*each)
	}
}

// TestNothingUsedCostsLittle: an unused histogram is a table of pointers, recording into an open
// octave allocates nothing, and a nil LoopMetrics does nothing.
func TestNothingUsedCostsLittle(t *testing.T) {
	if size := unsafe.Sizeof(Histogram{}); size > 300 {
		t.Errorf("an empty histogram takes %d bytes", size)
	}
	var h Histogram
	h.Record(5000)
	var none *LoopMetrics
	var s LoopSnapshot
	if n := testing.AllocsPerRun(100, func() {
		h.Record(5001)
		none.Wrote(3, time.Millisecond)
		none.Delivered(time.Millisecond)
		none.Established(time.Millisecond)
		none.AddTo(&s)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s.BatchSize.Count+s.BatchWait.Count+s.Latency.Count+s.Establish.Count != 0 {
		t.Error("nil recorded something")
	}
	var some LoopMetrics
	some.Wrote(3, time.Millisecond)
	some.Delivered(2 * time.Millisecond)
	some.Established(4 * time.Millisecond)
	some.AddTo(&s)
	ms := int64(time.Millisecond)
	if s.BatchSize.Max != 3 || s.BatchWait.Max != ms || s.Latency.Max != 2*ms || s.Establish.Max != 4*ms {
		t.Error("each value in its own histogram:", s.BatchSize.Max, s.BatchWait.Max, s.Latency.Max, s.Establish.Max)
	}
}

func BenchmarkHistogramRecord(b *testing.B) {
	var h Histogram
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		h.Record(1000 + i&0xffff)
	}
}

func BenchmarkLoopMetricsNil(b *testing.B) {
	var m *LoopMetrics
	for b.Loop() {
		m.Delivered(time.Millisecond)
	}
}
