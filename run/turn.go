package run

import (
	"context"
	"sync/atomic"
)

// turn is a lock whose waiters leave when the run is cancelled. The context must be the
// same for all: one who left stays counted, so that later ones wait for it to end too.
type emitLock struct {
	waiters atomic.Int64  // with the one whose turn it is
	pass    chan struct{} // of capacity 1: from one in line to the next
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
		t.pass <- struct{}{} // there is room: only the one whose turn it was can fill it
	}
}
