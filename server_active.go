package agloop

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// activeSessions are the sessions of a server that have a run. Loops add and remove them, so the
// lock is held for a step in the map alone, and never while anybody waits.
type activeSessions struct {
	// Any goroutine.
	closed atomic.Bool // no session is added any more; written under mu

	// Any goroutine, under mu.
	mu  sync.Mutex
	all map[*session]struct{}
}

// add notes that s has a run. It returns false after close: no run begins then.
func (a *activeSessions) add(s *session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed.Load() {
		return false
	}
	if a.all == nil {
		a.all = make(map[*session]struct{})
	}
	a.all[s] = struct{}{}
	return true
}

// remove notes that s has no run any more.
func (a *activeSessions) remove(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, s)
}

// close ends the adding: a list that is made afterwards has every session whose run goes on.
func (a *activeSessions) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed.Store(true)
}

func (a *activeSessions) list() []*session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.all))
}

func (a *activeSessions) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all)
}
