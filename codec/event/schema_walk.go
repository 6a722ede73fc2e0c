package event

import (
	"slices"
	"strconv"
	"strings"
)

// schemaVerdict is the result of checking a value.
type schemaVerdict uint8

const (
	schemaFatal   schemaVerdict = iota // reason says why
	schemaKeep                         // nothing is wrong with it
	schemaRemove                       // it reads as absent
	schemaUnknown                      // it is unknown: stripped, or the object around it is
)

// schemaEdit replaces a part of the data by text. Edits are in order and do not overlap.
type schemaEdit struct {
	start, end int
	text       string
}

// schemaStep is one step of a path: a member, or an element when name is "".
type schemaStep struct {
	name  string
	index int
}

// schemaWalk checks one document by its schema. When reading, it notes what must be stripped or
// translated and collects the edits for that. When strict, for writing, it fails there.
type schemaWalk struct {
	jsonScan
	limits Limits
	strict bool
	event  string
	notes  noteList
	edits  []schemaEdit
	path   []schemaStep
	steps  [16]schemaStep // room for path

	// Where the document's own members are, in the order of the schema. A string is without its
	// quotes; the end of an absent member is 0.
	members [schemaMembers]scanText
	time    int64
	last    scanText // the string read last
	integer int64    // the integer read last
}

func (w *schemaWalk) reset(data []byte, strict bool) {
	w.jsonScan = jsonScan{data: data, most: w.limits.depth()}
	w.strict = strict
	w.event = ""
	w.notes = noteList{}
	w.edits = w.edits[:0]
	w.path = w.steps[:0]
	w.members = [schemaMembers]scanText{}
}

// maxEdits is how many edits a walk keeps room for.
const maxEdits = 1024

// release drops the references to borrowed bytes.
func (w *schemaWalk) release() {
	w.data = nil
	w.notes = noteList{}
	if cap(w.edits) > maxEdits {
		w.edits = nil
	}
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
	n := Note{Kind: kind, Event: w.event}
	if !w.notes.full() {
		n.Path = w.place()
	}
	w.notes.add(n)
}

// edit has a part of the data replaced by text. It comes after all others.
func (w *schemaWalk) edit(start, end int, text string) {
	if last := len(w.edits) - 1; last >= 0 && text == "" && w.edits[last].end == start && w.edits[last].text == "" {
		w.edits[last].end = end // many that are left out in a row
		return
	}
	w.edits = append(w.edits, schemaEdit{start, end, text})
}

// object checks the object at whose brace pos stands. top is true for the document itself.
func (w *schemaWalk) object(o *schemaObject, top bool) schemaVerdict {
	verdict := schemaKeep
	if !w.descend() {
		return schemaFatal
	}
	var seen uint32
	list := memberEdits{w: w, before: w.pos}
	if w.peek() == '}' {
		w.ascend()
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
				return w.fatal(standsTwice) // the caller tries again
			}
			seen |= 1 << i
			w.push(f.name, 0)
			w.peek()
			at := w.pos
			if got = w.value(f); got == schemaFatal {
				return got
			}
			if got == schemaKeep && top {
				w.recordMember(i, f, at)
			}
			if got == schemaUnknown && f.required {
				// The object is then unknown, too. The rest of it is still checked, because it must
				// be JSON.
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

func (w *schemaWalk) recordMember(i int, f *schemaField, at int) {
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

// unknown handles a member that is not in o and whose name has been read.
func (w *schemaWalk) unknown(o *schemaObject, name scanText, list *memberEdits) schemaVerdict {
	if o.open {
		if !w.jsonScan.skipValue() {
			return schemaFatal
		}
		return schemaKeep
	}
	plain := w.string(name)
	if len(plain) > 64 {
		plain = strings.ToValidUTF8(plain[:64], "")
	}
	if plain == "" {
		plain = `""` // a step without a name is an element
	}
	w.push(strings.Clone(plain), 0)
	if w.strict {
		return w.fatal("no such member here")
	}
	if !w.jsonScan.skipValue() {
		return schemaFatal
	}
	list.strip()
	w.pop()
	return schemaRemove
}

// memberEdits makes the edits that remove members or elements of one container, each with one
// comma.
type memberEdits struct {
	w       *schemaWalk
	before  int // where the one before ended
	at      int // where this one starts
	over    int // where this one ended
	edits   int // how many there were before this one
	notes   int
	more    noteCounts
	kept    bool // one before this is kept
	removed bool // this one is removed
}

func (k *memberEdits) start(at int) {
	k.at, k.edits = at, len(k.w.edits)
	k.notes, k.more = len(k.w.notes.kept), k.w.notes.more
}

// strip notes that the current one is stripped, and drops the notes about what is inside it.
func (k *memberEdits) strip() {
	k.w.notes.kept, k.w.notes.more = k.w.notes.kept[:k.notes], k.more
	k.w.note(NoteStripped)
}

func (k *memberEdits) end(removed bool) {
	k.over, k.removed = k.w.pos, removed
}

// follow makes the edit for the last one, when it is known whether another one follows.
func (k *memberEdits) follow(more bool) {
	if !k.removed {
		k.kept = true
	} else {
		start, end := k.at, k.over
		switch {
		case k.kept:
			start = k.before
		case more:
			k.w.peek()
			end = k.w.pos
		}
		k.w.edits = k.w.edits[:k.edits]
		k.w.edit(start, end, "")
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
