//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/agloop/agloop/bench/result"
)

// report is what was found. Bytes are those of one connection.
type report struct {
	Began   time.Time      `json:"began"`
	Seconds float64        `json:"seconds"`
	Machine result.Machine `json:"machine"`
	Asked   int            `json:"asked"`
	Conns   int            `json:"conns"` // held
	Bound   string         `json:"bound"` // the limit that allowed no more, or ""
	Bounds  []bound        `json:"bounds"`
	Probe   cost           `json:"probe"`

	Servers     int     `json:"servers"`
	OpenSeconds float64 `json:"open_seconds"`
	AcceptRate  float64 `json:"accept_rate"` // connections per second of all servers
	Settle      float64 `json:"settle_seconds"`
	IdleCores   float64 `json:"idle_server_cores"`

	ServerBytes  float64            `json:"server_bytes"` // all of the servers' memory
	GrowthBytes  float64            `json:"growth_bytes"` // of that, after the first connection
	LoadBytes    float64            `json:"load_bytes"`
	KernelBytes  float64            `json:"kernel_bytes"` // both ends
	TableBytes   float64            `json:"page_table_bytes"`
	CacheBytes   map[string]float64 `json:"cache_bytes,omitempty"` // kernel's caches, both ends
	MachineBytes float64            `json:"machine_bytes"`         // by which MemAvailable fell
	TCPPages     float64            `json:"tcp_pages"`

	Runs      int     `json:"runs"`
	Events    uint64  `json:"events"`
	EventRate float64 `json:"events_per_s"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	P999      float64 `json:"p999_us"`
	Max       float64 `json:"max_us"`
	RunCores  float64 `json:"run_server_cores"`
	LoadCores float64 `json:"run_load_cores"`

	Alive       int     `json:"alive"` // answered the last ping
	PingSeconds float64 `json:"ping_seconds"`
	ServerPings uint64  `json:"server_pings"` // the servers' own, answered
}

func (r *report) memory(a, b *reading) {
	each := func(a, b uint64) float64 { return round(apart(a, b, r.Conns), 1) }
	r.ServerBytes, r.GrowthBytes = each(0, b.servers), each(a.servers, b.servers)
	r.LoadBytes = each(a.loads, b.loads)
	r.KernelBytes, r.TableBytes = each(a.kernel(), b.kernel()), each(a.tables, b.tables)
	r.MachineBytes = each(b.free, a.free)
	r.TCPPages = round(apart(a.tcpPages, b.tcpPages, r.Conns), 4)
	r.CacheBytes = map[string]float64{}
	for name, bytes := range b.caches {
		r.CacheBytes[name] = each(a.caches[name], bytes)
	}
}

// runs adds up the latencies of all loads: a percentile of the whole cannot be had from theirs.
func (r *report) runs(list []message) error {
	var all *hdrhistogram.Histogram
	seconds := 0.0
	for i, m := range list {
		h, err := hdrhistogram.Decode([]byte(m.Latency))
		if err != nil {
			return fmt.Errorf("latencies of load %d: %w", i+1, err)
		}
		if all == nil {
			all = h
		} else if dropped := all.Merge(h); dropped > 0 {
			return fmt.Errorf("latencies of load %d: %d do not fit", i+1, dropped)
		}
		r.Runs += m.Runs
		r.Events += m.Events
		seconds = max(seconds, m.Seconds)
	}
	if all == nil || all.TotalCount() == 0 {
		return errors.New("no latency was measured")
	}
	at := func(p float64) float64 { return round(float64(all.ValueAtPercentile(p))/1e3, 1) }
	r.P50, r.P99, r.P999, r.Max = at(50), at(99), at(99.9), at(100)
	r.EventRate = round(float64(r.Events)/seconds, 0)
	return nil
}

// limits is the table of what the machine allows.
func (r *report) limits() string {
	var b strings.Builder
	b.WriteString("| limit | this machine has | connections | to raise it |\n|---|---|---:|---|\n")
	for _, l := range r.Bounds {
		raise := ""
		if l.Conns < uint64(r.Asked) {
			raise = l.Raise
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", l.Name, l.Has, thousands(l.Conns), raise)
	}
	if r.Conns < r.Asked {
		fmt.Fprintf(&b, "\n%s allows %s of the %s connections asked for.\n", r.Bound, thousands(uint64(r.Conns)),
			thousands(uint64(r.Asked)))
	}
	return b.String()
}

func (r *report) markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# %s live connections\n", thousands(uint64(r.Conns)))
	line("- %s, %d cores, %.1f GiB; Linux %s; %s; commit %s", r.Machine.CPU, r.Machine.Cores, r.Machine.Memory, r.Machine.Kernel,
		r.Machine.Go, r.Machine.Commit)
	line("- %d servers (`agloop stream`, one event loop each) on one port, %d loads on 127.0.0.0/8; both ends share the machine",
		r.Servers, r.Servers)
	line("- load average before %s, after %s; %s, took %.0f s\n", r.Machine.Load[0], r.Machine.Load[1],
		r.Began.Format(time.DateOnly), r.Seconds)
	line("| | |\n|---|---:|")
	line("| connections held, every one answered a ping | %s |", thousands(uint64(r.Alive)))
	line("| asked for | %s |", thousands(uint64(r.Asked)))
	least := lowest(r.Bounds)
	line("| the smallest limit is %s, at | %s |", least.Name, thousands(least.Conns))
	line("| opened per second, handshake included | %s |", thousands(uint64(r.AcceptRate)))
	line("| user memory of the servers, all of it, a connection | %.0f B |", r.ServerBytes)
	line("| … come since the first connection | %.0f B |", r.GrowthBytes)
	line("| kernel memory of both ends, a connection | %.0f B |", r.KernelBytes)
	line("| … of the server's end, about half | %.0f B |", r.KernelBytes/2)
	line("| user memory of the loads, come since the first connection | %.0f B |", r.LoadBytes)
	line("| memory of the whole machine, a connection and both ends | %.0f B |", r.MachineBytes)
	line("| servers' cores while all rest, their pings included | %.2f |", r.IdleCores)
	line("| runs, on 1 %% of the connections, %d bursts of 1 event a second | %s |", rate, thousands(uint64(r.Runs)))
	line("| events per second | %s |", thousands(uint64(r.EventRate)))
	line("| latency from the time an event is due: p50 | %s |", micro(r.P50))
	line("| p99 | %s |", micro(r.P99))
	line("| p99.9 | %s |", micro(r.P999))
	line("| largest | %s |", micro(r.Max))
	line("| cores of the servers and of the loads during the runs | %.2f and %.2f |", r.RunCores, r.LoadCores)
	line("| pings of the servers, answered | %s |", thousands(r.ServerPings))
	line("\nUser memory is Pss: what processes share is divided among them. A server has freed some of its heap when it listens,")
	line("and connections fill that first: the growth alone is less than they take. The whole includes the empty processes.\n")
	line("Kernel memory is the growth of Slab, PageTables and KernelStack in /proc/meminfo, %.0f B of it page tables. Both ends",
		r.TableBytes)
	line("are on this machine and have a socket, an inode, a file and an epoll entry each. The load's end has a port bound")
	line("besides, so that half is a guess for the server's.")
	if len(r.CacheBytes) > 0 {
		line("\n| kernel cache, both ends | B a connection |\n|---|---:|")
		byBytes := func(a, b string) int {
			return cmp.Or(cmp.Compare(r.CacheBytes[b], r.CacheBytes[a]), cmp.Compare(a, b))
		}
		for _, name := range slices.SortedFunc(maps.Keys(r.CacheBytes), byBytes) {
			if bytes := r.CacheBytes[name]; bytes >= 1 {
				line("| %s | %.0f |", name, bytes)
			}
		}
	}
	line("\n## Limits\n\n%s", r.limits())
	return b.String()
}

// write prints the report and saves it.
func (r *report) write(dir string) error {
	text := r.markdown()
	if _, err := os.Stdout.WriteString(text); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "million.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "million.md"), []byte(text), 0o644)
}

// micro is a time given in microseconds, for reading.
func micro(us float64) string {
	switch {
	case us < 1e3:
		return fmt.Sprintf("%.0f µs", us)
	case us < 1e6:
		return fmt.Sprintf("%.1f ms", us/1e3)
	}
	return fmt.Sprintf("%.2f s", us/1e6)
}

func round(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}

func sum(m map[string]uint64) (total uint64) {
	for _, n := range m {
		total += n
	}
	return total
}
