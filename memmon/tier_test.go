package memmon

import (
	"math"
	"testing"
	"time"
)

func TestTierNamesAndIntervals(t *testing.T) {
	for _, c := range []struct {
		tier     Tier
		name     string
		interval time.Duration
	}{
		{Normal, "normal", time.Minute},
		{Moderate, "moderate", 15 * time.Second},
		{Elevated, "elevated", 5 * time.Second},
		{High, "high", 2 * time.Second},
		{Critical, "critical", 500 * time.Millisecond},
		{Critical + 1, "Tier(5)", 500 * time.Millisecond},
	} {
		if c.tier.String() != c.name || c.tier.Interval() != c.interval {
			t.Errorf("%v every %v, want %s every %v", c.tier, c.tier.Interval(), c.name, c.interval)
		}
	}
	for tier := Normal; tier <= Critical; tier++ {
		if tier.Interval() <= minReadingInterval {
			t.Errorf("%v: the interval is shorter than the pace", tier)
		}
	}
}

// TestTierEdges walks every edge both ways, from every tier.
func TestTierEdges(t *testing.T) {
	// up is the tier that this much pressure is enough for, down the one that it is too little to
	// leave downward.
	for _, c := range []struct {
		percent  float64
		up, down Tier
	}{
		{0, Normal, Normal},
		{44.9, Normal, Normal},
		{45, Normal, Normal},
		{45.1, Normal, Moderate},
		{49.9, Normal, Moderate},
		{50, Moderate, Moderate},
		{65, Moderate, Moderate},
		{65.1, Moderate, Elevated},
		{69.9, Moderate, Elevated},
		{70, Elevated, Elevated},
		{80, Elevated, Elevated},
		{80.1, Elevated, High},
		{84.9, Elevated, High},
		{85, High, High},
		{90, High, High},
		{90.1, High, Critical},
		{94.9, High, Critical},
		{95, Critical, Critical},
		{250, Critical, Critical},
	} {
		for from := Normal; from <= Critical; from++ {
			want := min(max(from, c.up), max(c.up, c.down))
			if got := from.next(c.percent); got != want {
				t.Errorf("from %v at %v %%: %v, want %v", from, c.percent, got, want)
			}
		}
	}
}

func TestTierRoom(t *testing.T) {
	for _, c := range []struct {
		tier Tier
		r    Reading
		want int64
	}{
		{Normal, Reading{Held: 100, Budget: 1000}, 400},
		{Moderate, Reading{Held: 480, Budget: 1000}, 220}, // held by hysteresis
		{High, Reading{Held: 949, Budget: 1000}, 1},
		{Normal, Reading{Held: 0, Budget: 3}, 2}, // 1.5 bytes are not yet half
		{Critical, Reading{Held: 960, Budget: 1000}, math.MaxInt64},
		{Normal, Reading{Held: 960}, math.MaxInt64},
	} {
		if got := c.tier.headroom(c.r); got != c.want {
			t.Errorf("%v at %d of %d: room for %d, want %d", c.tier, c.r.Held, c.r.Budget, got, c.want)
		}
	}
}
