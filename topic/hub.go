package topic

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/metrics"
)

// Errors of a Hub.
var (
	// ErrGone says that what is behind a cursor is not kept any more, or never was.
	ErrGone = errors.New("agloop: what follows the cursor is not kept by the topic; subscribe without one")
	// ErrTooMany says that a subscriber has as many topics as it may.
	ErrTooMany = errors.New("agloop: the subscriber has as many topics as it may have")
	// ErrClosed says that the Hub has been closed.
	ErrClosed = errors.New("agloop: the topics have been closed")
)

// Hub is the topics of one process. Its methods may be called from any goroutine.
type Hub struct {
	// Immutable.
	configure func(name string) Config // nil: the zero Config for all
	most      int                      // topics of one subscriber; 0: any number
	epoch     uint64

	// Any goroutine.
	waiting atomic.Int64 // lists of messages that are still to be delivered

	// Any goroutine, under mu, which comes before the locks of subscribers.
	mu      sync.Mutex
	topics  map[string]*node
	held    map[Subscriber]*held
	queues  map[Group]*queue
	next    uint64 // number of the first message of a new topic
	figures metrics.Topics
	closed  bool
}

// node is one topic. There is one while somebody subscribes to it, or it has a history.
type node struct {
	name  string
	next  uint64       // number of the next message
	one   subscription // of the only subscriber, while there is no crowd
	crowd *crowd       // more than one subscriber, now or before; nil for most topics
	extra *extra       // what a Config asks for; nil for the zero Config
}

// crowd is the subscribers of a topic that has, or had, several.
type crowd struct {
	parts []*part
	size  int
}

// part is those that share a group.
type part struct {
	queue   *queue
	members []*subscription // nil where one has left
	left    int             // of members
	pending *pending        // nil: nothing
}

// subscription is one subscriber of one topic.
type subscription struct {
	sub  Subscriber // nil: none
	node *node
	held *held

	before, after *subscription // of the same subscriber

	next    uint64   // see Subscriber.Deliver
	at      int      // where it stands in its part
	pending *pending // of the only subscriber; nil: nothing
	kept    *kept    // nil while the subscriber keeps up
}

// held is the subscriptions of one subscriber.
type held struct {
	queue *queue
	first *subscription
	size  int
	kept  int // of them, those that have something kept
}

// NewHub makes a hub. configure says what holds for a topic; it is called when the topic comes to be, with a
// lock held, and must not call the hub. nil is the zero Config for all. most is how many topics one
// subscriber may have; 0 is any number.
func NewHub(configure func(name string) Config, most int) *Hub {
	return &Hub{
		configure: configure, most: most, epoch: rand.Uint64() | 1, next: 1,
		topics: make(map[string]*node), held: make(map[Subscriber]*held), queues: make(map[Group]*queue),
	}
}

// Subscribe has what is published to a topic from now on delivered to sub, and where after is not nil what
// has been published behind it before that. Who subscribes already stays as it is, and after is not looked
// at. It returns the place of the last message so far, and ErrGone, ErrTooMany or ErrClosed.
func (h *Hub) Subscribe(name string, sub Subscriber, after *Cursor) (Cursor, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return Cursor{}, ErrClosed
	}
	n, own := h.topics[name], h.held[sub]
	switch {
	case n != nil && find(n, own) != nil:
		return h.cursor(n), nil
	case own != nil && h.most > 0 && own.size >= h.most:
		return Cursor{}, ErrTooMany
	case n == nil:
		n = h.create(name)
		h.topics[name] = n
	}
	var missed []frame.Prepared
	if after != nil {
		var ok bool
		if missed, ok = h.behind(n, *after); !ok {
			if h.size(n) == 0 && !n.extra.hasHistory() {
				h.remove(n)
			}
			return Cursor{}, ErrGone
		}
	}
	if own == nil {
		own = &held{queue: h.queue(sub.Group())}
		h.held[sub] = own
	}
	s := h.enter(n, own, sub)
	if s.next = n.next - uint64(len(missed)); len(missed) > 0 { // under mu, so that nothing comes before
		list := &pending{first: s.next, messages: missed, slow: n.slow()}
		for _, m := range missed {
			if list.slow == SlowCoalesce {
				list.keys = append(list.keys, n.extra.Key(m.Payload()))
			}
		}
		h.deliver(s, list)
	}
	return h.cursor(n), nil
}

// find returns the subscription of a subscriber to a topic, nil if there is none: in the shorter of both
// lists. Under mu.
func find(n *node, own *held) *subscription {
	switch {
	case own == nil:
		return nil
	case n.crowd == nil:
		if n.one.held == own {
			return &n.one
		}
		return nil
	}
	if p := n.crowd.part(own.queue); p == nil {
		return nil
	} else if len(p.members) < own.size {
		for _, s := range p.members {
			if s != nil && s.held == own {
				return s
			}
		}
		return nil
	}
	for s := own.first; s != nil; s = s.after {
		if s.node == n {
			return s
		}
	}
	return nil
}

// part returns the part of a group, nil if it has none.
func (c *crowd) part(q *queue) *part {
	for _, p := range c.parts {
		if p.queue == q {
			return p
		}
	}
	return nil
}

// create makes a topic, which is not among the others yet. Under mu.
func (h *Hub) create(name string) *node {
	n := &node{name: name, next: h.next}
	if h.configure != nil {
		if c := h.configure(name); !c.isZero() {
			n.extra = &extra{Config: c.withDefaults()}
		}
	}
	return n
}

// enter adds a subscription. Under mu.
func (h *Hub) enter(n *node, own *held, sub Subscriber) (s *subscription) {
	if n.crowd == nil && n.one.node == nil {
		s = &n.one
	} else {
		if n.crowd == nil {
			n.crowd = new(crowd)
			if n.one.held != nil {
				n.crowd.add(&n.one)
			}
		}
		s = new(subscription)
	}
	*s = subscription{sub: sub, node: n, held: own, after: own.first}
	if own.first != nil {
		own.first.before = s
	}
	own.first = s
	own.size++
	h.figures.Subscriptions++
	if n.crowd != nil {
		n.crowd.add(s)
	}
	return s
}

func (c *crowd) add(s *subscription) {
	p := c.part(s.held.queue)
	if p == nil {
		p = &part{queue: s.held.queue}
		c.parts = append(c.parts, p)
	}
	s.at = len(p.members)
	p.members = append(p.members, s)
	c.size++
}

// Unsubscribe ends a subscription, and reports whether there was one. A message that is being delivered may
// still come.
func (h *Hub) Unsubscribe(name string, sub Subscriber) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.topics[name]
	if n == nil {
		return false
	}
	s := find(n, h.held[sub])
	if s == nil {
		return false
	}
	h.leave(s)
	return true
}

// Leave ends all subscriptions of a subscriber that is gone.
func (h *Hub) Leave(sub Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if own := h.held[sub]; own != nil {
		for own.first != nil {
			h.leave(own.first)
		}
	}
}

// leave ends a subscription. Under mu. A delivery under way may still have it, so it is not used again.
func (h *Hub) leave(s *subscription) {
	n, own := s.node, s.held
	if s.before != nil {
		s.before.after = s.after
	} else {
		own.first = s.after
	}
	if s.after != nil {
		s.after.before = s.before
	}
	if own.size--; own.size == 0 {
		delete(h.held, s.sub)
	}
	h.figures.Subscriptions--
	h.drop(s)
	if n.crowd == nil {
		h.release(&s.pending)
	} else {
		p := n.crowd.part(own.queue)
		p.members[s.at] = nil
		p.left++
		n.crowd.size--
		p.queue.compact(p)
	}
	s.held = nil
	if h.size(n) == 0 && !n.extra.hasHistory() {
		h.remove(n)
	}
}

// size is how many subscribers a topic has. Under mu.
func (h *Hub) size(n *node) int {
	switch {
	case n.crowd != nil:
		return n.crowd.size
	case n.one.held != nil:
		return 1
	}
	return 0
}

// remove forgets a topic that nobody needs. Under mu.
func (h *Hub) remove(n *node) {
	delete(h.topics, n.name)
	h.next = max(h.next, n.next) // a cursor into it says that something is gone, should it come again
	if e := n.extra; e != nil {
		h.release(&e.gathered)
		if e.expiry != nil {
			e.expiry.Stop()
		}
	}
	if n.crowd != nil {
		for _, p := range n.crowd.parts {
			h.release(&p.pending)
		}
	}
}

// Count is how many subscribers a topic has.
func (h *Hub) Count(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.topics[name]; n != nil {
		return h.size(n)
	}
	return 0
}

// Presence is how many subscribers of a topic each principal has. Those of nobody are under "".
func (h *Hub) Presence(name string) map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	present := make(map[string]int)
	n := h.topics[name]
	switch {
	case n == nil:
	case n.crowd == nil:
		if n.one.held != nil {
			present[n.one.sub.Principal()]++
		}
	default:
		for _, p := range n.crowd.parts {
			for _, s := range p.members {
				if s != nil {
					present[s.sub.Principal()]++
				}
			}
		}
	}
	return present
}

// TopicsOf are the topics of one subscriber, in no order.
func (h *Hub) TopicsOf(sub Subscriber) (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if own := h.held[sub]; own != nil {
		for s := own.first; s != nil; s = s.after {
			names = append(names, s.node.name)
		}
	}
	return names
}

// Figures are what there is now, and what was done since the Hub was made.
func (h *Hub) Figures() metrics.Topics {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.figures
	f.Topics = len(h.topics)
	return f
}
