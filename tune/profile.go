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
	name          string
	intField      func(*Tuning) *int           // which field it is,
	durationField func(*Tuning) *time.Duration // of either type

	balanced, latency, throughput, memory int64

	least     int64 // on the way to or from nothing, the smallest figure that is something
	grain     int64 // steps between columns are multiples of it
	unlimited bool  // 0 or less is no limit, which no profile touches
}

// Off is a timeout of none; 0 would be its default wherever a config takes it.
const Off = -1

const (
	unchanged = math.MinInt64 // the profile leaves this knob as it is

	µs = int64(time.Microsecond)
	ms = int64(time.Millisecond)
)

// knobs is the table: a row per knob, a column per profile, which says only where it
// differs from balanced. The balanced column is equal to the defaults of Limits.
var knobs = [...]knob{
	{
		name: "MessageBatchSize", intField: func(t *Tuning) *int { return &t.MessageBatchSize },
		balanced:   10, // a burst of tokens, as a model's server hands them on
		latency:    1,  // a message waits for no other
		throughput: 64, // ten would end the window before its time at the rates this is for
		memory:     unchanged,
		least:      1, grain: 1,
	},
	{
		name: "MessageBatchTimeout", durationField: func(t *Tuning) *time.Duration { return &t.MessageBatchTimeout },
		balanced:   5 * ms,                   // below what a person sees, a tenth of MaxLatency
		latency:    Off,                      // nor for time to pass
		throughput: 10 * ms,                  // one frame of a screen is 16 ms: still unseen
		memory:     unchanged,                // longer would queue more, shorter would write more
		least:      500 * µs, grain: 10 * µs, // a loop takes windows that end within 500 µs together
	},
	{
		name: "MessageBatchBytes", intField: func(t *Tuning) *int { return &t.MessageBatchBytes },
		balanced:   16 << 10,  // a queue fills one buffer up to here before it takes a second
		latency:    unchanged, // no window, nothing to bound
		throughput: 64 << 10,  // the largest pooled buffer; a write costs more than copying that
		memory:     8 << 10,   // a quarter of this column's SoftLimit, so that a batch never blocks its producer
		least:      1 << 10, grain: 1 << 10, unlimited: true,
	},
	{
		name: "SoftLimit", intField: func(t *Tuning) *int { return &t.SoftLimit },
		balanced:   256 << 10,
		latency:    unchanged, // it delays only peers that do not read
		throughput: unchanged, // four full batches fit
		memory:     32 << 10,  // what each slow reader may hold: an eighth, beside the kernel's own buffer
		least:      1 << 10, grain: 1 << 10,
	},
	{
		name: "LowWater", intField: func(t *Tuning) *int { return &t.LowWater },
		balanced:   32 << 10,
		latency:    unchanged,
		throughput: unchanged,
		memory:     8 << 10, // a quarter of SoftLimit, so that a producer does not stop and go with each message
		least:      1 << 10, grain: 1 << 10,
	},
	{
		name: "HardLimit", intField: func(t *Tuning) *int { return &t.HardLimit },
		balanced:   1 << 20,
		latency:    unchanged,
		throughput: unchanged,
		memory:     unchanged, // a run stops at SoftLimit; less would cut its end behind the largest event, 1 MiB
		least:      1 << 10, grain: 1 << 10,
	},
	{
		name: "BufferPoolSize", intField: func(t *Tuning) *int { return &t.BufferPoolSize },
		balanced:   1000,
		latency:    unchanged,
		throughput: unchanged,
		memory:     100, // a refill costs an allocation, and this column trades time for space
		least:      1, grain: 1,
	},
	{
		name: "MaxBufferSize", intField: func(t *Tuning) *int { return &t.MaxBufferSize },
		balanced:   64 << 10, // takes a full batch of any profile
		latency:    unchanged,
		throughput: unchanged,
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
	if k.durationField != nil {
		return int64(*k.durationField(t))
	}
	return int64(*k.intField(t))
}

func (k *knob) set(t *Tuning, v int64) {
	if k.durationField != nil {
		*k.durationField(t) = time.Duration(v)
		return
	}
	*k.intField(t) = int(v)
}

// attr is a change of the knob, for a log line.
func (k *knob) attr(from, to *Tuning) slog.Attr {
	if k.durationField != nil {
		return slog.String(k.name, k.durationField(from).String()+" to "+k.durationField(to).String())
	}
	return slog.String(k.name, strconv.Itoa(*k.intField(from))+" to "+strconv.Itoa(*k.intField(to)))
}

// delta is where the profile puts a knob that stands at base.
func (k *knob) target(p Profile, base int64) int64 {
	figure := int64(unchanged)
	switch p {
	case ProfileLatency:
		figure = k.latency
	case ProfileThroughput:
		figure = k.throughput
	case ProfileMemory:
		figure = k.memory
	}
	switch {
	case figure == unchanged, k.unlimited && base <= 0:
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
