package memmon

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

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
	if got := least(math.MaxInt64, math.MaxInt64); got != 0 {
		t.Errorf("limit %d where nothing limits", got)
	}
}

// machine is a tree of files like those of the system.
type machine struct {
	t *testing.T
	*limitFiles
}

func newMachine(t *testing.T) machine {
	dir := t.TempDir()
	return machine{t, &limitFiles{
		self:    filepath.Join(dir, "self"),
		cgroups: filepath.Join(dir, "cg"),
		meminfo: filepath.Join(dir, "meminfo"),
	}}
}

func (m machine) write(path, content string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func TestLimitOfAllFiles(t *testing.T) {
	// Each row is a machine; paths are below the root of the cgroups.
	for _, c := range []struct {
		name, self, meminfo string
		files               map[string]string
		want                int64
	}{
		{"nothing", "", "", nil, math.MaxInt64},
		{"physical", "", "MemFree: 1 kB\nMemTotal:    2048 kB\n", nil, 2 << 20},
		{"no cgroup limit", "0::/a\n", "MemTotal: 2048 kB\n", map[string]string{"a/memory.max": "max\n"}, 2 << 20},
		{"version 2", "0::/a/b\n", "MemTotal: 2048 kB\n", map[string]string{"a/b/memory.max": "1000\n", "a/memory.max": "2000\n"}, 1000},
		{"its parent", "0::/a/b\n", "MemTotal: 2048 kB\n", map[string]string{"a/b/memory.max": "max\n", "a/memory.max": "2000\n"}, 2000},
		{"root", "0::/a/b\n", "MemTotal: 2048 kB\n", map[string]string{"memory.max": "3000\n"}, 3000},
		{"version 1", "3:cpu:/x\n2:memory:/a\n", "MemTotal: 2048 kB\n", map[string]string{
			"memory/a/memory.limit_in_bytes": "9223372036854771712\n", "memory/memory.limit_in_bytes": "4000\n",
			"memory/x/memory.limit_in_bytes": "1\n",
		}, 4000},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.write(m.self, c.self)
			m.write(m.meminfo, c.meminfo)
			for path, content := range c.files {
				m.write(filepath.Join(m.cgroups, path), content)
			}
			if got := m.limit(); got != c.want {
				t.Errorf("limit %d, want %d", got, c.want)
			}
		})
	}
}

func TestLimitFilesAreReadEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		m.write(m.self, "0::/a\n")
		file := filepath.Join(m.cgroups, "a/memory.max")
		m.write(file, "1000")
		expect := func(want int64) {
			t.Helper()
			if got := m.limit(); got != want {
				t.Errorf("limit %d, want %d", got, want)
			}
		}
		expect(1000)
		m.write(file, "2000")
		time.Sleep(limitAge - instant)
		expect(1000)
		time.Sleep(instant)
		expect(2000)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		expect(2000)
		time.Sleep(limitAge)
		expect(math.MaxInt64)
		m.write(file, "3000")
		m.last.Load().at = time.Now().Add(time.Hour) // by another clock
		expect(3000)
	})
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

func TestPhysical(t *testing.T) {
	for content, want := range map[string]int64{
		"MemTotal: 3 kB\n": 3 << 10, "MemFree: 1 kB\n": 0, "MemTotal: many kB\n": 0, "MemTotal: 0 kB\n": 0,
	} {
		m := newMachine(t)
		m.write(m.meminfo, content)
		if n, ok := physical(m.meminfo); ok != (want > 0) || ok && n != want {
			t.Errorf("%q: %d %v, want %d", strings.TrimSpace(content), n, ok, want)
		}
	}
	if _, ok := physical(filepath.Join(t.TempDir(), "missing")); ok {
		t.Error("a figure without a file")
	}
}

// TestNobodyWaitsForLimitFiles: who asks while the files are read gets what they said before.
func TestNobodyWaitsForLimitFiles(t *testing.T) {
	m := newMachine(t)
	m.write(m.meminfo, "MemTotal: 2048 kB\n")
	if got := m.limit(); got != 2<<20 {
		t.Fatalf("limit %d", got)
	}
	if err := os.Remove(m.meminfo); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(m.meminfo, 0o600); err != nil { // opening it waits for a writer
		t.Fatal(err)
	}
	m.last.Store(&limitReading{2 << 20, time.Now().Add(-limitAge)})
	slow := make(chan int64, 1)
	go func() { slow <- m.limit() }()
	for !m.reading.Load() {
		time.Sleep(time.Millisecond)
	}
	quick := make(chan int64, 1)
	go func() { quick <- m.limit() }()
	select {
	case got := <-quick:
		if got != 2<<20 {
			t.Errorf("limit %d while the files are read", got)
		}
	case <-time.After(5 * time.Second):
		t.Error("it waits for the files")
	}
	f, err := os.OpenFile(m.meminfo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("MemTotal: 1024 kB\n"); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if got := <-slow; got != 1<<20 {
		t.Errorf("limit %d, want what the files say now", got)
	}
}
