package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"github.com/agloop/agloop/bench/result"
)

// microBenchmarks runs the benchmarks of go test, which need no server and no load.
func microBenchmarks(ctx context.Context, root string) ([]result.Micro, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$",
		"-bench", "^Benchmark(Events|GetRelease|Slots|SlotsParallel|Wheel|Queue)$",
		"-count", "5", "-benchmem", "-benchtime", "30ms", "-p", "1", "./codec/event", "./bufpool", "./loop", "./batch")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	found := parseMicro(string(out), runtime.GOMAXPROCS(0))
	if err != nil {
		return found, fmt.Errorf("go test -bench: %w\n%s", err, lastOf(out, 2000))
	}
	return found, nil
}

// allocated is the result of the tests that allow the library 0 allocations.
type allocated struct {
	passed, failed int
	err            error
}

func allocations(ctx context.Context, root string) allocated {
	cmd := exec.CommandContext(ctx, "go", "test", "-v", "-count=1", "-run", "NoAllocation", ".")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	a := allocated{err: err}
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, "--- PASS"):
			a.passed++
		case strings.HasPrefix(line, "--- FAIL"):
			a.failed++
		}
	}
	if err != nil && a.failed == 0 {
		a.err = fmt.Errorf("%w\n%s", err, lastOf(out, 500))
	}
	return a
}

func lastOf(b []byte, n int) []byte {
	b = bytes.TrimSpace(b)
	return b[max(0, len(b)-n):]
}
