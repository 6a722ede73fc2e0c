package testkit

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// Recorder is a test that is told what went wrong and does not fail for it: that of an assertion.
// Read it when Record has returned.
type Recorder struct {
	testing.TB
	Errors []string
	Ended  bool // by Fatalf

	cleanups []func()
}

// Record runs f, and then what f has left for its cleanup, in goroutines of their own: Fatalf ends
// them.
func Record(t testing.TB, f func(t testing.TB)) *Recorder {
	r := &Recorder{TB: t}
	r.do(func() { f(r) })
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.do(r.cleanups[i])
	}
	return r
}

func (r *Recorder) do(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// Errorf keeps the error.
func (r *Recorder) Errorf(format string, args ...any) {
	r.Errors = append(r.Errors, fmt.Sprintf(format, args...))
}

// Fatalf keeps the error and ends the goroutine.
func (r *Recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.Ended = true
	runtime.Goexit()
}

// Cleanup is for Record to do.
func (r *Recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// Output discards what is written.
func (r *Recorder) Output() io.Writer { return io.Discard }

// WantFailure wants one error that has all of these parts.
func (r *Recorder) WantFailure(t testing.TB, parts ...string) {
	t.Helper()
	if len(r.Errors) != 1 {
		t.Fatalf("%d errors, want 1: %q", len(r.Errors), r.Errors)
	}
	for _, part := range parts {
		if !strings.Contains(r.Errors[0], part) {
			t.Errorf("the failure does not say %q:\n%s", part, r.Errors[0])
		}
	}
}

// WantNone wants no error.
func (r *Recorder) WantNone(t testing.TB) {
	t.Helper()
	if len(r.Errors) > 0 {
		t.Errorf("errors: %q", r.Errors)
	}
}
