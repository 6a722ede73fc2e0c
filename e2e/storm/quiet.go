package main

import (
	"context"
	"runtime"
	"strings"
	"time"
)

// awaitQuiet waits until the library has no goroutine any more, since nobody uses it.
func awaitQuiet(ctx context.Context, sum *tally) {
	for {
		left := libraryGoroutines()
		if len(left) == 0 {
			return
		}
		if !linger(ctx, 10*time.Millisecond) {
			sum.fault("%d goroutines are left:\n%s", len(left), strings.Join(left[:min(len(left), 5)], "\n\n"))
			return
		}
	}
}

// libraryGoroutines are the stacks of the library's goroutines, and of gnet's, but for a pool that is
// there as long as the process.
func libraryGoroutines() (stacks []string) {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	for g := range strings.SplitSeq(string(buf[:n]), "\n\n") {
		library := false
		for line := range strings.Lines(g) {
			library = library || strings.HasPrefix(line, "github.com/agloop/agloop") || strings.HasPrefix(line, "github.com/panjf2000/gnet")
		}
		if library && !strings.Contains(g, "ants/v2.") {
			stacks = append(stacks, g)
		}
	}
	return stacks
}
