package prom

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// dashboard is what the test looks at in docs/grafana.json.
type dashboard struct {
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ H, W, X, Y int }
		Datasource               struct{ UID string }
		FieldConfig              struct{ Defaults struct{ Unit string } }
		Targets                  []struct{ Expr string }
	}
}

// readDashboard parses the file.
func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	data, err := os.ReadFile("../../docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var metricName = regexp.MustCompile(`agloop_[a-z_]+`)

// TestDashboardNamesWhatIsExported, all of it, and nothing else.
func TestDashboardNamesWhatIsExported(t *testing.T) {
	d := readDashboard(t)

	shown := map[string]bool{}   // family → on a panel
	parts := map[string]string{} // what a query may name → its family
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectorOf(busy()))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		name := f.GetName()
		shown[name] = false
		if !strings.Contains(f.GetType().String(), "HISTOGRAM") {
			parts[name] = name
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			parts[name+suffix] = name
		}
	}

	check := func(where, query string) (seen []string) {
		names := metricName.FindAllString(query, -1)
		if len(names) == 0 {
			t.Errorf("%s: no metric in %q", where, query)
		}
		for _, name := range names {
			family, ok := parts[name]
			if !ok {
				t.Errorf("%s: %s is not exported", where, name)
				continue
			}
			seen = append(seen, family)
		}
		return seen
	}
	for _, v := range d.Templating.List {
		if v.Definition != "" {
			check("variable "+v.Name, v.Definition)
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, family := range check(p.Title, target.Expr) {
				shown[family] = true
			}
		}
	}
	for name, on := range shown {
		if !on {
			t.Errorf("%s is on no panel", name)
		}
	}
}

// TestDashboardIsWellFormed: rows of the subjects promised, panels that do not overlap, each with
// an explanation, a unit and a query for the chosen data source.
func TestDashboardIsWellFormed(t *testing.T) {
	d := readDashboard(t)
	rows := map[string]bool{}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: id %d is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %q at %d, %d", p.Title, other, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows[p.Title] = true
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s lacks a description, a unit, the data source or a query", p.Title)
		}
	}
	for _, row := range []string{"Connections", "Traffic", "Latency", "Memory", "Refusals", "Runs", "Topics"} {
		if !rows[row] {
			t.Errorf("no row %s", row)
		}
	}
	if d.SchemaVersion < 41 {
		t.Errorf("schema %d", d.SchemaVersion)
	}
}
