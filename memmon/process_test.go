package memmon

import (
	"log/slog"
	"runtime/debug"
	"testing"
	"time"

	"github.com/agloop/agloop/bufpool"
)

// TestRealMemory fills a budget with real buffers, reports them as a loop would, and
// lets them go. No interval ends in it: a minute in Normal is longer than the test.
func TestRealMemory(t *testing.T) {
	debug.FreeOSMemory() // what other tests left
	const block = 1 << 20
	limit := 4*Read().Total + 64<<20
	changes := make(chan Change, 100)
	m := NewMemoryManager(Config{
		Budget:   limit,
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
	for filled := int64(0); filled < limit && tier < Critical; filled += block {
		held = append(held, fill(bufpool.Get(block)))
		m.Check(bufpool.Live())
		for len(changes) > 0 {
			c := <-changes
			if c.From != tier || c.To <= tier || c.Reading.Limit != limit {
				t.Errorf("%+v in %v", c, tier)
			}
			tier = c.To
		}
	}
	if tier < Critical { // the last reading may be under way
		await(t, changes, Critical)
	}
	if used := m.GetMemoryUsage(); used < limit*95/100 {
		t.Errorf("critical with %d of %d bytes", used, limit)
	}

	for _, b := range held {
		b.Release()
	}
	clear(held)
	debug.FreeOSMemory()
	m.Trigger()
	await(t, changes, Normal)
	if p := m.GetMemoryPressure(); p > 45 {
		t.Errorf("normal at %.1f %%", p)
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

// await takes changes until one leads to a tier.
func await(t *testing.T, changes <-chan Change, to Tier) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case c := <-changes:
			if c.To == to {
				return
			}
		case <-deadline:
			t.Fatalf("never %v", to)
		}
	}
}
