package run

import (
	"context"
	"sync/atomic"
)

// emitLock is a lock whose waiters give up when their context ends. One that has given up stays
// counted, so from then on the lock is never found free by the count: it is free while the pass
// lies in the channel.
type emitLock struct {
	waiters atomic.Int64  // including the holder, and those that have given up
	pass    chan struct{} // of capacity 1: from the holder to a waiter
}

func (t *emitLock) acquire(ctx context.Context) error {
	if t.waiters.Add(1) == 1 {
		return nil
	}
	select {
	case <-t.pass:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *emitLock) release() {
	if t.waiters.Add(-1) > 0 {
		t.pass <- struct{}{} // does not block: the holder has received the pass before, if any
	}
}
