//go:build linux

package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const unlimited = uint64(math.MaxInt64)

func readFacts() (f facts, err error) {
	var files, tasks unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return f, fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &tasks); err != nil {
		return f, fmt.Errorf("read RLIMIT_NPROC: %w", err)
	}
	f.filesHard, f.nproc = files.Max, min(tasks.Max, unlimited)
	for _, k := range []struct {
		name string
		to   []*uint64
	}{
		{"fs/nr_open", []*uint64{&f.nrOpen}},
		{"fs/file-max", []*uint64{&f.fileMax}},
		{"fs/file-nr", []*uint64{&f.fileUsed}},
		{"net/ipv4/ip_local_port_range", []*uint64{&f.portLow, &f.portHigh}},
		{"net/core/somaxconn", []*uint64{&f.backlog}},
		{"net/ipv4/tcp_mem", []*uint64{nil, nil, &f.tcpPages}},
		{"kernel/pid_max", []*uint64{&f.pids}},
		{"kernel/threads-max", []*uint64{&f.threadsMax}},
		{"fs/epoll/max_user_watches", []*uint64{&f.watches}},
	} {
		fields := strings.Fields(file("/proc/sys/" + k.name))
		if len(fields) < len(k.to) {
			return f, fmt.Errorf("/proc/sys/%s has %d figures, %d are wanted", k.name, len(fields), len(k.to))
		}
		for i, to := range k.to {
			if to == nil {
				continue
			}
			if *to, err = strconv.ParseUint(fields[i], 10, 64); err != nil {
				return f, fmt.Errorf("/proc/sys/%s: %w", k.name, err)
			}
		}
	}
	// Without the module no connection is tracked.
	f.conntrackMax, f.conntrackUsed = figure("/proc/sys/net/netfilter/nf_conntrack_max"), conntracked()
	f.tcpUsed = tcpPages()
	f.threadsUsed = threads()
	info := file("/proc/meminfo")
	f.memoryTotal, f.memoryFree = kilobytes(info, "MemTotal"), kilobytes(info, "MemAvailable")
	f.groupTasks = groupRoom("pids", "pids.max", "pids.current", "pids.max", "pids.current")
	f.memoryFree = min(f.memoryFree,
		groupRoom("memory", "memory.max", "memory.current", "memory.limit_in_bytes", "memory.usage_in_bytes"))
	return f, nil
}

func file(name string) string {
	b, _ := os.ReadFile(name)
	return string(b)
}

// figure is the number that a file holds, or 0.
func figure(name string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSpace(file(name)), 10, 64)
	return n
}

func conntracked() uint64 { return figure("/proc/sys/net/netfilter/nf_conntrack_count") }

// tcpPages is the memory of all TCP sockets, in pages, by the kernel's own account.
func tcpPages() uint64 {
	for line := range strings.Lines(file("/proc/net/sockstat")) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "TCP:" && f[len(f)-2] == "mem" {
			n, _ := strconv.ParseUint(f[len(f)-1], 10, 64)
			return n
		}
	}
	return 0
}

// threads is how many the machine has: the second part of the fourth field of /proc/loadavg.
func threads() uint64 {
	f := strings.Fields(file("/proc/loadavg"))
	if len(f) < 4 {
		return 0
	}
	_, all, _ := strings.Cut(f[3], "/")
	n, _ := strconv.ParseUint(all, 10, 64)
	return n
}

// kilobytes finds "key: 123 kB" and returns it in bytes, or 0.
func kilobytes(text, key string) uint64 {
	for line := range strings.Lines(text) {
		if name, rest, _ := strings.Cut(line, ":"); name == key {
			f := strings.Fields(rest)
			if len(f) == 0 {
				return 0
			}
			n, _ := strconv.ParseUint(f[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// groupRoom is what the control groups of this process leave of a limit, from its own one up to the
// root.
func groupRoom(controller, limit2, used2, limit1, used1 string) uint64 {
	room := unlimited
	for line := range strings.Lines(file("/proc/self/cgroup")) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) < 3 {
			continue
		}
		root, limit, used := "/sys/fs/cgroup", limit2, used2
		if part[1] != "" {
			if !strings.Contains(","+part[1]+",", ","+controller+",") {
				continue
			}
			root, limit, used = filepath.Join(root, part[1]), limit1, used1
		}
		for path := part[2]; ; path = filepath.Dir(path) {
			dir := filepath.Join(root, path)
			if most, err := strconv.ParseUint(strings.TrimSpace(file(filepath.Join(dir, limit))), 10, 64); err == nil {
				room = min(room, sub(most, figure(filepath.Join(dir, used))))
			}
			if path == "/" || path == "." {
				break
			}
		}
	}
	return room
}
