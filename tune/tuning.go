// Package tune holds the knobs that a running server or transport can turn, and decides
// how they stand.
//
// A Tuning is a figure for each knob. A Profile is a column of the one table of them. An
// AdaptiveOptimizer moves between the columns by what it is told was measured. Nothing
// here measures or acts: observations are passed in, and what is decided is handed out.
package tune

import "time"

// Tuning is every knob that a profile turns, each as it holds: unlike in a config, 0 is 0.
type Tuning struct {
	// MessageBatchSize, MessageBatchTimeout and MessageBatchBytes are the batch window
	// (see Limits). A size of 1, or a timeout of 0 or less, sends everything at
	// once; 0 bytes or less are no limit.
	MessageBatchSize    int
	MessageBatchTimeout time.Duration
	MessageBatchBytes   int

	// SoftLimit, LowWater and HardLimit bound what waits for one peer, in bytes (see Limits).
	SoftLimit, LowWater, HardLimit int

	// BufferPoolSize is how many buffers the pool keeps, MaxBufferSize the size in
	// bytes of the largest that it takes.
	BufferPoolSize, MaxBufferSize int
}

// Default is the balanced column.
func Default() Tuning {
	var t Tuning
	for i := range knobs {
		knobs[i].set(&t, knobs[i].balanced)
	}
	return t
}

// toward is rung i of those from t to p.apply(t), in geometric steps: 0 is t, rungs the other end.
func (t Tuning) toward(p Profile, i int) Tuning {
	r := t
	for n := range knobs {
		k := &knobs[n]
		from := k.get(&t)
		k.set(&r, k.between(from, k.target(p, from), i))
	}
	return r
}

// check returns a *ConfigError that names the first field which makes no sense.
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

// ConfigError is a setting that makes no sense.
type ConfigError struct {
	Field  string // such as "Limits.SoftLimit"
	Reason string
}

func (e *ConfigError) Error() string { return "agloop: " + e.Field + ": " + e.Reason }
