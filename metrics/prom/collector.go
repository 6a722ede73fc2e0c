// Package prom shows the figures of an agloop server or transport to Prometheus.
//
//	prometheus.MustRegister(prom.NewCollector(c.GetMetrics, c.Totals)) // c is a *metrics.MetricsCollector
//
// Names begin with agloop_; units are seconds, bytes and ratios from 0 to 1. What the Go
// runtime and the process do is left to the collectors that client_golang brings. The
// rest of agloop does not import this package: who wants it registers it.
package prom

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agloop/agloop/metrics"
)

// collector is a prometheus.Collector.
type collector struct {
	// Immutable.
	figures func() *metrics.PerformanceMetrics
	totals  func(*metrics.Source)

	// Any goroutine, under mu.
	mu  sync.Mutex
	now metrics.Source
}

// NewCollector returns a collector of what the functions say at each scrape. totals adds
// to an empty Source and is called by one goroutine at a time. figures, which is asked for
// the CPU usage, may be nil or return nil: that metric is then missing. Scraping
// stops no loop.
//
// To register the collectors of several engines in one registry, tell them apart with
// prometheus.WrapRegistererWith.
func NewCollector(figures func() *metrics.PerformanceMetrics, totals func(*metrics.Source)) prometheus.Collector {
	return &collector{figures: figures, totals: totals}
}

// Describe is called by a registry.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for i := range values {
		if i == 0 || values[i].desc != values[i-1].desc { // kinds of one family stand together
			to <- values[i].desc
		}
	}
	for i := range histograms {
		to <- histograms[i].desc
	}
	to <- cpuUsage
}

// Collect is called at each scrape.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Reset()
	c.totals(&c.now)
	for i := range values {
		v := &values[i]
		to <- prometheus.MustNewConstMetric(v.desc, v.kind, v.of(&c.now), v.labels...)
	}
	for i := range histograms {
		to <- histograms[i].metric(&c.now.Loops)
	}
	if c.figures == nil {
		return
	}
	if m := c.figures(); m != nil {
		to <- prometheus.MustNewConstMetric(cpuUsage, prometheus.GaugeValue, m.CPUUsage)
	}
}
