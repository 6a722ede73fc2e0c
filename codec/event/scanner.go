package event

// scannerDepth is how deep containers may nest in what a Scanner reads.
const scannerDepth = 1000

// Scanner reads the JSON of an event that is known to be valid, value by value and without
// allocating, for packages that turn it into another encoding. data is borrowed. A method that
// fails, on bytes that are no JSON or nest deeper than 1000 levels, leaves the scanner unusable.
type Scanner struct{ scan jsonScan }

// Text is a string within the data of a [Scanner].
type Text struct {
	Inside  []byte // between the quotes
	Escaped bool   // it has escapes
}

// NewScanner returns a scanner that stands before the first value of data.
func NewScanner(data []byte) Scanner {
	return Scanner{jsonScan{data: data, most: scannerDepth}}
}

// Peek skips white space and returns the byte there, or 0 at the end.
func (s *Scanner) Peek() byte { return s.scan.peek() }

// Enter goes into the container that Peek has found, and reports whether it has anything inside. An
// empty one has been left again.
func (s *Scanner) Enter(end byte) (more, ok bool) {
	if !s.scan.descend() {
		return false, false
	}
	if s.scan.peek() == end {
		s.scan.ascend()
		return false, true
	}
	return true, true
}

// Key reads the name of a member and the colon behind it.
func (s *Scanner) Key() (Text, bool) {
	t, ok := s.scan.key()
	return s.text(t), ok
}

// Next reads what follows a member or an element: a comma (more), or the end of the container.
func (s *Scanner) Next(end byte) (more, ok bool) { return s.scan.next(end) }

// Value is any value within the data of a [Scanner].
type Value struct {
	Raw  []byte
	Text Text // of a string
}

// Value reads any value.
func (s *Scanner) Value() (v Value, ok bool) {
	c := s.scan.peek()
	at := s.scan.pos
	if c == '"' {
		v.Text, ok = s.Text()
	} else {
		ok = s.scan.skipValue()
	}
	v.Raw = s.scan.data[at:s.scan.pos]
	return v, ok
}

// Text reads a string, at which Peek stands.
func (s *Scanner) Text() (Text, bool) {
	t, ok := s.scan.text()
	return s.text(t), ok
}

func (s *Scanner) text(t scanText) Text {
	return Text{s.scan.data[t.start:max(t.start, t.end)], t.escaped}
}

// Is reports whether the text is s.
func (t Text) Is(s string) bool {
	if !t.Escaped {
		return string(t.Inside) == s
	}
	return string(t.Append(nil)) == s
}

// Append appends the text as it reads, in UTF-8. Half of a surrogate pair becomes U+FFFD.
func (t Text) Append(dst []byte) []byte {
	if !t.Escaped {
		return append(dst, t.Inside...)
	}
	return scanUnescape(dst, t.Inside)
}

// AppendText appends s as the inside of a JSON string. ok is false when s is not valid UTF-8; the
// appended bytes must then not be used.
func AppendText(dst []byte, s string) (_ []byte, ok bool) { return appendText(dst, s) }
