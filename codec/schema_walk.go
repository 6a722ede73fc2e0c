package codec

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// schemaVerdict is what is to become of a value.
type schemaVerdict uint8

const (
	schemaFatal   schemaVerdict = iota // reason says why
	schemaKeep                         //
	schemaRemove                       // it reads as absent
	schemaUnknown                      // it is unknown material; its place decides
)

// schemaEdit replaces a stretch of the data. Edits are in order and apart.
type schemaEdit struct {
	start, end int
	text       string
}

// schemaStep is one step of a path: a member, or an element when name is "".
type schemaStep struct {
	name  string
	index int
}

// schemaWalk judges one document. Reading, it notes what it would strip or
// translate and collects edits that do so; strict, for writing, it fails there.
type schemaWalk struct {
	jsonScan
	strict bool
	event  string
	notes  []Note
	edits  []schemaEdit
	path   []schemaStep
	steps  [16]schemaStep // room for path

	// Of the document's own members: where they are, by their place in the schema.
	// A string's place is without the quotes; the end of an absent member is 0.
	members [schemaMembers]scanText
	time    int64
	last    scanText // the string read last
	integer int64    // the integer read last
}

func (w *schemaWalk) reset(data []byte, strict bool) {
	w.jsonScan = jsonScan{data: data}
	w.strict = strict
	w.event = ""
	w.notes = nil
	w.edits = w.edits[:0]
	w.path = w.steps[:0]
	w.members = [schemaMembers]scanText{}
}

// release lets go of everything borrowed.
func (w *schemaWalk) release() {
	w.data = nil
	w.notes = nil
}

func (w *schemaWalk) error() error {
	return &FieldError{Event: w.event, Field: w.place(), Reason: w.reason}
}

func (w *schemaWalk) place() string {
	if len(w.path) == 0 {
		return ""
	}
	var b strings.Builder
	for _, step := range w.path {
		if step.name == "" {
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(step.index))
			b.WriteByte(']')
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(step.name)
	}
	return b.String()
}

func (w *schemaWalk) fatal(reason string) schemaVerdict {
	w.fail(reason)
	return schemaFatal
}

func (w *schemaWalk) push(name string, index int) {
	w.path = append(w.path, schemaStep{name, index})
}

func (w *schemaWalk) pop() { w.path = w.path[:len(w.path)-1] }

func (w *schemaWalk) note(kind NoteKind) {
	w.notes = append(w.notes, Note{Kind: kind, Event: w.event, Path: w.place()})
}

// object judges the object at whose brace pos stands. top is true for the
// document's own.
func (w *schemaWalk) object(o *schemaObject, top bool) schemaVerdict {
	verdict := schemaKeep
	if !w.enter() {
		return schemaFatal
	}
	var seen uint32
	list := schemaKept{w: w, before: w.pos}
	if w.peek() == '}' {
		w.leave()
		return w.complete(o, seen, verdict)
	}
	for {
		w.peek()
		list.start(w.pos)
		name, ok := w.key()
		if !ok {
			return schemaFatal
		}
		got := schemaKeep
		if i := o.find(&w.jsonScan, name); i >= 0 {
			f := &o.fields[i]
			if seen&(1<<i) != 0 {
				return w.fatal("a member stands twice") // the caller takes the last and tries again
			}
			seen |= 1 << i
			w.push(f.name, 0)
			w.peek()
			at := w.pos
			if got = w.value(f); got == schemaFatal {
				return got
			}
			if got == schemaKeep && top {
				w.keep(i, f, at)
			}
			if got == schemaUnknown && f.required {
				// The object lacks what it needs: its own place decides. Go on, since the rest
				// must still be JSON.
				verdict = schemaUnknown
			} else if got == schemaUnknown {
				list.strip()
				got = schemaRemove
			}
			w.pop()
		} else {
			if got = w.unknown(o, name, &list); got == schemaFatal {
				return got
			}
		}
		list.end(got == schemaRemove)
		more, ok := w.next('}')
		if !ok {
			return schemaFatal
		}
		list.follow(more)
		if !more {
			return w.complete(o, seen, verdict)
		}
	}
}

func (w *schemaWalk) complete(o *schemaObject, seen uint32, verdict schemaVerdict) schemaVerdict {
	if missing := o.required &^ seen; missing != 0 {
		for i := range o.fields {
			if missing&(1<<i) != 0 {
				w.push(o.fields[i].name, 0)
				break
			}
		}
		return w.fatal("required but missing")
	}
	return verdict
}

func (w *schemaWalk) keep(i int, f *schemaField, at int) {
	switch f.kind {
	case schemaString, schemaSet, schemaFixed:
		w.members[i] = w.last
	case schemaInteger:
		w.members[i] = scanText{start: at, end: w.pos}
		w.time = w.integer
	default:
		w.members[i] = scanText{start: at, end: w.pos}
	}
}

// unknown judges a member that o does not know, whose name has been read.
func (w *schemaWalk) unknown(o *schemaObject, name scanText, list *schemaKept) schemaVerdict {
	if o.open {
		if !w.jsonScan.value() {
			return schemaFatal
		}
		return schemaKeep
	}
	plain := w.string(name)
	if len(plain) > 64 {
		plain = strings.ToValidUTF8(plain[:64], "")
	}
	w.push(strings.Clone(plain), 0)
	if w.strict {
		return w.fatal("no such member here")
	}
	if !w.jsonScan.value() {
		return schemaFatal
	}
	list.strip()
	w.pop()
	return schemaRemove
}

// value judges the value at pos as a member or an element.
func (w *schemaWalk) value(f *schemaField) schemaVerdict {
	c := w.peek()
	if c == 'n' {
		if !w.literal("null") {
			return schemaFatal
		}
		switch {
		case f.kind == schemaAny:
			return schemaKeep
		case w.strict:
		case f.stateNull:
			return schemaRemove
		case f.retiredNull:
			w.note(NoteTranslated)
			return schemaRemove
		}
		return w.fatal("must not be null")
	}
	switch f.kind {
	case schemaString:
		return w.stringValue(c)
	case schemaSet, schemaFixed, schemaPointer:
		return w.stringOf(f, c)
	case schemaInteger, schemaCount:
		return w.integerValue(f, c)
	case schemaBool:
		if c != 't' && c != 'f' {
			return w.fatal("must be true or false")
		}
	case schemaOpen:
		if c != '{' {
			return w.fatal("must be an object")
		}
	case schemaNested:
		if c != '{' {
			return w.fatal("must be an object")
		}
		return w.object(f.object, false)
	case schemaTagged:
		return w.tagged(f.union, c)
	case schemaList:
		return w.list(f, c)
	case schemaContent:
		if c == '"' {
			return w.stringValue(c)
		}
		if c != '[' {
			return w.fatal("must be a string or an array of parts")
		}
		return w.list(f, c)
	}
	if !w.jsonScan.value() {
		return schemaFatal
	}
	return schemaKeep
}

func (w *schemaWalk) stringValue(c byte) schemaVerdict {
	if c != '"' {
		return w.fatal("must be a string")
	}
	var ok bool
	if w.last, ok = w.text(); !ok {
		return schemaFatal
	}
	return schemaKeep
}

func (w *schemaWalk) stringOf(f *schemaField, c byte) schemaVerdict {
	if w.stringValue(c) == schemaFatal {
		return schemaFatal
	}
	if f.kind == schemaPointer {
		if !schemaIsPointer(w.last, &w.jsonScan) {
			return w.fatal("must be a JSON Pointer")
		}
		return schemaKeep
	}
	for _, want := range f.set {
		if w.is(w.last, want) {
			return schemaKeep
		}
	}
	if f.kind == schemaSet && !w.strict {
		return schemaUnknown
	}
	return w.fatal("must be " + strings.Join(f.set, " or "))
}

// schemaIsPointer is the grammar of RFC 6901, section 3.
func schemaIsPointer(t scanText, s *jsonScan) bool {
	text := s.data[t.start:t.end]
	if t.escaped {
		text = []byte(s.string(t))
	}
	if len(text) > 0 && text[0] != '/' {
		return false
	}
	for i, c := range text {
		if c == '~' && (i+1 == len(text) || text[i+1] != '0' && text[i+1] != '1') {
			return false
		}
	}
	return true
}

const schemaMaxInteger = 1<<53 - 1

func (w *schemaWalk) integerValue(f *schemaField, c byte) schemaVerdict {
	if c != '-' && (c < '0' || c > '9') {
		return w.fatal("must be an integer")
	}
	n, ok := w.number()
	if !ok {
		return schemaFatal
	}
	text := string(w.data[n.start:n.end])
	v, err := strconv.ParseInt(text, 10, 64)
	plain := err == nil && text != "-0"
	if !n.whole {
		// 5.0 and 5e3 are integers too, in a spelling that Go's decoders refuse.
		var float float64
		if float, err = strconv.ParseFloat(text, 64); float != math.Trunc(float) {
			return w.fatal("must be an integer")
		} else if err == nil && math.Abs(float) <= schemaMaxInteger {
			v = int64(float)
		} else {
			v = math.MaxInt64
		}
	}
	switch {
	case err != nil || v > schemaMaxInteger || v < -schemaMaxInteger:
		return w.fatal("beyond the safe integers")
	case f.kind == schemaCount && v < 0:
		return w.fatal("must not be negative")
	}
	if !plain {
		w.edits = append(w.edits, schemaEdit{n.start, n.end, strconv.FormatInt(v, 10)})
	}
	w.integer = v
	return schemaKeep
}

// tagged judges one object of a union. The tag may stand anywhere in the object,
// so it is looked up first.
func (w *schemaWalk) tagged(u *schemaUnion, c byte) schemaVerdict {
	if c != '{' {
		return w.fatal("must be an object")
	}
	tag, ok := w.lookup(u.tag)
	if !ok {
		return schemaFatal
	}
	o := u.variants[string(w.data[tag.start:tag.end])]
	if tag.escaped {
		o = u.variants[w.string(tag)]
	}
	if o != nil {
		return w.object(o, false)
	}
	if w.strict {
		w.push(u.tag, 0)
		return w.fatal("not one of the known kinds")
	}
	if u.binary && w.is(tag, "binary") {
		return w.binaryPart()
	}
	if !w.jsonScan.value() {
		return schemaFatal
	}
	return schemaUnknown
}

// lookup finds the string in member name of the object at pos and stays there.
func (w *schemaWalk) lookup(name string) (scanText, bool) {
	s := w.jsonScan
	s.depth, s.pos = 0, s.pos+1
	if s.peek() != '}' {
		for {
			key, ok := s.key()
			if ok && s.is(key, name) {
				w.push(name, 0)
				if s.peek() != '"' {
					return scanText{}, w.fail("must be a string")
				}
				tag, ok := s.text()
				if !ok {
					return tag, w.fail(s.reason)
				}
				w.pop()
				return tag, true
			}
			if !ok || !s.value() {
				return scanText{}, w.fail(s.reason)
			}
			if s.peek() != ',' {
				break
			}
			s.pos++
		}
	}
	w.push(name, 0)
	return scanText{}, w.fail("required but missing")
}

func (w *schemaWalk) list(f *schemaField, c byte) schemaVerdict {
	if c != '[' {
		return w.fatal("must be an array")
	}
	if !w.enter() {
		return schemaFatal
	}
	count := 0
	if w.peek() == ']' {
		w.leave()
	} else {
		list := schemaKept{w: w, before: w.pos}
		for more, ok := true, true; more; list.follow(more) {
			w.peek()
			list.start(w.pos)
			w.push("", count)
			got := w.value(f.item)
			if got == schemaFatal {
				return got
			}
			if got == schemaUnknown {
				list.strip()
				got = schemaRemove
			}
			w.pop()
			if count++; f.max > 0 && count > f.max {
				return w.fatal("more than " + strconv.Itoa(f.max) + " elements")
			}
			list.end(got == schemaRemove)
			if more, ok = w.next(']'); !ok {
				return schemaFatal
			}
		}
	}
	if count < f.min {
		return w.fatal("must not be empty")
	}
	return schemaKeep
}

// schemaKept follows the members or elements of one container and makes the
// edits that take some out together with a comma.
type schemaKept struct {
	w       *schemaWalk
	before  int // where the one before ended
	at      int // where this one starts
	over    int // where this one ended
	edits   int // how many there were before this one
	notes   int
	kept    bool // one before this stays
	removed bool // this one goes
}

func (k *schemaKept) start(at int) {
	k.at, k.edits, k.notes = at, len(k.w.edits), len(k.w.notes)
}

// strip notes that the current one goes as unknown material, and all that was
// noted about its inside is moot.
func (k *schemaKept) strip() {
	k.w.notes = k.w.notes[:k.notes]
	k.w.note(NoteStripped)
}

func (k *schemaKept) end(removed bool) {
	k.over, k.removed = k.w.pos, removed
}

// follow makes the edit, once it is known whether another one comes.
func (k *schemaKept) follow(more bool) {
	switch {
	case !k.removed:
		k.kept = true
	case k.kept:
		k.w.edits = append(k.w.edits[:k.edits], schemaEdit{start: k.before, end: k.over})
	case more:
		k.w.peek()
		k.w.edits = append(k.w.edits[:k.edits], schemaEdit{start: k.at, end: k.w.pos})
	default:
		k.w.edits = append(k.w.edits[:k.edits], schemaEdit{start: k.at, end: k.over})
	}
	k.before = k.over
}

// clean returns the document with all edits made: the data itself if there are none.
func (w *schemaWalk) clean() []byte {
	if len(w.edits) == 0 {
		return w.data
	}
	out := make([]byte, 0, len(w.data))
	from := 0
	for _, e := range w.edits {
		out = append(out, w.data[from:e.start]...)
		out = append(out, e.text...)
		from = e.end
	}
	return slices.Concat(out, w.data[from:])
}
