package tune

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

var profiles = []Profile{ProfileBalanced, ProfileLatency, ProfileThroughput, ProfileMemory}

// TestBalancedChangesNothing, nor does the zero value.
func TestBalancedChangesNothing(t *testing.T) {
	for _, p := range []Profile{"", ProfileBalanced} {
		if got := p.apply(Default()); got != Default() {
			t.Errorf("%q changes %+v", p, got)
		}
	}
}

// TestProfileColumns spells each column out.
func TestProfileColumns(t *testing.T) {
	latency, throughput, memory := Default(), Default(), Default()
	latency.MessageBatchSize, latency.MessageBatchTimeout = 1, -1
	throughput.MessageBatchSize, throughput.MessageBatchTimeout = 64, 10*time.Millisecond
	throughput.MessageBatchBytes = 64 << 10
	memory.MessageBatchBytes = 8 << 10
	memory.SoftLimit, memory.LowWater = 32<<10, 8<<10
	memory.BufferPoolSize, memory.MaxBufferSize = 100, 32<<10
	for p, want := range map[Profile]Tuning{ProfileLatency: latency, ProfileThroughput: throughput, ProfileMemory: memory} {
		if got := p.apply(Default()); got != want {
			t.Errorf("%s\n%+v, want\n%+v", p, got, want)
		}
	}
}

// everywhere calls f with the figures of every place on both ladders.
func everywhere(base Tuning, f func(window, memory int, t Tuning)) {
	s := newLadders(base, ProfileBalanced)
	for s.window.at = -rungs; s.window.at <= rungs; s.window.at++ {
		for s.memory.at = 0; s.memory.at <= rungs; s.memory.at++ {
			f(s.window.at, s.memory.at, s.tuning())
		}
	}
}

// someBases are bases of all kinds, those of the hosts that set everything themselves too.
func someBases() []Tuning {
	rnd := rand.New(rand.NewPCG(3, 8))
	bases := []Tuning{Default()}
	for _, p := range profiles {
		bases = append(bases, p.apply(Default()))
	}
	for range 300 {
		soft := 1 + rnd.IntN(1<<rnd.IntN(22))
		bases = append(bases, Tuning{
			MessageBatchSize:    rnd.IntN(200) - 1,
			MessageBatchTimeout: time.Duration(rnd.Int64N(int64(20*time.Millisecond))) - 1,
			MessageBatchBytes:   rnd.IntN(1<<rnd.IntN(20)) - 1,
			SoftLimit:           soft, LowWater: rnd.IntN(soft + 1), HardLimit: soft + rnd.IntN(1<<20),
			BufferPoolSize: rnd.IntN(3000), MaxBufferSize: rnd.IntN(128 << 10),
		})
	}
	return bases
}

// TestProfilesAreLegal finds every figure on every rung legal and within the two ends.
func TestProfilesAreLegal(t *testing.T) {
	for _, base := range someBases() {
		if err := base.check(); err != nil {
			t.Fatalf("base %+v: %v", base, err)
		}
		ends := []Tuning{base}
		for _, p := range profiles[1:] {
			ends = append(ends, p.apply(base), ProfileMemory.apply(p.apply(base)))
		}
		everywhere(base, func(window, memory int, got Tuning) {
			if err := got.check(); err != nil {
				t.Errorf("%+v at %d, %d: %v", base, window, memory, err)
			}
			for i := range knobs {
				k, lo, hi := &knobs[i], int64(1<<62), int64(-1<<62)
				for n := range ends {
					lo, hi = min(lo, k.get(&ends[n])), max(hi, k.get(&ends[n]))
				}
				if v := k.get(&got); v < lo || v > hi {
					t.Errorf("%+v at %d, %d: %s is %d, outside of %d to %d", base, window, memory, k.name, v, lo, hi)
				}
			}
		})
	}
}

// TestBatchesFitTheirQueue: a full batch leaves before its bytes block the producer.
func TestBatchesFitTheirQueue(t *testing.T) {
	everywhere(Default(), func(window, memory int, got Tuning) {
		if 4*got.MessageBatchBytes > got.SoftLimit {
			t.Errorf("at %d, %d a batch of %d bytes for a soft limit of %d", window, memory, got.MessageBatchBytes, got.SoftLimit)
		}
		if got.MessageBatchBytes > got.MaxBufferSize {
			t.Errorf("at %d, %d a batch of %d bytes, buffers up to %d", window, memory, got.MessageBatchBytes, got.MaxBufferSize)
		}
		// The largest event, 1 MiB, and behind it a run's end, which may use the limit twice.
		if 2*got.HardLimit < got.SoftLimit+1<<20 {
			t.Errorf("at %d, %d no room for a run's end: hard limit %d", window, memory, got.HardLimit)
		}
	})
}

// TestRungsAreGeometric: each knob moves one way along a ladder, in steps of about one ratio.
func TestRungsAreGeometric(t *testing.T) {
	base := Default()
	for i, want := range []time.Duration{5 * time.Millisecond, 1580 * time.Microsecond, 500 * time.Microsecond, -1} {
		if got := base.toward(ProfileLatency, i).MessageBatchTimeout; got != want {
			t.Errorf("rung %d toward latency waits %v, want %v", i, got, want)
		}
	}
	for i, want := range []int{10, 19, 34, 64} {
		if got := base.toward(ProfileThroughput, i).MessageBatchSize; got != want {
			t.Errorf("rung %d toward throughput takes %d messages, want %d", i, got, want)
		}
	}
	for _, p := range profiles[1:] {
		for i := 1; i <= rungs; i++ {
			a, b, end := base.toward(p, i-1), base.toward(p, i), p.apply(base)
			for n := range knobs {
				k := &knobs[n]
				moved, whole := k.get(&b)-k.get(&a), k.get(&end)-k.get(&base)
				if whole != 0 && moved == 0 || moved > 0 && whole < 0 || moved < 0 && whole > 0 {
					t.Errorf("%s, rung %d: %s moves by %d of %d", p, i, k.name, moved, whole)
				}
			}
		}
	}
}

// TestProfileKeepsWhatIsFurther: a delta has a direction.
func TestProfileKeepsWhatIsFurther(t *testing.T) {
	base := Default()
	base.MessageBatchSize, base.MessageBatchTimeout, base.MessageBatchBytes = 200, 20*time.Millisecond, -1
	base.SoftLimit, base.LowWater, base.BufferPoolSize = 4<<10, 1<<10, 10
	got := ProfileThroughput.apply(base)
	if got.MessageBatchSize != 200 || got.MessageBatchTimeout != 20*time.Millisecond || got.MessageBatchBytes != -1 {
		t.Errorf("throughput shrinks a host's own window: %+v", got)
	}
	got = ProfileMemory.apply(base)
	if got.SoftLimit != 4<<10 || got.LowWater != 1<<10 || got.BufferPoolSize != 10 {
		t.Errorf("memory raises a host's own limits: %+v", got)
	}
	base.MessageBatchTimeout = -1 // a host without a window
	if got := base.toward(ProfileThroughput, 1); got.MessageBatchTimeout != 500*time.Microsecond {
		t.Errorf("the first rung from off: %+v", got)
	}
	if got := ProfileThroughput.apply(base); got.MessageBatchTimeout != 10*time.Millisecond {
		t.Errorf("throughput leaves the window off: %+v", got)
	}
}

func TestTuningNamesWhatIsWrong(t *testing.T) {
	for field, spoil := range map[string]func(*Tuning){
		"Tuning.MessageBatchTimeout": func(t *Tuning) { t.MessageBatchTimeout = 2 * time.Second },
		"Tuning.SoftLimit":           func(t *Tuning) { t.SoftLimit = 0 },
		"Tuning.LowWater":            func(t *Tuning) { t.LowWater = t.SoftLimit + 1 },
		"Tuning.HardLimit":           func(t *Tuning) { t.HardLimit = t.SoftLimit - 1 },
		"Tuning.BufferPoolSize":      func(t *Tuning) { t.BufferPoolSize = -1 },
		"Tuning.MaxBufferSize":       func(t *Tuning) { t.MaxBufferSize = -1 },
	} {
		tuning := Default()
		spoil(&tuning)
		var bad *ConfigError
		if err := tuning.check(); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%v, want one of %s", err, field)
		}
	}
	var bad *ConfigError
	if err := Profile("speed").check(); !errors.As(err, &bad) || bad.Field != "Profile" {
		t.Errorf("a profile that is none: %v", err)
	}
	for _, p := range append(profiles, "") {
		if err := p.check(); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
}
