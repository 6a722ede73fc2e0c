package topic

import (
	"slices"
	"time"

	"github.com/agloop/agloop/codec/frame"
)

// extra is what a Config other than the zero one asks for.
type extra struct {
	Config

	// Under Hub.mu.
	history  []past      // the last messages, oldest first
	bytes    int         // of them
	expiry   *time.Timer // of the oldest, nil while none runs
	gathered *pending    // what waits for the end of the interval; nil: nothing
}

// past is a message that is kept.
type past struct {
	frame.Prepared
	at time.Time
}

// hasHistory reports whether messages are kept for who comes later. e may be nil.
func (e *extra) hasHistory() bool { return e != nil && e.History > 0 }

// isZero reports whether c asks for nothing.
func (c *Config) isZero() bool { return c.History <= 0 && c.Slow == SlowLimits && c.Interval <= 0 }

// cursor is the place behind the last message of a topic. Under mu.
func (h *Hub) cursor(n *node) Cursor { return Cursor{Epoch: h.epoch, Offset: n.next - 1} }

// remember keeps a message. Under mu.
func (h *Hub) remember(n *node, m frame.Prepared) {
	e := n.extra
	e.history = append(e.history, past{m.Retain(), time.Now()})
	e.bytes += len(m.Frame())
	h.figures.HistoryBytes += len(m.Frame())
	for len(e.history) > e.History || e.HistoryBytes > 0 && e.bytes > e.HistoryBytes {
		h.trim(e)
	}
	if e.HistoryFor > 0 && e.expiry == nil && len(e.history) > 0 {
		e.expiry = time.AfterFunc(e.HistoryFor, func() { h.expire(n) })
	}
}

// trim drops the oldest message. Under mu.
func (h *Hub) trim(e *extra) {
	m := e.history[0]
	e.bytes -= len(m.Frame())
	h.figures.HistoryBytes -= len(m.Frame())
	m.Release()
	e.history[0] = past{}
	e.history = e.history[1:]
}

// forget drops the history of a topic. Under mu.
func (h *Hub) forget(n *node) {
	for n.extra != nil && len(n.extra.history) > 0 {
		h.trim(n.extra)
	}
}

// expire drops what is older than the topic keeps, and the topic when nothing is left of it.
func (h *Hub) expire(n *node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := n.extra
	if h.topics[n.name] != n {
		return
	}
	now := time.Now()
	for len(e.history) > 0 && now.Sub(e.history[0].at) >= e.HistoryFor {
		h.trim(e)
	}
	switch {
	case len(e.history) > 0:
		e.expiry.Reset(e.HistoryFor - now.Sub(e.history[0].at))
	case h.size(n) == 0:
		h.remove(n)
	default:
		e.expiry = nil
	}
}

// behind returns the messages behind a cursor, and whether all of those are there. Under mu.
func (h *Hub) behind(n *node, after Cursor) (missed []frame.Prepared, ok bool) {
	var kept []past
	if n.extra != nil {
		kept = n.extra.history
	}
	first := n.next - uint64(len(kept)) // number of the oldest that is kept
	switch {
	case after == Cursor{}:
		after.Offset = first - 1 // all there are
	case after.Epoch != h.epoch || after.Offset >= n.next || after.Offset < first-1:
		return nil, false
	}
	for _, p := range kept[after.Offset+1-first:] {
		missed = append(missed, p.Prepared)
	}
	return missed, true
}

// Entry is one message of a history. Its payload may be kept, and must not be changed.
type Entry struct {
	At      Cursor
	Binary  bool // Text else
	Payload []byte
}

// History returns what a topic keeps behind a cursor, oldest first, and ErrGone where something of that is
// not kept any more. The zero Cursor is before all that is kept.
func (h *Hub) History(name string, after Cursor) (entries []Entry, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.topics[name]
	if n == nil {
		if after != (Cursor{}) {
			return nil, ErrGone
		}
		return nil, nil
	}
	missed, ok := h.behind(n, after)
	if !ok {
		return nil, ErrGone
	}
	at := n.next - uint64(len(missed))
	for i, m := range missed {
		entries = append(entries, Entry{
			At: Cursor{Epoch: h.epoch, Offset: at + uint64(i)}, Binary: m.Opcode() == frame.Binary, Payload: slices.Clone(m.Payload()),
		})
	}
	return entries, nil
}

// gather keeps a message until the interval ends that the first of them begins. Under mu.
func (h *Hub) gather(n *node, m frame.Prepared, key string) {
	e := n.extra
	if e.gathered == nil {
		e.gathered = pendings.Get().(*pending)
		e.gathered.first, e.gathered.slow = n.next, e.Slow
		h.waiting.Add(1)
		time.AfterFunc(e.Interval, func() { h.endInterval(n) })
	}
	e.gathered.add(m, key)
}

// endInterval spreads what has been gathered.
func (h *Hub) endInterval(n *node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := n.extra
	if e.gathered == nil {
		return
	}
	for i, m := range e.gathered.messages {
		h.spread(n, m, e.gathered.keyOf(i), e.gathered.first+uint64(i))
	}
	h.release(&e.gathered)
}
