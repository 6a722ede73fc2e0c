package main

import (
	"math"
	"testing"
)

func TestLatency(t *testing.T) {
	l := newLatency()
	for us := int64(1); us <= 100_000; us++ {
		l.record(us * 1000)
	}
	var r report
	l.report(&r, "")
	want := map[string]float64{"p50_us": 50_000, "p90_us": 90_000, "p99_us": 99_000, "p999_us": 99_900, "max_us": 100_000}
	for i, k := range r.keys {
		if got := r.values[i].(float64); math.Abs(got-want[k]) > want[k]/1000 {
			t.Errorf("%s is %g, want %g", k, got, want[k])
		}
	}
	if len(r.keys) != len(want) {
		t.Errorf("%d percentiles, want %d", len(r.keys), len(want))
	}
}

// What lies outside must be counted, not lost.
func TestLatencyOutside(t *testing.T) {
	l := newLatency()
	l.record(-5)
	l.record(2 * longest)
	if n := l.h.TotalCount(); n != 2 {
		t.Errorf("%d of 2 recorded", n)
	}
	if got := l.h.Max(); got < longest {
		t.Errorf("largest is %d, want %d", got, longest)
	}
}

func TestLatencyAllocatesNothing(t *testing.T) {
	l, v := newLatency(), int64(1)
	if n := testing.AllocsPerRun(100, func() { v *= 3; l.record(v) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkLatency(b *testing.B) {
	l, v := newLatency(), uint64(1)
	for b.Loop() {
		v = v*6364136223846793005 + 1442695040888963407
		l.record(int64(v >> 46)) // up to 262 µs
	}
}
