package main

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the largest latency that is recorded; a longer one counts as this.
const longest = int64(time.Minute)

// latency is a histogram of nanoseconds: 64 ns apart up to 131 µs, above that 3 significant digits,
// 170 KB in all. Recording takes about 3 ns and allocates nothing.
type latency struct {
	h *hdrhistogram.Histogram
}

func newLatency() latency { return latency{hdrhistogram.New(100, longest, 3)} }

// record counts one latency. A negative one comes from two readings of the clock in the wrong
// order, and counts as 0.
func (l latency) record(ns int64) {
	_ = l.h.RecordValue(min(max(ns, 0), longest)) // in range, so never refused
}

func (l latency) reset() { l.h.Reset() }

// report adds the percentiles in microseconds.
func (l latency) report(r *report, prefix string) {
	for _, p := range []struct {
		key string
		at  float64
	}{{"p50_us", 50}, {"p90_us", 90}, {"p99_us", 99}, {"p999_us", 99.9}, {"max_us", 100}} {
		r.add(prefix+p.key, round(float64(l.h.ValueAtPercentile(p.at))/1e3, 1))
	}
}
