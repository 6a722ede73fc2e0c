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
			Panics: 1, SlowCuts: 2, Refused: 3, AcceptErrs: 4, BadUpgrade: 5, ProtoErrs: 6, ReadPauses: 9, ReadResumes: 7,
		},
		Refused: metrics.Refusals{
			Slots: 1, Memory: 2, AddressRate: 4, MessageRate: 5, ByteRate: 6, RunRate: 7, RunQuota: 8,
			ConnQuota: 9, Authorize: 10, ControlRate: 11,
		},
		Shed: 7, Connections: 3, MemoryUsage: 1 << 20, MemoryPressure: 62.5, MemoryHeld: 4 << 20, MemoryBudget: 8 << 20, MemoryTier: 1, MonitoringInterval: 15 * time.Second,
		PoolInUse: 4096, PoolIdle: 8192,
		Runs: metrics.Runs{
			Live: 1, Detached: 2, Retained: 3, Viewers: 4, Streams: 8, LogBytes: 5, Tombstones: 6, Started: 7,
			Ended: metrics.RunsEnded{Success: 8, Interrupt: 9, Cancelled: 10, Error: 11}, GivenUp: 12,
			Folds: 13, Shed: 14, Conflicts: 15,
			Gone:    metrics.RunsGone{Trimmed: 16, Epoch: 17, Future: 18, Ended: 19, Unknown: 20},
			Unknown: 21,
		},
		Topics: metrics.Topics{
			Topics: 22, Subscriptions: 23, HistoryBytes: 24, Published: 25, Delivered: 26, Replaced: 27, Dropped: 28,
		},
	}
	var d metrics.Histogram
	d.Record(int64(30 * time.Millisecond))
	d.AddTo(&s.RunTimes.Duration)
	d.AddTo(&s.RunTimes.FirstEvent)
	d.AddTo(&s.RunTimes.FirstToken)
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
		`agloop_runs{state="live"} 1`,
		`agloop_runs{state="detached"} 2`,
		`agloop_runs{state="retained"} 3`,
		`agloop_run_viewers 4`,
		`agloop_run_streams 8`,
		`agloop_run_log_bytes 5`,
		`agloop_run_tombstones 6`,
		`agloop_runs_started_total 7`,
		`agloop_runs_ended_total{outcome="success"} 8`,
		`agloop_runs_ended_total{outcome="interrupt"} 9`,
		`agloop_runs_ended_total{outcome="cancelled"} 10`,
		`agloop_runs_ended_total{outcome="error"} 11`,
		`agloop_runs_given_up_total 12`,
		`agloop_run_folds_total 13`,
		`agloop_run_logs_shed_total 14`,
		`agloop_run_conflicts_total 15`,
		`agloop_runs_gone_total{reason="trimmed"} 16`,
		`agloop_runs_gone_total{reason="epoch"} 17`,
		`agloop_runs_gone_total{reason="future"} 18`,
		`agloop_runs_gone_total{reason="ended"} 19`,
		`agloop_runs_gone_total{reason="unknown"} 20`,
		`agloop_unknown_controls_total 21`,
		`# TYPE agloop_topics gauge`,
		`agloop_topics 22`,
		`agloop_topic_subscriptions 23`,
		`agloop_topic_history_bytes 24`,
		`agloop_topic_messages_published_total 25`,
		`agloop_topic_messages_delivered_total 26`,
		`agloop_topic_messages_replaced_total 27`,
		`agloop_topic_messages_dropped_total 28`,
		`agloop_run_duration_seconds_bucket{le="0.025"} 0`,
		`agloop_run_first_event_seconds_bucket{le="0.05"} 1`,
		`agloop_run_first_token_seconds_count 1`,
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
