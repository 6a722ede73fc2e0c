package event

import "strconv"

// FieldError is an event or an input that breaks the protocol. When reading it ends the run; when
// writing it means that nothing was written.
type FieldError struct {
	// Event is the type of the event, "RunAgentInput" for an input, or "" when the bytes are no
	// event at all.
	Event string
	// Field is the place, such as "messages[2].content"; "" is the whole.
	Field string
	// Reason says what is wrong there.
	Reason string
}

// Error names the event, the place and the reason.
func (e *FieldError) Error() string {
	s := "agloop: "
	if e.Event != "" {
		s += e.Event + ": "
	}
	if e.Field != "" {
		s += e.Field + ": "
	}
	return s + e.Reason
}

// NoteKind is what was done with a part of an event that is no error. The zero value is none.
type NoteKind uint8

const (
	// NoteDropped is an event that was left out.
	NoteDropped NoteKind = iota + 1
	// NoteStripped is a member or an element that was left out.
	NoteStripped
	// NoteTranslated is a retired form that was turned into its present one.
	NoteTranslated
	// NoteWarned is a protocol version that is newer, or none at all, which is kept.
	NoteWarned
)

// String returns the kind in one word.
func (k NoteKind) String() string {
	switch k {
	case NoteDropped:
		return "dropped"
	case NoteStripped:
		return "stripped"
	case NoteTranslated:
		return "translated"
	case NoteWarned:
		return "warned"
	}
	return "none"
}

// Note reports something that was left out, translated or unusual, for a log or a counter.
type Note struct {
	Kind NoteKind
	// Event is the type the event came with, at most 64 bytes of it, or "RunAgentInput".
	Event string
	// Path is the place, as in [FieldError]; "" is the whole event, or no place in particular.
	Path string
	// Count is 0 for what happened at one place. Otherwise the note stands for so many more of its
	// Kind in the same event, whose places are not kept.
	Count int
}

// Times is how often it happened: Count, or 1.
func (n Note) Times() int { return max(n.Count, 1) }

// String says what was done to what, such as "stripped tools[0].x".
func (n Note) String() string {
	verb := n.Kind.String()
	if n.Kind == NoteWarned {
		verb += " of"
	}
	switch {
	case n.Count > 0:
		return verb + " " + strconv.Itoa(n.Count) + " more"
	case n.Path == "":
		return verb + " " + n.Event
	}
	return verb + " " + n.Path
}

// maxNotes is how many notes of one document have a place.
const maxNotes = 16

// noteList is the notes of one document. Beyond maxNotes they are only counted.
type noteList struct {
	kept []Note
	more noteCounts
}

type noteCounts struct{ stripped, translated int }

func (l *noteList) full() bool { return len(l.kept) >= maxNotes }

func (l *noteList) add(n Note) {
	switch {
	case !l.full() || n.Kind == NoteDropped || n.Kind == NoteWarned: // of which there is one at most
		l.kept = append(l.kept, n)
	case n.Kind == NoteStripped:
		l.more.stripped++
	default:
		l.more.translated++
	}
}

// all is the notes, with one more of each kind that was also counted.
func (l *noteList) all(event string) []Note {
	if n := l.more.stripped; n > 0 {
		l.kept = append(l.kept, Note{Kind: NoteStripped, Event: event, Count: n})
	}
	if n := l.more.translated; n > 0 {
		l.kept = append(l.kept, Note{Kind: NoteTranslated, Event: event, Count: n})
	}
	l.more = noteCounts{}
	return l.kept
}
