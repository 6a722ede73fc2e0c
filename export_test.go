package agloop

import (
	"time"

	"github.com/agloop/agloop/agui"
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

// SetDecodeBudget replaces a quarter of the memory limit. Before Serve.
func (s *Server) SetDecodeBudget(budget func() int64) { s.decoding.budget = budget }

// OnDecode has hook called around the decoding of each input. Before Serve.
func (s *Server) OnDecode(hook func(raw []byte, decode func())) {
	decode := s.decode
	s.decode = func(raw []byte) (input *agui.RunAgentInput, err error) {
		hook(raw, func() { input, err = decode(raw) })
		return input, err
	}
}

// Held returns what tells the bytes that wait in one session with a run, or nil.
func (s *Server) Held() func() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sess := range s.sessions {
		return sess.held.Load
	}
	return nil
}
