package run

import "github.com/agloop/agloop/metrics"

// Figures reads what there is and what there was. times may be nil.
func (h *Hub) Figures(r *metrics.Runs, times *metrics.RunTimes) {
	c := &h.counters
	*r = metrics.Runs{
		LogBytes: h.held.Load(), Started: c.started.Load(), GivenUp: c.givenUp.Load(),
		Folds: c.folds.Load(), Shed: c.shed.Load(), Conflicts: c.conflicts.Load(),
		Ended: metrics.RunsEnded{
			Success: c.outcomes[OutcomeSuccess].Load(), Interrupt: c.outcomes[OutcomeInterrupt].Load(),
			Cancelled: c.outcomes[OutcomeCancelled].Load(), Error: c.outcomes[OutcomeError].Load(),
		},
	}
	for _, l := range h.Live() {
		viewers := l.Viewers()
		r.Live++
		if r.Viewers += viewers; viewers == 0 {
			r.Detached++
		}
	}
	if s, ok := h.cfg.Store.(*MemoryStore); ok {
		stats := s.Stats()
		r.LogBytes += stats.Bytes
		r.Retained, r.Tombstones = stats.Ended, stats.Tombstones
		r.Shed += uint64(stats.Shed)
	}
	if times != nil {
		c.duration.AddTo(&times.Duration)
		c.firstEvent.AddTo(&times.FirstEvent)
		c.firstToken.AddTo(&times.FirstToken)
	}
}
