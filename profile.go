package agloop

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
	ProfileThroughput Profile = "throughput" // the fewest writes and wakes per message
	ProfileMemory     Profile = "memory"     // little is queued, little is kept
)

// Tuning is every knob that a profile turns, each as it holds: unlike in a config, 0 is 0.
type Tuning struct {
	// MessageBatchSize, MessageBatchTimeout and MessageBatchBytes are the batch window
	// (see Limits). A size of 1, or a timeout of 0 or less, sends everything at
	// once; 0 bytes or less are no limit.
	MessageBatchSize    int
	MessageBatchTimeout time.Duration
	MessageBatchBytes   int
	// WakeGap is the least time between two calls of a loop's writer for messages that are
	// not urgent; one at rest is called at once. 0 calls at once always.
	WakeGap time.Duration

	// SoftLimit, LowWater and HardLimit bound what waits for one peer, in bytes (see Limits).
	SoftLimit, LowWater, HardLimit int

	// BufferPoolSize is how many buffers the pool keeps, MaxBufferSize the size in
	// bytes of the largest that it takes.
	BufferPoolSize, MaxBufferSize int
}

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

const (
	same = math.MinInt64 // the profile leaves this knob as it is
	off  = -1            // of a timeout; 0 would be its default wherever a config takes it

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
		latency:    off,                      // nor for time to pass
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
		name: "WakeGap", d: func(t *Tuning) *time.Duration { return &t.WakeGap },
		balanced:   0,                       // see docs/adr/0010-writer.md
		latency:    0,                       // no burst waits for others
		throughput: 1000 * µs,               // many connections are written to in one turn
		memory:     same,                    // what a call costs is time
		least:      50 * µs, grain: 10 * µs, // below, a wake costs more than the wait saves
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

// defaultTuning is the balanced column.
func defaultTuning() Tuning {
	var t Tuning
	for i := range knobs {
		knobs[i].set(&t, knobs[i].balanced)
	}
	return t
}

// rungs is how many steps lead from balanced to another column.
const rungs = 3

// apply returns base with the deltas of the profile. A delta has a direction: a knob that the
// host has already turned further stays where it is. A legal base gives a legal result.
func (p Profile) apply(base Tuning) Tuning { return base.toward(p, rungs) }

// toward is rung i of those from t to p.apply(t), in geometric steps: 0 is t, rungs the other end.
func (t Tuning) toward(p Profile, i int) Tuning {
	r := t
	for n := range knobs {
		k := &knobs[n]
		from := k.get(&t)
		k.set(&r, k.between(from, k.delta(p, from), i))
	}
	return r
}

// check returns a *ConfigError that names the first field which makes no sense.
func (t Tuning) check() error {
	switch {
	case t.MessageBatchTimeout > time.Second:
		return &ConfigError{Field: "Tuning.MessageBatchTimeout", Reason: "must not exceed 1s"}
	case t.WakeGap < 0 || t.WakeGap > time.Second:
		return &ConfigError{Field: "Tuning.WakeGap", Reason: "must lie between 0 and 1s"}
	case t.SoftLimit <= 0:
		return &ConfigError{Field: "Tuning.SoftLimit", Reason: "must be positive"}
	case t.LowWater < 0 || t.LowWater > t.SoftLimit:
		return &ConfigError{Field: "Tuning.LowWater", Reason: "must lie between 0 and SoftLimit"}
	case t.HardLimit < t.SoftLimit:
		return &ConfigError{Field: "Tuning.HardLimit", Reason: "must not be below SoftLimit"}
	case t.BufferPoolSize < 0:
		return &ConfigError{Field: "Tuning.BufferPoolSize", Reason: "must not be negative"}
	case t.MaxBufferSize < 0:
		return &ConfigError{Field: "Tuning.MaxBufferSize", Reason: "must not be negative"}
	}
	return nil
}

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

// ladder is a way from one column to another with the place where an optimizer stands on it.
type ladder struct {
	at, home, low, high int

	// The last move:
	way     int       // its steps, with their direction; 0: there was none
	moved   time.Time // when
	willing bool      // nothing forced it

	// patience multiplies how long the cause of a move that nothing forces must hold.
	// It doubles with each that had to be undone, so that no steady load drives a cycle.
	patience int
}

const maxPatience = 32

// move takes so many steps. A willing move has proved right when nothing followed it within
// probation; it was wrong when one back did, other than by a calm.
func (l *ladder) move(way int, now time.Time, willing, calm bool, probation time.Duration) {
	switch {
	case !l.willing:
	case now.Sub(l.moved) > probation:
		l.patience = 1
	case l.turns(way) && !calm:
		l.patience = min(2*l.patience, maxPatience)
	}
	l.at += way
	l.way, l.moved, l.willing = way, now, willing
}

// turns tells whether a move that way goes back where the last one came from.
func (l *ladder) turns(way int) bool { return l.way > 0 && way < 0 || l.way < 0 && way > 0 }

// ladders is a place among the columns.
type ladders struct {
	base   Tuning // the figures of ProfileBalanced
	window ladder // ProfileLatency at -rungs, ProfileThroughput at rungs
	memory ladder // from what the window gives to ProfileMemory at rungs
}

// newLadders stands at the profile's column.
func newLadders(base Tuning, p Profile) ladders {
	s := ladders{
		base:   base,
		window: ladder{low: -rungs, high: rungs, patience: 1},
		memory: ladder{high: rungs, patience: 1},
	}
	switch p {
	case ProfileLatency:
		// Who asked for latency has said what its slack is for.
		s.window.home, s.window.high = -rungs, -rungs
	case ProfileThroughput:
		s.window.home = rungs
	case ProfileMemory:
		s.memory.home = rungs
	}
	s.window.at, s.memory.at = s.window.home, s.memory.home
	return s
}

// tuning is the figures at the place.
func (s *ladders) tuning() Tuning {
	t := s.base
	if at := s.window.at; at < 0 {
		t = t.toward(ProfileLatency, -at)
	} else {
		t = t.toward(ProfileThroughput, at)
	}
	return t.toward(ProfileMemory, s.memory.at)
}

// way is the steps on l, one of s, toward end up to the first rung that changes a figure;
// 0 when there is none.
func (s *ladders) way(l *ladder, end int) int {
	from, now := l.at, s.tuning()
	defer func() { l.at = from }()
	for l.at != end {
		if l.at < end {
			l.at++
		} else {
			l.at--
		}
		if s.tuning() != now {
			return l.at - from
		}
	}
	return 0
}
