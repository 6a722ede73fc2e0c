package memmon

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
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
	after := Read()
	if grown := after.Heap - before.Heap; grown < 30<<20 {
		t.Errorf("heap grew by %d for 32 MiB", grown)
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

func TestLimitTakesTheLeast(t *testing.T) {
	physicalMemory := Limit()
	if physicalMemory <= 0 {
		t.Fatal("no limit known, not even physical memory")
	}
	old := debug.SetMemoryLimit(123 << 20)
	defer debug.SetMemoryLimit(old)
	if got := Limit(); got != 123<<20 {
		t.Errorf("limit %d with GOMEMLIMIT of 123 MiB", got)
	}
	if r := Read(); r.Pressure() <= 0 || r.Limit != 123<<20 {
		t.Errorf("%+v, pressure %v", r, r.Pressure())
	}
	if p := (Reading{Total: 5}).Pressure(); p != 0 {
		t.Errorf("pressure %v without a limit", p)
	}
}

func TestCgroupFiles(t *testing.T) {
	self := filepath.Join(t.TempDir(), "cgroup")
	content := "5:memory:/box\n4:cpu,cpuacct:/box\n0::/slice/unit\nnonsense\n"
	if err := os.WriteFile(self, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/cg/memory/box/memory.limit_in_bytes", "/cg/memory/memory.limit_in_bytes",
		"/cg/slice/unit/memory.max", "/cg/slice/memory.max", "/cg/memory.max",
	}
	if got := cgroupFiles(self, "/cg"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := cgroupFiles(self+"-missing", "/cg"); got != nil {
		t.Errorf("no file, got %q", got)
	}
}

func TestReadBytes(t *testing.T) {
	for content, want := range map[string]int64{
		"536870912\n": 512 << 20, "max\n": 0, "9223372036854771712\n": 0, "0\n": 0, "": 0, "-1": 0,
	} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, ok := readBytes(path); ok != (want > 0) || ok && n != want {
			t.Errorf("%q: %d %v, want %d", content, n, ok, want)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for b.Loop() {
		Read()
	}
}
