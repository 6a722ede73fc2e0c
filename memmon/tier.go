package memmon

import (
	"fmt"
	"math"
	"time"
)

// Tier names how close memory is to its limits. Tiers are ordered: t >= High is "high or worse".
// The zero value is Normal.
type Tier uint8

// The tiers, each with the pressure in percent at which it begins.
const (
	Normal   Tier = iota // below 50
	Moderate             // 50
	Elevated             // 70: idle buffers should be given up
	High                 // 85: less should be accepted
	Critical             // 95: the largest holders should be closed
)

// hysteresis is how far below the boundary of a tier the pressure must fall before a lower tier
// holds, in percentage points.
const hysteresis = 5

var tiers = [...]struct {
	name     string
	floor    float64 // percent
	interval time.Duration
}{
	Normal:   {"normal", 0, 60 * time.Second},
	Moderate: {"moderate", 50, 15 * time.Second},
	Elevated: {"elevated", 70, 5 * time.Second},
	High:     {"high", 85, 2 * time.Second},
	Critical: {"critical", 95, 500 * time.Millisecond},
}

// String is the tier's name, in lower case.
func (t Tier) String() string {
	if t > Critical {
		return fmt.Sprintf("Tier(%d)", uint8(t))
	}
	return tiers[t].name
}

// Interval is the longest time from one reading to the next in this tier: 60 s, 15 s, 5 s, 2 s, 500
// ms from Normal to Critical.
func (t Tier) Interval() time.Duration { return tiers[min(t, Critical)].interval }

// next is the tier after a reading of percent. It goes up past every boundary that is reached, and
// down past every boundary that lies at least hysteresis points above.
func (t Tier) next(percent float64) Tier {
	for t < Critical && percent >= tiers[t+1].floor {
		t++
	}
	for t > Normal && percent <= tiers[t].floor-hysteresis {
		t--
	}
	return t
}

// headroom is the number of bytes that may be added before a higher tier holds; math.MaxInt64 when
// no tier is above, or no limit known.
func (t Tier) headroom(r Reading) int64 {
	if t >= Critical || r.Budget <= 0 {
		return math.MaxInt64
	}
	return bytesAt(tiers[t+1].floor, r.Budget) - r.Held
}
