//go:build aguidebug

package bufpool

// checkAlive panics when the buffer has no owner left.
func (b *Buffer) checkAlive() {
	if b.refs.Load() <= 0 {
		panic("bufpool: use of a released buffer")
	}
}

// poison overwrites released memory: a reader that kept a slice sees it at once.
func (b *Buffer) poison() {
	for i := range b.mem {
		b.mem[i] = 0xDB
	}
}
