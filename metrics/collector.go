package metrics

import (
	"context"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultInterval is the interval of a collector whose CollectorConfig.Interval is 0.
const DefaultInterval = 10 * time.Second

// CollectorConfig is what a MetricsCollector is made of.
type CollectorConfig struct {
	// Interval is the time between two ticks, each of which ends a window. 0 is DefaultInterval;
	// negative is no ticks, so that the first window never ends.
	Interval time.Duration
	// Source adds the present totals to an empty Source. It is called by the goroutine that asks
	// for figures, by one at a time, and must not call the collector. nil adds nothing.
	Source func(*Source)
	// Profiling makes Do attach its labels.
	Profiling bool
}

// MetricsCollector computes rates and distributions of windows, each from one tick to the next. For
// that it keeps the totals at the start of the present window, about 200 kB in all.
//
// All methods may be called from any goroutine. An engine without metrics has a nil collector,
// whose methods do nothing and return nil or zero.
type MetricsCollector struct {
	// Immutable.
	source func(*Source)

	// Any goroutine.
	interval  atomic.Int64
	profiling atomic.Bool
	changed   chan struct{} // interval was set

	// Of Start and Stop, under control.
	control sync.Mutex
	stop    chan struct{} // nil when stopped
	stopped chan struct{}

	// Any goroutine, under mu.
	mu      sync.Mutex
	last    PerformanceMetrics // at the end of the last window
	ended   bool               // a window has ended
	since   time.Time          // start of the present window, with its totals
	cpu     time.Duration
	base    *totals
	now     *Source // scratch
	window  *LoopSnapshot
	process process
}

// totals are those at the start of a window.
type totals struct {
	Snapshot
	loops LoopSnapshot
}

// NewMetricsCollector returns a collector whose first window begins now. Without Start no window
// ends, and Collect still works.
func NewMetricsCollector(cfg CollectorConfig) *MetricsCollector {
	c := &MetricsCollector{
		source:  cfg.Source,
		changed: make(chan struct{}, 1),
		since:   time.Now(),
		cpu:     CPUTime(),
		base:    new(totals),
		now:     new(Source),
		window:  new(LoopSnapshot),
	}
	if c.source == nil {
		c.source = func(*Source) {}
	}
	c.process.init()
	c.SetInterval(cfg.Interval)
	c.SetProfiling(cfg.Profiling)
	return c
}

// Start begins the ticks, each of which ends a window, until Stop. A second Start does nothing.
func (c *MetricsCollector) Start() {
	if c == nil {
		return
	}
	c.control.Lock()
	defer c.control.Unlock()
	if c.stop == nil {
		c.stop, c.stopped = make(chan struct{}), make(chan struct{})
		go c.tick(c.stop, c.stopped)
	}
}

// Stop ends the ticks and waits for their goroutine. The collector can still be asked, and may be
// started again.
func (c *MetricsCollector) Stop() {
	if c == nil {
		return
	}
	c.control.Lock()
	defer c.control.Unlock()
	if c.stop != nil {
		close(c.stop)
		<-c.stopped
		c.stop = nil
	}
}

func (c *MetricsCollector) tick(stop, stopped chan struct{}) {
	defer close(stopped)
	ticker := time.NewTicker(DefaultInterval)
	defer ticker.Stop()
	for {
		ticks := ticker.C
		if every := c.Interval(); every > 0 {
			ticker.Reset(every)
		} else {
			ticks = nil
		}
		for again := false; !again; {
			select {
			case <-ticks:
				c.read(ending)
			case <-c.changed:
				again = true
			case <-stop:
				return
			}
		}
	}
}

// Interval is the time between two ticks; not positive when there are none.
func (c *MetricsCollector) Interval() time.Duration {
	if c == nil {
		return 0
	}
	return time.Duration(c.interval.Load())
}

// SetInterval changes the time between two ticks at once, with the meaning of
// CollectorConfig.Interval.
func (c *MetricsCollector) SetInterval(d time.Duration) {
	if c == nil {
		return
	}
	if d == 0 {
		d = DefaultInterval
	}
	c.interval.Store(int64(d))
	select {
	case c.changed <- struct{}{}:
	default: // an earlier change has not been noticed yet
	}
}

// Profiling reports whether Do attaches labels.
func (c *MetricsCollector) Profiling() bool { return c != nil && c.profiling.Load() }

// SetProfiling switches the labels of Do on or off, from the next call on.
func (c *MetricsCollector) SetProfiling(on bool) {
	if c != nil {
		c.profiling.Store(on)
	}
}

// Do calls f. While profiling is on, the samples of f in CPU and goroutine profiles have the
// labels. While it is off, Do costs only the call. Make the labels once and not for each call.
func (c *MetricsCollector) Do(ctx context.Context, labels pprof.LabelSet, f func(context.Context)) {
	if c.Profiling() {
		pprof.Do(ctx, labels, f)
		return
	}
	f(ctx)
}

// GetMetrics returns the figures of now; nil from a nil collector. Rates and distributions are
// those of the last window that has ended, so that they do not depend on the moment of the call;
// before the first tick it is Collect. It stops no loop and allocates only its result.
func (c *MetricsCollector) GetMetrics() *PerformanceMetrics { return c.read(whole) }

// Collect is GetMetrics with rates and distributions of the present window, from the last tick to
// now. While that is shorter than 100 ms, the rates are those of the window before, and so is each
// distribution without a value in the present one.
func (c *MetricsCollector) Collect() *PerformanceMetrics { return c.read(running) }

// Totals adds the present totals to s, as CollectorConfig.Source does. A nil collector adds
// nothing.
func (c *MetricsCollector) Totals(s *Source) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source(s)
}

// span says which window the figures are of.
type span int

const (
	whole   span = iota // the last that has ended
	running             // the present one
	ending              // the present one, which ends now
)

func (c *MetricsCollector) read(of span) *PerformanceMetrics {
	if c == nil {
		return nil
	}
	m := new(PerformanceMetrics)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Reset()
	c.source(c.now)
	now, cpu := time.Now(), CPUTime()

	*m = c.last
	m.At = now
	m.totals(c.now)
	c.process.read(m)
	if of == whole && c.ended {
		return m
	}
	c.window.Difference(&c.now.Loops, &c.base.loops)
	m.distributions(c.window, of != ending)
	if length := now.Sub(c.since); of == ending || length >= shortestWindow {
		m.Interval = length
		m.rates(&c.now.Snapshot, &c.base.Snapshot, cpu-c.cpu)
	}
	if of == ending {
		c.last, c.ended, c.since, c.cpu = *m, true, now, cpu
		c.base.Snapshot, c.base.loops = c.now.Snapshot, c.now.Loops
	}
	return m
}
