//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agloop/agloop/bench/result"
)

func describe(ctx context.Context, root string) result.Machine {
	git := func(args ...string) string {
		out, _ := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output()
		return string(bytes.TrimSpace(out))
	}
	commit := git("rev-parse", "--short=12", "HEAD")
	if commit == "" {
		commit = "unknown"
	} else if git("status", "--porcelain") != "" {
		commit += " with changes"
	}
	m := result.Machine{
		CPU: "unknown", Cores: runtime.NumCPU(), Memory: round(float64(kilobytes(file("/proc/meminfo"), "MemTotal"))/(1<<30), 1),
		Kernel: strings.TrimSpace(file("/proc/sys/kernel/osrelease")), Go: runtime.Version(), Commit: commit,
	}
	for line := range strings.Lines(file("/proc/cpuinfo")) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	m.Load[0] = loadAverage()
	return m
}

func loadAverage() string {
	f := strings.Fields(file("/proc/loadavg"))
	return strings.Join(f[:min(len(f), 3)], " ")
}

// cpuOf is the CPU that processes have spent so far.
func cpuOf(list []*child) (sum time.Duration) {
	for _, c := range list {
		var ts unix.Timespec
		// What clock_getcpuclockid(3) makes of a pid; counts nanoseconds.
		if unix.ClockGettime(int32(^c.cmd.Process.Pid<<3|2), &ts) == nil {
			sum += time.Duration(ts.Nano())
		}
	}
	return sum
}

func threadsOf(c *child) uint64 {
	for line := range strings.Lines(file(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))) {
		if key, value, _ := strings.Cut(line, ":"); key == "Threads" {
			n, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 1
}
