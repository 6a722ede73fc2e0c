package agloop

import (
	"context"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/memmon"
)

// ChangeTier acts as on a reading that led from one tier to another. No reading follows it for a
// minute when the budget is out of reach.
func (m *PerformanceManager) ChangeTier(from, to MemoryTier) {
	m.tierChanged(memmon.Change{From: from, To: to})
}

// Held is what its ledger says.
func (m *PerformanceManager) Held() int64 { return m.ledger.Total() }

// Observe is what the optimizer would be told of the time that f takes.
func (m *PerformanceManager) Observe(f func()) Observation {
	var seen observer
	seen.observe(m, time.Now())
	f()
	o, _ := seen.observe(m, time.Now())
	return o
}

// Hold counts bytes as held by nobody in particular.
func (m *PerformanceManager) Hold(bytes int) { m.ledger.Add(0, bytes) }

// SetDecodeBudget replaces a quarter of the memory limit. Before Serve.
func (s *Server) SetDecodeBudget(budget func() int64) { s.decoding.budget = budget }

// OnDecode has hook called around the decoding of each input. Before Serve.
func (s *Server) OnDecode(hook func(raw []byte, decode func())) {
	decode := s.decode
	s.decode = func(raw []byte) (input *agui.RunAgentInput, notes []Note, err error) {
		hook(raw, func() { input, notes, err = decode(raw) })
		return input, notes, err
	}
}

// Live is how many runs are found by their principals' keys.
func (s *Server) Live() (n int) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	for _, runs := range s.live.byKey {
		n += len(runs)
	}
	return n
}

// AddBrokenRun adds a run that panics when something is published, until the test mends it.
func (s *Server) AddBrokenRun(key string) (mend func()) {
	s.live.add(key, nil)
	return func() { s.live.remove(key, nil) }
}

// RunsTaken is how many places of runs are taken.
func (s *Server) RunsTaken() int64 { return s.places.taken.Load() }

// Held is what its connections hold, in bytes, by the ledger.
func (s *Server) Held() int64 { return s.performance.ledger.Total() }

// WithLock calls f with the server's lock held.
func (s *Server) WithLock(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Pending is how many bytes wait for the caller of Run.
func (c *Client) Pending() int {
	inbox := c.last().inbox
	inbox.mu.Lock()
	defer inbox.mu.Unlock()
	return inbox.pending.bytes
}

// OnPause replaces the waiting before the client dials again, and its jitter by the longest pause.
func (c *Client) OnPause(pause func(wait time.Duration) bool) {
	c.mu.Lock() // which the loop holds when it begins to dial again
	defer c.mu.Unlock()
	c.backoff.random = func(n int64) int64 { return n - 1 }
	c.pause = func(_ context.Context, wait time.Duration) bool { return pause(wait) }
}

// FailEngine lets no engine be made until mend is called.
func (s *Server) FailEngine(err error) (mend func()) {
	start := s.startLoops
	s.startLoops = func(int) error { return err }
	return func() { s.startLoops = start }
}

// SetHTTPSlots replaces how many connections may speak HTTP. Before Serve.
func (s *Server) SetHTTPSlots(n int) { s.http.most = n }

// SlotsUsed is the number of slots taken, those of connections that speak HTTP among them.
func (s *Server) SlotsUsed() int { return s.door.Slots().Used() }

// HTTPIdle is the number of connections that rest between two requests.
func (s *Server) HTTPIdle() (n int) {
	s.http.mu.Lock()
	defer s.http.mu.Unlock()
	for _, since := range s.http.open {
		if !since.IsZero() {
			n++
		}
	}
	return n
}

// Loops is the number of its loops.
func (s *Server) Loops() int { return s.engine.Loops() }

// Peers is the number of principals that are connected.
func (s *Server) Peers() int {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	return len(s.peers.byKey)
}

// Conns calls f for each of its connections.
func (s *Server) Conns(f func(*Conn)) { s.door.Slots().Each(f) }

// SetControlTime replaces how long one control may take. Before Serve.
func (s *Server) SetControlTime(d time.Duration) { s.controlTime = d }

// Following is how many follows there are.
func (s *Server) Following() (n int) {
	for _, sess := range s.controls.list() {
		sess.mu.Lock()
		n += len(sess.follows)
		sess.mu.Unlock()
	}
	return n
}

// Scopes is how many sessions of nobody there are.
func (s *Server) Scopes() int {
	s.scopes.mu.Lock()
	defer s.scopes.mu.Unlock()
	return len(s.scopes.byHash)
}

// ProtoEvent is the message of agloop.v1.proto for an event of a log.
func ProtoEvent(dst, json []byte, most int) []byte { return protoEvent(dst, json, most) }
