//go:build aguidebug

package bufpool

import "sync/atomic"

// checkAlive panics when the buffer has no owner left.
func (b *Buffer) checkAlive() {
	if atomic.LoadInt32(&b.refs) <= 0 {
		panic("bufpool: use of a released buffer")
	}
}

// poison overwrites released memory, so that a slice that was kept shows wrong bytes at once.
func (b *Buffer) poison() {
	if len(b.mem) == 0 {
		return
	}
	b.mem[0] = 0xDB
	for n := 1; n < len(b.mem); n *= 2 {
		copy(b.mem[n:], b.mem[:n])
	}
}
