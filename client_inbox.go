package agloop

import (
	"context"
	"sync"

	"github.com/agloop/agloop/codec/frame"
)

// inbox keeps the frames of the bare wire, without a subprotocol, until Run reads them. It is of one
// connection.
type inbox struct {
	// Any goroutine, under mu.
	mu      sync.Mutex
	pending pending
	reading bool  // a run reads them; what comes while none does belongs to none
	broken  bool  // the connection is closed: what still comes is of a run that is over
	err     error // no more frames will come; those that came are still good
}

func newInbox(limit int) *inbox { return &inbox{pending: newPending(limit)} }

// receive is OnMessage. On the loop.
func (b *inbox) receive(c *Conn, op Opcode, payload []byte) {
	if op != Text {
		c.Close(frame.CloseUnsupported, "events are text")
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || !b.reading {
		return
	}
	if !b.pending.push(c, payload, item{}) {
		b.err = ErrSlowConsumer
		c.Close(ClosePolicy, "events wait too long")
		b.pending.notify()
	}
}

// closed is OnClose. On the loop.
func (b *inbox) closed(why *CloseError) {
	b.mu.Lock()
	b.pending.disown() // perhaps nobody ever reads them
	b.mu.Unlock()
	b.fail(joinErrors(ErrTruncated, why))
}

// fail ends the inbox with err, unless it has ended.
func (b *inbox) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.pending.notify()
}

// begin keeps what comes from now on for a run.
func (b *inbox) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = !b.broken
}

// end drops the frames that the run has not read, and those that come until the next one begins.
// After a run that broke the connection none does.
func (b *inbox) end(broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading, b.broken = false, b.broken || broken
	b.pending.drop()
}

// next implements source.
func (b *inbox) next(ctx context.Context) (item, error) {
	for {
		if err := ctx.Err(); err != nil {
			return item{}, err
		}
		b.mu.Lock()
		it, ok := b.pending.pop()
		err := b.err
		b.mu.Unlock()
		switch {
		case ok:
			return it, nil
		case err != nil:
			return item{}, err
		}
		select {
		case <-b.pending.signal:
		case <-ctx.Done():
		}
	}
}

// late implements source: on a wire that goes on, what is there already.
func (b *inbox) late(context.Context) (item, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pending.pop()
}

// applied implements source: on the bare wire nothing has a cursor.
func (b *inbox) applied(item) error { return nil }
