package loop

import (
	"time"

	"github.com/agloop/agloop/metrics"
)

// Writes is the number of write calls so far on its loops.
func (e *Engine) Writes() uint64 {
	var s metrics.Snapshot
	e.AddTo(&s)
	return s.Writes
}

// BytesIn is the number of bytes read so far by its loops.
func (e *Engine) BytesIn() uint64 {
	var s metrics.Snapshot
	e.AddTo(&s)
	return s.BytesIn
}

// Advance moves the engine's clock forward, as if d had passed.
func (e *Engine) Advance(d time.Duration) {
	e.skew.Add(int64(d))
	e.poke()
}

// NetworkOf is what AcceptsPerIP counts by.
var NetworkOf = networkOf

// HoldRefusals takes the whole reserve of refusals until release is called.
func (d *Door) HoldRefusals() (release func()) {
	for range cap(d.refusals) {
		d.refusals <- struct{}{}
	}
	return func() {
		for range cap(d.refusals) {
			<-d.refusals
		}
	}
}
