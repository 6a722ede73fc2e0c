package page

import (
	"regexp"
	"strings"
	"testing"

	"github.com/agloop/agloop/bench/result"
)

var (
	header    = regexp.MustCompile(`^(goos|goarch|pkg|cpu): \S.*$`)
	unitLine  = regexp.MustCompile(`^Unit \S+ better=higher$`)
	benchLine = regexp.MustCompile(`^Benchmark[A-Z][^\s]*/server=\S+ 1( [0-9][0-9.e+-]* [^\s\d]\S*)+$`)
)

func TestBenchfmtLines(t *testing.T) {
	run := sample()
	var lines int
	for line := range strings.Lines(string(Benchfmt(run))) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "", header.MatchString(line), unitLine.MatchString(line):
		case benchLine.MatchString(line):
			lines++
		default:
			t.Errorf("not the benchmark format: %q", line)
		}
	}
	want := 0
	for _, c := range run.Cases {
		for _, s := range c.Servers {
			want += s.Spread(c.Measure.Key).N
		}
	}
	for _, m := range run.Micro {
		want += len(m.NsOp)
	}
	if lines != want {
		t.Errorf("%d lines, want one for each round that has a figure and each count: %d", lines, want)
	}
}

func TestBenchfmtNamesAndUnits(t *testing.T) {
	run := &result.Run{
		Cases: []result.Case{{
			Name: "echo/size=128/inflight=32", Measure: result.Measure{Key: "server_us_per_msg", Unit: "µs"},
			Beside: []result.Measure{{Key: "msgs_per_s", More: true}, {Key: "p50_us", Unit: "µs"}},
			Servers: []result.Server{{Name: "agloop -tags x", Rounds: []result.Round{
				{Values: map[string]float64{"server_us_per_msg": 0.261, "msgs_per_s": 4.1e6, "p50_us": 3}}, {Refused: "noise"},
			}}},
		}},
		Micro: []result.Micro{{Group: "encode", Name: "RUN_STARTED", By: "encoding/json", NsOp: []float64{90.5}, BOp: 48, Alloc: 1}},
	}
	got := string(Benchfmt(run))
	for _, want := range []string{
		"\nUnit msg/s better=higher\n",
		"\nBenchmarkEcho/size=128/inflight=32/server=agloop_-tags_x 1 261 server-ns/msg 4.1e+06 msg/s\n",
		"\nBenchmarkEncode/RUN_STARTED/server=encoding_json 1 90.5 ns/op 48 B/op 1 allocs/op\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for key, want := range map[string]string{
		"bytes_per_conn": "B/conn", "anon_per_conn": "anon-B/conn", "p999_us": "p999-ns", "events_per_s": "event/s", "rss": "rss-B",
	} {
		m := result.Measure{Key: key}
		if strings.Contains(want, "B") {
			m.Unit = "B"
		}
		if unit, _ := benchUnit(m); unit != want {
			t.Errorf("%s: %s, want %s", key, unit, want)
		}
	}
}

func TestReadmeHasTheMainMeasures(t *testing.T) {
	table := string(Readme(sample()))
	for _, want := range []string{
		"| median | agloop | floor (C, epoll) | gnet | uWebSockets | gorilla | gws | nbio | coder | gobwas |",
		"| Memory per idle connection", "128 B, 1 in flight", "128 B, 32 in flight", "bursts of 1,", "bursts of 4,",
		"bursts of 8,", "100 viewers of each run", "per live run", "first resumed event", "per delivery, 1000 connections", "per connection, 64 at a time",
		"per connection over TLS, B", "per connection over TLS, behind",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	if lines := strings.Count(table, "\n"); lines != 2+13 {
		t.Errorf("%d lines", lines)
	}
}
