//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the CPU a process has spent so far, user and system, threads that ended included. pid 0 is this process.
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

// cpuTimeStat reads the same in ticks of 10 ms, for kernels that refuse another process's clock.
func cpuTimeStat(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold spaces; utime and stime are the 12th and 13th fields behind it.
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(f))
	}
	utime, err1 := strconv.ParseInt(string(f[11]), 10, 64)
	stime, err2 := strconv.ParseInt(string(f[12]), 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc/%d/stat: not numbers", pid)
	}
	return time.Duration(utime+stime) * 10 * time.Millisecond, nil
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

// kb finds "\nkey   123 kB" and answers it in bytes, or 0.
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

// raiseFiles lifts the soft limit on descriptors to the hard one and says no when that is not enough.
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
