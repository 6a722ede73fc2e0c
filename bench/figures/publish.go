package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/agloop/agloop/bench/page"
	"github.com/agloop/agloop/bench/result"
)

const benchstat = "golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da"

// Files of a report.
const (
	resultsFile = "results.json"
	benchFile   = "bench.txt"
)

func reportIn(root string) string { return filepath.Join(root, "bench", "report") }

var errNoReport = errors.New("this run is not a report")

// publish writes the report into out, unless too many rounds were refused. Without out it prints
// the report.
func publish(ctx context.Context, root string, run *result.Run, out string) error {
	saved := filepath.Join(cmp.Or(out, reportIn(root)), benchFile)
	change, err := changes(ctx, saved, page.Benchfmt(run))
	if err != nil {
		run.Notes = append(run.Notes, fmt.Sprintf("the change against the last saved run: %v", err))
	}
	run.Change = change
	if rounds, refused, _ := tally(run); float64(refused) > mostRefused*float64(rounds) {
		os.Stdout.Write(page.Markdown(run, run.Change))
		return fmt.Errorf("%w: %d of %d rounds were refused; what was saved before stays", errNoReport, refused, rounds)
	}
	if out == "" {
		_, err := os.Stdout.Write(page.Markdown(run, run.Change))
		return err
	}
	if err := writeJSON(filepath.Join(out, resultsFile), run); err != nil {
		return err
	}
	if err := replace(filepath.Join(out, benchFile), page.Benchfmt(run)); err != nil {
		return err
	}
	if err := render(run, out); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "report: %s\n", filepath.Join(out, "index.html"))
	return nil
}

// changes is what benchstat says of agloop's own figures, or nothing when no run was saved.
func changes(ctx context.Context, saved string, now []byte) (string, error) {
	if _, err := os.Stat(saved); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	dir, err := os.MkdirTemp("", "benchstat-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	after := filepath.Join(dir, "now")
	if err := os.WriteFile(after, now, 0o644); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "run", benchstat, "-filter", "/server:agloop", "-confidence", "0.9", "saved="+saved, "now="+after)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("benchstat: %w: %s", err, lastOf(complaints.Bytes(), 500))
	}
	return string(text), nil
}

// render draws a run.
func render(run *result.Run, out string) error {
	html, err := page.HTML(run, run.Change)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if err := replace(filepath.Join(out, "index.html"), html); err != nil {
		return err
	}
	return replace(filepath.Join(out, "report.md"), page.Markdown(run, run.Change))
}

func readRun(out string) (*result.Run, error) {
	b, err := os.ReadFile(filepath.Join(out, resultsFile))
	if err != nil {
		return nil, fmt.Errorf("no saved run: %w", err)
	}
	run := new(result.Run)
	if err := json.Unmarshal(b, run); err != nil {
		return nil, fmt.Errorf("%s: %w", resultsFile, err)
	}
	return run, nil
}

// Marks between which the README has the table of the last saved run.
var (
	beginMark = []byte("<!-- bench: begin -->")
	endMark   = []byte("<!-- bench: end -->")
)

// putTable puts a table in the place of the one that is there.
func putTable(readme, table []byte) ([]byte, error) {
	begin, end := bytes.Index(readme, beginMark), bytes.Index(readme, endMark)
	if begin < 0 || end < begin {
		return nil, fmt.Errorf("no %s … %s", beginMark, endMark)
	}
	begin += len(beginMark)
	return slices.Concat(readme[:begin], []byte("\n"), bytes.TrimSpace(table), []byte("\n"), readme[end:]), nil
}

func updateReadme(root, out string) error {
	run, err := readRun(out)
	if err != nil {
		return err
	}
	file := filepath.Join(root, "README.md")
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	b, err := putTable(old, page.Readme(run))
	if err != nil {
		return fmt.Errorf("README.md: %w", err)
	}
	return replace(file, b)
}
