package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agloop/agloop/bench/result"
)

func TestResume(t *testing.T) {
	file := filepath.Join(t.TempDir(), "partial.json")
	quiet := result.Case{Name: "a", Servers: []result.Server{rounds("agloop", "k", 1)}}
	loud := result.Case{Name: "b", Servers: []result.Server{{Name: "agloop", Rounds: []result.Round{{Refused: tooNoisy + "others"}}}}}
	busy := result.Case{Name: "c", Servers: []result.Server{{Name: "agloop", Rounds: []result.Round{{Refused: "load saturated"}}}}}
	run := &result.Run{Seconds: 12, Cases: []result.Case{quiet, loud, busy}, Notes: []string{"n"}}
	if err := writePartial(file, "key", run); err != nil {
		t.Fatal(err)
	}
	got, err := readPartial(file, "key")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Cases) != 2 || got.Cases[0].Name != "a" || got.Cases[1].Name != "c" || got.Seconds != 12 || len(got.Notes) != 1 {
		t.Errorf("%+v", got)
	}
	if _, err := readPartial(file, "other"); err == nil {
		t.Error("of other settings: no error")
	}
	if _, err := readPartial(file+"x", "key"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestRefusedRunLeavesTheSavedOne(t *testing.T) {
	out := t.TempDir()
	good := &result.Run{Cases: []result.Case{{
		Name: echo32, Group: "echo", Title: "echo", Measure: perMsg, Servers: []result.Server{rounds("agloop", perMsg.Key, 1, 2, 3)},
	}}}
	if err := publish(t.Context(), "", good, out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{resultsFile, benchFile, "report.md", "index.html"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	saved, err := readRun(out)
	if err != nil || saved.Cases[0].Servers[0].Spread(perMsg.Key).Median != 2 {
		t.Fatalf("%+v, error %v", saved, err)
	}
	os.Remove(filepath.Join(out, benchFile)) // nothing for benchstat, which a test must not fetch

	bad := &result.Run{Cases: []result.Case{good.Cases[0]}}
	bad.Cases[0].Servers = []result.Server{{Name: "agloop", Rounds: make([]result.Round, 5)}}
	for i := range 2 {
		bad.Cases[0].Servers[0].Rounds[i].Refused = "load saturated"
	}
	if err := publish(t.Context(), "", bad, out); !errors.Is(err, errNoReport) {
		t.Errorf("2 of 5 refused: %v", err)
	}
	if again, err := readRun(out); err != nil || again.Cases[0].Servers[0].Spread(perMsg.Key).N != 3 {
		t.Errorf("the saved run is gone: %+v, error %v", again, err)
	}
}

func TestPutTable(t *testing.T) {
	got, err := putTable([]byte("a\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nz\n"), []byte("| new |\n"))
	if err != nil || string(got) != "a\n<!-- bench: begin -->\n| new |\n<!-- bench: end -->\nz\n" {
		t.Errorf("%q, error %v", got, err)
	}
	again, err := putTable(got, []byte("| new |\n"))
	if err != nil || string(again) != string(got) {
		t.Errorf("twice: %q, error %v", again, err)
	}
	for _, readme := range []string{"", "<!-- bench: end --> <!-- bench: begin -->"} {
		if _, err := putTable([]byte(readme), nil); err == nil || !strings.Contains(err.Error(), "bench: begin") {
			t.Errorf("%q: error %v", readme, err)
		}
	}
}
