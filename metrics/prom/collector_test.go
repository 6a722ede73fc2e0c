package prom

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agloop/agloop/metrics"
)

// busy are the totals of an engine in which everything happened.
func busy() *metrics.Source {
	var l metrics.LoopMetrics
	l.Wrote(3, 2*time.Millisecond)
	l.Delivered(40 * time.Microsecond)
	l.Delivered(30 * time.Millisecond)
	l.Established(4 * time.Millisecond)
	s := &metrics.Source{
		Snapshot: metrics.Snapshot{
			Opened: 10, Closed: 7, MessagesIn: 20, BytesIn: 2000, FramesOut: 30, BytesOut: 3000, Writes: 6, WriterWakes: 5,
			Panics: 1, SlowCuts: 2, Refused: 3, AcceptErrs: 4, BadUpgrade: 5, ProtoErrs: 6,
		},
		Refused: metrics.Refusals{
			Slots: 1, Memory: 2, AddressRate: 4, MessageRate: 5, ByteRate: 6, RunRate: 7, RunQuota: 8,
			ConnQuota: 9, Authorize: 10, ControlRate: 11,
		},
		Shed: 7, Connections: 3, MemoryUsage: 1 << 20, MemoryPressure: 62.5, MemoryHeld: 4 << 20, MemoryBudget: 8 << 20, MemoryTier: 1, MonitoringInterval: 15 * time.Second,
		PoolInUse: 4096, PoolIdle: 8192,
	}
	l.AddTo(&s.Loops)
	return s
}

func collectorOf(s *metrics.Source) prometheus.Collector {
	return NewCollector(
		func() *metrics.PerformanceMetrics { return &metrics.PerformanceMetrics{CPUUsage: 0.25} },
		func(to *metrics.Source) { *to = *s },
	)
}

// scrape is what Prometheus gets over HTTP.
func scrape(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err, string(body))
	}
	return string(body)
}

func TestScrape(t *testing.T) {
	body := scrape(t, collectorOf(busy()))
	for _, line := range []string{
		`# TYPE agloop_connections gauge`,
		`agloop_connections 3`,
		`agloop_connections_opened_total 10`,
		`agloop_connections_closed_total 7`,
		`# TYPE agloop_messages_received_total counter`,
		`agloop_messages_received_total 20`,
		`agloop_received_bytes_total 2000`,
		`agloop_frames_sent_total 30`,
		`agloop_sent_bytes_total 3000`,
		`agloop_writes_total 6`,
		`agloop_writer_wakes_total 5`,
		`agloop_failures_total{kind="protocol_error"} 6`,
		`agloop_unavailable_responses_total 3`,
		`agloop_refused_total{reason="slots"} 1`,
		`agloop_refused_total{reason="address_rate"} 4`,
		`agloop_refused_total{reason="run_quota"} 8`,
		`agloop_refused_total{reason="conn_quota"} 9`,
		`agloop_refused_total{reason="authorize"} 10`,
		`agloop_refused_total{reason="control_rate"} 11`,
		`agloop_memory_usage_bytes 1.048576e+06`,
		`agloop_memory_pressure_ratio 0.625`,
		`agloop_memory_held_bytes 4.194304e+06`,
		`agloop_memory_budget_bytes 8.388608e+06`,
		`agloop_memory_tier 1`,
		`agloop_memory_monitoring_interval_seconds 15`,
		`agloop_buffer_pool_bytes{state="in_use"} 4096`,
		`agloop_buffer_pool_bytes{state="idle"} 8192`,
		`agloop_cpu_usage_ratio 0.25`,
		`# TYPE agloop_delivery_latency_seconds histogram`,
		`agloop_delivery_latency_seconds_bucket{le="5e-05"} 1`,
		`agloop_delivery_latency_seconds_bucket{le="0.025"} 1`,
		`agloop_delivery_latency_seconds_bucket{le="0.05"} 2`,
		`agloop_delivery_latency_seconds_bucket{le="+Inf"} 2`,
		`agloop_delivery_latency_seconds_count 2`,
		`agloop_batch_frames_bucket{le="2"} 0`,
		`agloop_batch_frames_bucket{le="4"} 1`,
		`agloop_batch_frames_sum 3`,
		`agloop_batch_wait_seconds_bucket{le="0.0025"} 1`,
		`agloop_connection_establish_seconds_bucket{le="0.005"} 1`,
	} {
		if !strings.Contains("\n"+body, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

func TestNamesFollowTheConventions(t *testing.T) {
	problems, err := testutil.CollectAndLint(collectorOf(busy()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestEveryTotalIsExported: a number of Source that changes alone changes the scrape.
func TestEveryTotalIsExported(t *testing.T) {
	s := busy()
	before := scrape(t, collectorOf(s))
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			f, name := v.Field(i), path+v.Type().Field(i).Name
			switch {
			case f.Type() == reflect.TypeFor[metrics.HistogramSnapshot]():
				h := f.Addr().Interface().(*metrics.HistogramSnapshot)
				h.Count++
				if scrape(t, collectorOf(s)) == before {
					t.Errorf("%s is not exported", name)
				}
				h.Count--
			case f.Kind() == reflect.Struct:
				walk(f, name+".")
			default:
				old := reflect.ValueOf(f.Interface())
				switch {
				case f.CanInt():
					f.SetInt(f.Int() + 1)
				case f.CanUint():
					f.SetUint(f.Uint() + 1)
				case f.CanFloat():
					f.SetFloat(f.Float() + 1)
				}
				if scrape(t, collectorOf(s)) == before {
					t.Errorf("%s is not exported", name)
				}
				f.Set(old)
			}
		}
	}
	walk(reflect.ValueOf(s).Elem(), "")
	if scrape(t, collectorOf(s)) != before {
		t.Error("the walk did not restore what it changed")
	}
}

// TestWithoutMetrics: an engine whose metrics are off still has totals.
func TestWithoutMetrics(t *testing.T) {
	var off *metrics.MetricsCollector
	for _, c := range []prometheus.Collector{NewCollector(off.GetMetrics, off.Totals), NewCollector(nil, off.Totals)} {
		body := scrape(t, c)
		if strings.Contains(body, "agloop_cpu_usage_ratio") || !strings.Contains(body, "\nagloop_connections 0\n") {
			t.Error(body)
		}
	}
}

// TestFromAMetricsCollector registers the real thing.
func TestFromAMetricsCollector(t *testing.T) {
	c := metrics.NewMetricsCollector(metrics.CollectorConfig{Source: func(s *metrics.Source) { s.Connections = 12 }})
	for range 2 { // totals are not added up from scrape to scrape
		body := scrape(t, NewCollector(c.GetMetrics, c.Totals))
		if !strings.Contains(body, "\nagloop_connections 12\n") || !strings.Contains(body, "\nagloop_cpu_usage_ratio ") {
			t.Error(body)
		}
	}
}
