package agloop

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// link is one connection of a slot, from its dialling to its end.
type link struct {
	// Immutable once the slot has it.
	slot     *slot
	lifetime *lifetime
	inbox    *inbox
	wire     *wire
	conn     *Conn
	since    time.Time
	ended    chan struct{} // closed when the connection is gone

	// Any goroutine.
	bare         atomic.Bool // the server did not choose agloop.v1
	busy         atomic.Bool // a run uses it
	useful       atomic.Bool // a run has received an event on it
	sending      sync.Mutex  // held from the look for room to the Send, and while an input is sent
	backpressure backpressure

	// Any goroutine, under Transport.mu.
	freeElement *list.Element // in remote.free; nil while it is not free
	unusable    bool          // nothing can be sent any more
	gone        bool          // ended is closed
	closeErr    *CloseError   // when gone
}

func newLink(s *slot, life *lifetime) *link {
	l := &link{
		slot: s, lifetime: life,
		inbox: newInbox(s.transport.cfg.Client.MaxPending), wire: newWire(s.mux),
		ended: make(chan struct{}),
	}
	l.bare.Store(!s.transport.cfg.Client.resumes())
	return l
}

// close ends a connection that the transport does not need any more.
func (l *link) close() {
	l.inbox.fail(ErrClientClosed)
	l.conn.Close(CloseNormal, "")
}

// linkHandler is the Handler of every connection of a transport; each has its link as Conn.User.
type linkHandler struct{}

func (linkHandler) OnOpen(*Conn) {}

// OnMessage keeps what comes during a run. What comes between two runs of a bare wire is counted and
// dropped. See connection.OnMessage.
func (linkHandler) OnMessage(c *Conn, op Opcode, payload []byte) {
	l := c.User().(*link)
	if !l.bare.Load() {
		l.wire.receive(c, op, payload)
		return
	}
	if op == Text && !l.busy.Load() {
		l.slot.transport.unclaimed.Add(1)
		return
	}
	l.inbox.receive(c, op, payload)
}

func (linkHandler) OnDrain(c *Conn) { c.User().(*link).backpressure.drained() }

func (linkHandler) OnClose(c *Conn, why *CloseError) {
	l := c.User().(*link)
	l.inbox.closed(why)
	l.slot.mux.disconnected(l.wire)
	l.slot.transport.linkEnded(l, why)
}

// sendInput sends the input of a run.
func (l *link) sendInput(raw []byte) SendResult {
	l.sending.Lock() // it may be large: no event that has found room before it is to follow it
	defer l.sending.Unlock()
	return l.conn.SendNow(Text, raw)
}

// send sends one event when the connection has drained.
func (l *link) send(ctx context.Context, raw []byte) (SendResult, error) {
	for {
		if err := l.backpressure.await(ctx, l.conn, l.ended); err != nil {
			return Dropped, err
		}
		if sent, ok := l.sendIfRoom(raw); ok {
			return sent, nil
		}
	}
}

// sendIfRoom sends one event unless somebody else has filled the connection. One that has ended
// answers Dropped.
func (l *link) sendIfRoom(raw []byte) (sent SendResult, ok bool) {
	l.sending.Lock()
	defer l.sending.Unlock()
	select {
	case <-l.ended:
		return Dropped, true
	default:
	}
	if l.conn.Full() {
		return Dropped, false
	}
	return l.conn.Send(Text, raw), true
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
