package page

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/agloop/agloop/bench/result"
	"gonum.org/v1/plot/vg"
)

// report is what both prints have in common.
type report struct {
	Lead     string
	Facts    []fact
	Score    score
	Sections []section
	Notes    []string
	Change   string
}

type fact struct{ Name, Value string }

type section struct {
	ID, Name      string
	Heading, Text string // the heading is the name with what was found
	Figures       []figure
	Tables        []table
}

// figure is a plot with what it shows and what it found.
type figure struct {
	Finding, Title, Note string
	Legend               []key
	Narrow, Wide         template.HTML // Wide only of a figure that is alone
	draw                 func(width vg.Length) string
}

type key struct{ Class, Name string }

type table struct {
	Caption string
	Head    []string
	Left    int // columns of text; then numbers, and text again in a last one without a head
	Rows    []row
	Note    string
}

type row struct {
	Role  role
	Cells []string
}

const lead = "agloop carries AG-UI events over WebSocket on an event loop. This report sets it beside servers that do the " +
	"same work: what a connection, a message and a token cost on one machine, in one run."

func newReport(run *result.Run, change string) *report {
	r := &report{
		Lead: lead, Facts: facts(run), Score: newScore(run.Targets), Notes: run.Notes, Change: strings.TrimSpace(change),
	}
	r.Sections = append(caseSections(run), events(run.Micro)...)
	r.Sections = append(r.Sections, micro(run.Micro)...)
	r.Sections = append(r.Sections, calls(run)...)
	r.Sections = append(r.Sections, hot(run)...)
	r.Sections = append(r.Sections, groupSections(run, "tags")...)
	return r
}

func facts(run *result.Run) []fact {
	m := run.Machine
	var versions []string
	for _, v := range m.Versions {
		versions = append(versions, v.Name+" "+v.Version)
	}
	var out []fact
	add := func(name, value string) {
		if value != "" {
			out = append(out, fact{name, value})
		}
	}
	if m.CPU != "" {
		add("Machine", fmt.Sprintf("%s, %d cores, %.1f%sGiB; Linux %s", m.CPU, m.Cores, m.Memory, noBreak, m.Kernel))
	}
	if m.Commit != "" {
		add("Built with", fmt.Sprintf("%s; commit %s", m.Go, m.Commit))
	}
	add("Rivals", strings.Join(versions, ", "))
	add("Settings", strings.Join(m.Settings, "; "))
	if !run.Began.IsZero() {
		took := time.Duration(run.Seconds * float64(time.Second)).Round(time.Second)
		text := fmt.Sprintf("%s, took %s", run.Began.UTC().Format("2 January 2006, 15:04 UTC"), took)
		if m.Load[0] != "" {
			text += fmt.Sprintf("; load average %s before, %s after", m.Load[0], m.Load[1])
		}
		add("Measured", text)
	}
	return out
}

// score is the list of the targets.
type score struct {
	Tally   string
	Targets []target
}

type target struct {
	Class, Outcome, Text, Figure, Bound, Spread, Why string
	Meter                                            template.CSS // see meter
}

func newScore(targets []result.Target) score {
	var s score
	count := map[string]int{}
	for _, t := range targets {
		count[t.Outcome]++
		row := target{Outcome: t.Outcome, Text: upper(t.Text), Figure: "–", Bound: "≤ " + Number(t.Most), Spread: t.Spread, Why: t.Why}
		row.Class = strings.ReplaceAll(t.Outcome, " ", "-")
		if t.Outcome != "not measured" {
			row.Figure = Number(t.Got)
			row.Meter = meter(t.Got, t.Most)
		}
		s.Targets = append(s.Targets, row)
	}
	if len(targets) == 0 {
		return s
	}
	s.Tally = fmt.Sprintf("%d of %d targets met", count["met"], len(targets))
	for _, o := range []string{"missed", "not measured"} {
		if count[o] > 0 {
			s.Tally += fmt.Sprintf(", %d %s", count[o], o)
		}
	}
	return s
}

// meter puts the bound in the middle and four times the bound at the end. A missing figure is not
// shown.
func meter(got, most float64) template.CSS {
	if got <= 0 || most <= 0 {
		return ""
	}
	at := 50 + 50*math.Log(got/most)/math.Log(4)
	return template.CSS(fmt.Sprintf("--at:%.0f%%", min(max(at, 3), 97)))
}
