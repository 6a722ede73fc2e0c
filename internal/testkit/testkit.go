// Package testkit is what the tests of several packages share: a WebSocket peer made of bytes, a
// wait that names what it waits for, and whether the build is one whose checks cost memory and
// time.
package testkit

import (
	"runtime"
	"testing"
	"time"
)

// Patience bounds every wait of a test: a machine that is busy takes seconds for what takes a
// millisecond elsewhere, and who waits longer than this waits for something that does not happen.
const Patience = 30 * time.Second

// Await polls for what nobody announces.
func Await(t testing.TB, what string, done func() bool) {
	t.Helper()
	const soon = 2 * time.Millisecond // most comes about by then, and a sleep lasts longer
	for start := time.Now(); !done(); {
		switch waited := time.Since(start); {
		case waited < soon:
			runtime.Gosched()
		case waited < Patience:
			time.Sleep(time.Millisecond)
		default:
			t.Fatalf("waited %v in vain: %s", Patience, what)
		}
	}
}

// Receive takes what comes through ch.
func Receive[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(Patience):
		t.Fatalf("waited %v in vain: %s", Patience, what)
	}
	return v
}
