package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// result is what one run of one server gave.
type result struct {
	c      bench
	server string
	round  int
	failed bool
	values map[string]float64
}

// parseValues takes the numbers out of load's JSON; true is 1.
func parseValues(line []byte) (map[string]float64, error) {
	var all map[string]any
	if err := json.Unmarshal(line, &all); err != nil {
		return nil, fmt.Errorf("report of load: %w: %q", err, line)
	}
	values := map[string]float64{}
	for k, v := range all {
		switch v := v.(type) {
		case float64:
			values[k] = v
		case bool:
			if v {
				values[k] = 1
			}
		}
	}
	return values, nil
}

// series is one key of one server in one case, by round. Rounds that failed are absent.
func series(results []result, c bench, server, key string) map[int]float64 {
	out := map[int]float64{}
	for _, r := range results {
		if v, ok := r.values[key]; ok && r.c.name == c.name && r.server == server && !r.failed {
			out[r.round] = v
		}
	}
	return out
}

// spread is a series in three numbers.
type spread struct {
	n                int
	median, min, max float64
}

func spreadOf(series map[int]float64) spread {
	if len(series) == 0 {
		return spread{}
	}
	v := make([]float64, 0, len(series))
	for _, x := range series {
		v = append(v, x)
	}
	slices.Sort(v)
	mid := len(v) / 2
	s := spread{len(v), v[mid], v[0], v[len(v)-1]}
	if len(v)%2 == 0 {
		s.median = (v[mid-1] + v[mid]) / 2
	}
	return s
}

// ratios divides a by b, round by round: what disturbed a round disturbed both.
func ratios(a, b map[int]float64) map[int]float64 {
	out := map[int]float64{}
	for round, x := range a {
		if y := b[round]; y != 0 {
			out[round] = x / y
		}
	}
	return out
}

// number prints about three significant digits, and large numbers whole.
func number(v float64) string {
	digits := 3
	switch a := max(v, -v); {
	case a >= 100:
		digits = 0
	case a >= 10:
		digits = 1
	case a >= 1:
		digits = 2
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

func (s spread) String() string {
	if s.n == 0 {
		return "– | –"
	}
	return fmt.Sprintf("%s | %s–%s", number(s.median), number(s.min), number(s.max))
}

// mainTable has one row per case and server. The ratio is the first server's figure divided by this one's: the median of
// the rounds' ratios, and their spread.
func mainTable(cases []bench, results []result) string {
	var b strings.Builder
	b.WriteString("| case | server | median | min–max | agloop ÷ it | min–max | to hold | |\n")
	b.WriteString("|---|---|--:|--:|--:|--:|--:|---|\n")
	for _, c := range cases {
		first := series(results, c, c.servers[0].name, c.measure)
		for i, srv := range c.servers {
			own := series(results, c, srv.name, c.measure)
			figure, ratio, hold := spreadOf(own), spreadOf(ratios(first, own)), ""
			title, against := c.title+", "+c.unit, ratio.String()
			if i == 0 {
				against = " | "
				hold = c.hold[""].verdict(figure)
			} else {
				title = ""
				hold = c.hold[srv.name].verdict(ratio)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", title, srv.name, figure, against, hold, notes(results, c, srv.name))
		}
	}
	return b.String()
}

func (t target) verdict(s spread) string {
	switch {
	case t.text == "" || s.n == 0:
		return t.text
	case s.median <= t.most:
		return t.text + ": held"
	default:
		return t.text + ": **missed**"
	}
}

// notes say what makes a row's figures less than they seem.
func notes(results []result, c bench, server string) string {
	var failed, busy, behind int
	for _, r := range results {
		if r.c.name != c.name || r.server != server {
			continue
		}
		if r.failed {
			failed++
		}
		if r.values["load_saturated"] == 1 {
			busy++
		}
		if kept, ok := r.values["kept"]; ok && kept < 0.99 {
			behind++
		}
	}
	var out []string
	add := func(n int, what string) {
		if n > 0 {
			out = append(out, fmt.Sprintf("%s in %d", what, n))
		}
	}
	add(failed, "**failed**")
	add(busy, "load saturated")
	add(behind, "rate not kept")
	return strings.Join(out, "; ")
}

// sideTables have the medians of what else was measured, one table per kind of case.
func sideTables(cases []bench, results []result) string {
	var b strings.Builder
	var last []string
	for _, c := range cases {
		if !slices.Equal(c.beside, last) {
			last = c.beside
			fmt.Fprintf(&b, "\n| medians | server | %s |\n|---|---|%s\n", strings.Join(last, " | "), strings.Repeat("--:|", len(last)))
		}
		for _, srv := range c.servers {
			fmt.Fprintf(&b, "| %s | %s |", c.name, srv.name)
			for _, key := range c.beside {
				cell := "–"
				if s := spreadOf(series(results, c, srv.name, key)); s.n > 0 {
					cell = number(s.median)
				}
				fmt.Fprintf(&b, " %s |", cell)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
