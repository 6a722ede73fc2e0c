//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the CPU a process has spent so far, user and system, threads that ended included. pid
// 0 is this process.
func cpuTime(pid int) (time.Duration, error) {
	clock := int32(unix.CLOCK_PROCESS_CPUTIME_ID)
	if pid != 0 {
		clock = int32(^pid<<3 | 2) // what clock_getcpuclockid(3) makes of a pid; counts nanoseconds
	}
	var ts unix.Timespec
	if unix.ClockGettime(clock, &ts) == nil {
		return time.Duration(ts.Nano()), nil
	}
	return cpuTimeStat(pid)
}

// tick is the length of a tick in /proc, which does not depend on the kernel's own timer.
const tick = 10 * time.Millisecond

// cpuTimeStat reads the same in ticks, for kernels that refuse another process's clock.
func cpuTimeStat(pid int) (time.Duration, error) {
	user, sys, err := ticks(pid)
	return time.Duration(user+sys) * tick, err
}

// ticks is the CPU a process has spent so far, in its own code and in the kernel. The kernel knows
// the sum to the nanosecond and splits it by what it found at each timer interrupt. Interrupts
// served meanwhile, the loopback's share of TCP among them, count as the kernel's.
func ticks(pid int) (user, sys int64, err error) {
	f, _, err := stat(pid)
	if err != nil {
		return 0, 0, err
	}
	user, err1 := strconv.ParseInt(string(f[utime]), 10, 64)
	sys, err2 := strconv.ParseInt(string(f[stime]), 10, 64)
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("/proc/%d/stat: not numbers", pid)
	}
	return user, sys, nil
}

// Fields of /proc/PID/stat, counted from the one behind the name.
const (
	utime = 11 + iota
	stime
	cutime
	cstime
)

// stat splits /proc/PID/stat into the name and the fields behind it.
func stat(pid int) (fields [][]byte, name []byte, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, nil, err
	}
	// The name stands in parentheses and may hold spaces and parentheses.
	first, last := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if first < 0 || last < first {
		return nil, nil, fmt.Errorf("/proc/%d/stat: no name", pid)
	}
	fields = bytes.Fields(b[last+1:])
	if len(fields) <= cstime {
		return nil, nil, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	return fields, b[first+1 : last], nil
}

// residentSet is a process's memory in bytes as the kernel counts it, which is quick and right to
// some hundred KB.
func residentSet(pid int) (int64, error) {
	name := fmt.Sprintf("/proc/%d/statm", pid)
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0, fmt.Errorf("%s: %d fields", name, len(f))
	}
	pages, err := strconv.ParseInt(string(f[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// allowedCores is how many cores a process may run on.
func allowedCores(pid int) float64 {
	var set unix.CPUSet
	if unix.SchedGetaffinity(pid, &set) != nil {
		return float64(runtime.NumCPU())
	}
	return float64(set.Count())
}

// memory is what /proc says a process holds, in bytes.
type memory struct {
	vmRSS int64 // status: quick, but off by up to some hundred KB on kernels with per-CPU counters
	rss   int64 // smaps_rollup: walked, exact
	pss   int64
	anon  int64 // the anonymous part of Pss: heap, stacks and runtime, without the program file
}

func readMemory(pid int) (m memory, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m, err
	}
	m.vmRSS = kb(status, "VmRSS:")
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		// Another user's process, or an old kernel.
		m.rss, m.anon = m.vmRSS, kb(status, "RssAnon:")
		return m, nil
	}
	m.rss, m.pss, m.anon = kb(rollup, "Rss:"), kb(rollup, "Pss:"), kb(rollup, "Pss_Anon:")
	return m, nil
}

// kb finds "\nkey 123 kB" and returns it in bytes, or 0.
func kb(file []byte, key string) int64 {
	_, rest, found := bytes.Cut(file, []byte("\n"+key))
	if !found {
		return 0
	}
	f := bytes.Fields(rest[:min(len(rest), 64)])
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(f[0]), 10, 64)
	return n << 10
}

// pin binds every thread of this process to one core. Threads made later inherit it.
func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		tid, _ := strconv.Atoi(t.Name())
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return fmt.Errorf("pin to core %d: %w", cpu, err)
		}
	}
	return nil
}

// raiseFiles lifts the soft limit on descriptors to the hard one and says no when that is not
// enough.
func raiseFiles(need int) error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	lim.Cur = lim.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	if uint64(need) > lim.Max {
		return fmt.Errorf("%d descriptors needed, the hard limit is %d (ulimit -Hn)", need, lim.Max)
	}
	return nil
}
