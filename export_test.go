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

// Held is what its ledger says.
func (m *PerformanceManager) Held() int64 { return m.ledger.Total() }

// Observe is what the optimizer would be told of the time that f takes.
func (m *PerformanceManager) Observe(f func()) Observation {
	var seen view
	seen.next(m, time.Now())
	f()
	o, _ := seen.next(m, time.Now())
	return o
}

// Hold counts bytes as held by nobody in particular.
func (m *PerformanceManager) Hold(bytes int) { m.ledger.Add(0, bytes) }

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

// Held is what its connections hold, in bytes, by the ledger.
func (s *Server) Held() int64 { return s.performance.ledger.Total() }

// Present is how many connections have come to their loop.
func (s *Server) Present() (n int) {
	s.door.Slots().Each(func(*Conn) { n++ })
	return n
}
