package event

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
	// NoteWarned is a newer protocol version, which is kept.
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
	// Path is the place, as in [FieldError]; "" is the whole event.
	Path string
}
