//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/agloop/agloop/bench/result"
)

// bench is a run under way.
type bench struct {
	rig     *tools
	run     *result.Run
	bar     *progress
	repeats int    // of noisy rounds that are left
	saved   string // file that keeps what is measured so far, or none
	key     string
}

// runBench measures everything that the settings ask for and writes the report.
func runBench(ctx context.Context, s settings) (int, error) {
	root, err := sourceRoot(ctx)
	if err != nil {
		return failed, err
	}
	if busy, err := busyCores(ctx, 2*time.Second); err != nil {
		return failed, err
	} else if busy > mostBusy {
		say := fmt.Errorf("others use %.2f cores and the load average is %s: figures taken now would say nothing", busy, loadAverage())
		if !s.force {
			return noisy, fmt.Errorf("%w; FORCE=1 measures all the same", say)
		}
		fmt.Fprintf(os.Stderr, "figures: %v\n", say)
	}
	dir, err := os.MkdirTemp("", "figures-")
	if err != nil {
		return failed, err
	}
	defer os.RemoveAll(dir)
	cases := s.selected()
	var servers []server
	for _, w := range cases {
		servers = append(servers, w.servers...)
	}
	for _, t := range s.traced() {
		servers = append(servers, t.servers...)
	}
	g, err := newRig(ctx, root, dir, s, servers)
	if err != nil {
		return failed, err
	}
	out := s.outIn(root)
	if out == "" && s.whole {
		out = reportIn(root)
	}
	b, err := newBench(ctx, g, out)
	if err != nil {
		return failed, err
	}
	if err := b.all(ctx, cases); err != nil {
		return failed, err
	}
	return b.finish(ctx, out)
}

// newBench begins a run, or continues an interrupted one.
func newBench(ctx context.Context, g *tools, out string) (*bench, error) {
	b := &bench{rig: g, run: &result.Run{Began: time.Now().UTC().Truncate(time.Second)}}
	var err error
	if b.key, err = g.key(); err != nil {
		return nil, err
	}
	if out == "" && g.s.resume {
		return nil, errors.New("RESUME=1 with CASES needs OUT, where the other run was kept")
	}
	if out != "" {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return nil, err
		}
		b.saved = filepath.Join(out, "partial.json")
		if g.s.resume {
			run, err := readPartial(b.saved, b.key)
			if err != nil {
				return nil, fmt.Errorf("RESUME=1: %w", err)
			}
			b.run = run
			return b, nil
		}
	}
	b.run.Machine = describe(ctx, g)
	b.run.Machine.Load[0] = loadAverage()
	return b, nil
}

// all measures the cases one after another, and then what has no rounds.
func (b *bench) all(ctx context.Context, cases []workload) error {
	began, before := time.Now(), b.run.Seconds
	rounds := 0
	for i := range cases {
		cases[i].servers = b.present(cases[i].servers)
		rounds += len(cases[i].servers) * b.rig.s.rounds
	}
	b.bar, b.repeats = newProgress(rounds), rounds/5
	for _, w := range cases {
		if slices.ContainsFunc(b.run.Cases, func(c result.Case) bool { return c.Name == w.name }) {
			b.bar.skip(len(w.servers) * b.rig.s.rounds)
			continue
		}
		c, err := b.measure(ctx, w)
		if err != nil {
			return err
		}
		b.run.Cases = append(b.run.Cases, c)
		b.run.Seconds = before + time.Since(began).Seconds()
		if err := b.keep(); err != nil {
			return err
		}
	}
	if err := b.beside(ctx); err != nil {
		return err
	}
	b.run.Seconds = before + time.Since(began).Seconds()
	return b.keep()
}

// beside measures what has no rounds: system calls, hot spots, micro-benchmarks.
func (b *bench) beside(ctx context.Context) error {
	if err := b.traceAll(ctx); err != nil {
		return err
	}
	if len(b.run.Micro) == 0 && b.rig.s.only.MatchString("micro") {
		b.bar.say("micro-benchmarks")
		var err error
		if b.run.Micro, err = microBenchmarks(ctx, b.rig.root); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.note("micro-benchmarks: %v", err)
		}
	}
	return nil
}

// note says once what was not measured, and why.
func (b *bench) note(format string, args ...any) {
	note := oneLine(fmt.Errorf(format, args...))
	if !slices.Contains(b.run.Notes, note) {
		b.bar.say("%s", note)
		b.run.Notes = append(b.run.Notes, note)
	}
}

// present drops the servers that could not be built.
func (b *bench) present(servers []server) []server {
	return slices.DeleteFunc(slices.Clone(servers), func(srv server) bool {
		why, absent := b.rig.absent[srv.bin]
		if note := oneLine(fmt.Errorf("%s: %s", srv.name, why)); absent && !slices.Contains(b.run.Notes, note) {
			b.run.Notes = append(b.run.Notes, note)
		}
		return absent
	})
}

// measure runs server after server, round after round, so that other work of the machine affects
// all of them.
func (b *bench) measure(ctx context.Context, w workload) (result.Case, error) {
	c := result.Case{Name: w.name, Group: w.group, Title: w.title, Measure: w.measure, Beside: w.beside, Sweep: w.sweep}
	loads := make([][]string, len(w.servers))
	for i, srv := range w.servers {
		var err error
		if loads[i], err = b.loadOf(ctx, w, srv); err != nil {
			return c, err
		}
		c.Servers = append(c.Servers, result.Server{Name: srv.name})
	}
	for round := range b.rig.s.rounds {
		for i, srv := range w.servers {
			b.bar.begin("%s %s %d/%d", w.name, srv.name, round+1, b.rig.s.rounds)
			r := b.round(ctx, w, srv, loads[i])
			if ctx.Err() != nil {
				return c, ctx.Err()
			}
			if r.Refused != "" {
				b.bar.end("refused, " + r.Refused)
			} else {
				b.bar.end(fmt.Sprintf("%s=%.4g", w.measure.Key, r.Values[w.measure.Key]))
			}
			c.Servers[i].Rounds = append(c.Servers[i].Rounds, r)
		}
	}
	steady := w.steady
	if steady == "" {
		steady = w.measure.Key
	}
	if why := unsteady(&c, steady); why != "" {
		b.bar.say("%s refused: %s", c.Name, why)
		refuse(&c, why)
	}
	return c, nil
}

// round measures until the machine is quiet enough or no repeats are left.
func (b *bench) round(ctx context.Context, w workload, srv server, load []string) result.Round {
	if load == nil {
		return result.Round{Refused: failedRound + "what it can do at most was not found out"}
	}
	for repeats := 0; ; repeats++ {
		values, err := b.rig.round(ctx, srv, w.path, load, w.pairs)
		if err != nil {
			return result.Round{Refused: failedRound + oneLine(err)}
		}
		why, again := judge(values)
		if why == "" {
			return result.Round{Values: values}
		}
		if !again || repeats == mostRepeats || b.repeats == 0 {
			return result.Round{Refused: why}
		}
		b.repeats--
	}
}

// loadOf is a workload's load; for half loads it depends on what the server did at full load, which
// is measured now if the run has no case that tells. It is nil when that fails.
func (b *bench) loadOf(ctx context.Context, w workload, srv server) ([]string, error) {
	if w.half == nil {
		return w.load, nil
	}
	var full float64
	if i := slices.IndexFunc(b.run.Cases, func(c result.Case) bool { return c.Name == w.half.from }); i >= 0 {
		if s := b.run.Cases[i].Server(srv.name); s != nil {
			full = s.Spread(w.half.key).Median
		}
	}
	if full == 0 {
		all := b.rig.s.cases()
		from := all[slices.IndexFunc(all, func(c workload) bool { return c.name == w.half.from })]
		values, err := b.rig.round(ctx, srv, from.path, from.load, 1)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if full = values[w.half.key]; err != nil || full == 0 {
			b.bar.say("%s %s at full load: %v", w.name, srv.name, err)
			return nil, nil
		}
	}
	return slices.Concat(w.load, w.half.flags(full)), nil
}

// finish computes the targets and writes the report, unless the run is none.
func (b *bench) finish(ctx context.Context, out string) (int, error) {
	b.run.Machine.Load[1] = loadAverage()
	alloc := allocations(ctx, b.rig.root)
	if ctx.Err() != nil {
		return failed, ctx.Err()
	}
	b.run.Targets = outcomes(b.run, alloc)
	if err := publish(ctx, b.rig.root, b.run, out); err != nil {
		return failed, err
	}
	if b.saved != "" {
		os.Remove(b.saved)
	}
	if _, _, n := tally(b.run); n > 0 {
		return failed, fmt.Errorf("%d rounds failed", n)
	}
	return 0, nil
}
