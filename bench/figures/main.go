//go:build linux

// Command figures measures this library beside its rivals and prints Markdown.
//
// It builds cmd/agloop, bench/rivals and bench/load into a temporary directory, then for each case runs server after
// server, round after round (A B A B …), each time a fresh process on a port of its own: whatever else the machine does
// meanwhile falls on all alike. The server has one core and the load another, unless PIN=0. Progress goes to stderr,
// the tables to stdout. It ends with status 1 when a run failed: a server that loses messages has no figures.
//
// The environment sets what is measured:
//
//	ROUNDS=5             rounds
//	CASES=.              regular expression; the cases are idle, echo-1, echo-32, stream-1, stream-4, stream-8
//	ALL=0                1: gorilla and coder in every case that they can serve
//	CONNS=15000          idle connections
//	SETTLE=10s           time until their memory is read
//	ECHO_CONNS=64        connections of the echo cases
//	SIZE=128             bytes of an echoed message
//	ECHO_SECONDS=8       window of an echo case
//	RUNS=2000            runs of a stream case
//	STREAM_SECONDS=10    length of a run
//	WARM=2s              time before a window
//	LOOPS=1              event loops, for the servers that have them
//	PIN=1                0: neither server nor load is bound to a core
//	SERVER_CPU=0 LOAD_CPU=1
//	RAW=                 file to write every result to, one JSON object a line
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// Children die with the thread that started them (see start), so that must be the one thread that lives to the end.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := figures(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "figures: %v\n", err)
		os.Exit(1)
	}
}

func figures(ctx context.Context) error {
	s, err := readSettings(os.Getenv)
	if err != nil {
		return err
	}
	cases := s.selected()
	if len(cases) == 0 {
		return fmt.Errorf("CASES=%s names no case", s.only)
	}
	if s.pin && runtime.NumCPU() <= max(s.serverCPU, s.loadCPU) {
		return fmt.Errorf("cores %d and %d are not both here; set PIN=0, SERVER_CPU or LOAD_CPU", s.serverCPU, s.loadCPU)
	}
	dir, err := os.MkdirTemp("", "figures-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, err := build(ctx, dir)
	if err != nil {
		return err
	}
	var raw *os.File
	if s.raw != "" {
		if raw, err = os.Create(s.raw); err != nil {
			return err
		}
		defer raw.Close()
	}

	head := describe(ctx, root, dir, s)
	began, failed := time.Now(), 0
	var results []result
	for _, c := range cases {
		for round := 1; round <= s.rounds; round++ {
			for _, srv := range c.servers {
				fmt.Fprintf(os.Stderr, "%s %s %d/%d ", c.name, srv.name, round, s.rounds)
				line, err := measure(ctx, dir, s, c, srv)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					failed++
				}
				r := result{c: c, server: srv.name, round: round, failed: err != nil}
				if err == nil {
					if r.values, err = parseValues(line); err != nil {
						return err
					}
					fmt.Fprintf(os.Stderr, "%s=%s\n", c.measure, number(r.values[c.measure]))
				}
				if raw != nil && err == nil {
					fmt.Fprintf(raw, `{"case":%q,"server":%q,"round":%d,"figures":%s}`+"\n", c.name, srv.name, round, line)
				}
				results = append(results, r)
			}
		}
	}
	fmt.Print(head)
	fmt.Printf("- took %s; load average now %s\n\n", time.Since(began).Round(time.Second), loadAverage())
	fmt.Print(mainTable(cases, results))
	fmt.Print(sideTables(cases, results))
	if failed > 0 {
		return fmt.Errorf("%d runs failed", failed)
	}
	return nil
}
