//go:build aguidebug

package loop

// owner remembers the goroutine that is a loop and panics on any other.
type owner struct{ goroutine string }

func (o *owner) claim(goroutine string) { o.goroutine = goroutine }

func (o *owner) check() {
	if g := goroutine(); g != o.goroutine {
		panic("loop: " + g + " touches what belongs to " + o.goroutine)
	}
}
