package agloop_test

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/memmon"
)

// aloneMark names the test that a process was started for.
const aloneMark = "AGLOOP_TEST_ALONE"

// alone runs the calling test in a process of its own, whose environment has these variables too,
// and is true in that process. What Go reads from the environment holds there from the start, and
// no other test's heap is in it.
func alone(t *testing.T, env ...string) bool {
	t.Helper()
	if os.Getenv(aloneMark) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(append(os.Environ(), env...), aloneMark+"="+t.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// block is what the tests allocate at a time, in bytes.
const block = 256 << 10

// dropped is where garbage is written to, so that it is allocated on the heap.
var dropped []byte

// hold allocates n bytes that live as long as what it returns.
func hold(n int) [][]byte {
	held := make([][]byte, n/block)
	for i := range held {
		held[i] = make([]byte, block)
	}
	return held
}

// litter makes garbage until so many percent of the limit are mapped. False means that the
// collector was always quicker.
func litter(percent int64) bool {
	for range 4 * memmon.Limit() / block {
		if r := memmon.Read(); r.Total*100 >= percent*r.Limit {
			return true
		}
		dropped = make([]byte, block)
	}
	return false
}

// boundless is a server whose budget is the process's limit.
func boundless(t *testing.T) *line {
	t.Helper()
	cfg := performance()
	cfg.MaxMemoryUsage = 0
	return newLine(t, agloop.ServerConfig{Performance: cfg}, nil)
}

// reread has the manager take a reading and act on it.
func (l *line) reread() {
	l.t.Helper()
	memory := l.manager.GetMemoryManager()
	for range 2 { // when the second is there, the first was acted on
		n := memory.Readings()
		memory.Trigger()
		testkit.Await(l.t, "a reading is taken", func() bool { return memory.Readings() > n })
	}
}

// open fails the test unless a new connection is let in, and goes on to be.
func (l *line) open() {
	l.t.Helper()
	var status int
	testkit.Await(l.t, "a new connection is let in", func() bool {
		status, _ = l.status()
		return status == 101
	})
	for range 5 {
		memory := l.manager.GetMemoryManager()
		if status != 101 {
			l.t.Fatalf("status %d at %.0f %%, tier %v, %+v", status, memory.GetMemoryPressure(), memory.Tier(), memory.Last())
		}
		l.reread()
		status, _ = l.status()
	}
}

// TestGarbageUpToTheLimit: without GOGC garbage grows up to GOMEMLIMIT, and stays there when
// nothing more is allocated. It must not shut the door.
func TestGarbageUpToTheLimit(t *testing.T) {
	if !alone(t, "GOGC=off", "GOMEMLIMIT=128MiB") {
		return
	}
	l := boundless(t)
	for range 3 {
		// Held first: in a small heap the collector begins long before the limit.
		held := hold(int(memmon.Limit()-memmon.Read().Total) * 9 / 10)
		runtime.KeepAlive(held)
		clear(held)
		l.reread()
		l.open()
	}
	if a := l.manager.TierActions(); a.Returns == 0 {
		t.Errorf("garbage was never collected: %+v", a)
	}
}

// TestGarbageIsNoPressure: with the usual GOGC as much garbage as live heap is no emergency,
// however close to the limit both together come.
func TestGarbageIsNoPressure(t *testing.T) {
	if !alone(t, "GOGC=100", "GOMEMLIMIT=200MiB") {
		return
	}
	live := hold(96 << 20) // the collector begins when seven tenths of as much garbage are there
	runtime.GC()
	l := boundless(t)
	full := 0
	for range 10 {
		if litter(85) {
			full++
		}
		l.reread()
		if status, _ := l.status(); status != 101 {
			memory := l.manager.GetMemoryManager()
			t.Fatalf("status %d at %.0f %%, tier %v, %+v; live is 48 %%", status, memory.GetMemoryPressure(), memory.Tier(), memory.Last())
		}
	}
	if full == 0 {
		t.Error("there never was that much garbage")
	}
	if a := l.manager.TierActions(); a.Sheddings+a.Cuts != 0 {
		t.Errorf("%+v", a)
	}
	runtime.KeepAlive(live)
}

// TestDroppedMemoryIsSeen: what the collector saw alive and nobody holds any more must be found out
// in a process that has nothing to do, where no collection is due for minutes.
func TestDroppedMemoryIsSeen(t *testing.T) {
	if !alone(t, "GOGC=100", "GOMEMLIMIT=140MiB") {
		return
	}
	l := boundless(t)
	l.peer.Close()
	testkit.Await(t, "the slot is free", func() bool { return l.manager.GetConnectionPoolManager().Used() == 0 })
	held := hold(120 << 20)
	runtime.GC()
	l.reread()
	memory := l.manager.GetMemoryManager()
	if memory.Tier() < memmon.High {
		t.Errorf("%v at %.0f %% with 120 MiB alive of 140: %+v", memory.Tier(), memory.GetMemoryPressure(), memory.Last())
	}
	runtime.KeepAlive(held)
	clear(held)
	l.open()
	if memory.Tier() != memmon.Normal {
		t.Errorf("then %v", memory.Tier())
	}
}

// TestDefaultTransportLeavesTheHostAlone: the budget is what the transport may hold, and a host of
// more than that is no business of its.
func TestDefaultTransportLeavesTheHostAlone(t *testing.T) {
	if !alone(t) {
		return
	}
	host := hold(100 << 20)
	runtime.GC()
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	config := agloop.DefaultTransportConfig()
	config.URLs = []string{wsURL(addr)}
	tr := newTransport(t, config)
	if err := tr.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	l := &line{t: t, manager: tr.GetPerformanceManager()}
	l.reread()
	if a := l.manager.TierActions(); a != (agloop.TierActions{}) {
		t.Errorf("the transport acts on memory that is not its own: %+v", a)
	}
	runtime.KeepAlive(host)
}
