package run

import "bytes"

// stretch goes through the entries of a log from left to right. What it holds back are those since
// the last one that is no delta and no STATE event: within these alone entries are joined and
// dropped.
type stretch struct {
	out   []Entry
	parts []foldPart
	group []*foldPart // those that become one entry
	room  int         // bytes that may be added to the group
	state *foldState  // nil while the state is not followed

	mostSnapshot int // bytes of a computed snapshot
}

// foldPart is an entry of a stretch.
type foldPart struct {
	Entry
	foldEvent
	dropped bool
}

// read scans the event, if it was not.
func (p *foldPart) read() {
	if p.kind == foldUnread {
		p.foldEvent = scanFold(p.Event)
	}
}

// sameTag reports whether both have the same subagentRunId, or none.
func (p *foldPart) sameTag(other *foldPart) bool {
	return (p.tag == nil) == (other.tag == nil) && bytes.Equal(p.tag, other.tag)
}

// deltaBytes is the length of the delta, which of a fold is known without a scan.
func (p *foldPart) deltaBytes() (n int) {
	if p.kind != foldUnread {
		return len(p.delta)
	}
	for _, piece := range p.Pieces {
		n += int(piece)
	}
	return n
}

// cover makes the entry stand for the offsets from first on, too, which add nothing to it.
func (p *foldPart) cover(first uint64) {
	if p.Pieces != nil {
		p.Pieces = append(make([]uint32, p.First-first, int(p.First-first)+len(p.Pieces)), p.Pieces...)
	}
	p.First = first
}

// put takes the next entry.
func (s *stretch) put(e Entry) {
	p := foldPart{Entry: e, foldEvent: foldEvent{kind: foldUnread}}
	if e.Pieces == nil {
		p.foldEvent = scanFold(e.Event)
	}
	if p.kind.isDelta() || p.kind.isState() {
		s.parts = append(s.parts, p)
		return
	}
	s.finish()
	if s.state != nil {
		s.state.follow(&e, p.kind)
	}
	s.out = append(s.out, e)
}

// end finishes the last stretch, which may go on later. It returns from which entry on that may
// change what is there now.
func (s *stretch) end() (final int) {
	start := len(s.out)
	first := s.finish()
	switch {
	case first >= 0: // what is before it may be joined when it goes
		return max(start, first-1)
	case len(s.out) > start:
		return len(s.out) - 1
	}
	return start
}

// finish appends what is left of the stretch, and begins another one. It returns the index of the
// first STATE event that is left, or -1.
func (s *stretch) finish() (state int) {
	s.dropStates()
	if s.state != nil {
		s.computeState()
	}
	state = -1
	covered := uint64(0) // the first of the dropped offsets before the next entry
	for i := range s.parts {
		p := &s.parts[i]
		if p.dropped {
			if covered == 0 {
				covered = p.First
			}
			continue
		}
		if covered != 0 {
			p.cover(covered)
			covered = 0
		}
		if p.kind.isDelta() {
			s.join(p)
			continue
		}
		s.flush()
		if state < 0 {
			state = len(s.out)
		}
		s.out = append(s.out, p.Entry)
	}
	s.flush()
	clear(s.parts)
	s.parts = s.parts[:0]
	return state
}

// dropStates drops the STATE events before a snapshot of the same tag. Those of another tag, and what
// is before them, stay: a STATE event also ends the item that chunks of its owner have opened, and
// the snapshot must do that in its place.
func (s *stretch) dropStates() {
	var snapshot *foldPart
	for i := len(s.parts) - 1; i >= 0; i-- {
		p := &s.parts[i]
		switch {
		case !p.kind.isState():
		case snapshot != nil && p.sameTag(snapshot):
			p.dropped = true
		case p.kind == foldSnapshot:
			snapshot = p
		default:
			snapshot = nil
		}
	}
}

// computeState follows the state, and makes a snapshot of the STATE events of one tag that are left
// at the end, when they are several, and it is known and smaller.
func (s *stretch) computeState() {
	var states []*foldPart
	size := 0
	for i := range s.parts {
		p := &s.parts[i]
		if !p.kind.isState() || p.dropped {
			continue
		}
		s.state.follow(&p.Entry, p.kind)
		if len(states) > 0 && !p.sameTag(states[0]) {
			states, size = states[:0], 0
		}
		states = append(states, p)
		size += p.Entry.size()
	}
	if len(states) < 2 {
		return
	}
	last := states[len(states)-1] // no snapshot, which would have dropped the one before
	snapshot := s.state.snapshot(min(size-entryBytes, s.mostSnapshot), &last.foldEvent)
	if snapshot == nil {
		return
	}
	for _, p := range states[:len(states)-1] {
		p.dropped = true
	}
	last.Event, last.kind = snapshot, foldSnapshot
}

// join adds a delta to the group, or begins another group.
func (s *stretch) join(p *foldPart) {
	if len(s.group) > 0 && s.fits(p) {
		s.group = append(s.group, p)
		s.room -= p.deltaBytes()
		return
	}
	s.flush()
	s.group = append(s.group, p)
	s.room = foldMost - len(p.Event) - len(`,"timestamp":-9007199254740991`)
}

// fits reports whether p may be joined to the group.
func (s *stretch) fits(p *foldPart) bool {
	first := s.group[0]
	if p.deltaBytes() > s.room || p.Through-first.First >= foldPieces {
		return false
	}
	first.read()
	p.read()
	return p.kind == first.kind && bytes.Equal(p.id, first.id) && p.sameTag(first)
}

// flush appends the group as one entry.
func (s *stretch) flush() {
	switch len(s.group) {
	case 0:
		return
	case 1:
		s.out = append(s.out, s.group[0].Entry)
	default:
		s.out = append(s.out, joined(s.group))
	}
	clear(s.group)
	s.group = s.group[:0]
}

// joined is the fold of several entries.
func joined(group []*foldPart) Entry {
	head, last := group[0].foldEvent, group[len(group)-1]
	size := head.size()
	for _, p := range group {
		size += len(p.delta)
		if p.timestamp != nil {
			head.timestamp = p.timestamp
		}
	}
	e := Entry{First: group[0].First, Through: last.Through}
	e.Pieces = make([]uint32, 0, e.Through-e.First+1)
	e.Event = head.begin(make([]byte, 0, size))
	for _, p := range group {
		e.Event = append(e.Event, p.delta...)
		if p.Pieces != nil {
			e.Pieces = append(e.Pieces, p.Pieces...)
			continue
		}
		for range p.Through - p.First { // offsets that were dropped
			e.Pieces = append(e.Pieces, 0)
		}
		e.Pieces = append(e.Pieces, uint32(len(p.delta)))
	}
	e.Event = append(e.Event, `"}`...)
	return e
}
