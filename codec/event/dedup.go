package event

import (
	"bytes"
	"cmp"
	"math"
	"slices"
)

// standsTwice is the reason of a walk that cannot go on until dedup has left all but one out.
const standsTwice = "a member stands twice"

// again prepares the walk for another try on data, of which it has not accepted everything: the
// reason may be the first of two members of the same name, of which only the last counts. It returns
// false when data holds no such members, or is not JSON.
func (w *schemaWalk) again(data []byte) bool {
	s := dedupScan{jsonScan: jsonScan{data: data, most: w.most}}
	if uint64(len(data)) > math.MaxUint32 || !s.value() || !s.finish() {
		if w.reason == standsTwice || s.depth > s.most {
			w.reason, w.path = s.reason, w.path[:0]
		}
		return false
	}
	if len(s.removed) == 0 {
		return false
	}
	w.reset(s.rest(), false)
	return true
}

// dedupScan finds the members of objects that another one of the same name follows.
type dedupScan struct {
	jsonScan
	members []dedupMember // of the objects that pos is in, the outer ones first
	removed []dedupSpan   // those found, each with its comma; an inner object's before the outer's
}

type dedupSpan struct{ start, end uint32 }

// dedupMember is where a member is, with the comma behind it.
type dedupMember struct {
	start, nameEnd, end uint32
	escaped             bool
}

func (s *dedupScan) value() bool {
	switch s.peek() {
	case '{':
		return s.object()
	case '[':
		return s.array()
	}
	return s.skipValue()
}

func (s *dedupScan) array() bool {
	if !s.descend() {
		return false
	}
	if s.peek() == ']' {
		s.ascend()
		return true
	}
	for more, ok := true, true; more; {
		if !s.value() {
			return false
		}
		if more, ok = s.next(']'); !ok {
			return false
		}
	}
	return true
}

func (s *dedupScan) object() bool {
	if !s.descend() {
		return false
	}
	if s.peek() == '}' {
		s.ascend()
		return true
	}
	first := len(s.members)
	for more, ok := true, true; more; {
		s.peek()
		start := s.pos
		name, ok2 := s.key()
		if !ok2 || !s.value() {
			return false
		}
		if more, ok = s.next('}'); !ok {
			return false
		}
		if len(s.members) == cap(s.members) { // append would grow a long list by little
			s.members = slices.Grow(s.members, len(s.members)+8)
		}
		s.members = append(s.members, dedupMember{uint32(start), uint32(name.end), uint32(s.pos), name.escaped})
	}
	s.remove(s.members[first:])
	s.members = s.members[:first]
	return true
}

// name is the name of a member, which is valid as long as the data.
func (s *dedupScan) name(m *dedupMember) []byte {
	text := s.data[m.start+1 : m.nameEnd]
	if m.escaped {
		return scanUnescape(nil, text)
	}
	return text
}

// remove removes all members of an object but the last of each name.
func (s *dedupScan) remove(members []dedupMember) {
	const few = 8 // of which comparing each with each is cheaper than a map
	var names map[string]struct{}
	if len(members) > few {
		names = make(map[string]struct{})
	}
	for i := len(members) - 1; i >= 0; i-- {
		m := &members[i]
		name, later := s.name(m), false
		if names == nil {
			for j := i + 1; j < len(members) && !later; j++ {
				later = bytes.Equal(name, s.name(&members[j]))
			}
		} else if _, later = names[string(name)]; !later {
			names[string(name)] = struct{}{}
		}
		switch last := len(s.removed) - 1; {
		case !later:
		case last >= 0 && s.removed[last].start == m.end:
			s.removed[last].start = m.start
		default:
			s.removed = append(s.removed, dedupSpan{m.start, m.end})
		}
	}
}

// rest is the data without what is removed.
func (s *dedupScan) rest() []byte {
	slices.SortFunc(s.removed, func(a, b dedupSpan) int { return cmp.Compare(a.start, b.start) })
	out := make([]byte, 0, len(s.data))
	from := uint32(0)
	for _, r := range s.removed {
		if r.start >= from { // otherwise it is inside of another one
			out = append(out, s.data[from:r.start]...)
			from = r.end
		}
	}
	return append(out, s.data[from:]...)
}
