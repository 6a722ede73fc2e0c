package memmon

import (
	"runtime/debug"
	"sync"
	"time"
)

const (
	// collectAt is how much of the process's limit may be mapped, in percent, before the
	// garbage in it is collected.
	collectAt = 85

	// collectGap is the least time between two collections of a manager, and how often
	// it looks again while so much is mapped.
	collectInterval = 2 * time.Second

	// collectPart is the part of the time that collections may take, for heaps so large
	// that one takes more than a fifth of a second.
	collectShare = 10
)

// collections are those of all managers of the process, which see the same garbage.
var collections struct {
	sync.Mutex
	at time.Time // the last one ended
}

// collectGarbage collects and returns what is free to the system, unless another manager
// did so a moment ago.
func collectGarbage() {
	collections.Lock()
	defer collections.Unlock()
	// A negative age is a clock that was replaced, as in a test's bubble.
	if age := time.Since(collections.at); age >= 0 && age < collectInterval/2 {
		return
	}
	debug.FreeOSMemory()
	collections.at = time.Now()
}

// mustCollect tells whether a reading says too little before garbage is gone: so much is
// mapped that the process may die of it, or new connections would be refused for what the
// last collection found alive, which nobody may hold any more.
func (m *MemoryManager) mustCollect(r Reading) bool {
	if m.at.Sub(m.collected) < m.collectWait {
		return false
	}
	return r.mappedPercent() >= collectAt || m.Tier().next(r.livePercent()) >= High
}

// collect collects garbage.
func (m *MemoryManager) collect() {
	began := time.Now()
	m.cfg.Collect()
	m.collected = time.Now()
	m.collectWait = max(collectInterval, collectShare*m.collected.Sub(began))
	m.collections.Add(1)
}
