package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/memmon"
)

func TestPerformanceConfigDefaults(t *testing.T) {
	want := agloop.PerformanceConfig{
		MaxConcurrentConnections: 1000,
		MessageBatchSize:         10,
		MessageBatchTimeout:      5 * time.Millisecond,
		BufferPoolSize:           1000,
		MaxBufferSize:            64 * 1024,
		EnableMemoryPooling:      true,
		EnableMetrics:            true,
		MetricsInterval:          10 * time.Second,
		EnableProfiling:          false,
		MaxLatency:               50 * time.Millisecond,
		MaxMemoryUsage:           80 * 1024 * 1024,
		MessageSerializerType:    agloop.OptimizedJSON,
		EnableZeroCopy:           true,
	}
	got := agloop.DefaultPerformanceConfig()
	if got != want {
		t.Errorf("defaults\n%+v, want\n%+v", got, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

// badPerformance is a bad value for each field that can have one.
var badPerformance = []struct {
	field string
	edit  func(*agloop.PerformanceConfig)
}{
	{"MaxConcurrentConnections", func(c *agloop.PerformanceConfig) { c.MaxConcurrentConnections = 0 }},
	{"MessageBatchSize", func(c *agloop.PerformanceConfig) { c.MessageBatchSize = 0 }},
	{"MessageBatchTimeout", func(c *agloop.PerformanceConfig) { c.MessageBatchTimeout = -1 }},
	{"MessageBatchTimeout", func(c *agloop.PerformanceConfig) { c.MessageBatchTimeout = time.Second + 1 }},
	{"BufferPoolSize", func(c *agloop.PerformanceConfig) { c.BufferPoolSize = 0 }},
	{"MaxBufferSize", func(c *agloop.PerformanceConfig) { c.MaxBufferSize = 255 }},
	{"MetricsInterval", func(c *agloop.PerformanceConfig) { c.MetricsInterval = 0 }},
	{"MaxLatency", func(c *agloop.PerformanceConfig) { c.MaxLatency = 0 }},
	{"MaxMemoryUsage", func(c *agloop.PerformanceConfig) { c.MaxMemoryUsage = -1 }},
	{"MessageSerializerType", func(c *agloop.PerformanceConfig) { c.MessageSerializerType = 200 }},
	{"MessageSerializerType", func(c *agloop.PerformanceConfig) { c.MessageSerializerType = agloop.Protobuf }},
}

// TestPerformanceConfigErrorsNameTheField: from Validate, from Serve, and from SetConfig of a
// running server, which changes nothing then.
func TestPerformanceConfigErrorsNameTheField(t *testing.T) {
	l := newLine(t, agloop.ServerConfig{Performance: performance()}, nil)
	tuning := l.manager.Tuning()
	for _, bad := range badPerformance {
		cfg := performance()
		bad.edit(&cfg)
		srv := agloop.NewServer(agloop.ServerConfig{Agent: hello, Performance: cfg})
		for from, err := range map[string]error{
			"Validate": cfg.Validate(), "Serve": srv.Serve("127.0.0.1:0"), "SetConfig": l.manager.SetConfig(cfg),
		} {
			ce, ok := errors.AsType[*agloop.ConfigError](err)
			if want := "PerformanceConfig." + bad.field; !ok || ce.Field != want || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of a bad %s: %v", from, bad.field, err)
			}
		}
	}
	if got := l.manager.Config(); got != performance() || l.manager.Tuning() != tuning {
		t.Errorf("a refused config changed\n%+v\n%+v", got, l.manager.Tuning())
	}
	cfg := performance()
	cfg.MessageSerializerType = agloop.Protobuf
	for _, err := range []error{cfg.Validate(), l.manager.GetSerializerFactory().SetType(agloop.Protobuf)} {
		if err == nil || !strings.Contains(err.Error(), "agloop.v1.proto in ClientConfig.Protocols") {
			t.Errorf("%v does not say what to do", err)
		}
	}
}

// TestPerformanceMaxConcurrentConnections bounds the slots, from the start and while the server
// runs.
func TestPerformanceMaxConcurrentConnections(t *testing.T) {
	cfg := performance()
	cfg.MaxConcurrentConnections = 2
	l := newLine(t, agloop.ServerConfig{Performance: cfg}, nil)
	l.another()
	if status, retry := l.status(); status != 503 || retry == "" {
		t.Errorf("third connection of two: %d, Retry-After %q", status, retry)
	}
	l.set(func(c *agloop.PerformanceConfig) { c.MaxConcurrentConnections = 3 })
	slots := l.manager.GetConnectionPoolManager()
	testkit.Await(t, "who was refused has left", func() bool { return slots.Used() == 2 })
	if slots.Cap() != 3 {
		t.Errorf("%d slots", slots.Cap())
	}
	testkit.Await(t, "the refused one is gone", func() bool { return slots.Used() == 2 })
	if status, _ := l.status(); status != 101 {
		t.Errorf("third connection of three: %d", status)
	}
}

// TestPerformanceMessageBatch counts writes on one open connection while the window changes. A
// window of a second is never ended by time here.
func TestPerformanceMessageBatch(t *testing.T) {
	l := newLine(t, agloop.ServerConfig{Performance: performance()}, nil)
	const groups = 20
	size := func(n int, timeout time.Duration) {
		l.set(func(c *agloop.PerformanceConfig) { c.MessageBatchSize, c.MessageBatchTimeout = n, timeout })
		batcher := l.manager.GetMessageBatcher()
		// A timeout of 0 is no window, which a tuning writes as less than nothing.
		if got := batcher.BatchTimeout(); batcher.BatchSize() != n || max(got, 0) != timeout {
			t.Errorf("batcher has %d, %v; want %d, %v", batcher.BatchSize(), got, n, timeout)
		}
	}
	size(1, time.Second)
	if n := l.writes(groups, 1); n != groups {
		t.Errorf("batch size 1: %d writes for %d lone messages", n, groups)
	}
	for _, n := range []int{4, 16} {
		size(n, time.Second)
		// The last write was less than a second ago, so not even the first leaves by itself.
		if w := l.writes(groups, n); w != groups {
			t.Errorf("batch size %d: %d writes for %d groups of as many messages", n, w, groups)
		}
	}
	size(16, 0)
	if n := l.writes(groups, 1); n != groups {
		t.Errorf("no timeout: %d writes for %d lone messages", n, groups)
	}
	if err := l.manager.GetMessageBatcher().SetBatch(2, time.Second); err != nil {
		t.Fatal(err)
	}
	if n := l.writes(groups, 2); n != groups {
		t.Errorf("SetBatch(2): %d writes for %d groups", n, groups)
	}
	if err := l.manager.GetMessageBatcher().SetBatch(0, 0); err == nil {
		t.Error("a batch of 0 messages is accepted")
	}
}

// TestPerformanceMessageBatchReleases: what waits under a long window leaves when the window is
// taken away.
func TestPerformanceMessageBatchReleases(t *testing.T) {
	cfg := performance()
	cfg.MessageBatchSize, cfg.MessageBatchTimeout = 1000, time.Second
	l := newLine(t, agloop.ServerConfig{Performance: cfg}, nil)
	l.openWindow()
	for range 3 {
		l.conn.Send(agloop.Text, []byte("token"))
	}
	l.set(func(c *agloop.PerformanceConfig) { c.MessageBatchTimeout = 0 })
	l.expect(3)
	if n := l.writes(3, 1); n != 3 {
		t.Errorf("%d writes for 3 lone messages", n)
	}
}

// TestPerformanceEnableMetrics turns the figures off and on again under one connection.
func TestPerformanceEnableMetrics(t *testing.T) {
	l := newLine(t, agloop.ServerConfig{Performance: performance()}, nil)
	l.writes(10, 1)
	if m := l.manager.GetMetrics(); m == nil || m.P99Latency <= 0 {
		t.Fatalf("on: %+v", m)
	}
	l.set(func(c *agloop.PerformanceConfig) { c.EnableMetrics = false })
	l.writes(10, 1)
	if m := l.manager.GetMetrics(); m != nil {
		t.Errorf("off: %+v", m)
	}
	l.set(func(c *agloop.PerformanceConfig) { c.EnableMetrics, c.MetricsInterval = true, 100*time.Millisecond })
	if got := l.manager.GetMetricsCollector().Interval(); got != 100*time.Millisecond {
		t.Errorf("interval %v", got)
	}
	var m *agloop.PerformanceMetrics
	testkit.Await(t, "figures of the new interval", func() bool {
		l.writes(1, 1)
		m = l.manager.GetMetrics()
		return m != nil && m.P99Latency > 0 && m.Interval > 0 && m.MessagesOutPerSecond > 0
	})
	if m.Interval > 10*time.Second {
		t.Errorf("a window of %v", m.Interval)
	}
}

// TestPerformanceObservation: the optimizer is told when latency was not measured, and how much of
// its processors the process used.
func TestPerformanceObservation(t *testing.T) {
	l := newLine(t, agloop.ServerConfig{Performance: performance()}, nil)
	const busy = 100 * time.Millisecond
	observe := func() agloop.Observation {
		return l.manager.Observe(func() {
			l.writes(5, 10)
			for began := time.Now(); time.Since(began) < busy; { // uses CPU
			}
		})
	}
	on := observe()
	if !on.Measured || on.P99Latency <= 0 || on.CPUFraction <= 0 || on.CPUFraction > 1 {
		t.Errorf("on: %+v", on)
	}
	idle := func() { time.Sleep(busy) } // as long, as rates of less are not computed
	if o := l.manager.Observe(idle); o.Measured {
		t.Errorf("nothing was sent: %+v", o)
	}
	l.set(func(c *agloop.PerformanceConfig) { c.EnableMetrics = false })
	off := observe()
	if off.Measured || off.P99Latency != 0 || off.MessagesPerSecond <= 0 || off.WritesPerMessage <= 0 || off.MemoryFraction <= 0 {
		t.Errorf("off: %+v", off)
	}
}

// TestPerformanceEnableProfiling labels the goroutines of the runs that begin.
func TestPerformanceEnableProfiling(t *testing.T) {
	labels := make(chan string, 1)
	srv, addr := serve(t, agloop.ServerConfig{
		Performance: performance(),
		Agent: agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
			thread, _ := pprof.Label(ctx, "thread")
			id, _ := pprof.Label(ctx, "run")
			labels <- thread + "/" + id
			return nil
		}),
	})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	manager := srv.GetPerformanceManager()
	for i, on := range []bool{false, true, false} {
		cfg := manager.Config()
		cfg.EnableProfiling = on
		if err := manager.SetConfig(cfg); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("r", i)
		types(t, c, id)
		if got, want := <-labels, map[bool]string{false: "/", true: "t/" + id}[on]; got != want {
			t.Errorf("profiling %v: labels %q", on, got)
		}
	}
}

// TestPerformanceEnableZeroCopy: without it a handler may keep what it was given.
func TestPerformanceEnableZeroCopy(t *testing.T) {
	const n = 200
	var kept [][]byte // of the loop, until it has told of the last one
	got := make(chan string, n)
	cfg := performance()
	cfg.EnableZeroCopy = false
	l := newLine(t, agloop.ServerConfig{Performance: cfg}, func(p []byte) {
		kept = append(kept, p)
		got <- string(p)
	})
	text := func(i int) string { return fmt.Sprintf("message %d %s", i, strings.Repeat(string(rune('a'+i%26)), 50)) }
	send := func(from int) {
		t.Helper()
		for i := from; i < from+n; i++ {
			if _, err := l.peer.Write(testkit.Text(text(i))); err != nil {
				t.Fatal(err)
			}
			if s := <-got; s != text(i) {
				t.Fatalf("message %d arrived as %q", i, s)
			}
		}
	}
	send(0)
	copies := kept[:n:n]
	l.set(func(c *agloop.PerformanceConfig) { c.EnableZeroCopy = true })
	send(n)
	l.set(func(c *agloop.PerformanceConfig) { c.EnableZeroCopy = false })
	send(2 * n)
	for i, p := range copies {
		if string(p) != text(i) {
			t.Fatalf("kept message %d became %q", i, p)
		}
	}
	for i, p := range kept[2*n:] {
		if string(p) != text(2*n+i) {
			t.Fatalf("kept message %d became %q", 2*n+i, p)
		}
	}
}

// TestPerformanceBufferPool: what is idle obeys the knobs at once, and buffers that are out obey
// them on their return.
func TestPerformanceBufferPool(t *testing.T) {
	l := newLine(t, agloop.ServerConfig{Performance: performance()}, nil)
	pool := l.manager.GetBufferPool()
	lend := func(n, size int) (release func()) {
		var lent []*bufpool.Buffer
		for range n {
			lent = append(lent, pool.Get(size))
		}
		return func() {
			for _, b := range lent {
				b.Release()
			}
		}
	}
	lend(100, 4096)()
	if n := pool.Buffers(); n < 100 {
		t.Fatalf("%d buffers kept of 100", n)
	}
	l.set(func(c *agloop.PerformanceConfig) { c.BufferPoolSize = 4 })
	if n := pool.Buffers(); n > 4 || pool.Size() != 4 {
		t.Errorf("%d buffers idle, size %d", n, pool.Size())
	}
	lend(100, 4096)()
	if n := pool.Buffers(); n > 4 {
		t.Errorf("%d buffers came back", n)
	}
	l.set(func(c *agloop.PerformanceConfig) { c.BufferPoolSize, c.MaxBufferSize = 50, 1024 })
	lend(40, 4096)()
	if n := pool.Idle(); n > 50*1024 || pool.MaxBuffer() != 1024 {
		t.Errorf("%d bytes idle in buffers of at most %d", n, pool.MaxBuffer())
	}
	release := lend(40, 1024)
	l.set(func(c *agloop.PerformanceConfig) { c.EnableMemoryPooling = false })
	release()
	l.writes(3, 1)
	if n := pool.Idle(); n != 0 || pool.Size() != 0 {
		t.Errorf("pooling is off: %d bytes idle, size %d", n, pool.Size())
	}
	l.set(func(c *agloop.PerformanceConfig) { c.EnableMemoryPooling = true })
	lend(40, 1024)()
	if n := pool.Buffers(); n < 40 {
		t.Errorf("pooling is on again: %d buffers idle", n)
	}
}

// TestPerformanceSerializerType: the events of a run are the same by value with either.
func TestPerformanceSerializerType(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Performance: performance(), Agent: agloop.AgentFunc(
		func(_ context.Context, run *agloop.Run) error {
			for _, ev := range []agui.Event{
				&agui.TextMessageStart{MessageID: "m", Role: "assistant"},
				&agui.TextMessageContent{MessageID: "m", Delta: "<&> \u2028 \"quoted\" \x01 ünïcode 🙂"},
				&agui.TextMessageEnd{MessageID: "m"},
				&agui.Custom{Name: "c", Value: []byte(`{"a":[1,2.5,null,"x"]}`)},
			} {
				if err := run.Emit(ev); err != nil {
					return err
				}
			}
			return nil
		},
	)})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{Resume: agloop.Resume{Off: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	manager := srv.GetPerformanceManager()
	var first []agui.Event
	for _, serializer := range []agloop.SerializerType{agloop.OptimizedJSON, agloop.JSON, agloop.OptimizedJSON} {
		cfg := manager.Config()
		cfg.MessageSerializerType = serializer
		if err := manager.SetConfig(cfg); err != nil {
			t.Fatal(err)
		}
		gets := manager.GetSerializerFactory().Gets()
		var events []agui.Event
		for ev, err := range c.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: "r"}) {
			if err != nil {
				t.Fatalf("%v: %v", serializer, err)
			}
			events = append(events, ev)
		}
		if first == nil {
			first = events
		}
		if len(events) != 6 || !reflect.DeepEqual(events, first) {
			t.Errorf("%v:\n%v, want\n%v", serializer, events, first)
		}
		if f := manager.GetSerializerFactory(); f.Type() != serializer || f.Gets() == gets {
			t.Errorf("factory of %v after %d gets, want %v", f.Type(), f.Gets(), serializer)
		}
	}
}

// TestPerformanceMaxMemoryUsage: pressure, tier and interval follow the budget at once.
func TestPerformanceMaxMemoryUsage(t *testing.T) {
	l := newLine(t, agloop.ServerConfig{Performance: performance()}, nil)
	memory := l.manager.GetMemoryManager()
	l.manager.Hold(128 << 10)
	if p := memory.GetMemoryPressure(); p <= 0 || p >= 45 || memory.GetMonitoringInterval() != time.Minute {
		t.Errorf("%.3f %% every %v", p, memory.GetMonitoringInterval())
	}
	for range 2 {
		l.set(func(c *agloop.PerformanceConfig) { c.MaxMemoryUsage = 64 << 10 })
		testkit.Await(t, "the critical tier", func() bool { return memory.Tier() == memmon.Critical })
		if p := memory.GetMemoryPressure(); p < 100 || memory.GetMonitoringInterval() != 500*time.Millisecond {
			t.Errorf("%.1f %% every %v", p, memory.GetMonitoringInterval())
		}
		l.set(func(c *agloop.PerformanceConfig) { c.MaxMemoryUsage = outOfReach })
		testkit.Await(t, "the normal tier", func() bool { return memory.Tier() == memmon.Normal })
	}
	m, stats := l.manager.GetMetrics(), l.srv.Stats().Memory
	if m.MemoryHeld != 128<<10 || m.MemoryBudget != outOfReach || stats.Held != 128<<10 || stats.Budget != outOfReach {
		t.Errorf("%d of %d bytes held, by the stats %d of %d", m.MemoryHeld, m.MemoryBudget, stats.Held, stats.Budget)
	}
}
