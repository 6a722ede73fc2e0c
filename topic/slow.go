package topic

import (
	"slices"

	"github.com/agloop/agloop/codec/frame"
)

// maxKeys is how many messages are kept for one subscriber of one topic.
const maxKeys = 256

// kept is what a subscriber who is behind is given when it has room.
type kept struct {
	messages []frame.Prepared // oldest first; one of each key
	keys     []string
}

// fallBehind keeps messages that a subscriber had no room for. It tries once more then, for the subscriber may
// have had room in the meantime and have said so too early.
func (h *Hub) fallBehind(s *subscription, list *pending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keep(s, list)
}

// keep is fallBehind under mu.
func (h *Hub) keep(s *subscription, list *pending) {
	if s.held == nil { // it has left
		return
	}
	if s.kept == nil {
		s.kept = new(kept)
		s.held.kept++
	}
	for i, m := range list.messages {
		h.replace(s.kept, m, list.keyOf(i))
	}
	h.retry(s, list.slow)
}

// replace keeps a message in the place of an older one of its key; those of SlowLatest have all the same.
// Under mu.
func (h *Hub) replace(k *kept, m frame.Prepared, key string) {
	if i := slices.Index(k.keys, key); i >= 0 {
		k.messages[i].Release()
		k.messages = slices.Delete(k.messages, i, i+1)
		k.keys = slices.Delete(k.keys, i, i+1)
		h.figures.Replaced++
	}
	k.messages = append(k.messages, m.Retain())
	k.keys = append(k.keys, key)
}

// retry delivers what is kept, if there is room. Under mu.
func (h *Hub) retry(s *subscription, slow Slow) {
	if len(s.kept.messages) >= maxKeys {
		slow = SlowLimits // which queues them, or cuts
	}
	if s.sub.Deliver(s.kept.messages, 0, nil, slow) == Took {
		h.figures.Delivered += uint64(len(s.kept.messages))
		h.drop(s)
	}
}

// drop releases what is kept for a subscription. Under mu.
func (h *Hub) drop(s *subscription) {
	if s.kept == nil {
		return
	}
	for _, m := range s.kept.messages {
		m.Release()
	}
	s.kept = nil
	s.held.kept--
}

// Room says that a subscriber who was behind has sent all it had.
func (h *Hub) Room(sub Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	own := h.held[sub]
	if own == nil {
		return
	}
	for s := own.first; s != nil && own.kept > 0; s = s.after {
		if s.kept != nil {
			h.retry(s, s.node.slow())
		}
	}
}
