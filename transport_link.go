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
	ended    chan struct{} // closed when the connection is gone

	// Any goroutine.
	busy         atomic.Bool   // a run uses it
	useful       atomic.Bool   // a run has received an event on it
	sendToken    chan struct{} // holds a token while one SendEvent waits for the drain and sends, or an input is sent
	backpressure backpressure

	// Any goroutine, under Transport.mu.
	freeElement *list.Element // in remote.free; nil while it is not free
	unusable    bool          // nothing can be sent any more
	gone        bool          // ended is closed
	closeErr    *CloseError   // when gone
}

func newLink(s *slot, life *lifetime) *link {
	return &link{
		slot: s, lifetime: life,
		inbox:     newInbox(s.transport.cfg.Client.MaxPending),
		ended:     make(chan struct{}),
		sendToken: make(chan struct{}, 1),
	}
}

// linkHandler is the Handler of every connection of a transport; each has its link as Conn.User.
type linkHandler struct{}

func (linkHandler) OnOpen(*Conn) {}

// OnMessage keeps what comes during a run. What comes between two runs is counted and dropped.
func (linkHandler) OnMessage(c *Conn, op Opcode, payload []byte) {
	l := c.User().(*link)
	if op == Text && !l.busy.Load() {
		l.slot.transport.unclaimed.Add(1)
		return
	}
	l.inbox.OnMessage(c, op, payload)
}

func (linkHandler) OnDrain(c *Conn) { c.User().(*link).backpressure.drained() }

func (linkHandler) OnClose(c *Conn, why *CloseError) {
	l := c.User().(*link)
	l.inbox.OnClose(c, why)
	l.slot.transport.linkEnded(l, why)
}

// sendInput sends the input of a run. It may be large, so no event that has seen the connection
// drained is to follow it unasked.
func (l *link) sendInput(ctx context.Context, raw []byte) (SendResult, error) {
	if err := l.acquireToken(ctx); err != nil {
		return Dropped, err
	}
	defer l.releaseToken()
	l.inbox.begin()
	l.client.conn.SetBusy(true)
	return l.client.conn.SendNow(Text, raw), nil
}

func (l *link) acquireToken(ctx context.Context) error {
	select {
	case l.sendToken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link) releaseToken() { <-l.sendToken }

// send sends one event when the connection has drained. One caller at a time does so: two that saw
// the same drain would both fill it.
func (l *link) send(ctx context.Context, raw []byte) (SendResult, error) {
	if err := l.acquireToken(ctx); err != nil {
		return Dropped, err
	}
	defer l.releaseToken()
	if err := l.backpressure.await(ctx, l.client.conn, l.ended); err != nil {
		return Dropped, err
	}
	return l.client.conn.Send(Text, raw), nil
}

// markUnusable notes that nothing can be sent over l any more, and returns the error that says so.
func (t *Transport) markUnusable(l *link) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.unusable = true
	if l.freeElement != nil {
		l.slot.remote.free.Remove(l.freeElement)
		l.freeElement = nil
	}
	if t.eventLink == l {
		t.eventLink = nil
	}
	if l.closeErr == nil {
		return ErrEventDropped
	}
	return joinErrors(ErrEventDropped, l.closeErr)
}
