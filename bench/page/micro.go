package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agloop/agloop/bench/result"
	"gonum.org/v1/plot/vg"
)

const stdlib = "encoding/json"

// events are encode and decode of every event type beside encoding/json.
func events(all []result.Micro) []section {
	s := section{
		ID: "events", Name: "Events", Heading: "Events beside encoding/json",
		Text: "Every event type is encoded to JSON and decoded from it, by agloop's codec and by the standard library.",
	}
	var found []string
	for _, group := range []string{"encode", "decode"} {
		var pairs []pair
		t := table{Caption: upper(group), Left: 1, Head: []string{
			"event", "agloop, ns", "min–max", "encoding/json, ns", "min–max", "times as fast",
			"agloop, allocations", "encoding/json, allocations", "agloop, B", "encoding/json, B",
		}}
		for _, name := range namesOf(all, group) {
			a, b := find(all, group, name, ours), find(all, group, name, stdlib)
			mine, its := result.SpreadOf(a.NsOp), result.SpreadOf(b.NsOp)
			faster := "–"
			if mine.N > 0 && its.N > 0 && mine.Median > 0 {
				p := pair{name, mine.Median, its.Median}
				pairs = append(pairs, p)
				faster = times(p.gain())
			}
			t.Rows = append(t.Rows, row{Cells: []string{
				name, median(mine), span(mine), median(its), span(its), faster,
				count(a.Alloc), count(b.Alloc), count(a.BOp), count(b.BOp),
			}})
		}
		if len(t.Rows) == 0 {
			continue
		}
		s.Tables = append(s.Tables, t)
		if len(pairs) == 0 {
			continue
		}
		slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.gain(), a.gain()) })
		middle := pairs[len(pairs)/2]
		found = append(found, strings.TrimSuffix(group, "e")+"ing "+times(middle.gain()))
		f := figure{
			Finding: fmt.Sprintf("%s: %s to %s times as fast, median %s", upper(group), times(pairs[len(pairs)-1].gain()),
				times(pairs[0].gain()), times(middle.gain())),
			Title:  fmt.Sprintf("Time to %s each of %d event types, the largest gain first", group, len(pairs)),
			Legend: []key{{"own", ours}, {"", stdlib}},
		}
		f.draw = func(w vg.Length) string { return dumbbells(f.Title, pairs, "ns", w) }
		s.Figures = append(s.Figures, f)
	}
	if len(s.Tables) == 0 {
		return nil
	}
	if len(found) > 0 {
		s.Heading = "Events: " + strings.Join(found, " and ") + " times as fast as encoding/json"
	}
	return []section{s}
}

// micro are the other benchmarks of go test, group by group.
func micro(all []result.Micro) []section {
	s := section{
		ID: "micro", Name: "Microbenchmarks", Heading: "Microbenchmarks",
		Text: "Parts of the library alone, by go test -bench: what one operation takes, and how many allocations.",
	}
	t := table{Left: 3, Head: []string{"part", "operation", "by", "ns", "min–max", "allocations", "B"}}
	var order []string
	for _, m := range all {
		if m.Group != "encode" && m.Group != "decode" && !slices.Contains(order, m.Group) {
			order = append(order, m.Group)
		}
	}
	for _, group := range order {
		var rows []dot
		for _, m := range all {
			if m.Group != group {
				continue
			}
			sp := result.SpreadOf(m.NsOp)
			d := dot{name: m.Name, role: roleOf(m.By), spread: sp}
			if m.By != ours {
				d.name += ", " + m.By
			}
			if sp.N == 0 {
				d.absent = "not measured"
			}
			rows = append(rows, d)
			t.Rows = append(t.Rows, row{Cells: []string{group, m.Name, m.By, median(sp), span(sp), count(m.Alloc), count(m.BOp)}})
		}
		if len(rows) < 2 {
			continue // compares with nothing; the table has it
		}
		if !slices.ContainsFunc(rows, func(d dot) bool { return d.role != own }) {
			for i := range rows {
				rows[i].role = rival // nothing to set apart
			}
		}
		title := "Time for one operation"
		f := figure{Finding: upper(group), Title: title, draw: func(w vg.Length) string { return dotPlot(title, rows, "ns", w) }}
		var medians []float64
		for _, d := range rows {
			if d.spread.N > 0 {
				medians = append(medians, d.spread.Median)
			}
		}
		if all := result.SpreadOf(medians); all.N > 0 {
			f.Finding += ": " + quantity(all.Min, "ns") + " to " + quantity(all.Max, "ns")
		}
		s.Figures = append(s.Figures, f)
	}
	if len(t.Rows) == 0 {
		return nil
	}
	s.Tables = []table{t}
	return []section{s}
}

func namesOf(all []result.Micro, group string) []string {
	var out []string
	for _, m := range all {
		if m.Group == group && !slices.Contains(out, m.Name) {
			out = append(out, m.Name)
		}
	}
	return out
}

func find(all []result.Micro, group, name, by string) result.Micro {
	for _, m := range all {
		if m.Group == group && m.Name == name && m.By == by {
			return m
		}
	}
	return result.Micro{}
}
