package loop

import (
	"time"

	"github.com/agloop/agloop/metrics"
)

// Writes is the number of write calls so far on the loops of eng.
func (d *Door) Writes(eng *Engine) uint64 {
	var s metrics.Snapshot
	eng.AddTo(&s)
	return s.Writes
}

// Advance moves the engine's clock forward, as if d had passed.
func (e *Engine) Advance(d time.Duration) {
	e.skew.Add(int64(d))
	for _, l := range e.loops {
		l.timeUp.Store(true)
		l.wake()
	}
}
