// Package prom exports the figures of an agloop server or transport to Prometheus. Hosts may rely
// on its API and on the names of the metrics.
//
//	prometheus.MustRegister(prom.NewCollector(c.GetMetrics, c.Totals)) // c is a *metrics.MetricsCollector
//
// Names begin with agloop_; units are seconds, bytes and ratios from 0 to 1. The figures of the Go
// runtime and the process are those of the collectors in client_golang. The rest of agloop does not
// import this package, so that hosts without Prometheus do not depend on it.
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

// NewCollector returns a collector that calls the functions at each scrape. totals adds to an empty
// Source and is called by one goroutine at a time. figures returns the CPU usage; it may be nil or
// return nil, and that metric is then missing. Scraping stops no loop.
//
// To register the collectors of several engines in one registry, give each a label with
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
		to <- histograms[i].metric(&c.now)
	}
	if c.figures == nil {
		return
	}
	if m := c.figures(); m != nil {
		to <- prometheus.MustNewConstMetric(cpuUsage, prometheus.GaugeValue, m.CPUUsage)
	}
}
