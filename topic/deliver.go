package topic

import (
	"slices"
	"sync"

	"github.com/agloop/agloop/codec/frame"
)

// stepSize is to how many subscribers messages are delivered before other work has its turn. A delivery is
// a write of some microseconds.
const stepSize = 64

// queue is what is to be delivered in one group: topics, or subscriptions, in the order in which messages
// for them came.
type queue struct {
	// Immutable.
	hub       *Hub
	group     Group
	serveFunc func() bool // serve

	// Any goroutine, under Hub.mu.
	targets []target // from head on
	head    int
	serving bool // the group's goroutine is at it, or will be
	// What is delivered now; its target is none where there is nothing.
	now     target
	passing *pending
	at      int // in the members of a part: who comes next

	// The goroutine of the group.
	step [stepSize]*subscription
}

// target is to whom messages go: those of a topic who share the group, or one subscriber.
type target struct {
	part *part
	one  *subscription
}

// pending is messages of one topic, one behind the other, that are to be delivered.
type pending struct {
	first    uint64 // number of the first
	messages []frame.Prepared
	keys     []string // of SlowCoalesce
	slow     Slow
}

var pendings = sync.Pool{New: func() any { return new(pending) }}

// queue returns the queue of a group. Under mu.
func (h *Hub) queue(g Group) *queue {
	q := h.queues[g]
	if q == nil {
		q = &queue{hub: h, group: g}
		q.serveFunc = q.serve
		h.queues[g] = q
	}
	return q
}

// Publish has a message delivered to the subscribers of a topic, and returns its place. It does not wait for
// them. op is Text or Binary, and text must be valid UTF-8; payload is copied.
func (h *Hub) Publish(name string, op frame.Opcode, payload []byte) Cursor {
	return h.PublishFunc(name, op, func(Cursor) []byte { return payload })
}

// PublishFunc is Publish of a message that says its own place: make is given that, and called with a lock
// held, so it must not call the hub.
func (h *Hub) PublishFunc(name string, op frame.Opcode, make func(at Cursor) []byte) Cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return Cursor{}
	}
	h.figures.Published++
	n := h.topics[name]
	if n == nil {
		if h.configure == nil {
			return Cursor{} // nobody hears it
		}
		if n = h.create(name); !n.extra.hasHistory() {
			return Cursor{}
		}
		h.topics[name] = n
	}
	at := Cursor{Epoch: h.epoch, Offset: n.next}
	payload := make(at)
	m := frame.Prepare(op, payload)
	defer m.Release()
	if n.extra.hasHistory() {
		h.remember(n, m)
	}
	var key string
	if n.slow() == SlowCoalesce {
		key = n.extra.Key(payload)
	}
	if n.extra != nil && n.extra.Interval > 0 {
		h.gather(n, m, key)
	} else {
		h.spread(n, m, key, n.next)
	}
	n.next++
	return at
}

func (n *node) slow() Slow {
	if n.extra == nil {
		return SlowLimits
	}
	return n.extra.Slow
}

// spread hands one message to the groups that have subscribers. Under mu.
func (h *Hub) spread(n *node, m frame.Prepared, key string, number uint64) {
	if n.crowd == nil {
		if n.one.held != nil {
			h.put(n, &n.one.pending, n.one.held.queue, target{one: &n.one}, number).add(m, key)
		}
		return
	}
	for _, p := range n.crowd.parts {
		if len(p.members) > p.left {
			h.put(n, &p.pending, p.queue, target{part: p}, number).add(m, key)
		}
	}
}

// put returns a list to add the message of a number to. Where it is new, what it is of goes to its group's
// queue. Under mu.
func (h *Hub) put(n *node, list **pending, q *queue, t target, number uint64) *pending {
	if *list == nil {
		*list = pendings.Get().(*pending)
		(*list).first, (*list).slow = number, n.slow()
		q.targets = append(q.targets, t)
		h.waiting.Add(1)
		if !q.serving {
			q.serving = true
			q.group.Serve(q.serveFunc)
		}
	}
	return *list
}

// add adds a message, which is retained, and its key.
func (p *pending) add(m frame.Prepared, key string) {
	p.messages = append(p.messages, m.Retain())
	if p.slow == SlowCoalesce {
		p.keys = append(p.keys, key)
	}
}

func (p *pending) keyOf(i int) string {
	if p.slow != SlowCoalesce {
		return ""
	}
	return p.keys[i]
}

// release drops a list that will not be delivered, or has been. Under mu.
func (h *Hub) release(list **pending) {
	p := *list
	if p == nil {
		return
	}
	for i := range p.messages {
		p.messages[i].Release()
	}
	clear(p.messages)
	clear(p.keys)
	*p = pending{messages: p.messages[:0], keys: p.keys[:0]}
	if cap(p.messages) <= 64 {
		pendings.Put(p)
	}
	*list = nil
	h.waiting.Add(-1)
}

// serve delivers to some subscribers, and reports whether there are more. In the goroutine of the group.
func (q *queue) serve() (more bool) {
	members, list := q.begin()
	if list == nil {
		return false
	}
	for i, s := range members {
		if s.sub.Deliver(list.messages, list.first, &s.next, list.slow) == Behind {
			q.hub.fallBehind(s, list)
		}
		members[i] = nil
	}
	return q.end()
}

// begin chooses to whom messages are delivered next; without any, there are none.
func (q *queue) begin() (members []*subscription, list *pending) {
	h := q.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for q.passing == nil {
		if q.head == len(q.targets) {
			q.targets, q.head, q.serving = q.targets[:0], 0, false
			return nil, nil
		}
		q.now, q.at = q.targets[q.head], 0
		q.targets[q.head] = target{}
		q.head++
		list := q.now.pending()
		q.passing, *list = *list, nil
	}
	members = q.step[:0]
	if s := q.now.one; s != nil {
		q.at = 1
		members = h.choose(members, s, q.passing)
	} else {
		for p := q.now.part; q.at < len(p.members) && len(members) < stepSize; q.at++ {
			if s := p.members[q.at]; s != nil {
				members = h.choose(members, s, q.passing)
			}
		}
	}
	h.figures.Delivered += uint64(len(members) * len(q.passing.messages))
	return members, q.passing
}

// choose adds a subscriber to those who are delivered to, unless something is kept for it. Under mu.
func (h *Hub) choose(members []*subscription, s *subscription, list *pending) []*subscription {
	if s.kept != nil {
		h.keep(s, list)
		return members
	}
	return append(members, s)
}

// end reports whether there is more to deliver.
func (q *queue) end() (more bool) {
	h := q.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := q.now.part; p == nil || q.at >= len(p.members) {
		q.now = target{}
		h.release(&q.passing)
		if p != nil {
			q.compact(p)
		}
	}
	if q.passing == nil && q.head == len(q.targets) {
		q.targets, q.head, q.serving = q.targets[:0], 0, false
		return false
	}
	return true
}

func (t target) pending() **pending {
	if t.one != nil {
		return &t.one.pending
	}
	return &t.part.pending
}

// compact closes the gaps that subscribers have left, when those are many and nothing is delivered to the
// part. Under Hub.mu.
func (q *queue) compact(p *part) {
	if p.left <= len(p.members)/2 || q.now.part == p {
		return
	}
	kept := p.members[:0]
	for _, s := range p.members {
		if s != nil {
			s.at = len(kept)
			kept = append(kept, s)
		}
	}
	clear(p.members[len(kept):])
	p.members, p.left = kept, 0
	if cap(kept) > 4*len(kept) {
		p.members = slices.Clip(append([]*subscription(nil), kept...))
	}
}

// CatchUp delivers to one subscriber what has been published to its topics so far, so that what it is sent
// next does not pass that. It costs an atomic load where nothing waits.
func (h *Hub) CatchUp(sub Subscriber) {
	if h.waiting.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	own := h.held[sub]
	if own == nil {
		return
	}
	q := own.queue
	for s := own.first; s != nil; s = s.after {
		if s.kept != nil {
			continue
		}
		if q.now.one == s {
			h.deliver(s, q.passing)
		}
		h.deliver(s, s.pending)
		if c := s.node.crowd; c != nil {
			p := c.part(q)
			if q.now.part == p {
				h.deliver(s, q.passing)
			}
			h.deliver(s, p.pending)
		}
		if e := s.node.extra; e != nil {
			h.deliver(s, e.gathered)
		}
	}
}

// deliver gives a list, nil for none, to one subscriber at once. Under mu.
func (h *Hub) deliver(s *subscription, list *pending) {
	if list != nil && s.sub.Deliver(list.messages, list.first, &s.next, list.slow) == Behind {
		h.keep(s, list)
	}
}

// Close drops all topics, subscriptions and what waits.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, own := range h.held {
		for own.first != nil {
			h.leave(own.first)
		}
	}
	for _, n := range h.topics {
		h.forget(n)
		h.remove(n)
	}
}
