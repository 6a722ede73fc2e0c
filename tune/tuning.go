// Package tune holds the settings that a running server or transport can change, called knobs, and
// decides their figures. Hosts may rely on its API.
//
// A Tuning is a figure for each knob. A Profile is a column of a table with a row for each knob. An
// AdaptiveOptimizer moves between the columns by the observations it is given. This package
// measures nothing and changes nothing itself: the caller observes and applies.
package tune

import "time"

// Tuning is the figures of all knobs that a profile sets. Unlike in a config, 0 means 0 and not a
// default.
type Tuning struct {
	// MessageBatchSize, MessageBatchTimeout and MessageBatchBytes are the batch window (see
	// Limits). A size of 1, or a timeout of 0 or less, sends everything at once; 0 bytes or less
	// are no limit.
	MessageBatchSize    int
	MessageBatchTimeout time.Duration
	MessageBatchBytes   int

	// SoftLimit, LowWater and HardLimit bound what waits for one peer, in bytes (see Limits).
	SoftLimit, LowWater, HardLimit int

	// PlainOnly sends messages without compressing them, also where that was agreed on, and keeps none
	// of them. No profile sets it: the memory tiers do.
	PlainOnly bool

	// BufferPoolSize is how many idle buffers the pool keeps, MaxBufferSize the size in bytes of
	// the largest one.
	BufferPoolSize, MaxBufferSize int
}

// Due returns when a queue of so many frames and bytes, last flushed at the given time, must be
// flushed: a time not after now means at once. Times are nanoseconds on one monotonic clock. So a
// message to a quiet connection leaves at once, and later ones within MessageBatchTimeout of the
// last flush in one write: a lone message pays no delay and a burst pays no system call each.
func (t *Tuning) Due(frames, bytes int, flushed, now int64) int64 {
	if t.MessageBatchSize <= 1 || frames >= t.MessageBatchSize || t.MessageBatchBytes > 0 && bytes >= t.MessageBatchBytes {
		return now
	}
	return flushed + int64(t.MessageBatchTimeout)
}

// Default is the balanced column.
func Default() Tuning {
	var t Tuning
	for i := range knobs {
		knobs[i].set(&t, knobs[i].balanced)
	}
	return t
}

// toward is rung i of the geometric row from t to p.apply(t). Rung 0 is t, the last one, rungs, the
// other end.
func (t Tuning) toward(p Profile, i int) Tuning {
	r := t
	for n := range knobs {
		k := &knobs[n]
		from := k.get(&t)
		k.set(&r, k.between(from, k.target(p, from), i))
	}
	return r
}

// check returns a *ConfigError for the first field that is not valid.
func (t Tuning) check() error {
	switch {
	case t.MessageBatchTimeout > time.Second:
		return &ConfigError{Field: "Tuning.MessageBatchTimeout", Reason: "must not exceed 1s"}
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

// ConfigError is a setting that is not valid.
type ConfigError struct {
	Field  string // such as "Limits.SoftLimit"
	Reason string
}

func (e *ConfigError) Error() string { return "agloop: " + e.Field + ": " + e.Reason }
