package agloop

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// link is one connection of a slot, from its dialling to its end. It is the Handler of
// the connection.
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

	// Any goroutine, under Transport.mu.
	place   *list.Element // among the free ones
	closing bool          // nothing can be sent any more
	gone    bool
	why     *CloseError // when gone

	// Any goroutine, under mu.
	mu   sync.Mutex
	room chan struct{} // closed by OnDrain
}

func newLink(s *slot, life *lifetime) *link {
	return &link{
		slot: s, lifetime: life,
		inbox: newInbox(s.transport.cfg.Client.MaxPending),
		over:  make(chan struct{}),
		turn:  make(chan struct{}, 1),
	}
}

// OnOpen implements Handler.
func (l *link) OnOpen(*Conn) {}

// OnMessage implements Handler. What comes while no run is on the connection belongs to
// nobody, and is not kept.
func (l *link) OnMessage(c *Conn, op Opcode, payload []byte) {
	if op == Text && !l.taken.Load() {
		l.slot.transport.unclaimed.Add(1)
		return
	}
	l.inbox.OnMessage(c, op, payload)
}

// OnDrain implements Handler.
func (l *link) OnDrain(*Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// OnClose implements Handler.
func (l *link) OnClose(c *Conn, why *CloseError) {
	l.inbox.OnClose(c, why)
	l.slot.transport.ended(l, why)
}

// await waits while the connection is above its soft limit.
func (l *link) await(ctx context.Context) error {
	l.mu.Lock()
	if !l.client.conn.Full() {
		l.mu.Unlock()
		return ctx.Err()
	}
	// The loop lowers Full before it calls OnDrain, which needs mu: it will see room.
	if l.room == nil {
		l.room = make(chan struct{})
	}
	room := l.room
	l.mu.Unlock()
	select {
	case <-room:
		return ctx.Err()
	case <-l.over:
		return nil // sending will tell
	case <-ctx.Done():
		return ctx.Err()
	}
}

// say sends one event when there is room for it. Callers go one by one: room that two of
// them saw would be filled twice.
func (l *link) send(ctx context.Context, raw []byte) (SendResult, error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return Dropped, ctx.Err()
	}
	defer func() { <-l.turn }()
	if err := l.await(ctx); err != nil {
		return Dropped, err
	}
	return l.client.conn.Send(Text, raw), nil
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
	return errors.Join(ErrEventDropped, l.why)
}
