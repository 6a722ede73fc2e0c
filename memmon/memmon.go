// Package memmon reads how much memory the process uses and how much it may use.
//
// It never stops the world: the heap comes from runtime/metrics, what agloop's
// own buffers hold from bufpool's live count.
package memmon

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"

	"github.com/agloop/agloop/bufpool"
)

// Reading is the state of memory at one moment, in bytes.
type Reading struct {
	Total   int64 // mapped by the Go runtime and not returned to the system
	Heap    int64 // live and dead objects
	Stacks  int64
	Buffers int64 // lent by bufpool, part of Heap
	Limit   int64 // the least of GOMEMLIMIT, the cgroup's limit and physical memory
}

// Pressure is Total as a fraction of Limit; 0 when there is no limit.
func (r Reading) Pressure() float64 {
	if r.Limit <= 0 {
		return 0
	}
	return float64(r.Total) / float64(r.Limit)
}

const (
	metricTotal    = "/memory/classes/total:bytes"
	metricReleased = "/memory/classes/heap/released:bytes"
	metricObjects  = "/memory/classes/heap/objects:bytes"
	metricStacks   = "/memory/classes/heap/stacks:bytes"
)

// Read takes a reading. It costs some microseconds, and reads the limit anew.
func Read() Reading {
	s := []metrics.Sample{{Name: metricTotal}, {Name: metricReleased}, {Name: metricObjects}, {Name: metricStacks}}
	metrics.Read(s)
	n := func(i int) int64 { return int64(s[i].Value.Uint64()) }
	return Reading{
		Total:   n(0) - n(1),
		Heap:    n(2),
		Stacks:  n(3),
		Buffers: bufpool.Live(),
		Limit:   Limit(),
	}
}

// Limit is the least of GOMEMLIMIT, the limits of the cgroup (v2 and v1) and of its
// parents, and physical memory, in bytes; 0 when none is known.
func Limit() int64 {
	limit := int64(math.MaxInt64)
	if l := debug.SetMemoryLimit(-1); l > 0 {
		limit = min(limit, l)
	}
	for _, path := range cgroupFiles("/proc/self/cgroup", "/sys/fs/cgroup") {
		if n, ok := readBytes(path); ok {
			limit = min(limit, n)
		}
	}
	if n, ok := physical("/proc/meminfo"); ok {
		limit = min(limit, n)
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// cgroupFiles lists the files that may hold a memory limit of this process: those of
// its cgroup and of every parent, in both versions.
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
			return kb << 10, err == nil
		}
	}
	return 0, false
}
