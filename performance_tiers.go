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
	releaseTime = 20 * time.Millisecond  // for the loops to release what was cut

	criticalFrom = 0.95 // of the budget, where the critical tier begins
)

// restrain is t as the tier allows it: elevated gathers half as much before it writes, high
// lets a quarter wait for each peer.
func restrain(tier MemoryTier, t Tuning) Tuning {
	if tier >= memmon.Elevated {
		t.MessageBatchSize = max(1, t.MessageBatchSize/2)
		t.MessageBatchBytes = halved(t.MessageBatchBytes)
		t.BufferPoolSize = halved(t.BufferPoolSize)
	}
	if tier >= memmon.High {
		t.SoftLimit = max(1, t.SoftLimit/4)
		t.LowWater /= 4
	}
	return t
}

// halved is half of n, but never 0: that is the default of a pool, and no limit of bytes. No limit stays none.
func halved(n int) int {
	if n <= 1 {
		return n
	}
	return n / 2
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
		if m.mustCut() {
			m.cut()
			m.rest(releaseTime)
		}
		if m.returnDue() {
			debug.FreeOSMemory()
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

// mustCut tells whether more must go than was cut already: what was cut counts as used
// until the collector has returned it.
func (m *PerformanceManager) mustCut() bool {
	r := m.memory.Last()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.freed == 0 || float64(r.Total-m.freed) >= criticalFrom*float64(r.Limit)
}

func (m *PerformanceManager) cut() {
	conns, bytes := m.target.cutLargest(cutPerLoop)
	if conns == 0 {
		return
	}
	m.mu.Lock()
	m.actions.Cuts += uint64(conns)
	m.freed += bytes
	m.mu.Unlock()
	m.log.Warn("agloop: memory is critical", "connections_cut", conns, "bytes", bytes)
}

// rest waits, or returns at once when the manager stops.
func (m *PerformanceManager) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.quit:
	}
}

// returnDue tells whether memory may be returned to the system again, and counts it.
func (m *PerformanceManager) returnDue() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.returned) < returnEvery {
		return false
	}
	m.returned, m.freed = time.Now(), 0
	m.actions.Returns++
	return true
}

// TierActions reads the counts.
func (m *PerformanceManager) TierActions() TierActions {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.actions
}
