package loop

import "time"

// tick is the resolution of deadlines, which are seconds.
const tick = 100 * time.Millisecond

func tickOf(now int64) uint32 { return uint32(now / int64(tick)) }

// ticks is d in ticks, rounded up; 0 when d is off.
func ticks(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32((d + tick - 1) / tick)
}

// wheel is the timer wheel of one loop: each connection is in the slot of its next deadline, linked
// by fields of its own. Most deadlines move with every byte that arrives. The connection is not
// moved then: when its slot comes up it is asked for its true deadline and put into another slot.
// All methods on the loop.
type wheel struct {
	slots [512]*Conn // heads of lists; 512 ticks are longer than the usual deadline
	now   uint32     // slots up to this tick are done; at most a second old while one is in use
	count int
	fired []*Conn // scratch of advance
}

// wheelLinks are the neighbours of a Conn in its slot of the wheel.
type wheelLinks struct{ next, prev *Conn }

func (w *wheel) init(now uint32) { w.now = now }

// schedule puts c into the slot of tick at, or takes it out for 0. A deadline already past comes up
// with the next tick.
func (w *wheel) schedule(c *Conn, at uint32) {
	if c.due != 0 {
		w.remove(c)
	}
	if at == 0 {
		return
	}
	c.due = max(at, w.now+1)
	head := &w.slots[c.due%uint32(len(w.slots))]
	c.links = wheelLinks{next: *head}
	if *head != nil {
		(*head).links.prev = c
	}
	*head = c
	w.count++
}

func (w *wheel) remove(c *Conn) {
	if c.links.prev != nil {
		c.links.prev.links.next = c.links.next
	} else {
		w.slots[c.due%uint32(len(w.slots))] = c.links.next
	}
	if c.links.next != nil {
		c.links.next.links.prev = c.links.prev
	}
	c.links, c.due = wheelLinks{}, 0
	w.count--
}

// advance takes every connection off whose tick has come and calls due for it, which may set it
// again. It returns the time of the next slot in use, in nanoseconds.
func (w *wheel) advance(now uint32, due func(*Conn)) int64 {
	// After a stall longer than a turn of the wheel each slot is still visited once.
	first := w.now + 1
	if now >= first+uint32(len(w.slots)) {
		first = now - uint32(len(w.slots)) + 1
	}
	for t := first; t <= now; t++ {
		for c := w.slots[t%uint32(len(w.slots))]; c != nil; c = c.links.next {
			if c.due <= now {
				w.fired = append(w.fired, c)
			}
		}
	}
	w.now = max(w.now, now)
	// All are taken out before any is told, because due may close others of the same slot.
	for _, c := range w.fired {
		w.remove(c)
	}
	for i, c := range w.fired {
		due(c)
		w.fired[i] = nil
	}
	w.fired = w.fired[:0]
	return w.next()
}

// all is every connection in the wheel.
func (w *wheel) all() (list []*Conn) {
	for _, c := range w.slots {
		for ; c != nil; c = c.links.next {
			list = append(list, c)
		}
	}
	return list
}

// next is the time at which the next slot in use comes up, or earlier: now is also the coarse clock
// by which connections note when they were heard.
func (w *wheel) next() int64 {
	if w.count == 0 {
		return never
	}
	t := w.now + 1
	for t < w.now+coarse && w.slots[t%uint32(len(w.slots))] == nil {
		t++
	}
	return int64(t) * int64(tick)
}

// coarse is how many ticks the wheel's now may lag behind.
const coarse = uint32(time.Second / tick)
