package run

import "slices"

// segment is a piece of memory that events lie in.
type segment struct {
	b       []byte // what is used of it
	through uint64 // offset of the last event in it
}

const (
	firstSegment = 1 << 10  // bytes; each one is larger than the one before
	maxSegment   = 16 << 10 // bytes; an event that is larger lies alone
	newestSize   = 24       // what one of the newest events takes besides its bytes
)

// keep copies an event into a segment. Under mu.
func (l *liveLog) keep(event []byte) []byte {
	offset := l.first + uint64(len(l.newest))
	n := len(l.segments) - 1
	if n < 0 || cap(l.segments[n].b)-len(l.segments[n].b) < len(event) {
		size := firstSegment
		if n >= 0 {
			size = min(2*cap(l.segments[n].b), maxSegment)
		}
		size = max(size, len(event))
		l.segments = append(l.segments, segment{b: make([]byte, 0, size)})
		l.grow(size)
		n++
	}
	s := &l.segments[n]
	at := len(s.b)
	s.b = append(s.b, event...)
	s.through = offset
	return s.b[at:len(s.b):len(s.b)]
}

// freeSegments lets go of the segments in which neither the newest events nor the older ones lie.
// Under mu, by who folds, or while nobody does.
func (l *liveLog) freeSegments() {
	done := 0
	for done < len(l.segments)-1 && l.segments[done].through < l.first && l.segments[done].through <= l.folder.settled {
		done++
	}
	l.segments = slices.Delete(l.segments, 0, done)
}

// rest is everything as a store wants it: the newest events and the offset of the first. A store that
// keeps what it is given gets copies: with an event it would keep the whole segment that has it.
func (l *liveLog) rest() (first uint64, events [][]byte) {
	first, events = l.allNewest()
	if l.shared {
		pack(events)
	}
	return first, events
}

func (l *liveLog) allNewest() (first uint64, events [][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, slices.Clone(l.newest)
}

// pack replaces events by copies that take no more than their bytes, but for those that lie alone.
func pack(events [][]byte) {
	size := 0
	for _, b := range events {
		if len(b) <= maxSegment {
			size += len(b)
		}
	}
	room := make([]byte, 0, size)
	for i, b := range events {
		if len(b) <= maxSegment {
			from := len(room)
			room = append(room, b...)
			events[i] = room[from:len(room):len(room)]
		}
	}
}
