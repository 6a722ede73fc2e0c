package agloop

import (
	"math"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/memmon"
)

// TierActions counts what the memory tiers made happen.
type TierActions struct {
	Trims       uint64 // times the buffer pool gave up its idle buffers
	Restraints  uint64 // changes to a higher tier, whose tuning allows less
	Relaxations uint64 // changes to a lower tier, whose tuning allows more
	Sheddings   uint64 // times new connections began to be refused
	Cuts        uint64 // connections cut for what they held
	Returns     uint64 // times garbage was collected and free memory returned to the system
}

// How connections are cut.
const (
	cutEvery    = 500 * time.Millisecond // in the critical tier, as often as it reads
	cutAtOnce   = 50                     // connections at a time, in the critical tier
	releaseTime = 20 * time.Millisecond  // at most, for the loops to release what was cut
)

// restrain is t as the tier allows it: from Elevated on half as much is gathered for one write
// and nothing is compressed, from High on a quarter may wait for each peer.
func restrain(tier MemoryTier, t Tuning) Tuning {
	if tier >= memmon.Elevated {
		t.MessageBatchSize = max(1, t.MessageBatchSize/2)
		t.MessageBatchBytes = halved(t.MessageBatchBytes)
		t.BufferPoolSize = halved(t.BufferPoolSize)
		t.PlainOnly = true
	}
	if tier >= memmon.High {
		t.SoftLimit = max(1, t.SoftLimit/4)
		t.LowWater /= 4
	}
	return t
}

// halved is half of n, but never 0, which means the default for a pool, and no limit for bytes.
// What has no limit keeps none.
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
	m.apply()
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
	if c.To == memmon.Critical && !m.reducing {
		m.reducing = true
		m.done.Go(m.reduceMemory)
	}
}

// reduceMemory cuts connections until the critical tier is left or the manager stops. It goes
// slowly and leaves a quarter of the share, because it may be the host that uses most of the
// memory.
func (m *PerformanceManager) reduceMemory() {
	tick := time.NewTicker(cutEvery)
	defer tick.Stop()
	for m.stillCritical() {
		if m.cutDown(m.memory.Last().Share()/4, cutAtOnce) {
			m.memory.Trigger()
		}
		select {
		case <-tick.C:
		case <-m.quit:
		}
	}
}

// stillCritical reports whether reduceMemory is to go on. It notes the answer in the same step, so
// that the next change to critical starts another.
func (m *PerformanceManager) stillCritical() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reducing = m.running && m.tier == memmon.Critical
	return m.reducing
}

// shareExceeded is called while connections hold more than their share; it runs in the memory
// manager's goroutine.
func (m *PerformanceManager) shareExceeded(int64) {
	share := m.memory.Last().Share()
	m.cutDown(share-share/4, math.MaxInt)
}

// cutDown cuts the connections that hold most, at most so many, until all of them hold at most so
// many bytes. It reports whether any was cut.
func (m *PerformanceManager) cutDown(to int64, most int) (cut bool) {
	m.cutMu.Lock()
	defer m.cutMu.Unlock()
	before := m.ledger.Total()
	if before <= to {
		return false
	}
	conns, freed := m.target.cutLargest(before-to, most)
	if conns == 0 {
		return false
	}
	m.mu.Lock()
	m.actions.Cuts += uint64(conns)
	m.mu.Unlock()
	m.log.Warn("agloop: connections cut for the memory they held",
		"connections_cut", conns, "bytes", freed, "held_bytes", before)
	m.awaitRelease(max(to, before-freed))
	return true
}

// awaitRelease waits until the ledger shows that what was cut is released, so that nothing more is
// cut for it. It polls, and not for long: nobody announces a release, and some are slow.
func (m *PerformanceManager) awaitRelease(to int64) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(releaseTime); m.ledger.Total() > to && time.Now().Before(deadline); {
		select {
		case <-tick.C:
		case <-m.quit:
			return
		}
	}
}

// TierActions reads the counts.
func (m *PerformanceManager) TierActions() TierActions {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.actions
	a.Returns = m.memory.Collections()
	return a
}
