//go:build aguidebug

package loop

import (
	"bytes"
	"runtime"
)

// owner remembers the goroutine that is a loop and panics on any other.
type owner struct{ goroutine string }

func (o *owner) claim() { o.goroutine = goroutine() }

func (o *owner) check() {
	if g := goroutine(); g != o.goroutine {
		panic("loop: " + g + " touches what belongs to " + o.goroutine)
	}
}

// goroutine is the first words of the stack trace, "goroutine 12".
func goroutine() string {
	var b [64]byte
	words := bytes.Fields(b[:runtime.Stack(b[:], false)])
	return string(words[0]) + " " + string(words[1])
}
