//go:build linux

// Command figures measures this library beside its rivals and writes a report.
//
//	figures bench    every case, into bench/report: results.json, bench.txt, report.md, index.html
//	figures guard    two echo cases against bare gnet; fails when agloop's share has grown beyond reason
//	figures render   draws bench/report again from its results.json, its targets judged anew
//	figures readme   puts the main table of bench/report into README.md
//
// It builds cmd/agloop, bench/rivals and bench/load into a temporary directory, then for each case
// runs server after server, round after round (A B A B …), each time a fresh process on a port of
// its own: so that other work of the machine affects all of them. The server has one core and the
// load another, unless PIN=0. What a server spends is read from the outside, by the load, from
// /proc.
//
// A round is not reported when the load was at its limit, or when others used the machine; a noisy
// one is first repeated, up to three times, as long as no more than a fifth of all rounds were. A
// case of which agloop's own rounds lie further than 50 % apart is not reported at all. When more
// than a third of all rounds are refused, the run is no report, and what was saved before stays.
// See noise.go.
//
// It ends with status 1 when a round failed, for a server that loses messages has no figures, and
// with status 3 when the machine is not quiet enough to measure.
//
// The environment sets what is measured:
//
//	ROUNDS=5             rounds
//	CASES=.              regular expression; the cases, and micro, calls/CASE, hot/CASE. The report is then printed,
//	                     and saved only with OUT
//	QUICK=0              1: shorter windows, fewer connections, sizes and rates
//	RIVAL=               NAME=COMMAND; …: more echo servers. {addr}, {host} and {port} are where to listen
//	ECHO_SECONDS=2       window of an echo of 128 B; the others go with it
//	CONNS=15000          idle connections of one process; over TLS at most 5000
//	SETTLE=5s            time until their memory is read
//	RUNS=5000            runs of a stream case; over TLS two fifths of it, compressed a tenth
//	LOOPS=1              event loops, for the servers that have them
//	PIN=1                0: neither server nor load is bound to a core, which is the default on a single core
//	SERVER_CPU=0 LOAD_CPU=1
//	OUT=bench/report     directory of the report, from the root of the source tree
//	RESUME=0             1: goes on from OUT/partial.json, if programs and settings are the same
//	FORCE=0              1: measures on a machine that is not quiet, too; noisy rounds are refused all the same
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

// Exit codes.
const (
	failed = 1
	usage  = 2
	noisy  = 3
)

// Children die with the thread that started them (see start), so that must be the one thread that
// lives to the end.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := dispatch(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "figures: %v\n", err)
	}
	os.Exit(status)
}

func dispatch(ctx context.Context, args []string) (int, error) {
	what := "bench"
	if len(args) > 0 {
		what = args[0]
	}
	s, err := readSettings(os.Getenv, runtime.NumCPU())
	if err != nil {
		return usage, err
	}
	switch what {
	case "bench":
		if len(s.selected()) == 0 && len(s.traced()) == 0 && !s.only.MatchString("micro") {
			return usage, fmt.Errorf("CASES=%s names no case", s.only)
		}
		status, err := runBench(ctx, s)
		if errors.Is(err, errNoReport) {
			status = noisy
		}
		return status, err
	case "guard":
		return runGuard(ctx, s)
	case "render", "readme":
		err = redraw(ctx, s, what)
	default:
		return usage, errors.New("usage: figures [bench|guard|render|readme]")
	}
	if err != nil {
		return failed, err
	}
	return 0, nil
}

func redraw(ctx context.Context, s settings, what string) error {
	root, err := sourceRoot(ctx)
	if err != nil {
		return err
	}
	out := s.outIn(root)
	if out == "" {
		out = reportIn(root)
	}
	if what == "readme" {
		return updateReadme(root, out)
	}
	run, err := readRun(out)
	if err != nil {
		return err
	}
	run.Targets = reconsidered(run)
	if err := writeJSON(filepath.Join(out, resultsFile), run); err != nil {
		return err
	}
	return render(run, out)
}
