package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/agloop/agloop/bench/result"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// groups of cases in the order of the report. Message sizes are the sweep of the echo cases.
var groups = []struct{ name, title, text string }{
	{
		"idle", "Idle memory",
		"Connections are opened and left alone. The figure is what the server's resident memory grew by, divided by their number.",
	}, {
		"echo", "Echo",
		"Every message comes back unchanged. The figure is the server's CPU time, its own and the kernel's on its behalf, per " +
			"message: what the work costs, not how fast one client can ask for it.",
	}, {
		"sizes", "Message sizes",
		"The same echo with payloads from small to large: the small ones show what a message costs, the large ones what a byte costs.",
	}, {
		"stream", "Token streams",
		"Each run is one client that listens while an agent sends text deltas in bursts, as a model does. CPU time per event, " +
			"from the agent's call to the socket.",
	}, {
		"viewers", "Viewers of a run",
		"The events of a run go to everybody who views it, each on a connection of its own. CPU time per delivery, beside servers " +
			"that send one message to as many connections and keep nothing of it.",
	}, {
		"live", "Memory of live runs",
		"Runs have said everything and go on: their agents wait, their logs are whole. The figure is what the server's resident memory " +
			"grew by, divided by their number. The connections were open before and do not count, but what reaches them does; each views 64 " +
			"runs, or one that has no log.",
	}, {
		"resume", "Coming back",
		"All connections are reset at one moment while the runs go on. Two seconds later all clients dial at once, join their " +
			"sessions and ask for what they have missed; the time counts from a client's own dial. Every event must come once.",
	}, {
		"halfload", "Latency at half load",
		"Each server gets half of what it can do. Messages are sent when they are due, whatever has come back, and latency " +
			"counts from then, so that a stall is charged to everyone it held up.",
	}, {
		"fanout", "Fan-out",
		"One message comes in and goes out to every connection. CPU time per delivery.",
	}, {
		"churn", "Connection churn",
		"Connect, upgrade, one echo, close handshake, again. CPU time per connection.",
	}, {
		"tls-idle", "Idle memory over TLS",
		"As idle memory, over TLS 1.3. What a connection keeps of the buffers it once needed shows behind a message of 64 KiB each way.",
	}, {
		"tls-echo", "Echo over TLS",
		"The same echo over TLS 1.3. What a server writes at once is one record, or a few; CPU time per message.",
	}, {
		"tls-stream", "Token streams over TLS",
		"As token streams, over TLS 1.3. CPU time per event.",
	}, {
		"tls-handshakes", "TLS handshakes",
		"Connect, handshake, upgrade, again; a key of ECDSA P-256, and the key exchange that each library has by default. CPU time per " +
			"connection.",
	}, {
		"deflate-stream", "Compressed token streams",
		"As token streams, with permessage-deflate, as each library does it by default, but of all events. All agents say the same. CPU " +
			"time per event; beside it stand the bytes on the wire.",
	}, {
		"tags", "Build tags",
		"What build tags save or cost.",
	},
}

var percentiles = []result.Measure{
	{Key: "p50_us", Name: "p50", Unit: "µs"},
	{Key: "p90_us", Name: "p90", Unit: "µs"},
	{Key: "p99_us", Name: "p99", Unit: "µs"},
	{Key: "p999_us", Name: "p99.9", Unit: "µs"},
	{Key: "max_us", Name: "max", Unit: "µs"},
}

// ofLatency reports whether the measure of a case is a percentile: all of them are shown then.
func ofLatency(c *result.Case) bool {
	return slices.ContainsFunc(percentiles, func(m result.Measure) bool { return m.Key == c.Measure.Key })
}

// caseSections are the sections of all cases but those of the build tags, which come last.
func caseSections(run *result.Run) []section {
	var out []section
	known := map[string]bool{}
	for _, g := range groups {
		known[g.name] = true
		if g.name != "tags" {
			out = append(out, groupSections(run, g.name)...)
		}
	}
	for _, c := range run.Cases {
		if !known[c.Group] {
			known[c.Group] = true
			out = append(out, groupSections(run, c.Group)...)
		}
	}
	return out
}

// groupSections is one section, or none without cases.
func groupSections(run *result.Run, group string) []section {
	cases := casesOf(run, group)
	if len(cases) == 0 {
		return nil
	}
	s := section{ID: group, Name: upper(group)}
	for _, g := range groups {
		if g.name == group {
			s.Name, s.Text = g.title, g.text
		}
	}
	s.Heading = s.Name
	var single []*result.Case
	for _, c := range cases {
		if group != "sizes" && alone(c, cases) {
			single = append(single, c)
		}
	}
	sweeps := sweeps(cases)
	for _, sweep := range sweeps {
		s.Figures = append(s.Figures, sweepFigure(run, sweep))
	}
	for _, c := range single {
		if points(c, cases) < 2 || len(c.Servers) > few { // else the sweep's plot has the figures
			s.Figures = append(s.Figures, caseFigure(run, c, short(c, single)))
		}
		s.Tables = append(s.Tables, caseTable(c))
	}
	for _, sweep := range sweeps {
		if !allIn(sweep, single) {
			s.Tables = append(s.Tables, sweepTable(sweep, ""), sweepTable(sweep, ours+" ÷ it"))
		}
	}
	var of, found string
	if n := len(sweeps); n > 0 {
		of, found = plotOf(sweeps[n-1]), sweepFinding(sweeps[n-1])
	} else if len(single) > 0 {
		c := telling(single)
		of, found = short(c, single), finding(c)
		if ofLatency(c) {
			of = strings.TrimPrefix(of+", "+c.Measure.Name, ", ")
		}
	}
	if of != "" {
		s.Heading += ", " + of
	}
	if found != "" {
		s.Heading += ": " + found
	}
	if len(s.Figures) == 1 {
		s.Figures[0].Finding = "" // the heading says it
	}
	return []section{s}
}

// caseFigure is the plot of a case. which names it among the others of its section.
func caseFigure(run *result.Run, c *result.Case, which string) figure {
	f := figure{Finding: finding(c), Title: upper(c.Title), Note: againstFloor(c)}
	if which != "" {
		f.Finding = upper(which) + ": " + f.Finding
	}
	f.draw = func(w vg.Length) string { return dotPlot(f.Title, caseDots(c), c.Measure.Unit, w) }
	if ofLatency(c) {
		f.draw = func(w vg.Length) string { return curves(f.Title, run, c, w) }
	}
	return f
}

// telling is the case for the heading: the last of those with the most servers.
func telling(cases []*result.Case) *result.Case {
	best := cases[0]
	for _, c := range cases {
		if len(c.Servers) >= len(best.Servers) {
			best = c
		}
	}
	return best
}

func allIn(some, all []*result.Case) bool {
	return !slices.ContainsFunc(some, func(c *result.Case) bool { return !slices.Contains(all, c) })
}

// casesOf are the cases of a section. The sweep of the echo cases over many sizes has a section of
// its own.
func casesOf(run *result.Run, group string) []*result.Case {
	var out, all []*result.Case
	for i := range run.Cases {
		if c := &run.Cases[i]; c.Group == group || group == "sizes" && c.Group == "echo" {
			all = append(all, c)
		}
	}
	for _, c := range all {
		switch {
		case group == "echo" && !alone(c, all):
		case group == "sizes" && c.Group == "echo" && (c.Sweep == nil || points(c, all) < 2):
		default:
			out = append(out, c)
		}
	}
	return out
}

// alone reports whether a case has a plot of its own and is not only a point in the plot of its
// sweep.
func alone(c *result.Case, among []*result.Case) bool {
	return c.Sweep == nil || points(c, among) <= 4 || part(c.Name, "size") == "128"
}

// points are those of the sweep that c belongs to.
func points(c *result.Case, among []*result.Case) int {
	n := 0
	for _, o := range among {
		if o.Sweep != nil && o.Sweep.Plot == c.Sweep.Plot {
			n++
		}
	}
	return n
}

// sweeps are the cases that share a plot, each by x.
func sweeps(cases []*result.Case) [][]*result.Case {
	var out [][]*result.Case
	for _, c := range cases {
		if c.Sweep == nil {
			continue
		}
		i := slices.IndexFunc(out, func(s []*result.Case) bool { return s[0].Sweep.Plot == c.Sweep.Plot })
		if i < 0 {
			i, out = len(out), append(out, nil)
		}
		out[i] = append(out[i], c)
	}
	out = slices.DeleteFunc(out, func(s []*result.Case) bool { return len(s) < 2 })
	for _, s := range out {
		slices.SortFunc(s, func(a, b *result.Case) int { return cmp.Compare(a.Sweep.X, b.Sweep.X) })
	}
	return out
}

// where a case stands in its sweep: 64 KiB.
func where(c *result.Case) string {
	x := c.Sweep.X
	switch bytes := strings.Contains(c.Sweep.Axis, "byte"); {
	case bytes && x >= 1024 && math.Mod(x, 1024) == 0:
		return strconv.Itoa(int(x/1024)) + noBreak + "KiB"
	case bytes:
		return strconv.FormatFloat(x, 'f', -1, 64) + noBreak + "B"
	case x == math.Trunc(x):
		return thousands(strconv.FormatFloat(x, 'f', 0, 64))
	}
	return Number(x)
}

// plotOf is what tells a sweep from others by the same thing: message size, 32 in flight.
func plotOf(sweep []*result.Case) string {
	_, of, _ := strings.Cut(sweep[0].Sweep.Plot, ", ")
	return of
}

func sweepFinding(sweep []*result.Case) string {
	var ends []string
	var said string
	for _, c := range []*result.Case{sweep[0], sweep[len(sweep)-1]} {
		text := finding(c)
		if us, them := c.Server(ours), nearest(c); us != nil && them != nil && us.Spread(c.Measure.Key).N > 0 {
			text = compare(us.Ratio(them, c.Measure.Key).Median) + " " + them.Name
		}
		_, what, of := strings.Cut(text, " times ")
		if of && what == said {
			text = strings.TrimSuffix(text, " "+what) // 17 times less at 1, 5.0 times at 8
		}
		said = what
		ends = append(ends, text+" at "+where(c))
	}
	text := strings.Join(ends, ", ")
	if axis, _, _ := strings.Cut(sweep[0].Sweep.Axis, ","); !strings.Contains(sweep[0].Sweep.Axis, "byte") {
		text += " " + axis
	}
	return text
}

func sweepFigure(run *result.Run, sweep []*result.Case) figure {
	c := sweep[0]
	axis, _, _ := strings.Cut(c.Sweep.Axis, ",")
	f := figure{Finding: upper(sweepFinding(sweep)), Title: fmt.Sprintf("%s by %s", upper(c.Measure.Name), axis)}
	if of := plotOf(sweep); of != "" {
		f.Finding = upper(of) + ": " + sweepFinding(sweep)
	}
	var ticks plot.ConstantTicks
	for _, c := range sweep {
		ticks = append(ticks, plot.Tick{Value: c.Sweep.X, Label: where(c)})
	}
	var lines []line
	var gaps []string
	for _, name := range swept(sweep) {
		l := newLine(run, name)
		var at []string
		var why string
		for _, c := range sweep {
			if s := c.Server(name); s != nil {
				if v := s.Spread(c.Measure.Key); v.N > 0 && v.Median > 0 {
					l.points = append(l.points, point{c.Sweep.X, v.Median})
				} else {
					at = append(at, where(c))
					if why = refusals(s); why != "" {
						why = ", " + why
					}
				}
			}
		}
		if len(l.points) > 0 {
			lines = append(lines, l)
		}
		if len(at) > 0 {
			gaps = append(gaps, name+" has no figure at "+strings.Join(at, ", ")+why)
		}
	}
	f.Note = strings.Join(append(variants(sweep), gaps...), "; ")
	f.draw = func(w vg.Length) string { return linePlot(f.Title, lines, ticks, axis, c.Measure.Unit, false, w) }
	return f
}

// variants say what agloop costs in another way of use, in times of its usual figure.
func variants(sweep []*result.Case) []string {
	var out []string
	for _, name := range swept(sweep) {
		if name == ours || roleOf(name) != own {
			continue
		}
		var at []string
		for _, c := range sweep {
			s, us := c.Server(name), c.Server(ours)
			if s == nil || us == nil {
				continue
			}
			ratio := s.Ratio(us, c.Measure.Key)
			switch {
			case ratio.N == 0:
			case len(at) == 0:
				at = append(at, times(ratio.Median)+" times "+ours+" at "+where(c))
			default:
				at = append(at, times(ratio.Median)+" at "+where(c))
			}
		}
		if len(at) > 0 {
			out = append(out, name+": "+strings.Join(at, ", "))
		}
	}
	return out
}

// curves are the latency percentiles of a case, a line for each server.
func curves(title string, run *result.Run, c *result.Case, width vg.Length) string {
	var ticks plot.ConstantTicks
	for i, p := range percentiles {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: p.Name})
	}
	var lines []line
	for i := range c.Servers {
		l := newLine(run, c.Servers[i].Name)
		for x, p := range percentiles {
			if v := c.Servers[i].Spread(p.Key); v.N > 0 && v.Median > 0 {
				l.points = append(l.points, point{float64(x), v.Median})
			}
		}
		if len(l.points) > 0 {
			lines = append(lines, l)
		}
	}
	return linePlot(title, lines, ticks, "", "µs", true, width)
}

// newLine gives a server the same colour in every plot of the run.
func newLine(run *result.Run, name string) line {
	l := line{name: name, role: roleOf(name)}
	switch l.role {
	case own:
		l.ink = inkAccent
	case floor:
		l.ink = inkFloor
	default:
		var rivals []string
		for i := range run.Cases {
			for _, s := range run.Cases[i].Servers {
				if roleOf(s.Name) == rival && !slices.Contains(rivals, s.Name) {
					rivals = append(rivals, s.Name)
				}
			}
		}
		l.ink = inkHue(slices.Index(rivals, name))
	}
	return l
}

// swept are the servers of a sweep: one that takes part in a single case of several makes no line.
func swept(sweep []*result.Case) []string {
	var out []string
	count := map[string]int{}
	for _, c := range sweep {
		for _, s := range c.Servers {
			if count[s.Name]++; count[s.Name] == 2 {
				out = append(out, s.Name)
			}
		}
	}
	return out
}
