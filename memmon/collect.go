package memmon

import (
	"runtime/debug"
	"sync"
	"time"
)

const (
	// collectAt is how much of the process's limit may be mapped, in percent, before the garbage in
	// it is collected.
	collectAt = 85

	// collectInterval is the least time between two collections of a manager, and the time between
	// readings while collectAt percent are mapped.
	collectInterval = 2 * time.Second

	// collectShare limits collections to a tenth of the time. It matters for heaps so large that
	// one collection takes more than a fifth of a second.
	collectShare = 10
)

// collections are those of all managers of the process, which see the same garbage.
var collections struct {
	sync.Mutex
	at time.Time // the last one ended
}

// collectGarbage collects garbage and returns free memory to the system, unless another manager has
// done so within half a collectInterval.
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

// mustCollect reports whether garbage must be collected before a tier is decided by r: because so
// much is mapped that the kernel may kill the process, or because new connections would be refused
// for objects that were alive at the last collection and may be garbage now.
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
