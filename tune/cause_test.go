package tune

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestLatencyRestsWhenCPUIsShort: smaller windows cost writes, which is what there is no CPU for.
func TestLatencyRestsWhenCPUIsShort(t *testing.T) {
	few := slow
	few.MessagesPerSecond, few.WritesPerMessage, few.CPUFraction = 5000, 0.3, 0.97
	newDrive(t, OptimizerConfig{}).still(few, 600)
	few.MessagesPerSecond, few.WritesPerMessage = 700, 0.9
	newDrive(t, OptimizerConfig{}).still(few, 600)

	few.CPUFraction = 0.7
	if moved, _ := newDrive(t, OptimizerConfig{}).until(few, 30); moved.Toward != ProfileLatency {
		t.Errorf("with CPU to spare toward %s: %s", moved.Toward, moved.Reason)
	}
}

// TestThroughputWhenCPUIsShort: fewer calls help where nothing is left of the latency either.
func TestThroughputWhenCPUIsShort(t *testing.T) {
	o := costly
	o.P99Latency, o.CPUFraction = 120*time.Millisecond, 0.97
	d := newDrive(t, OptimizerConfig{})
	for range rungs {
		moved, _ := d.until(o, 30)
		if moved.Toward != ProfileThroughput || !strings.Contains(moved.Reason, "CPU at 97 %, above 85 %,") {
			t.Errorf("toward %s: %s", moved.Toward, moved.Reason)
		}
	}
	d.still(o, 600)

	// From a place near latency too.
	d = newDrive(t, OptimizerConfig{})
	d.until(slow, 30)
	if moved, _ := d.until(o, 60); moved.Toward != ProfileThroughput {
		t.Errorf("toward %s: %s", moved.Toward, moved.Reason)
	}

	// But not to windows that would by themselves take much of MaxLatency.
	d = newDrive(t, OptimizerConfig{MaxLatency: 14 * time.Millisecond})
	if moved, _ := d.until(o, 30); moved.To.MessageBatchTimeout > 7*time.Millisecond {
		t.Errorf("to %+v", moved.To)
	}
	d.still(o, 600)
	newDrive(t, OptimizerConfig{MaxLatency: 5 * time.Millisecond}).still(o, 600)
}

// TestClosedLoopShortOfCPU lets the CPU answer to the writes, and p99 to the CPU.
func TestClosedLoopShortOfCPU(t *testing.T) {
	const conns, rate, each, write = 50, 120.0, 20e-6, 250e-6 // seconds of one processor
	model := func(t Tuning) Observation {
		writes := 1 / min(1+rate*max(t.MessageBatchTimeout, 0).Seconds(), float64(t.MessageBatchSize))
		used := conns * rate * (each + write*writes)
		queued := time.Duration(float64(time.Millisecond) / max(1-used, 0.005))
		return Observation{
			P99Latency: queued + max(t.MessageBatchTimeout, 0), Measured: true,
			CPUFraction: min(used, 1), MemoryFraction: 0.3,
			WritesPerMessage: writes, MessagesPerSecond: conns * rate, Connections: conns,
		}
	}
	before := model(Default())
	if before.P99Latency < 50*time.Millisecond || before.CPUFraction < 0.95 {
		t.Fatalf("the load is none: %+v", before)
	}
	d := newDrive(t, OptimizerConfig{})
	for range 2 * 3600 {
		d.second(model(d.Tuning()))
	}
	for _, m := range d.Decisions() {
		t.Log(m.Toward, m.Reason)
		if m.Toward != ProfileThroughput {
			t.Errorf("moved toward %s", m.Toward)
		}
	}
	if after := model(d.Tuning()); d.Moves() > rungs || after.P99Latency > before.P99Latency/4 || after.CPUFraction > 0.9 {
		t.Errorf("%d moves from %+v to %+v", d.Moves(), before, after)
	}
}

// TestBlind: without a measured latency nothing that spends or saves it moves; memory does.
func TestBlind(t *testing.T) {
	for name, o := range map[string]Observation{"costly": costly, "slow": slow, "short": costly} {
		t.Run(name, func(t *testing.T) {
			o.P99Latency, o.Measured = 0, false
			if name == "short" {
				o.CPUFraction = 0.99
			}
			d := newDrive(t, OptimizerConfig{})
			d.still(o, 600)
			if n := d.alternate(time.Second, 10*time.Minute, o, idle); n != 0 {
				t.Errorf("%d moves in turn with silence: %+v", n, d.Decisions())
			}
			o.MemoryFraction = 0.9
			if moved, _ := d.until(o, 30); moved.Toward != ProfileMemory {
				t.Errorf("toward %s: %s", moved.Toward, moved.Reason)
			}
		})
	}
}

// TestBlindReturns: what latency was given is not taken back while nobody knows what it costs, but
// when it is measured again, or when no message is there to wait.
func TestBlindReturns(t *testing.T) {
	blind, seen := slow, slow
	blind.P99Latency, blind.Measured = 0, false
	seen.P99Latency = time.Millisecond
	for _, after := range []Observation{seen, idle} {
		d := newDrive(t, OptimizerConfig{})
		d.until(slow, 30)
		d.still(blind, 600)
		if moved, _ := d.until(after, 100); moved.Toward != ProfileBalanced {
			t.Errorf("toward %s: %s", moved.Toward, moved.Reason)
		}
	}
}

// TestOddCPU: what is no fraction is no shortage of CPU.
func TestOddCPU(t *testing.T) {
	for _, cpu := range []float64{math.NaN(), -1} {
		o := slow
		o.CPUFraction = cpu
		if moved, _ := newDrive(t, OptimizerConfig{}).until(o, 30); moved.Toward != ProfileLatency {
			t.Errorf("%v: toward %s", cpu, moved.Toward)
		}
	}
}
