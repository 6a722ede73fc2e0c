package agloop_test

import (
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// TestPerformanceMetrics holds the figures against what was done. Nothing moves while they are
// read, and the first window has not ended.
func TestPerformanceMetrics(t *testing.T) {
	cfg := performance()
	cfg.MetricsInterval = time.Hour
	cfg.MessageBatchSize, cfg.MessageBatchTimeout = 10, time.Second
	got := make(chan struct{}, 1)
	l := newLine(t, agloop.ServerConfig{Performance: cfg}, func(p []byte) {
		if string(p) == "panic" {
			panic("as asked")
		}
		got <- struct{}{}
	})
	const in, groups = 50, 30
	for range in {
		if _, err := l.peer.Write(testkit.Text(strings.Repeat("x", 100))); err != nil {
			t.Fatal(err)
		}
		<-got
	}
	testkit.Await(t, "there are rates, which need a tenth of a second", func() bool { return l.manager.GetMetrics().MessagesInPerSecond > 0 })
	l.writes(groups, 10)
	out := float64(l.sent)
	const inBytes = in * (6 + 100) // headers included, the handshake not
	outBytes := uint64(l.sent * (2 + 5))
	runtime.GC()
	m, stats := l.manager.GetMetrics(), l.srv.Stats()
	if stats.BytesIn <= inBytes || stats.BytesOut <= outBytes {
		t.Errorf("%d bytes in and %d out", stats.BytesIn, stats.BytesOut)
	}

	count := func(what string, perSecond, want float64) {
		t.Helper()
		if n := perSecond * m.Interval.Seconds(); math.Abs(n-want) > 0.01 {
			t.Errorf("%s: %.2f in %v, want %v", what, n, m.Interval, want)
		}
	}
	count("connections", m.ConnectionsPerSecond, 1)
	count("messages in", m.MessagesInPerSecond, in)
	count("messages out", m.MessagesOutPerSecond, out)
	count("messages", m.MessagesPerSecond, in+out)
	count("bytes in", m.BytesInPerSecond, float64(stats.BytesIn))
	count("bytes out", m.BytesOutPerSecond, float64(stats.BytesOut))
	for what, ok := range map[string]bool{
		"connections":     m.ActiveConnections == 1 && m.TotalConnections == 1,
		"establishment":   m.AvgConnectionEstablishTime > 0 && m.P95ConnectionEstablishTime > 0,
		"message size":    math.Abs(m.AvgMessageSize-float64(stats.BytesIn+stats.BytesOut)/(in+out)) < 0.01,
		"latency":         0 < m.P50Latency && m.P50Latency <= m.P95Latency && m.P95Latency <= m.P99Latency,
		"latency bounds":  m.MinLatency <= m.AvgLatency && 0 < m.AvgLatency && m.AvgLatency <= m.MaxLatency,
		"batch size":      m.P50BatchSize == 10 && m.P95BatchSize == 10 && m.AvgBatchSize > 9,
		"batch wait":      0 < m.P50BatchWait && m.P50BatchWait <= m.P99BatchWait,
		"frames a write":  math.Abs(m.FramesPerWrite-out/float64(stats.Writes)) < 0.01,
		"wakes":           m.WriterWakesPerMessage > 0 && m.WriterWakesPerMessage <= 1,
		"memory":          m.MemoryUsage > 0 && m.MemoryPressure > 0 && m.MemoryTier == 0 && m.MonitoringInterval == time.Minute,
		"pool":            m.BufferPoolIdle > 0 && m.BufferPoolUtilization >= 0 && m.BufferPoolUtilization <= 1,
		"collection":      m.GCCount > 0 && m.GCPauseTotal > 0 && m.GCCPUFraction >= 0 && m.GCCPUFraction <= 1,
		"CPU":             m.CPUUsage > 0 && m.CPUUsage <= 1,
		"system":          m.Goroutines > 0 && m.HeapSize > 0 && m.StackSize > 0,
		"no failures yet": m.Failures.Total() == 0,
	} {
		if !ok {
			t.Errorf("%s: %+v", what, m)
		}
	}
}

// TestPerformanceMetricsOfFailures counts each failure under its kind.
func TestPerformanceMetricsOfFailures(t *testing.T) {
	cfg := performance()
	cfg.MaxConcurrentConnections = 3
	l := newLine(t, agloop.ServerConfig{Performance: cfg}, func(p []byte) { panic("as asked") })
	for _, bad := range []string{"\x81\x01x", string(testkit.Text("panic"))} { // a frame without a mask
		_, peer := l.another()
		if _, err := io.WriteString(peer, bad); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, peer); err != nil {
			t.Fatal(err)
		}
		peer.Close()
	}
	testkit.Await(t, "the slots of the bad connections are free", func() bool { return l.manager.GetConnectionPoolManager().Used() == 1 })
	l.another()
	l.another()
	if status, _ := l.status(); status != 503 {
		t.Errorf("fourth connection: %d", status)
	}
	f := l.manager.GetMetrics().Failures
	if f.Panics != 1 || f.ProtocolErrors != 1 || f.Refused.Slots != 1 || f.Total() != 3 {
		t.Errorf("%+v", f)
	}
}

// TestPerformanceProfiles: each profile moves the knobs of a running server, and with them how many
// writes the same stream costs an open connection.
func TestPerformanceProfiles(t *testing.T) {
	l := newLine(t, agloop.ServerConfig{Performance: performance()}, nil)
	balanced := l.manager.Tuning()
	measure := func(p agloop.Profile) float64 {
		t.Helper()
		if got := l.manager.Profile(); got != p {
			t.Errorf("profile %s, want %s", got, p)
		}
		return l.stream(200)
	}
	atRest := measure(agloop.ProfileBalanced)

	l.manager.OptimizeForLatency()
	if got := l.manager.Tuning(); got.MessageBatchSize != 1 || got.MessageBatchTimeout > 0 {
		t.Errorf("latency: %+v", got)
	}
	latency := measure(agloop.ProfileLatency)

	l.manager.OptimizeForThroughput()
	if got := l.manager.Tuning(); got.MessageBatchSize <= balanced.MessageBatchSize ||
		got.MessageBatchTimeout <= balanced.MessageBatchTimeout {
		t.Errorf("throughput: %+v", got)
	}
	throughput := measure(agloop.ProfileThroughput)

	l.manager.OptimizeForMemory()
	pool := l.manager.GetBufferPool()
	if got := l.manager.Tuning(); got.SoftLimit >= balanced.SoftLimit || got.LowWater >= balanced.LowWater ||
		pool.Size() != got.BufferPoolSize || got.BufferPoolSize >= balanced.BufferPoolSize ||
		pool.MaxBuffer() != got.MaxBufferSize || got.MaxBufferSize >= balanced.MaxBufferSize {
		t.Errorf("memory: %+v, pool of %d buffers up to %d bytes", got, pool.Size(), pool.MaxBuffer())
	}
	measure(agloop.ProfileMemory)

	if err := l.manager.SetProfile(agloop.ProfileBalanced); err != nil {
		t.Fatal(err)
	}
	if got := l.manager.Tuning(); got != balanced {
		t.Errorf("back: %+v, want %+v", got, balanced)
	}
	again := measure(agloop.ProfileBalanced)
	l.manager.OptimizeForThroughput()
	l.set(func(c *agloop.PerformanceConfig) { c.MessageBatchSize = 20 })
	if err := l.manager.SetProfile(agloop.ProfileBalanced); err != nil {
		t.Fatal(err)
	}
	want := balanced
	want.MessageBatchSize = 20
	if got := l.manager.Tuning(); got != want {
		t.Errorf("back from a profile under which the config was set: %+v, want %+v", got, want)
	}
	t.Logf("writes per event: throughput %.3f, balanced %.3f and %.3f, latency %.3f", throughput, atRest, again, latency)
	if throughput >= min(atRest, again) || max(atRest, again) >= latency {
		t.Error("writes per event do not rise from throughput over balanced to latency")
	}
	if err := l.manager.SetProfile("none"); err == nil {
		t.Error("a profile that is none is accepted")
	}
}

// stream is pace where the machine kept up, or the best of some tries.
func (l *line) stream(n int) (writes float64) {
	l.t.Helper()
	fewest := n + 1
	for range 3 {
		if w, late := l.pace(n); late < fewest {
			writes, fewest = w, late
		}
		if fewest < n/10 {
			break
		}
	}
	return writes
}

// pace sends n messages, each when the last one has arrived or after a moment, and returns the
// writes that each took, and how many were sent late.
func (l *line) pace(n int) (writes float64, late int) {
	l.t.Helper()
	before := l.settled()
	arrived := make(chan error, n)
	go func() {
		for range n {
			_, _, err := l.peer.Message()
			arrived <- err
		}
	}()
	const moment = 300 * time.Microsecond // windows are several times as long
	pace := time.NewTicker(moment)
	defer pace.Stop()
	took := 0
	take := func(err error) {
		if err != nil {
			l.t.Fatal(err)
		}
		took++
	}
	for sent := 1; sent <= n; sent++ {
		l.conn.Send(agloop.Text, []byte("token"))
		pace.Reset(moment)
		for waits := true; waits && took < sent; {
			select {
			case err := <-arrived:
				take(err)
			case due := <-pace.C:
				waits = false
				if time.Since(due) > 4*moment {
					late++
				}
			}
		}
	}
	for took < n {
		take(<-arrived)
	}
	return float64(l.settled()-before) / float64(n), late
}
