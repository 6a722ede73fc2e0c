//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// caches are the kernel's slab caches that a connection's objects come from, apart from those that
// everything shares.
var caches = []string{
	"TCP", "sock_inode_cache", "dentry", "filp", "eventpoll_epi", "ep_head", "tcp_bind_bucket", "tcp_bind2_bucket",
	"request_sock_TCP", "skbuff_head_cache", "skbuff_small_head", "skbuff_fclone_cache",
}

// reading is the memory of the machine and of the processes at one time, in bytes.
type reading struct {
	servers, loads uint64 // Pss, summed up
	slab           uint64 // the kernel's small objects
	tables         uint64 // page tables
	stacks         uint64 // of the kernel, one a thread
	free           uint64 // MemAvailable: the machine as a whole
	tcpPages       uint64
	caches         map[string]uint64 // only where /proc/slabinfo may be read
}

func (r *reading) kernel() uint64 { return r.slab + r.tables + r.stacks }

func read(servers, loads []*child) (r reading, err error) {
	if r.servers, err = pss(servers); err != nil {
		return r, err
	}
	if r.loads, err = pss(loads); err != nil {
		return r, err
	}
	info := file("/proc/meminfo")
	r.slab, r.tables = kilobytes(info, "Slab"), kilobytes(info, "PageTables")
	r.stacks, r.free = kilobytes(info, "KernelStack"), kilobytes(info, "MemAvailable")
	r.tcpPages = tcpPages()
	r.caches = slabs(file("/proc/slabinfo"))
	return r, nil
}

// pss sums up the user memory of processes, shared pages divided by those that share them.
func pss(list []*child) (sum uint64, err error) {
	for _, c := range list {
		name := fmt.Sprintf("/proc/%d/smaps_rollup", c.cmd.Process.Pid)
		b, err := os.ReadFile(name)
		if err != nil {
			return 0, fmt.Errorf("memory of %s: %w", c.name, err)
		}
		sum += kilobytes(string(b), "Pss")
	}
	return sum, nil
}

// slabs reads what each of the caches has taken from the machine.
func slabs(text string) map[string]uint64 {
	found := map[string]uint64{}
	page := uint64(os.Getpagesize())
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		for _, name := range caches {
			// name active total size perslab pagesperslab : … : slabdata active_slabs num_slabs
			// sharedavail
			if len(f) > 14 && f[0] == name {
				pages, _ := strconv.ParseUint(f[5], 10, 64)
				count, _ := strconv.ParseUint(f[14], 10, 64)
				found[name] = pages * count * page
			}
		}
	}
	return found
}

// apart is the growth from a to b for one of n connections.
func apart(a, b uint64, n int) float64 { return (float64(b) - float64(a)) / float64(n) }
