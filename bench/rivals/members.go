package main

import "sync"

// members is who a fan-out goes to.
type members[C comparable] struct {
	mu  sync.Mutex
	all map[C]struct{}
}

func (m *members[C]) add(c C) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = make(map[C]struct{})
	}
	m.all[c] = struct{}{}
}

func (m *members[C]) remove(c C) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, c)
}

// each calls f for every member, one fan-out after the other, so that all members get the same order.
func (m *members[C]) each(f func(C)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.all {
		f(c)
	}
}

// queueSize is how many messages a member may lag behind before it is cut off, where a goroutine writes what a channel
// brings. It is that of gorilla's chat example.
const queueSize = 256
