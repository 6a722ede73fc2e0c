package memmon

import (
	"runtime"
	"testing"

	"github.com/agloop/agloop/bufpool"
)

func TestReadFollowsWhatIsHeld(t *testing.T) {
	runtime.GC() // what earlier tests left must not go meanwhile
	before := Read()
	held := make([]byte, 32<<20)
	for i := range held {
		held[i] = 1
	}
	buf := bufpool.Get(1 << 20)
	runtime.GC() // finds it alive
	after := Read()
	if grown := after.Heap - before.Heap; grown < 30<<20 {
		t.Errorf("heap grew by %d for 32 MiB", grown)
	}
	if grown := after.Live - before.Live; grown < 30<<20 || after.Live < after.Stacks {
		t.Errorf("live grew by %d for 32 MiB: %+v", grown, after)
	}
	if grown := after.Buffers - before.Buffers; grown != 1<<20 {
		t.Errorf("buffers grew by %d for 1 MiB", grown)
	}
	if after.Total < after.Heap || after.Stacks <= 0 {
		t.Errorf("%+v", after)
	}
	runtime.KeepAlive(held)
	buf.Release()
}

func TestPressure(t *testing.T) {
	if p := (Reading{Total: 5, Live: 5, Held: 5}).Pressure(); p != 0 {
		t.Errorf("pressure %v without a limit", p)
	}
	if p := (Reading{Total: 4, Live: 3, Limit: 2}).Pressure(); p != 1.5 {
		t.Errorf("pressure %v of 3 in 2", p)
	}
	if p := (Reading{Live: 3, Limit: 2, Held: 6, Budget: 2}).Pressure(); p != 3 {
		t.Errorf("pressure %v of 6 in 2", p)
	}
}

func BenchmarkRead(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Read()
	}
}
