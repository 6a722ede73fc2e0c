package tune

import (
	"log/slog"
	"math"
	"strconv"
	"time"
)

// Profile is what a server or transport is tuned for: a column of the table of knobs. The zero
// value is ProfileBalanced.
type Profile string

const (
	ProfileBalanced   Profile = "balanced"   // the default
	ProfileLatency    Profile = "latency"    // nothing waits to be gathered
	ProfileThroughput Profile = "throughput" // the fewest writes per message
	ProfileMemory     Profile = "memory"     // little is queued, little is kept
)

// knob is one row of the table. Durations are in nanoseconds.
type knob struct {
	name          string
	intField      func(*Tuning) *int           // the field, if it is an int
	durationField func(*Tuning) *time.Duration // the field, if it is a duration

	balanced, latency, throughput, memory int64

	least     int64 // the smallest positive figure on the way to or from 0
	grain     int64 // steps between columns are multiples of it
	unlimited bool  // 0 or less is no limit, which no profile changes
}

// Off is a timeout that is switched off. It is not 0, because in a config 0 is the default.
const Off = -1

const (
	unchanged = math.MinInt64 // the profile does not change this knob

	µs = int64(time.Microsecond)
	ms = int64(time.Millisecond)
)

// knobs is the table: a row for each knob, a column for each profile. A column has only the figures
// that differ from balanced. The balanced column equals the defaults of Limits.
var knobs = [...]knob{
	{
		name: "MessageBatchSize", intField: func(t *Tuning) *int { return &t.MessageBatchSize },
		balanced:   10, // a burst of tokens, as a model's server hands them on
		latency:    1,  // a message waits for no other message
		throughput: 64, // at the rates this is for, ten would end the window early
		memory:     unchanged,
		least:      1, grain: 1,
	},
	{
		name: "MessageBatchTimeout", durationField: func(t *Tuning) *time.Duration { return &t.MessageBatchTimeout },
		balanced:   5 * ms,                   // below what a person sees, a tenth of MaxLatency
		latency:    Off,                      // nor for the end of a window
		throughput: 10 * ms,                  // less than one frame of a screen, 16 ms
		memory:     unchanged,                // longer would queue more, shorter write more
		least:      500 * µs, grain: 10 * µs, // a loop ends windows of 500 µs together
	},
	{
		name: "MessageBatchBytes", intField: func(t *Tuning) *int { return &t.MessageBatchBytes },
		balanced:   16 << 10,  // a queue fills one buffer up to here before it takes a second
		latency:    unchanged, // without a window it has no effect
		throughput: 64 << 10,  // the largest pooled buffer; a write costs more than copying that
		memory:     8 << 10,   // a quarter of SoftLimit: a batch must not block its producer
		least:      1 << 10, grain: 1 << 10, unlimited: true,
	},
	{
		name: "SoftLimit", intField: func(t *Tuning) *int { return &t.SoftLimit },
		balanced:   256 << 10,
		latency:    unchanged, // it only delays peers that do not read
		throughput: unchanged, // four full batches fit
		memory:     32 << 10,  // what each slow reader may hold, beside the kernel's buffer
		least:      1 << 10, grain: 1 << 10,
	},
	{
		name: "LowWater", intField: func(t *Tuning) *int { return &t.LowWater },
		balanced:   32 << 10,
		latency:    unchanged,
		throughput: unchanged,
		memory:     8 << 10, // a quarter of SoftLimit: a producer must not pause at each message
		least:      1 << 10, grain: 1 << 10,
	},
	{
		name: "HardLimit", intField: func(t *Tuning) *int { return &t.HardLimit },
		balanced:   1 << 20,
		latency:    unchanged,
		throughput: unchanged,
		memory:     unchanged, // less would cut a run's end behind the largest event, 1 MiB
		least:      1 << 10, grain: 1 << 10,
	},
	{
		name: "BufferPoolSize", intField: func(t *Tuning) *int { return &t.BufferPoolSize },
		balanced:   1000,
		latency:    unchanged,
		throughput: unchanged,
		memory:     100, // costs an allocation where the pool is empty
		least:      1, grain: 1,
	},
	{
		name: "MaxBufferSize", intField: func(t *Tuning) *int { return &t.MaxBufferSize },
		balanced:   64 << 10, // holds a full batch of any profile
		latency:    unchanged,
		throughput: unchanged,
		memory:     32 << 10, // with the row above: at most 3.2 MB idle
		least:      1 << 10, grain: 1 << 10,
	},
}

// apply returns base with the figures of the profile. A knob that the host has already set further
// in the profile's direction stays. A valid base gives a valid result.
func (p Profile) apply(base Tuning) Tuning { return base.toward(p, rungs) }

// check returns a *ConfigError when p is no profile.
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

// attr is the log attribute of a change of the knob.
func (k *knob) attr(from, to *Tuning) slog.Attr {
	if k.durationField != nil {
		return slog.String(k.name, k.durationField(from).String()+" to "+k.durationField(to).String())
	}
	return slog.String(k.name, strconv.Itoa(*k.intField(from))+" to "+strconv.Itoa(*k.intField(to)))
}

// target is the figure that profile p gives a knob whose figure is base.
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

// between is rung i of the geometric row from a to b. Such a row cannot contain 0, so next to an
// end that is off stands the least positive figure.
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
