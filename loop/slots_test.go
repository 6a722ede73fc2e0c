package loop_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

func TestSlotsBoundAndReleaseOnce(t *testing.T) {
	s := loop.NewSlots(3)
	var ids []loop.ID
	for range 3 {
		id, ok := s.Acquire()
		if !ok {
			t.Fatal("no slot though three are free")
		}
		ids = append(ids, id)
	}
	if _, ok := s.Acquire(); ok {
		t.Fatal("a fourth slot of three")
	}
	if !s.Release(ids[1]) {
		t.Fatal("release refused")
	}
	if s.Release(ids[1]) {
		t.Error("released twice")
	}
	if s.Release(0) {
		t.Error("the zero ID was released")
	}
	id, ok := s.Acquire()
	if !ok || id == ids[1] {
		t.Errorf("got %x %v after release, want a new generation of %x", id, ok, ids[1])
	}
	if s.Release(ids[1]) {
		t.Error("a stale ID released its successor's slot")
	}
	if s.Conn(ids[1]) != nil {
		t.Error("a stale ID found a connection")
	}
	if s.Used() != 3 {
		t.Errorf("%d used, want 3", s.Used())
	}
}

// TestSlotsConcurrently: no two holders of one slot at a time, and none lost.
func TestSlotsConcurrently(t *testing.T) {
	const n, workers, rounds = 8, 16, 5000
	s := loop.NewSlots(n)
	var held [n]atomic.Int32
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				id, ok := s.Acquire()
				if !ok {
					continue
				}
				if held[uint32(id)].Add(1) != 1 {
					t.Error("two holders of one slot")
				}
				held[uint32(id)].Add(-1)
				if !s.Release(id) {
					t.Error("holder's release refused")
				}
			}
		})
	}
	wg.Wait()
	if s.Used() != 0 {
		t.Errorf("%d used at the end", s.Used())
	}
	for range n {
		if _, ok := s.Acquire(); !ok {
			t.Fatal("a slot was lost")
		}
	}
}

func TestSlotsAllocateNothing(t *testing.T) {
	s := loop.NewSlots(10)
	if n := testing.AllocsPerRun(1000, func() {
		id, _ := s.Acquire()
		s.Release(id)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestUnusedSlotsCostNothing: a table for 16 million descriptors, as LimitNOFILE=infinity has them,
// is paid for as it is used.
func TestUnusedSlotsCostNothing(t *testing.T) {
	var before, made, used runtime.MemStats
	runtime.ReadMemStats(&before)
	s := loop.NewSlots(16<<20 - 256)
	runtime.ReadMemStats(&made)
	if grown := made.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes allocated for slots that nobody took", grown)
	}
	for range 10_000 {
		if _, ok := s.Acquire(); !ok {
			t.Fatal("no slot though millions are free")
		}
	}
	runtime.ReadMemStats(&used)
	if grown := used.TotalAlloc - made.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes allocated for 10,000 slots", grown)
	}
}

// TestSlotsAcrossChunks: first uses race for the chunks, every slot is given out once, and none
// beyond the last.
func TestSlotsAcrossChunks(t *testing.T) {
	const n, workers = 10_000, 16 // no multiple of a chunk
	s := loop.NewSlots(n)
	var taken [n]atomic.Int32
	var ids sync.Map
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				id, ok := s.Acquire()
				if !ok {
					return
				}
				taken[uint32(id)].Add(1)
				ids.Store(id, nil)
			}
		})
	}
	wg.Wait()
	for i := range taken {
		if got := taken[i].Load(); got != 1 {
			t.Fatalf("slot %d was taken %d times", i, got)
		}
	}
	if stranger := loop.ID(1<<32 | n); s.Release(stranger) || s.Conn(stranger) != nil {
		t.Error("a slot beyond the last")
	}
	ids.Range(func(id, _ any) bool {
		if !s.Release(id.(loop.ID)) {
			t.Errorf("release of %x refused", id)
		}
		return true
	})
	if s.Used() != 0 {
		t.Errorf("%d used at the end", s.Used())
	}
}

// TestSlotsNobodyTookAreNone: an ID that was never given out names no connection, whether its part
// of the table was made yet or not.
func TestSlotsNobodyTookAreNone(t *testing.T) {
	s := loop.NewSlots(1 << 20)
	for range 2 {
		for _, id := range []loop.ID{1<<32 | 1, 1<<32 | 500_000, 1<<32 | 1<<31} {
			if s.Release(id) || s.Conn(id) != nil {
				t.Errorf("%x was found", id)
			}
		}
		s.Each(func(*loop.Conn) { t.Error("a connection of nobody") })
		s.Acquire()
	}
}

// TestSlotBudget: a slot costs its cell of 16 bytes, and half as much is left for what else the process
// allocates meanwhile.
func TestSlotBudget(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector takes memory of its own")
	}
	const n, budget = 1 << 20, 24.0
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := loop.NewSlots(n)
	for range n {
		s.Acquire()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / n; each > budget {
		t.Errorf("%.1f bytes a slot, more than its budget of %.0f", each, budget)
	}
	runtime.KeepAlive(s)
}

func TestSlotsCapChangesLive(t *testing.T) {
	s := loop.NewSlots(10)
	s.SetCap(2)
	a, _ := s.Acquire()
	b, _ := s.Acquire()
	if _, ok := s.Acquire(); ok || s.Cap() != 2 {
		t.Fatal("a third slot of two")
	}
	s.SetCap(3)
	if _, ok := s.Acquire(); !ok {
		t.Fatal("no third slot of three")
	}
	s.SetCap(1) // two too many stay
	s.Release(a)
	if _, ok := s.Acquire(); ok {
		t.Fatal("a slot while there is one too many")
	}
	s.Release(b)
	s.SetCap(0)
	if s.Cap() != 10 || s.Used() != 1 {
		t.Errorf("%d of %d", s.Used(), s.Cap())
	}
}

// BenchmarkConcurrentConnectionManagement takes a slot of a thousand and gives it back.
func BenchmarkConcurrentConnectionManagement(b *testing.B) {
	cycle := func(slots *loop.Slots) bool {
		id, ok := slots.Acquire()
		return ok && slots.Release(id)
	}
	b.Run("serial", func(b *testing.B) {
		slots := loop.NewSlots(1000)
		b.ReportAllocs()
		for b.Loop() {
			if !cycle(slots) {
				b.Fatal("no slot")
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		slots := loop.NewSlots(1000)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if !cycle(slots) {
					b.Error("no slot")
					return
				}
			}
		})
	})
}

// TestSlotsForHeads: so many requests are read beside those that are in, also when more are in than
// may since that was lowered.
func TestSlotsForHeads(t *testing.T) {
	const conns, heads = 10, 2
	s := loop.NewSlotTable(conns, heads)
	for range conns {
		if _, ok := s.Acquire(); !ok || !s.Admit() {
			t.Fatal("not let in")
		}
	}
	s.SetCap(3)
	for i := range heads + 1 {
		if _, ok := s.Acquire(); ok != (i < heads) {
			t.Errorf("request %d beside those that are in: %t", i, ok)
		}
	}
	if s.Admit() {
		t.Error("one more was let in")
	}
}
