package page

import (
	"fmt"
	"strings"

	"github.com/agloop/agloop/bench/result"
)

// Markdown is the run in headings, findings and tables. change is what benchstat says against an
// earlier run, or empty.
func Markdown(run *result.Run, change string) []byte {
	r := newReport(run, change)
	var b strings.Builder
	fmt.Fprintf(&b, "# agloop: benchmarks\n\n%s\n", r.Lead)
	if len(r.Facts) > 0 {
		b.WriteByte('\n')
	}
	for _, f := range r.Facts {
		fmt.Fprintf(&b, "- %s: %s\n", f.Name, f.Value)
	}
	if len(r.Score.Targets) > 0 {
		fmt.Fprintf(&b, "\n## %s\n\n", r.Score.Tally)
		rows := make([][]string, 0, len(r.Score.Targets))
		for _, t := range r.Score.Targets {
			outcome := t.Outcome
			if outcome == "missed" {
				outcome = "**missed**"
			}
			rows = append(rows, []string{outcome, t.Text, t.Figure, t.Bound, t.Spread, t.Why})
		}
		writeTable(&b, []string{"outcome", "target", "figure", "bound", "spread", "why"}, "llrrrl", rows)
	}
	for _, s := range r.Sections {
		fmt.Fprintf(&b, "\n## %s\n", s.Heading)
		if s.Text != "" {
			fmt.Fprintf(&b, "\n%s\n", s.Text)
		}
		writeFindings(&b, s.Figures)
		for _, t := range s.Tables {
			t.markdown(&b)
		}
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n## Not measured, and why\n\n")
		for _, n := range r.Notes {
			fmt.Fprintf(&b, "- %s\n", n)
		}
	}
	if r.Change != "" {
		fmt.Fprintf(&b, "\n## Against the last saved run\n\n```\n%s\n```\n", r.Change)
	}
	return []byte(b.String())
}

// writeFindings lists what the figures would show.
func writeFindings(b *strings.Builder, figures []figure) {
	var lines []string
	for _, f := range figures {
		var said []string
		for _, text := range []string{f.Finding, f.Note} {
			if text != "" {
				said = append(said, strings.TrimSuffix(text, ".")+".")
			}
		}
		if len(said) > 0 {
			lines = append(lines, "- "+strings.Join(said, " ")+"\n")
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(b, "\n%s", strings.Join(lines, ""))
	}
}

func (t table) markdown(b *strings.Builder) {
	b.WriteByte('\n')
	if t.Caption != "" {
		fmt.Fprintf(b, "%s:\n\n", t.Caption)
	}
	align := ""
	for i, h := range t.Head {
		if i < t.Left || h == "" {
			align += "l"
		} else {
			align += "r"
		}
	}
	rows := make([][]string, 0, len(t.Rows))
	for _, r := range t.Rows {
		cells := r.Cells
		if r.Role == own {
			cells = append([]string{"**" + escape(cells[0]) + "**"}, cells[1:]...)
		}
		rows = append(rows, cells)
	}
	writeTable(b, t.Head, align, rows)
}

// writeTable writes a table of GitHub's Markdown. align has l or r for each column.
func writeTable(b *strings.Builder, head []string, align string, rows [][]string) {
	line := func(cells []string) {
		b.WriteByte('|')
		for _, c := range cells {
			fmt.Fprintf(b, " %s |", escape(c))
		}
		b.WriteByte('\n')
	}
	line(head)
	b.WriteByte('|')
	for _, a := range align {
		b.WriteString(map[rune]string{'l': "---|", 'r': "--:|"}[a])
	}
	b.WriteByte('\n')
	for _, r := range rows {
		line(r)
	}
}

var cellEscapes = strings.NewReplacer("|", `\|`, "\n", " ")

// escape keeps a text within its cell.
func escape(s string) string { return cellEscapes.Replace(strings.ReplaceAll(s, `\|`, "|")) }
