package metrics

import (
	"context"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// engine stands for what a collector reads from.
type engine struct {
	Counters
	LoopMetrics
	rest Source
}

func (e *engine) source(s *Source) {
	e.Counters.AddTo(&s.Snapshot)
	e.LoopMetrics.AddTo(&s.Loops)
	s.Refused, s.Shed, s.Connections = e.rest.Refused, e.rest.Shed, e.rest.Connections
	s.MemoryUsage, s.MemoryPressure = e.rest.MemoryUsage, e.rest.MemoryPressure
	s.MemoryHeld, s.MemoryBudget = e.rest.MemoryHeld, e.rest.MemoryBudget
	s.MemoryTier, s.MonitoringInterval = e.rest.MemoryTier, e.rest.MonitoringInterval
	s.PoolInUse, s.PoolIdle = e.rest.PoolInUse, e.rest.PoolIdle
}

// setAll gives every number in v, and in the structs in it, a value of its own.
func setAll(v reflect.Value, next *uint64) {
	for i := range v.NumField() {
		f := v.Field(i)
		if !f.CanSet() {
			continue
		}
		*next++
		switch n, isCounter := f.Addr().Interface().(*atomic.Uint64); {
		case isCounter:
			n.Store(*next)
		case f.Kind() == reflect.Struct:
			setAll(f, next)
		case f.CanInt():
			f.SetInt(int64(*next))
		case f.CanUint():
			f.SetUint(*next)
		case f.CanFloat():
			f.SetFloat(float64(*next))
		}
	}
}

// zeros lists the numbers in v that are 0 or not a number.
func zeros(v reflect.Value, path string) (names []string) {
	for i := range v.NumField() {
		f, name := v.Field(i), path+v.Type().Field(i).Name
		switch {
		case f.Type() == reflect.TypeFor[time.Time]():
			if f.Interface().(time.Time).IsZero() {
				names = append(names, name)
			}
		case f.Kind() == reflect.Struct:
			names = append(names, zeros(f, name+".")...)
		case f.IsZero(), f.CanFloat() && (math.IsNaN(f.Float()) || math.IsInf(f.Float(), 0)):
			names = append(names, name)
		}
	}
	return names
}

// TestEveryFigureHasAWriter: in an engine in which everything happens no figure is zero.
func TestEveryFigureHasAWriter(t *testing.T) {
	before := CPUTime()
	e := new(engine)
	c := NewMetricsCollector(CollectorConfig{Source: e.source})
	n := uint64(0)
	setAll(reflect.ValueOf(&e.Counters).Elem(), &n)
	setAll(reflect.ValueOf(&e.rest).Elem(), &n)
	e.Wrote(3, time.Millisecond)
	e.Delivered(time.Millisecond)
	e.Established(time.Millisecond)
	runtime.GC()
	for began := time.Now(); time.Since(began) < shortestWindow; { // uses CPU
	}
	m := c.GetMetrics()
	if names := zeros(reflect.ValueOf(*m), ""); len(names) > 0 {
		t.Errorf("nobody writes %v in %+v", names, m)
	}
	if m.CPUUsage > 1 || m.GCCPUFraction > 1 || m.BufferPoolUtilization > 1 {
		t.Errorf("CPU %f, GC %f, pool %f: fractions are at most 1", m.CPUUsage, m.GCCPUFraction, m.BufferPoolUtilization)
	}
	// What the window says was used is no more than what was used around it.
	used := time.Duration(m.CPUUsage * float64(m.Interval) * float64(runtime.NumCPU()))
	if all := CPUTime() - before; used > all+time.Microsecond {
		t.Errorf("CPU of %v in the window, %v in all", used, all)
	}
	if got, want := m.Failures.Total(), sumOf(reflect.ValueOf(m.Failures)); got != want {
		t.Errorf("%d failures in all, the kinds make %d", got, want)
	}
}

func sumOf(v reflect.Value) (n uint64) {
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Struct {
			n += sumOf(f)
		} else {
			n += f.Uint()
		}
	}
	return n
}

// TestResetForgetsEverything: what Source.Reset leaves would be counted twice.
func TestResetForgetsEverything(t *testing.T) {
	var s Source
	n := uint64(0)
	setAll(reflect.ValueOf(&s).Elem(), &n)
	var m LoopMetrics
	m.Wrote(1, 1)
	m.Delivered(1)
	m.Established(1)
	m.AddTo(&s.Loops)
	s.Reset()
	if s != (Source{}) {
		t.Errorf("left: %+v", s)
	}
}

// TestWindows follows rates and distributions from one window to the next.
func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(engine)
		c := NewMetricsCollector(CollectorConfig{Interval: time.Second, Source: e.source})
		c.Start()
		c.Start()
		defer c.Stop()
		check := func(m *PerformanceMetrics, interval time.Duration, perSecond float64, p50 time.Duration) {
			t.Helper()
			if m.Interval != interval || m.MessagesOutPerSecond != perSecond || !within(int64(m.P50Latency), int64(p50)) {
				t.Errorf("over %v %v/s at %v, want over %v %v/s at %v",
					m.Interval, m.MessagesOutPerSecond, m.P50Latency, interval, perSecond, p50)
			}
		}
		send := func(n int, latency time.Duration) {
			e.FramesOut.Add(uint64(n))
			for range n {
				e.Delivered(latency)
			}
		}
		wait := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		const ms = time.Millisecond

		send(50, ms)
		check(c.Collect(), 0, 0, ms) // too early for a rate, not for a latency
		check(c.GetMetrics(), 0, 0, ms)
		wait(500 * ms)
		check(c.Collect(), 500*ms, 100, ms)
		check(c.GetMetrics(), 500*ms, 100, ms) // no window has ended
		wait(550 * ms)
		check(c.Collect(), time.Second, 50, ms) // the running window is too young
		check(c.GetMetrics(), time.Second, 50, ms)
		send(30, 20*ms)
		wait(50 * ms)
		check(c.Collect(), 100*ms, 300, 20*ms)
		check(c.Collect(), 100*ms, 300, 20*ms) // asking moves nothing
		check(c.GetMetrics(), time.Second, 50, ms)
		wait(time.Second) // into an empty window
		check(c.Collect(), 100*ms, 0, 20*ms)
		check(c.GetMetrics(), time.Second, 30, 20*ms)
		wait(time.Second) // into another
		check(c.Collect(), 100*ms, 0, 0)
		check(c.GetMetrics(), time.Second, 0, 0)

		e.Opened.Add(8)
		if m := c.GetMetrics(); m.TotalConnections != 8 || m.ConnectionsPerSecond != 0 {
			t.Errorf("%d connections, %v/s: totals are of now, rates of the window", m.TotalConnections, m.ConnectionsPerSecond)
		}
	})
}

// TestMetricsTurnedOffAndOn: histograms that begin anew within a window have no past.
func TestMetricsTurnedOffAndOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(engine)
		c := NewMetricsCollector(CollectorConfig{Interval: time.Second, Source: e.source})
		c.Start()
		defer c.Stop()
		for range 100 {
			e.Delivered(time.Millisecond)
			e.Delivered(time.Second)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		e.LoopMetrics = LoopMetrics{}
		if m := c.Collect(); !within(int64(m.P50Latency), int64(time.Millisecond)) {
			t.Errorf("nothing recorded since the window before, whose median was 1 ms: %v", m.P50Latency)
		}
		for range 150 {
			e.Delivered(time.Millisecond)
		}
		m := c.Collect()
		if !within(int64(m.MaxLatency), int64(time.Millisecond)) || !within(int64(m.AvgLatency), int64(time.Millisecond)) {
			t.Errorf("latency up to %v, on average %v, where all took 1 ms", m.MaxLatency, m.AvgLatency)
		}
	})
}

// TestWithoutTicks the window that began with the collector goes on.
func TestWithoutTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(engine)
		c := NewMetricsCollector(CollectorConfig{Interval: -1, Source: e.source})
		c.Start()
		defer c.Stop()
		e.Opened.Add(7200)
		time.Sleep(2 * time.Hour)
		if m := c.GetMetrics(); m.Interval != 2*time.Hour || m.ConnectionsPerSecond != 1 {
			t.Errorf("%v/s over %v", m.ConnectionsPerSecond, m.Interval)
		}
	})
}

// TestSettingsTakeEffect: the interval and profiling change while running.
func TestSettingsTakeEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		c := NewMetricsCollector(CollectorConfig{Source: func(*Source) { reads.Add(1) }})
		if c.Interval() != DefaultInterval {
			t.Errorf("an interval of %v", c.Interval())
		}
		c.Start()
		after := func(d time.Duration, want int64) {
			t.Helper()
			reads.Store(0)
			time.Sleep(d)
			synctest.Wait()
			if n := reads.Load(); n != want {
				t.Errorf("%d ticks in %v at an interval of %v, want %d", n, d, c.Interval(), want)
			}
		}
		after(time.Minute, 6)
		c.SetInterval(time.Second)
		after(time.Minute, 60)
		c.SetInterval(-1)
		after(time.Hour, 0)
		c.SetInterval(0)
		after(time.Minute, 6)
		c.Stop()
		c.Stop()
		after(time.Hour, 0)
		c.Start()
		after(time.Minute, 6)
		c.Stop()
	})
}

func TestDoLabelsOnlyWhileProfiling(t *testing.T) {
	labels := pprof.Labels("agent", "echo")
	c := NewMetricsCollector(CollectorConfig{Profiling: true})
	for _, on := range []bool{true, false} {
		c.SetProfiling(on)
		called := false
		c.Do(t.Context(), labels, func(ctx context.Context) {
			called = true
			if v, ok := pprof.Label(ctx, "agent"); ok != on || on && v != "echo" {
				t.Errorf("profiling %v: label %q, %v", on, v, ok)
			}
		})
		if !called {
			t.Error("f was not called")
		}
	}
}

// TestNilCollector is that of an engine without metrics.
func TestNilCollector(t *testing.T) {
	var c *MetricsCollector
	c.Start()
	c.SetInterval(time.Second)
	c.SetProfiling(true)
	c.Totals(nil)
	if c.GetMetrics() != nil || c.Collect() != nil || c.Interval() != 0 || c.Profiling() {
		t.Error("a nil collector has figures")
	}
	called := false
	c.Do(t.Context(), pprof.Labels(), func(context.Context) { called = true })
	c.Stop()
	if !called {
		t.Error("f was not called")
	}
}

// TestReadersAtOnce is for the race detector: the loop counts, windows end, and several ask.
func TestReadersAtOnce(t *testing.T) {
	e := new(engine)
	c := NewMetricsCollector(CollectorConfig{Interval: time.Millisecond, Source: e.source})
	c.Start()
	defer c.Stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 2000 {
			e.FramesOut.Add(1)
			e.Wrote(1, time.Duration(i))
			e.Delivered(time.Duration(i))
		}
	})
	for range 3 {
		wg.Go(func() {
			var s Source
			for range 50 {
				s.Reset()
				c.Totals(&s)
				if m := c.GetMetrics(); m.MaxLatency > 2000 || m.MinLatency > m.MaxLatency {
					t.Errorf("latency from %v to %v", m.MinLatency, m.MaxLatency)
				}
			}
		})
	}
	wg.Wait()
}

// busyEngine is eight loops that have seen values of every size.
func busyEngine() func(*Source) {
	loops := make([]*engine, 8)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range loops {
		loops[i] = new(engine)
		for range 20000 {
			loops[i].Wrote(1+r.IntN(1<<r.IntN(17)), time.Duration(1000<<r.IntN(27)))
			loops[i].Delivered(time.Duration(1000 + r.Int64N(1000<<r.IntN(27))))
			loops[i].Established(time.Duration(1000 + r.Int64N(1000<<r.IntN(27))))
		}
	}
	return func(s *Source) {
		for _, l := range loops {
			l.Counters.AddTo(&s.Snapshot)
			l.LoopMetrics.AddTo(&s.Loops)
		}
	}
}

// TestReadingAllocatesItsAnswer and nothing more.
func TestReadingAllocatesItsAnswer(t *testing.T) {
	c := NewMetricsCollector(CollectorConfig{Source: busyEngine()})
	if n := testing.AllocsPerRun(100, func() { c.GetMetrics() }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGetMetrics(b *testing.B) {
	c := NewMetricsCollector(CollectorConfig{Source: busyEngine()})
	b.ReportAllocs()
	for b.Loop() {
		c.GetMetrics()
	}
}
