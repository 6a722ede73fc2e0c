//go:build linux

package main

import (
	"math"
	"strings"
	"testing"
)

func TestPerServerLeavesRoomForTheSpread(t *testing.T) {
	for _, files := range []uint64{600, 1024, 4096, 20_000, 1 << 20} {
		n := perServer(files)
		if n == 0 {
			t.Fatalf("%d descriptors: no connection", files)
		}
		room := float64(files - serverFiles)
		at := func(mean uint64) float64 { return float64(mean) + 7*math.Sqrt(float64(mean)) }
		if at(n) > room {
			t.Errorf("%d descriptors: %d connections on average, %.0f with the spread", files, n, at(n))
		}
		if at(n+2) <= room {
			t.Errorf("%d descriptors: %d connections on average, and two more fit", files, n)
		}
		if n+loadFiles > files {
			t.Errorf("%d descriptors: a load cannot hold %d connections", files, n)
		}
	}
	if n := perServer(serverFiles); n != 0 {
		t.Errorf("%d connections without a descriptor to spare", n)
	}
}

func TestHandshakesFitTheBacklog(t *testing.T) {
	for backlog, want := range map[uint64]uint64{1: 1, 16: 4, 128: 32, 4096: 32} {
		if got := handshakes(backlog); got != want {
			t.Errorf("backlog %d: %d handshakes, want %d", backlog, got, want)
		}
	}
}

// ample is a machine that allows more than a million of everything.
func ample() facts {
	return facts{
		filesHard: 1 << 20, nrOpen: 1 << 30, fileMax: 1 << 30, portLow: 32768, portHigh: 60999, backlog: 4096,
		tcpPages: 1 << 30, tracked: true, conntrackMax: 1 << 30, memoryFree: 1 << 40, memoryTotal: 1 << 40,
		pids: 1 << 22, threadsMax: 1 << 22, nproc: unlimited, groupTasks: unlimited, watches: 1 << 30,
	}
}

func TestBounds(t *testing.T) {
	const want = 1_000_000
	c := cost{Server: 700, Load: 300, Kernel: 9000, TCPPages: 0.25, Pair: 32 << 20, Threads: 13}
	if least := lowest(bounds(ample(), c, want)); least.Conns < want {
		t.Fatalf("an ample machine is bound by %+v", least)
	}
	tests := []struct {
		name  string
		spoil func(*facts)
		bound string
		conns uint64
		raise string
	}{
		{"no descriptors", func(f *facts) { f.filesHard = 512 }, "RLIMIT_NOFILE", 0, "ulimit -n 1073741824"},
		{
			"few descriptors and threads", func(f *facts) { f.filesHard, f.pids, f.threadsUsed = 20_000, 700, 50 },
			"RLIMIT_NOFILE and kernel.pid_max", 45 * perServer(20_000), "sysctl -w kernel.pid_max=831",
		},
		{
			"tasks of the group", func(f *facts) { f.filesHard, f.groupTasks = 20_000, 100 },
			"RLIMIT_NOFILE and pids.max of the control group", 6 * perServer(20_000), "pids.max of at least 781",
		},
		{
			"files of the machine", func(f *facts) { f.fileMax, f.fileUsed = 1_000_000+1000+serverFiles+loadFiles, 1000 },
			"fs.file-max", 500_000, "sysctl -w fs.file-max=2001576",
		},
		{"ports", func(f *facts) { f.portLow, f.portHigh = 40_000, 40_019 }, "net.ipv4.ip_local_port_range", 20, "1024 65535"},
		{
			"conntrack", func(f *facts) { f.conntrackMax, f.conntrackUsed = 262_144, 144 },
			"net.netfilter.nf_conntrack_max", 262_000, "nf_conntrack_max=1000144",
		},
		{"conntrack that does not look", func(f *facts) { f.conntrackMax, f.tracked = 1, false }, "", want, ""},
		{"TCP memory", func(f *facts) { f.tcpPages, f.tcpUsed = 100_500, 500 }, "net.ipv4.tcp_mem", 400_000, `"250501 250501 250501"`},
		// 10,000 B a connection and 32 B of the 32 MiB of a pair, a 16th and one pair left over.
		{"memory", func(f *facts) { f.memoryTotal, f.memoryFree = 16<<30, 5<<30 }, "memory", 424_772, "a machine with 10.4 GiB free"},
		{"watches", func(f *facts) { f.watches = 1001 }, "fs.epoll.max_user_watches", 500, "max_user_watches=2000000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := ample()
			tt.spoil(&f)
			least := lowest(bounds(f, c, want))
			if tt.bound == "" {
				if least.Conns < tt.conns {
					t.Errorf("bound by %+v", least)
				}
				return
			}
			if least.Name != tt.bound || least.Conns != tt.conns || !strings.Contains(least.Raise, tt.raise) {
				t.Errorf("bound by %+v, want %s for %d connections, to raise with %s", least, tt.bound, tt.conns, tt.raise)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	p, err := newPlan("dir", 1_000_003, 53, 32, 10)
	if err != nil {
		t.Fatal(err)
	}
	sum, seen := 0, map[string]bool{}
	for i := range p.pairs {
		n := p.share(i)
		if n < p.share(0) || n > p.share(0)+1 {
			t.Errorf("load %d has %d connections, the first %d", i, n, p.share(0))
		}
		sum += n
		args := p.load(i)
		var from string
		for j, a := range args {
			if a == "--source" {
				from = args[j+1]
			}
		}
		if seen[from] || !strings.HasPrefix(from, "127.") {
			t.Errorf("load %d leaves from %q", i, from)
		}
		seen[from] = true
	}
	if sum != p.conns {
		t.Errorf("the loads hold %d of %d", sum, p.conns)
	}
	if a, b := source(0), source(300); a != "127.1.0.1" || b != "127.1.1.45" {
		t.Errorf("sources %s and %s", a, b)
	}
	if few, err := newPlan("dir", 1, 2, 32, 10); err != nil || few.pairs != 1 {
		t.Errorf("one connection over %d pairs, error %v", few.pairs, err)
	}
}
