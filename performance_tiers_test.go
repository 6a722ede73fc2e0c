package agloop_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/memmon"
)

// TestPerformanceTierElevated trims the pool, halves the batch of an open connection, and stops compressing.
func TestPerformanceTierElevated(t *testing.T) {
	cfg := performance()
	cfg.MessageBatchSize, cfg.MessageBatchTimeout = 16, time.Second
	l := newLine(t, agloop.ServerConfig{Performance: cfg}, nil)
	const groups = 10
	if w := l.writes(groups, 16); w != groups {
		t.Fatalf("at rest: %d writes for %d groups of 16", w, groups)
	}
	rest := l.manager.Tuning()
	bufpool.Get(4096).Release()
	l.manager.ChangeTier(memmon.Normal, memmon.Elevated)
	if n := bufpool.Default.Idle(); n != 0 {
		t.Errorf("%d bytes idle after the trim", n)
	}
	if got := l.manager.Tuning(); got.MessageBatchSize != 8 || got.BufferPoolSize != 500 || got.SoftLimit != rest.SoftLimit || !got.PlainOnly {
		t.Errorf("elevated: %+v", got)
	}
	if w := l.writes(groups, 8); w != groups {
		t.Errorf("elevated: %d writes for %d groups of 8", w, groups)
	}
	if status, _ := l.status(); status != 101 {
		t.Errorf("elevated: %d", status)
	}
	l.manager.ChangeTier(memmon.Elevated, memmon.Normal)
	if got := l.manager.Tuning(); got != rest {
		t.Errorf("back: %+v, want %+v", got, rest)
	}
	if w := l.writes(groups, 16); w != groups {
		t.Errorf("back: %d writes for %d groups of 16", w, groups)
	}
	want := agloop.TierActions{Trims: 1, Restraints: 1, Relaxations: 1}
	if got := l.manager.TierActions(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestPerformanceTierElevatedKeepsOne: half of one is neither the default of a pool nor a batch
// without a limit.
func TestPerformanceTierElevatedKeepsOne(t *testing.T) {
	cfg := performance()
	cfg.BufferPoolSize = 1
	l := newLine(t, agloop.ServerConfig{Performance: cfg, Limits: agloop.Limits{MessageBatchBytes: 1}}, nil)
	l.manager.ChangeTier(memmon.Normal, memmon.Elevated)
	if n := bufpool.Default.Size(); n != 1 {
		t.Errorf("elevated: the pool keeps %d buffers, want 1", n)
	}
	if got := l.manager.Tuning(); got.BufferPoolSize != 1 || got.MessageBatchBytes != 1 {
		t.Errorf("elevated: %+v", got)
	}
	l.manager.ChangeTier(memmon.Elevated, memmon.Normal)
	if n := bufpool.Default.Size(); n != 1 {
		t.Errorf("back: the pool keeps %d buffers, want 1", n)
	}
}

// TestPerformanceTierElevatedLeavesNoLimitAlone: half of no limit is not 0, which a config takes
// for its default.
func TestPerformanceTierElevatedLeavesNoLimitAlone(t *testing.T) {
	l := newLine(t, agloop.ServerConfig{Performance: performance(), Limits: agloop.Limits{MessageBatchBytes: -1}}, nil)
	l.manager.ChangeTier(memmon.Normal, memmon.Elevated)
	if got := l.manager.Tuning(); got.MessageBatchBytes != -1 {
		t.Errorf("elevated: batches of %d bytes, want -1, no limit", got.MessageBatchBytes)
	}
	l.manager.ChangeTier(memmon.Elevated, memmon.Normal)
}

// TestPerformanceTierHigh lets a quarter wait for each peer and lets nobody in.
func TestPerformanceTierHigh(t *testing.T) {
	cfg := performance()
	cfg.MessageBatchSize, cfg.MessageBatchTimeout = 1000, time.Second // holds what pressed sends
	l := newLine(t, agloop.ServerConfig{
		Performance: cfg,
		Limits:      agloop.Limits{SoftLimit: 64 << 10, LowWater: 4 << 10, MessageBatchBytes: -1},
	}, nil)
	rest := l.manager.Tuning()
	if n := l.pressed(32); n != 33 {
		t.Fatalf("at rest: backpressure after %d kB of 64", n)
	}
	for round := range uint64(2) {
		l.manager.ChangeTier(memmon.Normal, memmon.High)
		if got := l.manager.Tuning(); got.SoftLimit != 16<<10 || got.LowWater != 1<<10 || got.HardLimit != rest.HardLimit {
			t.Errorf("high: %+v", got)
		}
		if status, retry := l.status(); status != 503 || retry == "" {
			t.Errorf("high: %d, Retry-After %q", status, retry)
		}
		if n := l.pressed(32); n != 16 { // with its header the sixteenth is beyond
			t.Errorf("high: backpressure after %d kB, want 16", n)
		}
		l.manager.ChangeTier(memmon.High, memmon.Normal)
		if got := l.manager.Tuning(); got != rest {
			t.Errorf("back: %+v, want %+v", got, rest)
		}
		if n := l.pressed(32); n != 33 {
			t.Errorf("back: backpressure after %d kB of 64", n)
		}
		if status, _ := l.status(); status != 101 {
			t.Errorf("back: %d", status)
		}
		n := round + 1
		want := agloop.TierActions{Trims: n, Restraints: n, Relaxations: n, Sheddings: n}
		if got := l.manager.TierActions(); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if n := l.manager.GetMetrics().Failures.Refused.Memory; n != 2 {
		t.Errorf("%d connections counted as refused for memory, want 2", n)
	}
}

// pile sends bytes to a peer that does not read, until so many wait whatever the kernel takes.
func pile(t *testing.T, c *agloop.Conn, bytesWaiting int) {
	t.Helper()
	const kernel = 12 << 20 // at most, both buffers of a TCP connection together
	block := bytes.Repeat([]byte("x"), 64<<10)
	for sent := 0; sent < bytesWaiting+kernel && c.Buffered() < bytesWaiting+kernel/2; sent += len(block) {
		if r := c.Send(agloop.Text, block); r == agloop.Dropped {
			return // it was cut meanwhile
		}
	}
}

// roomy lets much wait for one peer.
var roomy = agloop.Limits{SoftLimit: 64 << 20, HardLimit: 256 << 20}

// TestPerformanceTierCritical cuts the connection for which most waits, with 1013, and no other.
func TestPerformanceTierCritical(t *testing.T) {
	cfg := performance()
	cfg.MaxMemoryUsage = 512 << 20 // a quarter may be held, and a quarter of that in the critical tier
	l := newLine(t, agloop.ServerConfig{Performance: cfg, Limits: roomy}, nil)
	greedy, unread := l.another()
	slow, _ := l.another()
	pile(t, slow, 1<<20)
	pile(t, greedy, 32<<20)
	if held := slow.Buffered() + greedy.Buffered(); held <= 32<<20 || held >= 128<<20 {
		t.Fatalf("%d bytes are held", held)
	}
	l.manager.ChangeTier(memmon.Normal, memmon.Critical)
	testkit.Await(t, "the greedy connection is cut", func() bool { return l.srv.Conn(greedy.ID()) == nil })
	l.manager.ChangeTier(memmon.Critical, memmon.Normal)

	if l.srv.Conn(slow.ID()) == nil {
		t.Error("the other slow connection was cut too")
	}
	l.writes(5, 1) // on the connection that reads
	for err := error(nil); err == nil; {
		var op agloop.Opcode
		var p []byte
		// The close frame may be lost behind what never left.
		if op, p, err = unread.Message(); err == nil && op == 8 {
			if code := binary.BigEndian.Uint16(p); code != uint16(agloop.CloseTryLater) {
				t.Errorf("closed with %d", code)
			}
			break
		}
	}
	testkit.Await(t, "the cut is counted", func() bool { return l.manager.TierActions().Cuts == 1 })
	if n := l.manager.GetMetrics().Failures.Shed; n != 1 {
		t.Errorf("%d connections counted as cut for memory, want 1", n)
	}
	want := agloop.TierActions{Trims: 1, Restraints: 1, Relaxations: 1, Sheddings: 1, Cuts: 1}
	if got := l.manager.TierActions(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if status, _ := l.status(); status != 101 {
		t.Errorf("back: %d", status)
	}
}

// TestPerformanceTiersOfRealMemory fills the budget with what waits for a peer that does not read.
// The interval of rest is longer than anything here waits, so what piles up must have been seen at
// once; and that it is cut must bring everything back.
func TestPerformanceTiersOfRealMemory(t *testing.T) {
	cfg := performance()
	cfg.MaxMemoryUsage = 64 << 20
	limits := roomy
	limits.SoftLimit = 1 << 20
	l := newLine(t, agloop.ServerConfig{Performance: cfg, Limits: limits}, nil)
	rest := l.manager.Tuning()
	greedy, _ := l.another()
	start := time.Now()
	pile(t, greedy, 60<<20)
	testkit.Await(t, "the greedy connection is cut", func() bool { return l.srv.Conn(greedy.ID()) == nil })
	l.reread() // and what a reading of before led to is done
	memory := l.manager.GetMemoryManager()
	testkit.Await(t, "all is as at rest", func() bool { return memory.Tier() < memmon.Elevated && l.manager.Tuning() == rest })
	if status, _ := l.status(); status != 101 {
		t.Errorf("back: %d", status)
	}
	l.writes(5, 1) // on the connection that reads
	a := l.manager.TierActions()
	if a.Cuts != 1 { // whether a tier was reached on the way depends on who was quicker
		t.Errorf("%+v", a)
	}
	t.Logf("%+v in %v, then %.0f %% of %d bytes", a, time.Since(start), memory.GetMemoryPressure(), cfg.MaxMemoryUsage)
}

// TestPerformanceShareIsTakenBack: connections that hold more than their share lose those that hold
// most, long before a tier would refuse anybody.
func TestPerformanceShareIsTakenBack(t *testing.T) {
	cfg := performance()
	cfg.MaxMemoryUsage = 1 << 30
	l := newLine(t, agloop.ServerConfig{Performance: cfg, Limits: roomy}, nil)
	slow, _ := l.narrow(4 << 10)
	pile(t, slow, 1<<20)
	greedy := make([]*agloop.Conn, 2)
	for i := range greedy {
		greedy[i], _ = l.narrow(4 << 10) // so that the kernel takes little of it later
		pile(t, greedy[i], 14<<20)
	}
	held := l.manager.Held()
	// A quarter may be held, and is cut down to three quarters of that: more than what one holds
	// goes.
	l.set(func(c *agloop.PerformanceConfig) { c.MaxMemoryUsage = 4 * (held - 4<<20) })
	testkit.Await(t, "one of the greedy connections is cut", func() bool { return l.srv.Conn(greedy[0].ID()) == nil || l.srv.Conn(greedy[1].ID()) == nil })
	l.reread()
	if l.srv.Conn(slow.ID()) == nil {
		t.Error("the connection that holds little was cut")
	}
	if got := l.manager.TierActions(); got != (agloop.TierActions{Cuts: 1}) {
		t.Errorf("%+v, want one cut", got)
	}
	if status, _ := l.status(); status != 101 {
		t.Errorf("status %d", status)
	}
}
