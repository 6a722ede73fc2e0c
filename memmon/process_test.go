package memmon

import (
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/internal/testkit"
)

// TestRealMemory fills a budget with real buffers, counts them as a loop would, and lets them go.
// No interval of rest ends in it: a minute is longer than the test.
func TestRealMemory(t *testing.T) {
	const (
		block = 1 << 20
		most  = 64 << 20
	)
	ledger := NewLedger()
	changes := make(chan Change, 100)
	m := NewMemoryManager(Config{
		Budget:   most,
		InOut:    ledger,
		OnChange: func(c Change) { changes <- c },
		Logger:   slog.New(slog.DiscardHandler),
	})
	m.Start()
	defer m.Stop()
	if m.Tier() != Normal || m.GetMemoryPressure() >= 45 {
		t.Fatalf("%v at %.1f %% to begin with", m.Tier(), m.GetMemoryPressure())
	}

	var held []*bufpool.Buffer
	tier := Normal
	for i := 0; i < most/block && tier < Critical; i++ {
		b := fill(bufpool.Get(block))
		held = append(held, b)
		ledger.Add(i, cap(b.B))
		for len(changes) > 0 {
			c := <-changes
			if c.From != tier || c.To <= tier || c.Reading.Budget != most {
				t.Errorf("%+v in %v", c, tier)
			}
			tier = c.To
		}
	}
	if tier < Critical { // the last reading may be under way
		reach(t, changes, Critical)
	}
	if r := m.Last(); r.Held < most*95/100 || r.Held > ledger.Total() {
		t.Errorf("critical with %d of %d bytes", r.Held, most)
	}

	for i, b := range held {
		ledger.Add(i, -cap(b.B))
		b.Release()
	}
	m.Trigger()
	reach(t, changes, Normal)
	if p := m.GetMemoryPressure(); p > 45 || ledger.Total() != 0 {
		t.Errorf("normal at %.1f %%, %d bytes held", p, ledger.Total())
	}
}

// TestCollectionsOfTwoManagers: both see the same garbage, which is collected once.
func TestCollectionsOfTwoManagers(t *testing.T) {
	forced := func() (n uint32) {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		before := s.NumForcedGC
		for range 2 {
			m := NewMemoryManager(Config{
				Read:   func() Reading { return Reading{Total: 900, Limit: 1000} },
				Logger: slog.New(slog.DiscardHandler),
			})
			m.Start()
			m.Stop()
			if m.Collections() != 1 {
				t.Errorf("%d collections", m.Collections())
			}
		}
		runtime.ReadMemStats(&s)
		return s.NumForcedGC - before
	}
	collections.Lock()
	collections.at = time.Time{}
	collections.Unlock()
	if n := forced(); n != 1 {
		t.Errorf("%d collections for two managers", n)
	}
}

// fill touches every page.
func fill(b *bufpool.Buffer) *bufpool.Buffer {
	b.B = b.B[:cap(b.B)]
	for i := 0; i < len(b.B); i += 4 << 10 {
		b.B[i] = 1
	}
	return b
}

// reach takes changes until one leads to a tier.
func reach(t *testing.T, changes <-chan Change, to Tier) {
	t.Helper()
	for testkit.Receive(t, "a change to "+to.String(), changes).To != to {
	}
}
