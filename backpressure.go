package agloop

import (
	"context"
	"sync"
	"sync/atomic"
)

// backpressure makes those who send over one connection wait until that has drained to its
// low-water mark. The zero value is ready.
type backpressure struct {
	// Any goroutine.
	reported atomic.Bool // a Send answered Backpressure, and nobody has seen that it ended

	// Any goroutine, under mu.
	mu    sync.Mutex
	drain chan struct{} // closed by drained; nil while nobody waits
}

// noteResult notes what a Send answered. Any goroutine.
func (b *backpressure) noteResult(r SendResult) {
	if r == Backpressure {
		b.reported.Store(true)
	}
}

// await waits while c is above its soft limit, until ctx ends or over is closed, after which the
// next Send returns Dropped. The error is ctx's. Any goroutine.
func (b *backpressure) await(ctx context.Context, c *Conn, over <-chan struct{}) error {
	if !b.reported.Load() {
		return ctx.Err()
	}
	b.mu.Lock()
	if !c.Full() {
		b.reported.Store(false)
		b.mu.Unlock()
		return ctx.Err()
	}
	// The loop lowers Full before it calls drained, which needs mu and so will see the channel.
	if b.drain == nil {
		b.drain = make(chan struct{})
	}
	drain := b.drain
	b.mu.Unlock()
	select {
	case <-drain:
	case <-over:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// drained is OnDrain. On the loop.
func (b *backpressure) drained() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drain != nil {
		close(b.drain)
		b.drain = nil
	}
}
