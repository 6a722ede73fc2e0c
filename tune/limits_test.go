package tune_test

import (
	"testing"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/tune"
)

// TestProfileDefaults holds the balanced column against the defaults of those who use it.
func TestProfileDefaults(t *testing.T) {
	l, err := loop.Limits{}.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := tune.Tuning{
		MessageBatchSize: l.MessageBatchSize, MessageBatchTimeout: l.MessageBatchTimeout, MessageBatchBytes: l.MessageBatchBytes,
		SoftLimit: l.SoftLimit, LowWater: l.LowWater, HardLimit: l.HardLimit,
		BufferPoolSize: 1000, MaxBufferSize: bufpool.MaxSize,
	}
	if got := tune.Default(); got != want {
		t.Errorf("balanced column\n%+v, want the defaults\n%+v", got, want)
	}
}

// asLimits is the figures as a config of a server.
func asLimits(t tune.Tuning) loop.Limits {
	return loop.Limits{
		MessageBatchSize: t.MessageBatchSize, MessageBatchTimeout: t.MessageBatchTimeout, MessageBatchBytes: t.MessageBatchBytes,
		SoftLimit: t.SoftLimit, LowWater: t.LowWater, HardLimit: t.HardLimit,
	}
}

// TestProfilesAreLegalLimits: a server takes every figure on every rung.
func TestProfilesAreLegalLimits(t *testing.T) {
	for _, base := range tune.SomeBases() {
		tune.Everywhere(base, func(window, memory int, got tune.Tuning) {
			if _, err := asLimits(got).WithDefaults(); err != nil {
				t.Errorf("%+v at %d, %d as limits: %v", base, window, memory, err)
			}
		})
	}
}
