package page

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/agloop/agloop/bench/result"
)

// Benchfmt is the run in the Go benchmark format: a line for each round with the case's figure and
// its rates, and one for each count of a microbenchmark. Microseconds become nanoseconds, which
// benchstat knows as seconds and prints as such.
func Benchfmt(run *result.Run) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\npkg: github.com/agloop/agloop/bench\n", runtime.GOOS, runtime.GOARCH)
	if run.Machine.CPU != "" {
		fmt.Fprintf(&b, "cpu: %s\n", run.Machine.CPU)
	}
	b.WriteByte('\n')
	for _, unit := range moreIsBetter(run) {
		fmt.Fprintf(&b, "Unit %s better=higher\n", unit)
	}
	for i := range run.Cases {
		c := &run.Cases[i]
		for _, s := range c.Servers {
			for _, r := range s.Rounds {
				var figures strings.Builder
				for _, m := range benched(c) {
					if v, ok := r.Values[m.Key]; ok {
						unit, factor := benchUnit(m)
						fmt.Fprintf(&figures, " %s %s", figure6(v*factor), unit)
					}
				}
				if figures.Len() > 0 {
					fmt.Fprintf(&b, "Benchmark%s/server=%s 1%s\n", capital(c.Name), benchName(s.Name), figures.String())
				}
			}
		}
	}
	for _, m := range run.Micro {
		for _, ns := range m.NsOp {
			fmt.Fprintf(&b, "Benchmark%s/%s/server=%s 1 %s ns/op %s B/op %s allocs/op\n", capital(benchName(m.Group)),
				benchName(m.Name), benchName(m.By), figure6(ns), figure6(m.BOp), figure6(m.Alloc))
		}
	}
	return []byte(b.String())
}

func figure6(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// benched are the case's own measure and the rates beside it.
func benched(c *result.Case) []result.Measure {
	out := []result.Measure{c.Measure}
	for _, m := range c.Beside {
		if m.More && strings.HasSuffix(m.Key, "_per_s") {
			out = append(out, m)
		}
	}
	return out
}

func moreIsBetter(run *result.Run) []string {
	var out []string
	for i := range run.Cases {
		for _, m := range benched(&run.Cases[i]) {
			if unit, _ := benchUnit(m); m.More && !slices.Contains(out, unit) {
				out = append(out, unit)
			}
		}
	}
	return out
}

// benchUnit makes a unit of a key: server_us_per_msg is server-ns/msg, bytes_per_conn B/conn,
// msgs_per_s msg/s.
func benchUnit(m result.Measure) (unit string, factor float64) {
	factor = 1
	over, under, per := strings.Cut(m.Key, "_per_")
	words := strings.Split(over, "_")
	for i, w := range words {
		switch w {
		case "us":
			words[i], factor = "ns", 1000
		case "bytes":
			words[i] = "B"
		case "msgs", "events", "conns":
			words[i] = strings.TrimSuffix(w, "s")
		}
	}
	unit = strings.Join(words, "-")
	if m.Unit == "B" && !slices.Contains(words, "B") {
		unit += "-B"
	}
	if per {
		unit += "/" + under
	}
	return unit, factor
}

// benchName leaves out what would end the name of a benchmark or begin a key.
func benchName(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '/' || r == '=' {
			return '_'
		}
		return r
	}, s)
}
