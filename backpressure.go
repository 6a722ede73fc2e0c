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

// noteResult notes what a Send answered, for awaitOwn. Any goroutine.
func (b *backpressure) noteResult(r SendResult) {
	if r == Backpressure {
		b.reported.Store(true)
	}
}

// awaitOwn is await for the only sender of a connection, who has noted every result: while none
// was Backpressure there is nothing to ask. Any goroutine.
func (b *backpressure) awaitOwn(ctx context.Context, c *Conn) error {
	if !b.reported.Load() {
		return ctx.Err()
	}
	b.reported.Store(false) // before c is asked: a Send that comes meanwhile sets it again
	err := b.await(ctx, c, nil)
	if err != nil {
		b.reported.Store(true) // it may still be full
	}
	return err
}

// await waits while c is above its soft limit, until ctx ends or over is closed, after which the
// next Send returns Dropped. The error is ctx's. Any goroutine.
func (b *backpressure) await(ctx context.Context, c *Conn, over <-chan struct{}) error {
	b.mu.Lock()
	if !c.Full() {
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
