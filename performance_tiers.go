package agloop

import (
	"runtime/debug"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/memmon"
)

// TierActions counts what the memory tiers made happen.
type TierActions struct {
	Trims       uint64 // the buffer pool gave its idle buffers up
	Restraints  uint64 // tunings tightened on the way up
	Relaxations uint64 // and loosened on the way down
	Sheddings   uint64 // times new connections began to be refused
	Cuts        uint64 // connections cut for what waited for them
	Returns     uint64 // memory returned to the system
}

// What the critical tier does, and how often.
const (
	cutEvery    = 500 * time.Millisecond // as often as it reads
	cutPerLoop  = 50                     // connections on each loop at a time
	returnEvery = 10 * time.Second       // it costs a collection
)

// restrain is t as the tier allows it: elevated gathers half as much before it writes, high
// lets a quarter wait for each peer.
func restrain(tier MemoryTier, t Tuning) Tuning {
	if tier >= memmon.Elevated {
		t.MessageBatchSize = max(1, t.MessageBatchSize/2)
		t.MessageBatchBytes /= 2
		t.BufferPoolSize /= 2
	}
	if tier >= memmon.High {
		t.SoftLimit = max(1, t.SoftLimit/4)
		t.LowWater /= 4
	}
	return t
}

// tierChanged acts on a change of tier; it runs in the memory manager's goroutine.
func (m *PerformanceManager) tierChanged(c memmon.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.running {
		return
	}
	m.tier = c.To
	m.enact()
	if c.To > c.From {
		m.actions.Restraints++
	} else {
		m.actions.Relaxations++
	}
	if c.To >= memmon.Elevated && c.To > c.From {
		m.actions.Trims++
		bufpool.Default.Trim()
	}
	if shed := c.To >= memmon.High; shed != (c.From >= memmon.High) {
		m.target.setShedding(shed)
		if shed {
			m.actions.Sheddings++
		}
	}
	if c.To == memmon.Critical && !m.relieving {
		m.relieving = true
		m.done.Go(m.relieve)
	}
}

// relieve lets go of memory until the critical tier is left or the manager stops.
func (m *PerformanceManager) relieve() {
	tick := time.NewTicker(cutEvery)
	defer tick.Stop()
	for m.stillCritical() {
		cut := m.target.cutLargest(cutPerLoop)
		if cut > 0 {
			m.log.Warn("agloop: memory is critical", "connections_cut", cut)
		}
		back := m.countRelief(cut)
		if back {
			debug.FreeOSMemory()
		}
		if back || cut > 0 {
			m.memory.Trigger()
		}
		select {
		case <-tick.C:
		case <-m.quit:
		}
	}
}

// stillCritical ends the relief in the same step in which it says no, so that the next
// change to critical begins a new one.
func (m *PerformanceManager) stillCritical() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.relieving = m.running && m.tier == memmon.Critical
	return m.relieving
}

// countRelief tells whether memory is to be returned to the system too.
func (m *PerformanceManager) countRelief(cut int) (back bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.actions.Cuts += uint64(cut)
	if back = time.Since(m.returned) >= returnEvery; back {
		m.returned = time.Now()
		m.actions.Returns++
	}
	return back
}

// TierActions reads the counts.
func (m *PerformanceManager) TierActions() TierActions {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.actions
}
