package page

import (
	"encoding/xml"
	"errors"
	"flag"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/agloop/agloop/bench/result"
)

// go test ./page -out /tmp/report keeps what the sample looks like.
var out = flag.String("out", "", "directory to keep the sample's report in")

func TestReportIsWritten(t *testing.T) {
	dir := *out
	if dir == "" {
		dir = t.TempDir()
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run, change := sample(), benchstat
	page, err := HTML(run, change)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"index.html": page, "report.md": Markdown(run, change), "readme.md": Readme(run), "bench.txt": Benchfmt(run),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
}

const benchstat = `                                        │      old       │                  new                   │
                                        │ server-sec/msg │ server-sec/msg  vs base                │
Echo/size=128/inflight=32/server=agloop     262.0n ± 2%      231.0n ± 1%  -11.83% (p=0.002 n=6)
Echo/size=128/inflight=1/server=agloop      4.263µ ± 1%      4.251µ ± 1%        ~ (p=0.310 n=6)`

func sampleHTML(t *testing.T) string {
	t.Helper()
	b, err := HTML(sample(), benchstat)
	if err != nil {
		t.Fatal(err)
	}
	return html.UnescapeString(string(b))
}

func TestEverythingIsShown(t *testing.T) {
	run := sample()
	prints := map[string]string{"HTML": sampleHTML(t), "Markdown": string(Markdown(run, benchstat))}
	want := []string{run.Machine.CPU, run.Machine.Commit, run.Machine.Settings[0], "-11.83% (p=0.002 n=6)"}
	want = append(want, run.Notes...)
	for _, target := range run.Targets {
		want = append(want, upper(target.Text), target.Outcome, target.Spread, target.Why)
	}
	for _, v := range run.Machine.Versions {
		want = append(want, v.Name+" "+v.Version)
	}
	for _, c := range run.Cases {
		for _, s := range c.Servers {
			want = append(want, s.Name, refusals(&s))
			if c.Sweep == nil {
				want = append(want, upper(c.Title), span(s.Spread(c.Measure.Key)))
			}
		}
	}
	for _, m := range run.Micro {
		want = append(want, m.Name, span(result.SpreadOf(m.NsOp)))
	}
	for _, c := range run.Calls {
		want = append(want, c.Calls[0].Name+" "+Number(c.Calls[0].Per))
	}
	for _, h := range run.Hot {
		want = append(want, h.Spots[0].Name)
	}
	for kind, text := range prints {
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s has no %q", kind, w)
			}
		}
	}
}

// A server without any figure keeps its row in the plot, with the reason.
func TestRefusedRoundsAreShown(t *testing.T) {
	c := result.Case{
		Name: "echo", Title: "echo", Measure: result.Measure{Key: "us", Unit: "µs"},
		Servers: []result.Server{
			{Name: "agloop", Rounds: []result.Round{{Values: map[string]float64{"us": 2}}, {Refused: "load saturated"}}},
			{Name: "gws", Rounds: []result.Round{{Refused: "load saturated"}, {Refused: "load saturated"}}},
		},
	}
	svg := dotPlot("echo", caseDots(&c), "µs", narrow)
	if !strings.Contains(svg, "refused: load saturated") {
		t.Error("the plot does not say why gws has no dot")
	}
	if n := strings.Count(svg, "A5,5"); n != 2 { // two arcs make a circle
		t.Errorf("%d arcs, want those of one dot", n)
	}
	table := caseTable(&c)
	for i, want := range []string{"1 of 2 rounds refused: load saturated", "refused: load saturated"} {
		if cells := table.Rows[i].Cells; cells[len(cells)-1] != want {
			t.Errorf("row %d says %q, want %q", i, cells[len(cells)-1], want)
		}
	}
}

// What another way of use costs is said in times of agloop's usual figure, round by round.
func TestVariantsOfAgloop(t *testing.T) {
	run := &result.Run{}
	for _, x := range []float64{1, 4, 8} {
		c := result.Case{
			Name: "stream", Group: "stream", Measure: result.Measure{Key: "us", Unit: "µs"}, Sweep: &result.Sweep{Plot: "burst", Axis: "events", X: x},
			Servers: []result.Server{
				{Name: "agloop", Rounds: []result.Round{{Values: map[string]float64{"us": 2}}, {Values: map[string]float64{"us": 4}}}},
				{Name: "agloop, runs with a log", Rounds: []result.Round{{Values: map[string]float64{"us": 2 + x/4}}, {Values: map[string]float64{"us": 4 + x/2}}}},
				{Name: "gorilla", Rounds: []result.Round{{Values: map[string]float64{"us": 9}}}},
			},
		}
		if x == 4 {
			c.Servers[1].Rounds = []result.Round{{Refused: "load saturated"}}
		}
		run.Cases = append(run.Cases, c)
	}
	const want = "agloop, runs with a log: 1.12 times agloop at 1, 2.0 at 8"
	if text := string(Markdown(run, "")); !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}

var svgs = regexp.MustCompile(`(?s)<svg.*?</svg>`)

func TestPlotsAreWellFormedAndColourless(t *testing.T) {
	b, err := HTML(sample(), "")
	if err != nil {
		t.Fatal(err)
	}
	plots := svgs.FindAllString(string(b), -1)
	if len(plots) < 20 {
		t.Fatalf("%d plots", len(plots))
	}
	for _, svg := range plots {
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %.300s", err, svg)
			}
		}
		for _, bad := range []string{"#0", "#F", "font-family", "NaN", "Inf"} {
			if strings.Contains(svg, bad) {
				t.Errorf("%s in %.300s", bad, svg)
			}
		}
	}
}

// The page must look the same without a network.
func TestNothingIsLoaded(t *testing.T) {
	page := sampleHTML(t)
	for _, bad := range []string{"http://", "https://", "<script", "<link", "@import", "url(", "src="} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

func TestEmptyRun(t *testing.T) {
	for name, run := range map[string]*result.Run{
		"nothing": {},
		"cases without servers or rounds": {Cases: []result.Case{
			{Name: "idle", Group: "idle"},
			{Name: "odd", Group: "new"},
			{Name: "halfload", Group: "halfload", Servers: []result.Server{{Name: "agloop"}}},
			{Name: "echo/a", Group: "echo", Sweep: &result.Sweep{Plot: "p", X: 1}, Servers: []result.Server{{Name: "gws"}}},
			{Name: "echo/b", Group: "echo", Sweep: &result.Sweep{Plot: "p", X: 1}},
		}},
		"micro, calls and spots without figures": {
			Micro: []result.Micro{{Group: "encode", Name: "A", By: "agloop"}, {Group: "pool", Name: "get", By: "agloop"}},
			Calls: []result.Calls{{Case: "x", Server: "agloop"}}, Hot: []result.Hot{{Case: "x", Server: "gws"}},
			Targets: []result.Target{{Text: "t", Outcome: "not measured"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := HTML(run, "")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(strings.TrimSpace(string(b)), "</html>") {
				t.Error("the page has no end")
			}
			if strings.Contains(string(b), "NaN") || strings.Contains(string(b), "Inf") {
				t.Error("a plot of nothing has coordinates that are no numbers")
			}
			Markdown(run, "")
			Readme(run)
			Benchfmt(run)
		})
	}
}
