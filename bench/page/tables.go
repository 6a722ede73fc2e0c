package page

import (
	"math"
	"slices"
	"strings"

	"github.com/agloop/agloop/bench/result"
)

// head names a measure with its unit.
func head(m result.Measure) string {
	if m.Unit == "" {
		return m.Name
	}
	return m.Name + ", " + m.Unit
}

// caseTable has one row for each server, in the order of the plot. The ratio is the median of the
// rounds' ratios.
func caseTable(c *result.Case) table {
	t := table{
		Caption: upper(c.Title), Left: 1,
		Head: []string{"server", head(c.Measure), "min–max", ours + " ÷ it", "min–max"},
	}
	beside := besides(c)
	units := make([]float64, len(beside))
	for i, m := range beside {
		m.Unit, units[i] = columnUnit(c, m)
		t.Head = append(t.Head, head(m))
	}
	us := c.Server(ours)
	var notes bool
	for _, d := range caseDots(c) {
		s := c.Server(d.name)
		cells := []string{s.Name, median(d.spread), span(d.spread), "", ""}
		if us != nil && us != s {
			r := us.Ratio(s, c.Measure.Key)
			cells[3], cells[4] = median(r), span(r)
		}
		for i, m := range beside {
			v := s.Spread(m.Key)
			v.Median /= units[i]
			cells = append(cells, median(v))
		}
		why := refusals(s)
		notes = notes || why != ""
		t.Rows = append(t.Rows, row{d.role, append(cells, why)})
	}
	if !notes {
		for i := range t.Rows {
			t.Rows[i].Cells = t.Rows[i].Cells[:len(t.Head)]
		}
	} else {
		t.Head = append(t.Head, "")
	}
	return t
}

// besides are the measures of the further columns. Where latency is the measure, all percentiles
// come first.
func besides(c *result.Case) []result.Measure {
	if !ofLatency(c) {
		return c.Beside
	}
	var out []result.Measure
	for _, m := range slices.Concat(percentiles, c.Beside) {
		if m.Key != c.Measure.Key && !slices.ContainsFunc(out, func(o result.Measure) bool { return o.Key == m.Key }) {
			out = append(out, m)
		}
	}
	return out
}

// columnUnit is the unit that keeps the largest figure of a column short, and what it is in the
// measure's own.
func columnUnit(c *result.Case, m result.Measure) (string, float64) {
	var most float64
	for i := range c.Servers {
		most = max(most, c.Servers[i].Spread(m.Key).Median)
	}
	if v, unit := scaled(most, m.Unit); unit != m.Unit {
		return unit, math.Round(most / v)
	}
	return m.Unit, 1
}

// sweepTable has one row for each server and a column for each point: medians, or with ratio the
// ratios of agloop's figure to the server's.
func sweepTable(sweep []*result.Case, ratio string) table {
	c := sweep[0]
	t := table{Caption: head(c.Measure) + ", " + c.Sweep.Plot, Left: 1, Head: []string{"server"}}
	if ratio != "" {
		t.Caption = ratio + ": " + t.Caption
	}
	t.Caption = upper(t.Caption)
	for _, c := range sweep {
		t.Head = append(t.Head, where(c))
	}
	t.Head = append(t.Head, "")
	for _, name := range swept(sweep) {
		if ratio != "" && name == ours {
			continue
		}
		cells := []string{name}
		var why []string
		for _, c := range sweep {
			s, us := c.Server(name), c.Server(ours)
			switch {
			case s == nil, ratio != "" && us == nil:
				cells = append(cells, "–")
				continue
			case ratio != "":
				cells = append(cells, withSpan(us.Ratio(s, c.Measure.Key)))
			default:
				cells = append(cells, withSpan(s.Spread(c.Measure.Key)))
			}
			if r := refusals(s); r != "" {
				why = append(why, where(c)+" "+r)
			}
		}
		t.Rows = append(t.Rows, row{roleOf(name), append(cells, strings.Join(why, "; "))})
	}
	return t
}

func withSpan(s result.Spread) string {
	if s.N < 2 {
		return median(s)
	}
	return median(s) + " (" + span(s) + ")"
}
