package main

import (
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/codec/event"
)

func sampleData(t *testing.T) *corpus {
	t.Helper()
	c, err := loadCorpus("../../agui/testdata")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The list of differences is docs/agui.md, word for word and in its order.
func TestDocsListTheClasses(t *testing.T) {
	data, err := os.ReadFile("../../docs/agui.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(data), "\n## What the judge allows\n")
	if !ok {
		t.Fatal("no section on the judge")
	}
	var listed, known []string
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 6 && !strings.HasPrefix(cells[1], "---") {
			listed = append(listed, strings.ReplaceAll(strings.TrimSpace(cells[1]), `\`, ""))
		}
	}
	for _, c := range classes {
		known = append(known, c.name)
	}
	if len(listed) == 0 || !slices.Equal(listed[1:], known) {
		t.Errorf("docs/agui.md lists\n%s\nand classes.go\n%s", strings.Join(listed, "\n"), strings.Join(known, "\n"))
	}
}

// A difference of no class fails, as does a class that does not occur where each must.
func TestDifferencesOutsideOfTheListFail(t *testing.T) {
	kept := verdict{Kept: valueOf([]byte(`{"type":"CUSTOM","name":"a","value":1}`))}
	other := verdict{Kept: valueOf([]byte(`{"type":"CUSTOM","name":"b","value":1}`))}
	refused := verdict{Fatal: "no"}
	var noEvent verdict
	noEvent.refuse(&event.FieldError{Field: "type", Reason: "required but missing"})
	for name, tc := range map[string]struct {
		d      difference
		passes bool
	}{
		"both keep it":              {d: difference{event: true, ours: kept, theirs: kept}, passes: true},
		"both refuse it":            {d: difference{event: true, ours: noEvent, theirs: refused}, passes: true},
		"other values":              {d: difference{event: true, ours: kept, theirs: other}},
		"only theirs refuses":       {d: difference{event: true, ours: kept, theirs: refused}},
		"only ours refuses":         {d: difference{event: true, ours: refused, theirs: kept}},
		"ours drops":                {d: difference{event: true, ours: verdict{Dropped: true}, theirs: kept}},
		"of a class":                {d: difference{event: true, ours: noEvent, theirs: verdict{Dropped: true}}, passes: true},
		"of a class, in a stream":   {d: difference{ours: noEvent, theirs: verdict{Dropped: true}}},
		"of the class but not that": {d: difference{event: true, ours: noEvent, theirs: kept}},
		"less is delivered":         {d: difference{ours: verdict{Delivered: []value{kept.Kept}}, theirs: verdict{}}},
		"the same, truncated":       {d: difference{ours: verdict{}, theirs: verdict{}, truncated: true}, passes: true},
	} {
		j := newJudge(nil, 1)
		for _, c := range classes {
			j.counts[c.name] = 1
		}
		j.compare(tc.d)
		if got := j.report(io.Discard); got != tc.passes {
			t.Errorf("%s: passes %v", name, got)
		}
	}
	if newJudge(nil, 1).report(io.Discard) {
		t.Error("classes that do not occur pass")
	}
}

// A seed makes the same cases again, and all kinds of them.
func TestSeedMakesTheSameCases(t *testing.T) {
	a, b := sampleData(t), sampleData(t)
	ra, rb := rand.New(rand.NewPCG(7, 1)), rand.New(rand.NewPCG(7, 1))
	var decoder event.Decoder
	var kept, dropped, fatal, ended, truncated, refused int
	for range 500 {
		text := a.event(ra)
		if text != b.event(rb) {
			t.Fatal("another event")
		}
		switch v, _, _ := readEvent(&decoder, text); {
		case v.Fatal != "":
			fatal++
		case v.Dropped:
			dropped++
		default:
			kept++
		}
		stream := a.stream(ra)
		if !slices.Equal(stream, b.stream(rb)) {
			t.Fatal("another stream")
		}
		switch v, done := readStream(stream); {
		case v.Fatal != "":
			refused++
		case done:
			ended++
		default:
			truncated++
		}
		// What a sender lets through ends in order.
		if _, sent := sendStream(stream); len(sent) > 0 {
			if v, done := readStream(sent); v.Fatal != "" || !done {
				t.Errorf("of %q is sent %q: %s", stream, sent, v.Fatal)
			}
		}
	}
	for name, n := range map[string]int{
		"kept": kept, "dropped": dropped, "fatal": fatal, "ended": ended, "truncated": truncated, "refused": refused,
	} {
		if n < 20 {
			t.Errorf("%s: %d of 500", name, n)
		}
	}
}
