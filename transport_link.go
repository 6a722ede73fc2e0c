package agloop

import (
	"container/list"
	"context"
	"sync/atomic"
	"time"
)

// link is one connection of a slot, from its dialling to its end.
type link struct {
	// Immutable once the slot has it.
	slot     *slot
	lifetime *lifetime
	inbox    *inbox
	client   *Client
	since    time.Time
	over     chan struct{} // closed when the connection is gone

	// Any goroutine.
	taken  atomic.Bool   // a run has it
	useful atomic.Bool   // a run has received an event on it
	turn   chan struct{} // holds a token while a SendEvent waits for room and sends
	full   backpressure

	// Any goroutine, under Transport.mu.
	place   *list.Element // among the free ones
	closing bool          // nothing can be sent any more
	gone    bool
	why     *CloseError // when gone
}

func newLink(s *slot, life *lifetime) *link {
	return &link{
		slot: s, lifetime: life,
		inbox: newInbox(s.transport.cfg.Client.MaxPending),
		over:  make(chan struct{}),
		turn:  make(chan struct{}, 1),
	}
}

// linkHandler is the Handler of every connection of a transport; each has its link as Conn.User.
type linkHandler struct{}

func (linkHandler) OnOpen(*Conn) {}

// OnMessage keeps what belongs to a run. What comes while none is on the connection is counted.
func (linkHandler) OnMessage(c *Conn, op Opcode, payload []byte) {
	l := c.User().(*link)
	if op == Text && !l.taken.Load() {
		l.slot.transport.unclaimed.Add(1)
		return
	}
	l.inbox.OnMessage(c, op, payload)
}

func (linkHandler) OnDrain(c *Conn) { c.User().(*link).full.drained() }

func (linkHandler) OnClose(c *Conn, why *CloseError) {
	l := c.User().(*link)
	l.inbox.OnClose(c, why)
	l.slot.transport.ended(l, why)
}

// send sends one event when there is room for it. Callers go one by one: room that two of
// them saw would be filled twice.
func (l *link) send(ctx context.Context, raw []byte) (SendResult, error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return Dropped, ctx.Err()
	}
	defer func() { <-l.turn }()
	if err := l.full.await(ctx, l.client.conn, l.over); err != nil {
		return Dropped, err
	}
	r := l.client.conn.Send(Text, raw)
	l.full.note(r)
	return r, nil
}

// spent notes that nothing can be sent over l any more, and returns the error that says so.
func (t *Transport) spent(l *link) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.closing = true
	if l.place != nil {
		l.slot.origin.free.Remove(l.place)
		l.place = nil
	}
	if t.eventLink == l {
		t.eventLink = nil
	}
	if l.why == nil {
		return ErrEventDropped
	}
	return joinErrors(ErrEventDropped, l.why)
}
