package memmon

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// limitAge is how long the limits read from files are used. They change when a container is
// resized, and opening the files costs ten times as much as the rest of a reading.
const limitAge = 10 * time.Second

// system is where this process finds its limits.
var system = limitFiles{self: "/proc/self/cgroup", cgroups: "/sys/fs/cgroup", meminfo: "/proc/meminfo"}

// limitFiles are the files that limit memory, and the limit read from them last.
type limitFiles struct {
	// Immutable.
	self    string // names the cgroups of this process
	cgroups string // the root of the hierarchies
	meminfo string

	// Any goroutine.
	last    atomic.Pointer[limitReading] // nil before the first
	reading atomic.Bool                  // somebody reads the files; nobody waits for that
}

// limitReading is what the files said at one moment.
type limitReading struct {
	bytes int64 // math.MaxInt64 when nothing limits
	at    time.Time
}

// limit is the least of the cgroups' limits and physical memory, in bytes; math.MaxInt64 when none
// is known. It is at most limitAge old, and the time that reading the files takes.
func (f *limitFiles) limit() int64 {
	now := time.Now()
	last := f.last.Load()
	if last != nil {
		// A negative age is a clock that was replaced, as in a test's bubble.
		if age := now.Sub(last.at); age >= 0 && age < limitAge {
			return last.bytes
		}
		if !f.reading.CompareAndSwap(false, true) {
			return last.bytes
		}
		defer f.reading.Store(false)
	}
	fresh := &limitReading{f.read(), now}
	f.last.Store(fresh)
	return fresh.bytes
}

// read reads the files.
func (f *limitFiles) read() int64 {
	limit := int64(math.MaxInt64)
	for _, path := range cgroupFiles(f.self, f.cgroups) {
		if n, ok := readBytes(path); ok {
			limit = min(limit, n)
		}
	}
	if n, ok := physical(f.meminfo); ok {
		limit = min(limit, n)
	}
	return limit
}

// cgroupFiles lists the files that may hold a memory limit of this process: those of its cgroup and
// of every parent, in both versions.
func cgroupFiles(self, root string) []string {
	data, err := os.ReadFile(self)
	if err != nil {
		return nil
	}
	var files []string
	for line := range strings.Lines(string(data)) {
		// hierarchy:controllers:path; version 2 has no controllers.
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		base, name := root, "memory.max"
		if part[1] != "" {
			if !strings.Contains(","+part[1]+",", ",memory,") {
				continue
			}
			base, name = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		}
		for dir := filepath.Clean("/" + part[2]); ; dir = filepath.Dir(dir) {
			files = append(files, filepath.Join(base, dir, name))
			if dir == "/" {
				break
			}
		}
	}
	return files
}

// readBytes reads a file with one number; "max" and version 1's huge default are no limit.
func readBytes(path string) (int64, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	return n, err == nil && n > 0 && n < 1<<60
}

// physical reads MemTotal.
func physical(path string) (int64, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), "MemTotal:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kb << 10, err == nil && kb > 0
		}
	}
	return 0, false
}
