// Package leaktest fails a package's tests when they leave goroutines behind.
package leaktest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Main runs the tests and exits; call it from TestMain. Goroutines that come from this module or
// from gnet must be gone within five seconds of the last test.
func Main(m *testing.M) {
	code := m.Run()
	deadline := time.Now().Add(5 * time.Second)
	left := leaked()
	for len(left) > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond) // goroutines announce their end to nobody
		left = leaked()
	}
	if len(left) > 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "leaktest: %d goroutines left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines that should have ended.
func leaked() (stacks []string) {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for _, g := range strings.Split(string(buf), "\n\n") {
		ours := strings.Contains(g, "github.com/agloop/agloop") || strings.Contains(g, "panjf2000/gnet")
		switch {
		case !ours:
		case strings.Contains(g, "leaktest.Main"): // this goroutine
		case strings.Contains(g, "ants/v2."): // gnet's worker pool is for the whole process
		default:
			stacks = append(stacks, g)
		}
	}
	return stacks
}
