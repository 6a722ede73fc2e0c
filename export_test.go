package agloop

import (
	"time"

	"github.com/agloop/agloop/memmon"
)

// ChangeTier acts as on a reading that led from one tier to another. No reading follows it
// for a minute when the budget is out of reach.
func (m *PerformanceManager) ChangeTier(from, to MemoryTier) {
	m.tierChanged(memmon.Change{From: from, To: to})
}

// Observe is what the optimizer would be told of the time that f takes.
func (m *PerformanceManager) Observe(f func()) Observation {
	var seen view
	seen.next(m, time.Now())
	f()
	o, _ := seen.next(m, time.Now())
	return o
}
