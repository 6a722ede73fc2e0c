//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// others is the CPU that every process but the skipped ones has spent so far, in ticks, with what
// their ended children left them. It is a sum over processes, which are charged for what they used
// to the nanosecond; /proc/stat counts whom a timer interrupt hits, and misses nearly all that
// sleeps and wakes as often as a paced load does.
//
// TCP on the loopback is charged to whoever sent or read. What of it is put off is done by threads
// of the kernel (ksoftirqd), and counts apart: nobody else caused it.
func others(skip ...int) (sum, deferred int64, err error) {
	names, err := readDirNames("/proc")
	if err != nil {
		return 0, 0, err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || slices.Contains(skip, pid) {
			continue
		}
		f, comm, err := stat(pid)
		if err != nil {
			continue // it has ended, or may not be read
		}
		for _, field := range []int{utime, stime, cutime, cstime} {
			n, err := strconv.ParseInt(string(f[field]), 10, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
			}
			if bytes.HasPrefix(comm, []byte("ksoftirqd/")) {
				deferred += n
			} else {
				sum += n
			}
		}
	}
	return sum, deferred, nil
}

func readDirNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// stolen is the time that the host gave to others while a core had something to do, and how many
// cores there are.
func stolen() (steal time.Duration, cores int, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	all, rest, _ := bytes.Cut(b, []byte("\n"))
	f := bytes.Fields(all)
	if len(f) < 9 {
		return 0, 0, fmt.Errorf("/proc/stat begins with %q", all)
	}
	n, err := strconv.ParseInt(string(f[8]), 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("/proc/stat: %w", err)
	}
	for bytes.HasPrefix(rest, []byte("cpu")) {
		cores++
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	return time.Duration(n) * tick, cores, nil
}
