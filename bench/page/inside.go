package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agloop/agloop/bench/result"
	"gonum.org/v1/plot/vg"
)

// calls are the system calls per message.
func calls(run *result.Run) []section {
	if len(run.Calls) == 0 {
		return nil
	}
	s := section{
		ID: "calls", Name: "System calls", Heading: "System calls per message",
		Text: "Counted by strace -c. It slows the servers down, so that more gathers for one read or write than in the figures above.",
	}
	var names []string
	for _, c := range run.Calls {
		if !slices.Contains(names, c.Case) {
			names = append(names, c.Case)
		}
	}
	for _, name := range names {
		title := upper(workload(name))
		t := table{Caption: title, Left: 1, Head: []string{"server", "all", ""}}
		var rows []dot
		for _, c := range run.Calls {
			if c.Case != name {
				continue
			}
			var sum float64
			var each []string
			for _, p := range c.Calls {
				sum += p.Per
				each = append(each, p.Name+" "+Number(p.Per))
			}
			rows = append(rows, dot{name: c.Server, role: roleOf(c.Server), spread: result.SpreadOf([]float64{sum})})
			t.Rows = append(t.Rows, row{roleOf(c.Server), []string{c.Server, Number(sum), strings.Join(each, ", ")}})
		}
		slices.SortStableFunc(rows, func(a, b dot) int { return cmp.Compare(a.spread.Median, b.spread.Median) })
		f := figure{Finding: callsFinding(rows), Title: title}
		f.draw = func(w vg.Length) string { return dotPlot(f.Title, rows, "", w) }
		s.Figures, s.Tables = append(s.Figures, f), append(s.Tables, t)
	}
	if len(s.Figures) == 1 && s.Figures[0].Finding != "" {
		s.Heading, s.Figures[0].Finding = s.Heading+": "+s.Figures[0].Finding, ""
	}
	return []section{s}
}

func callsFinding(rows []dot) string {
	i := slices.IndexFunc(rows, func(d dot) bool { return d.role == own })
	if i < 0 {
		return ""
	}
	text := ours + " " + Number(rows[i].spread.Median)
	if last := rows[len(rows)-1]; last.role != own && rows[i].spread.Median > 0 {
		text += fmt.Sprintf(", %s %s", last.name, Number(last.spread.Median))
	}
	return upper(text)
}

const hottest = 10

// hot is where the time goes.
func hot(run *result.Run) []section {
	if len(run.Hot) == 0 {
		return nil
	}
	s := section{
		ID: "hot", Name: "Where the time goes", Heading: "Where the time goes",
		Text: "Samples of perf by symbol, the hottest ones: the server's own in its colour, the kernel's pale. Shares are of all " +
			"samples.",
	}
	for _, h := range run.Hot {
		title := fmt.Sprintf("%s: %s", h.Server, workload(h.Case))
		t := table{Caption: title, Left: 2, Head: []string{"symbol", "in", "share"}}
		var kernel float64
		for _, spot := range h.Spots {
			where := "server"
			if spot.Kernel {
				where = "kernel"
				kernel += spot.Share
			}
			t.Rows = append(t.Rows, row{Cells: []string{spot.Name, where, percent(spot.Share)}})
		}
		f := figure{Finding: fmt.Sprintf("%s: %.0f%% and more in the kernel", h.Server, 100*kernel), Title: upper(workload(h.Case))}
		f.draw = func(w vg.Length) string {
			return bars(title, roleOf(h.Server), h.Spots[:min(len(h.Spots), hottest)], w)
		}
		s.Figures, s.Tables = append(s.Figures, f), append(s.Tables, t)
	}
	return []section{s}
}
