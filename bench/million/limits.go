//go:build linux

package main

import (
	"fmt"
	"math"
	"strings"
)

const (
	serverFiles = 512   // of a server, not for connections: the library leaves 256 free
	loadFiles   = 64    // the same of a load
	perAddress  = 10000 // connections from one source address, as load has it
	addresses   = 60000 // source addresses at the most: 127.1.0.1 and on
)

// facts are the limits of the machine, and what is used of them.
type facts struct {
	filesHard, nrOpen                    uint64 // descriptors of a process: limit and highest limit
	fileMax, fileUsed                    uint64
	portLow, portHigh                    uint64
	backlog                              uint64 // net.core.somaxconn
	tcpPages, tcpUsed                    uint64 // of net.ipv4.tcp_mem and /proc/net/sockstat
	tracked                              bool   // conntrack has the connections of the loopback
	conntrackMax, conntrackUsed          uint64
	memoryFree, memoryTotal              uint64 // bytes; within the control group's limit
	pids, threadsMax, nproc, threadsUsed uint64
	groupTasks                           uint64 // tasks that the control group still allows
	watches                              uint64 // fs.epoll.max_user_watches
}

func (f *facts) ports() uint64 { return sub(f.portHigh+1, f.portLow) }

// cost is what one connection takes, and what a server and its load take before the first, as the
// probe measured.
type cost struct {
	Server   float64 `json:"server_bytes"` // user memory
	Load     float64 `json:"load_bytes"`
	Kernel   float64 `json:"kernel_bytes"` // both ends
	TCPPages float64 `json:"tcp_pages"`    // both ends, as /proc/net/sockstat counts them
	Pair     uint64  `json:"pair_bytes"`   // user memory of an empty server and load
	Threads  uint64  `json:"pair_threads"`
}

// each is the bytes of one connection, all its parts.
func (c *cost) each() float64 { return c.Server + c.Load + c.Kernel }

// bound is one limit: how many connections it allows, and how it is raised.
type bound struct {
	Name  string `json:"name"`
	Has   string `json:"has"`
	Conns uint64 `json:"conns"`
	Raise string `json:"raise"`
}

// perServer is how many connections a server may have on average, so that the one that SO_REUSEPORT
// gives most stays below its descriptors. The kernel deals them out by a hash, so the number of one
// server is binomial: seven standard deviations above the mean are passed by none.
func perServer(files uint64) uint64 {
	if files <= serverFiles {
		return 0
	}
	room := float64(files - serverFiles)
	root := (math.Sqrt(49+4*room) - 7) / 2 // of mean + 7·√mean = room
	return min(uint64(root*root), files-loadFiles)
}

// handshakes is how many handshakes a load may have in flight, so that those of one listener fit
// into its backlog.
func handshakes(backlog uint64) uint64 {
	return max(1, min(32, backlog/4))
}

// bounds lists every limit, with what it takes to raise it for want connections.
func bounds(f facts, c cost, want uint64) []bound {
	each := perServer(f.filesHard)
	if each == 0 {
		return []bound{{
			Name: "RLIMIT_NOFILE", Has: fmt.Sprintf("%d descriptors a process", f.filesHard), Raise: raiseFiles(f.nrOpen),
		}}
	}
	pairs := (want + each - 1) / each
	var list []bound
	add := func(name, has string, conns uint64, raise string) {
		list = append(list, bound{name, has, conns, raise})
	}

	threads, which := smallest(
		named{sub(f.pids, f.threadsUsed), "kernel.pid_max"},
		named{sub(f.threadsMax, f.threadsUsed), "kernel.threads-max"},
		named{sub(f.nproc, f.threadsUsed), "RLIMIT_NPROC"},
		named{f.groupTasks, "pids.max of the control group"},
	)
	// A tenth is left for other processes.
	allowed := (threads - threads/10) / max(1, c.Threads)
	add("RLIMIT_NOFILE and "+which,
		fmt.Sprintf("%s descriptors a process, %s threads free, %d a server and its load",
			thousands(f.filesHard), thousands(threads), c.Threads),
		mul(allowed, each),
		raiseFiles(f.nrOpen)+"; or more threads: "+raiseThreads(which, f.threadsUsed+pairs*c.Threads*10/9+1))

	add("fs.file-max", fmt.Sprintf("%s open files, %s in use; a connection has two", thousands(f.fileMax), thousands(f.fileUsed)),
		sub(f.fileMax, f.fileUsed+pairs*(serverFiles+loadFiles))/2,
		fmt.Sprintf("sysctl -w fs.file-max=%d", f.fileUsed+pairs*(serverFiles+loadFiles)+2*want))

	// A load takes perAddress connections from each address, so that fewer ports stop it at the
	// first one.
	byPorts := uint64(perAddress * addresses)
	if f.ports() < perAddress {
		byPorts = f.ports()
	}
	add("net.ipv4.ip_local_port_range",
		fmt.Sprintf("ports %d to %d on each of %s source addresses", f.portLow, f.portHigh, thousands(addresses)),
		byPorts, `sysctl -w net.ipv4.ip_local_port_range="1024 65535"`)

	add("net.core.somaxconn",
		fmt.Sprintf("a backlog of %s; %d handshakes of each load at a time fit it", thousands(f.backlog), handshakes(f.backlog)),
		unlimited, "")

	tracked := unlimited
	has := "the loopback is not tracked"
	if f.tracked {
		tracked = sub(f.conntrackMax, f.conntrackUsed)
		has = fmt.Sprintf("%s entries, %s in use; the loopback is tracked", thousands(f.conntrackMax), thousands(f.conntrackUsed))
	}
	add("net.netfilter.nf_conntrack_max", has, tracked,
		fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d, or iptables -t raw -I OUTPUT -o lo -j NOTRACK", f.conntrackUsed+want))

	// Above the second figure of tcp_mem sockets get less, above the third none; the third is what
	// counts here.
	pages := unlimited
	if c.TCPPages > 0 {
		pages = uint64(float64(sub(f.tcpPages, f.tcpUsed)) / c.TCPPages)
	}
	add("net.ipv4.tcp_mem",
		fmt.Sprintf("%s pages, %s in use; a connection has %.3f", thousands(f.tcpPages), thousands(f.tcpUsed), c.TCPPages),
		pages, fmt.Sprintf(`sysctl -w net.ipv4.tcp_mem="%d %[1]d %[1]d"`, f.tcpUsed+uint64(float64(want)*c.TCPPages)+1))

	bytes := c.each() + float64(c.Pair)/float64(each)
	reserve := f.memoryTotal / 16
	add("memory",
		fmt.Sprintf("%s free, %s of it left to the rest; both ends of a connection and their share of the processes take %.0f B",
			gib(f.memoryFree), gib(reserve), bytes),
		uint64(float64(sub(f.memoryFree, reserve+c.Pair))/max(1, bytes)),
		fmt.Sprintf("a machine with %s free", gib(uint64(float64(want)*bytes)+reserve+c.Pair)))

	add("fs.epoll.max_user_watches", fmt.Sprintf("%s watches a user; a connection has two", thousands(f.watches)),
		f.watches/2, fmt.Sprintf("sysctl -w fs.epoll.max_user_watches=%d", 2*want))
	return list
}

// lowest is the limit that allows the fewest connections.
func lowest(list []bound) bound {
	least := list[0]
	for _, b := range list[1:] {
		if b.Conns < least.Conns {
			least = b
		}
	}
	return least
}

func raiseFiles(nrOpen uint64) string {
	return fmt.Sprintf("ulimit -n %d as root before make (up to fs.nr_open), or hard nofile in /etc/security/limits.conf", nrOpen)
}

func raiseThreads(which string, need uint64) string {
	switch {
	case strings.HasPrefix(which, "kernel."):
		return fmt.Sprintf("sysctl -w %s=%d", which, need)
	case which == "RLIMIT_NPROC":
		return fmt.Sprintf("ulimit -u %d as root", need)
	}
	return fmt.Sprintf("pids.max of at least %d in the control group", need)
}

type named struct {
	n    uint64
	name string
}

func smallest(list ...named) (uint64, string) {
	least := list[0]
	for _, v := range list[1:] {
		if v.n < least.n {
			least = v
		}
	}
	return least.n, least.name
}

// sub is a-b, and 0 where b is more.
func sub(a, b uint64) uint64 { return a - min(a, b) }

// mul is a·b, and the largest number where that is more.
func mul(a, b uint64) uint64 {
	if b != 0 && a > math.MaxUint64/b {
		return math.MaxUint64
	}
	return a * b
}

func thousands(n uint64) string {
	if n >= 1<<62 {
		return "unlimited"
	}
	s := fmt.Sprint(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}

func gib(bytes uint64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }
