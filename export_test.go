package agloop

import "github.com/agloop/agloop/memmon"

// ChangeTier acts as on a reading that led from one tier to another. No reading follows it
// for a minute when the budget is out of reach.
func (m *PerformanceManager) ChangeTier(from, to MemoryTier) {
	m.tierChanged(memmon.Change{From: from, To: to})
}
