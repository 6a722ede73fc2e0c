package main

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agloop/agloop/bench/result"
)

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// oneLine is the text of an error on one line, for a table.
func oneLine(err error) string {
	words := strings.Join(strings.Fields(err.Error()), " ")
	if len(words) > 400 {
		words = strings.ToValidUTF8(words[:400], "") + " …"
	}
	return words
}

// busyTicks sums the first line of /proc/stat, without idle, iowait and the guests, which are in
// user already.
func busyTicks(stat string) float64 {
	f := strings.Fields(firstLine(stat))
	if len(f) < 9 || f[0] != "cpu" {
		return 0
	}
	var sum float64
	for i, v := range f[1:9] {
		if i != 3 && i != 4 {
			n, _ := strconv.ParseFloat(v, 64)
			sum += n
		}
	}
	return sum
}

// parseCalls reads the table of strace -c: how often each system call was made.
func parseCalls(table string) map[string]float64 {
	out := map[string]float64{}
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		// % time, seconds, usecs/call, calls, perhaps errors, and the name.
		if len(f) < 5 || f[len(f)-1] == "total" {
			continue
		}
		if _, err := strconv.ParseFloat(f[0], 64); err != nil {
			continue
		}
		if n, err := strconv.ParseFloat(f[3], 64); err == nil {
			out[f[len(f)-1]] += n
		}
	}
	return out
}

// perMessage divides what a workload's calls are above those of opening and closing its
// connections. Calls rarer than one in a thousand messages are not about messages.
func perMessage(all, connections map[string]float64, messages float64) []result.PerCall {
	var out []result.PerCall
	for name, n := range all {
		if per := (n - connections[name]) / messages; per >= 0.001 {
			out = append(out, result.PerCall{Name: name, Per: per})
		}
	}
	slices.SortFunc(out, func(a, b result.PerCall) int {
		return cmp.Or(cmp.Compare(b.Per, a.Per), strings.Compare(a.Name, b.Name))
	})
	return out
}

var spot = regexp.MustCompile(`^\s*([0-9.]+)%\s+\[([.k])\]\s+(\S.*?)\s*$`)

// parseHot reads perf report -F overhead,sym: the n hottest symbols.
func parseHot(report string, n int) []result.Symbol {
	var out []result.Symbol
	for line := range strings.Lines(report) {
		m := spot.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		share, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			continue
		}
		out = append(out, result.Symbol{Name: m[3], Kernel: m[2] == "k", Share: share / 100})
	}
	slices.SortStableFunc(out, func(a, b result.Symbol) int { return cmp.Compare(b.Share, a.Share) })
	return out[:min(n, len(out))]
}

// groups of micro-benchmarks, by the function's name. BenchmarkEvents has its group in the name of
// the case.
var groups = map[string]string{
	"GetRelease": "pool", "Slots": "slots", "SlotsParallel": "slots", "Queue": "batch", "Wheel": "timer",
}

// parseMicro reads what go test -bench -benchmem prints. Lines of one benchmark become one Micro
// with all its counts. procs is GOMAXPROCS, which ends the names when it is not 1.
func parseMicro(output string, procs int) []result.Micro {
	var out []result.Micro
	for line := range strings.Lines(output) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(f[0], "Benchmark")
		if procs > 1 {
			name = strings.TrimSuffix(name, "-"+strconv.Itoa(procs))
		}
		m, ok := microOf(name)
		if !ok {
			continue
		}
		var ns float64
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				break
			}
			switch f[i+1] {
			case "ns/op":
				ns = v
			case "B/op":
				m.BOp = v
			case "allocs/op":
				m.Alloc = v
			}
		}
		if i := slices.IndexFunc(out, func(o result.Micro) bool {
			return o.Group == m.Group && o.Name == m.Name && o.By == m.By
		}); i >= 0 {
			out[i].NsOp = append(out[i].NsOp, ns)
			out[i].BOp, out[i].Alloc = max(out[i].BOp, m.BOp), max(out[i].Alloc, m.Alloc)
			continue
		}
		m.NsOp = []float64{ns}
		out = append(out, m)
	}
	return out
}

// microOf names what a benchmark measures: Events/encode/TYPE/by=encoding-json, or Slots and what
// comes behind it.
func microOf(name string) (m result.Micro, ok bool) {
	head, rest, _ := strings.Cut(name, "/")
	if head != "Events" {
		m = result.Micro{Group: groups[head], Name: name, By: "agloop"}
		return m, m.Group != ""
	}
	part := strings.Split(rest, "/")
	if len(part) != 3 || !strings.HasPrefix(part[2], "by=") {
		return m, false
	}
	by := strings.TrimPrefix(part[2], "by=")
	if by == "encoding-json" {
		by = "encoding/json"
	}
	return result.Micro{Group: part[0], Name: part[1], By: by}, true
}
