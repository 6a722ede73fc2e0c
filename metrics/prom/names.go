package prom

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agloop/agloop/metrics"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("agloop_"+name, help, labels, nil)
}

// value is a metric with one number, or one number of a metric that has a label.
type value struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	of     func(*metrics.Source) float64
	labels []string
}

func gauge(d *prometheus.Desc, of func(*metrics.Source) float64, labels ...string) value {
	return value{d, prometheus.GaugeValue, of, labels}
}

func counter(d *prometheus.Desc, of func(*metrics.Source) uint64, labels ...string) value {
	return value{d, prometheus.CounterValue, func(s *metrics.Source) float64 { return float64(of(s)) }, labels}
}

var (
	failures = desc("failures_total", "What went wrong, by kind.", "kind")
	refused  = desc("refused_total", "Connections, messages and runs that were refused, by reason.", "reason")
	runs     = desc("runs", "Runs that have a log: live, those without a viewer among them, and ended whose log is kept.", "state")
	runEnds  = desc("runs_ended_total", "Runs that have a log and ended, by outcome.", "outcome")
	runsGone = desc("runs_gone_total", "Times that a client was told that a run is gone, by reason.", "reason")
	pool     = desc("buffer_pool_bytes", "Bytes of the buffer pool, lent or kept for lending.", "state")

	cpuUsage = desc("cpu_usage_ratio", "CPU of the process as a fraction of the machine.")
)

// values are all numbers but histograms and cpuUsage. Those of a family stand together.
var values = []value{
	gauge(desc("connections", "Connections open now."),
		func(s *metrics.Source) float64 { return float64(s.Connections) }),
	counter(desc("connections_opened_total", "Connections upgraded."),
		func(s *metrics.Source) uint64 { return s.Snapshot.Opened }),
	counter(desc("connections_closed_total", "Upgraded connections that ended."),
		func(s *metrics.Source) uint64 { return s.Snapshot.Closed }),

	counter(desc("messages_received_total", "Whole messages received."),
		func(s *metrics.Source) uint64 { return s.Snapshot.MessagesIn }),
	counter(desc("received_bytes_total", "Bytes received, frame headers included."),
		func(s *metrics.Source) uint64 { return s.Snapshot.BytesIn }),
	counter(desc("frames_sent_total", "Frames sent, one for each message."),
		func(s *metrics.Source) uint64 { return s.Snapshot.FramesOut }),
	counter(desc("sent_bytes_total", "Bytes sent, frame headers included."),
		func(s *metrics.Source) uint64 { return s.Snapshot.BytesOut }),
	counter(desc("writes_total", "Write calls for the frames sent."),
		func(s *metrics.Source) uint64 { return s.Snapshot.Writes }),
	counter(desc("writer_wakes_total", "Times that a loop's writer, a goroutine, was woken to flush connections."),
		func(s *metrics.Source) uint64 { return s.Snapshot.WriterWakes }),

	counter(desc("read_pauses_total", "Times that a connection was not read any more because its handler had fallen behind."),
		func(s *metrics.Source) uint64 { return s.Snapshot.ReadPauses }),
	counter(desc("read_resumes_total", "Of those pauses, the ones that are over; the others are connections paused now."),
		func(s *metrics.Source) uint64 { return s.Snapshot.ReadResumes }),

	counter(failures, func(s *metrics.Source) uint64 { return s.Snapshot.Panics }, "panic"),
	counter(failures, func(s *metrics.Source) uint64 { return s.Snapshot.SlowCuts }, "slow_reader"),
	counter(failures, func(s *metrics.Source) uint64 { return s.Snapshot.AcceptErrs }, "accept_error"),
	counter(failures, func(s *metrics.Source) uint64 { return s.Snapshot.BadUpgrade }, "bad_handshake"),
	counter(failures, func(s *metrics.Source) uint64 { return s.Snapshot.ProtoErrs }, "protocol_error"),
	counter(failures, func(s *metrics.Source) uint64 { return s.Shed }, "shed"),

	counter(desc("unavailable_responses_total", "Connections answered with status 503."),
		func(s *metrics.Source) uint64 { return s.Snapshot.Refused }),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.Slots }, "slots"),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.Memory }, "memory"),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.ConnQuota }, "conn_quota"),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.Authorize }, "authorize"),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.AddressRate }, "address_rate"),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.MessageRate }, "message_rate"),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.ByteRate }, "byte_rate"),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.ControlRate }, "control_rate"),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.RunRate }, "run_rate"),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.RunQuota }, "run_quota"),
	counter(refused, func(s *metrics.Source) uint64 { return s.Refused.Guesses }, "guesses"),

	gauge(runs, func(s *metrics.Source) float64 { return float64(s.Runs.Live) }, "live"),
	gauge(runs, func(s *metrics.Source) float64 { return float64(s.Runs.Detached) }, "detached"),
	gauge(runs, func(s *metrics.Source) float64 { return float64(s.Runs.Retained) }, "retained"),
	gauge(desc("run_viewers", "Viewers attached to live runs."),
		func(s *metrics.Source) float64 { return float64(s.Runs.Viewers) }),
	gauge(desc("run_streams", "Responses over HTTP that carry a run."),
		func(s *metrics.Source) float64 { return float64(s.Runs.Streams) }),
	gauge(desc("run_log_bytes", "Bytes of the logs of runs."),
		func(s *metrics.Source) float64 { return float64(s.Runs.LogBytes) }),
	gauge(desc("run_tombstones", "Names of runs whose log is gone."),
		func(s *metrics.Source) float64 { return float64(s.Runs.Tombstones) }),
	counter(desc("runs_started_total", "Runs that have a log and whose agent was called."),
		func(s *metrics.Source) uint64 { return s.Runs.Started }),
	counter(runEnds, func(s *metrics.Source) uint64 { return s.Runs.Ended.Success }, "success"),
	counter(runEnds, func(s *metrics.Source) uint64 { return s.Runs.Ended.Interrupt }, "interrupt"),
	counter(runEnds, func(s *metrics.Source) uint64 { return s.Runs.Ended.Cancelled }, "cancelled"),
	counter(runEnds, func(s *metrics.Source) uint64 { return s.Runs.Ended.Error }, "error"),
	counter(desc("runs_given_up_total", "Runs that ended without their agent, which ignored that they were cancelled."),
		func(s *metrics.Source) uint64 { return s.Runs.GivenUp }),
	counter(desc("run_folds_total", "Times that what is older of a log was folded."),
		func(s *metrics.Source) uint64 { return s.Runs.Folds }),
	counter(desc("run_logs_shed_total", "Logs dropped, wholly or in part, to keep to their bound."),
		func(s *metrics.Source) uint64 { return s.Runs.Shed }),
	counter(desc("run_conflicts_total", "Starts under the name of a run that has another input."),
		func(s *metrics.Source) uint64 { return s.Runs.Conflicts }),
	counter(runsGone, func(s *metrics.Source) uint64 { return s.Runs.Gone.Trimmed }, "trimmed"),
	counter(runsGone, func(s *metrics.Source) uint64 { return s.Runs.Gone.Epoch }, "epoch"),
	counter(runsGone, func(s *metrics.Source) uint64 { return s.Runs.Gone.Future }, "future"),
	counter(runsGone, func(s *metrics.Source) uint64 { return s.Runs.Gone.Ended }, "ended"),
	counter(runsGone, func(s *metrics.Source) uint64 { return s.Runs.Gone.Unknown }, "unknown"),
	counter(desc("unknown_controls_total", "Controls of clients that nobody knows."),
		func(s *metrics.Source) uint64 { return s.Runs.Unknown }),

	gauge(desc("topics", "Topics that have a subscriber or a history."),
		func(s *metrics.Source) float64 { return float64(s.Topics.Topics) }),
	gauge(desc("topic_subscriptions", "Subscribers of topics, once for each of their topics."),
		func(s *metrics.Source) float64 { return float64(s.Topics.Subscriptions) }),
	gauge(desc("topic_history_bytes", "Bytes of messages that topics keep for those who come later."),
		func(s *metrics.Source) float64 { return float64(s.Topics.HistoryBytes) }),
	counter(desc("topic_messages_published_total", "Messages published to topics."),
		func(s *metrics.Source) uint64 { return s.Topics.Published }),
	counter(desc("topic_messages_delivered_total", "Messages of topics given to subscribers, once for each."),
		func(s *metrics.Source) uint64 { return s.Topics.Delivered }),
	counter(desc("topic_messages_replaced_total", "Messages of topics that newer ones took the place of, for a connection that does not keep up."),
		func(s *metrics.Source) uint64 { return s.Topics.Replaced }),
	counter(desc("topic_messages_dropped_total", "Messages of topics left out for a run whose reader is slow."),
		func(s *metrics.Source) uint64 { return s.Topics.Dropped }),

	gauge(desc("memory_usage_bytes", "Memory of the process."),
		func(s *metrics.Source) float64 { return float64(s.MemoryUsage) }),
	gauge(desc("memory_pressure_ratio", "The greater of what is held of the budget and the live heap of the limit, as a fraction."),
		func(s *metrics.Source) float64 { return s.MemoryPressure / 100 }),
	gauge(desc("memory_held_bytes", "Bytes that connections hold in and out."),
		func(s *metrics.Source) float64 { return float64(s.MemoryHeld) }),
	gauge(desc("memory_budget_bytes", "Bytes that may be held."),
		func(s *metrics.Source) float64 { return float64(s.MemoryBudget) }),
	gauge(desc("memory_tier", "Tier of memory pressure; 0 is normal, 4 critical."),
		func(s *metrics.Source) float64 { return float64(s.MemoryTier) }),
	gauge(desc("memory_monitoring_interval_seconds", "Time between two readings of memory."),
		func(s *metrics.Source) float64 { return s.MonitoringInterval.Seconds() }),
	gauge(pool, func(s *metrics.Source) float64 { return float64(s.PoolInUse) }, "in_use"),
	gauge(pool, func(s *metrics.Source) float64 { return float64(s.PoolIdle) }, "idle"),
}

// histogram is a distribution with bounds in its own unit.
type histogram struct {
	desc   *prometheus.Desc
	of     func(*metrics.Source) *metrics.HistogramSnapshot
	unit   float64 // the recorded value that is 1 in the metric
	bounds []float64
}

var (
	secondBounds = []float64{
		50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10,
	}
	runBounds = []float64{
		1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10, 25, 50, 100,
	}
	frameBounds = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 65536}
)

var histograms = []histogram{
	{
		desc("connection_establish_seconds", "Time from accepting a connection to its upgrade."),
		func(s *metrics.Source) *metrics.HistogramSnapshot { return &s.Loops.Establish },
		float64(time.Second), secondBounds,
	},
	{
		desc("delivery_latency_seconds", "Time from queueing a message to handing it to the kernel."),
		func(s *metrics.Source) *metrics.HistogramSnapshot { return &s.Loops.Latency },
		float64(time.Second), secondBounds,
	},
	{
		desc("batch_wait_seconds", "Time from queueing the first message of a batch to its write."),
		func(s *metrics.Source) *metrics.HistogramSnapshot { return &s.Loops.BatchWait },
		float64(time.Second), secondBounds,
	},
	{
		desc("batch_frames", "Frames of a write."),
		func(s *metrics.Source) *metrics.HistogramSnapshot { return &s.Loops.BatchSize },
		1, frameBounds,
	},
	{
		desc("run_duration_seconds", "Time from the start of a run to its terminal event."),
		func(s *metrics.Source) *metrics.HistogramSnapshot { return &s.RunTimes.Duration },
		float64(time.Second), runBounds,
	},
	{
		desc("run_first_event_seconds", "Time from the start of a run to the first event behind RUN_STARTED."),
		func(s *metrics.Source) *metrics.HistogramSnapshot { return &s.RunTimes.FirstEvent },
		float64(time.Second), runBounds,
	},
	{
		desc("run_first_token_seconds", "Time from the start of a run to the first piece of text, reasoning or arguments."),
		func(s *metrics.Source) *metrics.HistogramSnapshot { return &s.RunTimes.FirstToken },
		float64(time.Second), runBounds,
	},
}

func (h *histogram) metric(from *metrics.Source) prometheus.Metric {
	s := h.of(from)
	buckets := make(map[float64]uint64, len(h.bounds))
	for _, bound := range h.bounds {
		buckets[bound] = s.Below(int64(bound * h.unit))
	}
	return prometheus.MustNewConstHistogram(h.desc, s.Count, float64(s.Sum)/h.unit, buckets)
}
