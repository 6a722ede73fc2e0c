package tune

import (
	"log/slog"
	"math"
	"strconv"
	"time"
)

// Profile is what a server or transport is tuned for: a column of the table of knobs.
// The zero value is ProfileBalanced.
type Profile string

const (
	ProfileBalanced   Profile = "balanced"   // the default
	ProfileLatency    Profile = "latency"    // nothing waits to be gathered
	ProfileThroughput Profile = "throughput" // the fewest writes per message
	ProfileMemory     Profile = "memory"     // little is queued, little is kept
)

// knob is one row of the table. Durations stand in it as nanoseconds.
type knob struct {
	name string
	n    func(*Tuning) *int           // which field it is,
	d    func(*Tuning) *time.Duration // of either type

	balanced, latency, throughput, memory int64

	least     int64 // on the way to or from nothing, the smallest figure that is something
	grain     int64 // steps between columns are multiples of it
	unlimited bool  // 0 or less is no limit, which no profile touches
}

// Off is a timeout of none; 0 would be its default wherever a config takes it.
const Off = -1

const (
	same = math.MinInt64 // the profile leaves this knob as it is

	µs = int64(time.Microsecond)
	ms = int64(time.Millisecond)
)

// knobs is the table: a row per knob, a column per profile, which says only where it
// differs from balanced. The balanced column is equal to the defaults of Limits.
var knobs = [...]knob{
	{
		name: "MessageBatchSize", n: func(t *Tuning) *int { return &t.MessageBatchSize },
		balanced:   10, // a burst of tokens, as a model's server hands them on
		latency:    1,  // a message waits for no other
		throughput: 64, // ten would end the window before its time at the rates this is for
		memory:     same,
		least:      1, grain: 1,
	},
	{
		name: "MessageBatchTimeout", d: func(t *Tuning) *time.Duration { return &t.MessageBatchTimeout },
		balanced:   5 * ms,                   // below what a person sees, a tenth of MaxLatency
		latency:    Off,                      // nor for time to pass
		throughput: 10 * ms,                  // one frame of a screen is 16 ms: still unseen
		memory:     same,                     // longer would queue more, shorter would write more
		least:      500 * µs, grain: 10 * µs, // a loop takes windows that end within 500 µs together
	},
	{
		name: "MessageBatchBytes", n: func(t *Tuning) *int { return &t.MessageBatchBytes },
		balanced:   16 << 10, // a queue fills one buffer up to here before it takes a second
		latency:    same,     // no window, nothing to bound
		throughput: 64 << 10, // the largest pooled buffer; a write costs more than copying that
		memory:     8 << 10,  // a quarter of this column's SoftLimit, so that a batch never blocks its producer
		least:      1 << 10, grain: 1 << 10, unlimited: true,
	},
	{
		name: "SoftLimit", n: func(t *Tuning) *int { return &t.SoftLimit },
		balanced:   256 << 10,
		latency:    same,     // it delays only peers that do not read
		throughput: same,     // four full batches fit
		memory:     32 << 10, // what each slow reader may hold: an eighth, beside the kernel's own buffer
		least:      1 << 10, grain: 1 << 10,
	},
	{
		name: "LowWater", n: func(t *Tuning) *int { return &t.LowWater },
		balanced:   32 << 10,
		latency:    same,
		throughput: same,
		memory:     8 << 10, // a quarter of SoftLimit, so that a producer does not stop and go with each message
		least:      1 << 10, grain: 1 << 10,
	},
	{
		name: "HardLimit", n: func(t *Tuning) *int { return &t.HardLimit },
		balanced:   1 << 20,
		latency:    same,
		throughput: same,
		memory:     same, // a run stops at SoftLimit; less would cut its end behind the largest event, 1 MiB
		least:      1 << 10, grain: 1 << 10,
	},
	{
		name: "BufferPoolSize", n: func(t *Tuning) *int { return &t.BufferPoolSize },
		balanced:   1000,
		latency:    same,
		throughput: same,
		memory:     100, // a refill costs an allocation, and this column trades time for space
		least:      1, grain: 1,
	},
	{
		name: "MaxBufferSize", n: func(t *Tuning) *int { return &t.MaxBufferSize },
		balanced:   64 << 10, // takes a full batch of any profile
		latency:    same,
		throughput: same,
		memory:     32 << 10, // with the row above: at most 3.2 MB idle
		least:      1 << 10, grain: 1 << 10,
	},
}

// apply returns base with the deltas of the profile. A delta has a direction: a knob that the
// host has already turned further stays where it is. A legal base gives a legal result.
func (p Profile) apply(base Tuning) Tuning { return base.toward(p, rungs) }

// check returns a *ConfigError for a name that is no profile.
func (p Profile) check() error {
	switch p {
	case "", ProfileBalanced, ProfileLatency, ProfileThroughput, ProfileMemory:
		return nil
	}
	return &ConfigError{Field: "Profile", Reason: strconv.Quote(string(p)) + " is none"}
}

func (k *knob) get(t *Tuning) int64 {
	if k.d != nil {
		return int64(*k.d(t))
	}
	return int64(*k.n(t))
}

func (k *knob) set(t *Tuning, v int64) {
	if k.d != nil {
		*k.d(t) = time.Duration(v)
		return
	}
	*k.n(t) = int(v)
}

// attr is a change of the knob, for a log line.
func (k *knob) attr(from, to *Tuning) slog.Attr {
	if k.d != nil {
		return slog.String(k.name, k.d(from).String()+" to "+k.d(to).String())
	}
	return slog.String(k.name, strconv.Itoa(*k.n(from))+" to "+strconv.Itoa(*k.n(to)))
}

// delta is where the profile puts a knob that stands at base.
func (k *knob) delta(p Profile, base int64) int64 {
	figure := int64(same)
	switch p {
	case ProfileLatency:
		figure = k.latency
	case ProfileThroughput:
		figure = k.throughput
	case ProfileMemory:
		figure = k.memory
	}
	switch {
	case figure == same, k.unlimited && base <= 0:
		return base
	case figure < k.balanced:
		return min(base, figure)
	default:
		return max(base, figure)
	}
}

// between is rung i of those from a to b. A geometric row has no nothing: where one end is
// off, the rung beside it is the least figure.
func (k *knob) between(a, b int64, i int) int64 {
	n := rungs
	switch {
	case i <= 0 || a == b:
		return a
	case i >= n || a <= 0 && b <= 0:
		return b
	}
	lo, hi := min(a, b), max(a, b)
	switch {
	case b <= 0:
		b, n, lo = min(k.least, a), n-1, min(k.least, a)
	case a <= 0:
		a, i, n, lo = min(k.least, b), i-1, n-1, min(k.least, b)
	}
	v := float64(a) * math.Pow(float64(b)/float64(a), float64(i)/float64(n))
	return min(max(int64(math.Round(v/float64(k.grain)))*k.grain, lo), hi)
}
