package loop

import (
	"time"

	"github.com/agloop/agloop/metrics"
)

// SetMetrics turns the loops' histograms on or off. Off costs nothing but a load; what was recorded
// is forgotten. Any goroutine.
func (e *Engine) SetMetrics(on bool) {
	for _, l := range e.all() {
		if on {
			l.measures.CompareAndSwap(nil, new(metrics.LoopMetrics))
		} else {
			l.measures.Store(nil)
		}
	}
}

// AddMeasures adds the histograms of all loops to s.
func (e *Engine) AddMeasures(s *metrics.LoopSnapshot) {
	for _, l := range e.all() {
		l.measures.Load().AddTo(s)
	}
}

// measureWrite notes a write of what waited since the given time; 0 for replies to what the peer
// just sent, which did not wait.
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
