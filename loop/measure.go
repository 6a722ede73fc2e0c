package loop

import (
	"time"

	"github.com/agloop/agloop/metrics"
)

// SetMetrics turns the loops' histograms on or off. Off costs nothing but a load; what
// was recorded is forgotten. Any goroutine.
func (e *Engine) SetMetrics(on bool) {
	for _, l := range e.loops {
		if on {
			l.measures.CompareAndSwap(nil, new(metrics.LoopMetrics))
		} else {
			l.measures.Store(nil)
		}
	}
}

// AddMeasures adds the histograms of all loops to s.
func (e *Engine) AddMeasures(s *metrics.LoopSnapshot) {
	for _, l := range e.loops {
		l.measures.Load().AddTo(s)
	}
}

// SetPressureHook has f called when bytes begin to pile up for a connection: at
// Backpressure, and when a message is assembled in a large buffer. f runs wherever
// that happens and must return at once. Any goroutine; nil takes it off.
func (e *Engine) SetPressureHook(f func()) {
	if f == nil {
		e.piling.Store(nil)
		return
	}
	e.piling.Store(&f)
}

func (e *Engine) pile() {
	if f := e.piling.Load(); f != nil {
		(*f)()
	}
}

// measureWrite notes a write of what waited since the given time; 0 for replies to what
// the peer just sent, which did not wait.
func (l *Loop) measureWrite(frames int, since, now int64) {
	m := l.measures.Load()
	if m == nil || frames == 0 { // none in the answer to a handshake
		return
	}
	var waited time.Duration
	if since != 0 && now > since {
		waited = time.Duration(now - since)
	}
	m.Wrote(frames, waited)
	m.Delivered(waited)
}
