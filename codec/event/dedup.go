package event

// dedup returns a copy of a JSON document in which every object keeps only the last of the members
// that have the same name. twice reports whether there were such members; it is false when data is
// not JSON, or nests deeper than most levels.
func dedup(data []byte, most int) (out []byte, twice bool) {
	s := dedupScan{jsonScan: jsonScan{data: data, most: most}}
	out, ok := s.dedup(make([]byte, 0, len(data)))
	return out, ok && s.finish() && s.twice
}

type dedupScan struct {
	jsonScan
	twice bool
}

func (s *dedupScan) dedup(dst []byte) ([]byte, bool) {
	c := s.peek()
	start := s.pos
	switch c {
	case '{':
		return s.dedupObject(dst)
	case '[':
		return s.dedupArray(dst)
	}
	ok := s.skipValue()
	return append(dst, s.data[start:s.pos]...), ok
}

func (s *dedupScan) dedupArray(dst []byte) ([]byte, bool) {
	if !s.descend() {
		return dst, false
	}
	dst = append(dst, '[')
	if s.peek() == ']' {
		s.ascend()
		return append(dst, ']'), true
	}
	for {
		var ok bool
		if dst, ok = s.dedup(dst); !ok {
			return dst, false
		}
		more, ok := s.next(']')
		if !ok {
			return dst, false
		}
		if !more {
			return append(dst, ']'), true
		}
		dst = append(dst, ',')
	}
}

func (s *dedupScan) dedupObject(dst []byte) ([]byte, bool) {
	if !s.descend() {
		return dst, false
	}
	var members [][]byte
	if s.peek() == '}' {
		s.ascend()
		return append(dst, '{', '}'), true
	}
	places := make(map[string]int)
	for more := true; more; {
		s.peek()
		start := s.pos
		name, ok := s.key()
		if !ok {
			return dst, false
		}
		text, ok := s.dedup(append([]byte(nil), s.data[start:s.pos]...))
		if !ok {
			return dst, false
		}
		plain := s.string(name)
		if at, held := places[plain]; held {
			s.twice = true
			members[at] = text
		} else {
			places[plain] = len(members)
			members = append(members, text)
		}
		if more, ok = s.next('}'); !ok {
			return dst, false
		}
	}
	dst = append(dst, '{')
	for i, member := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, member...)
	}
	return append(dst, '}'), true
}
