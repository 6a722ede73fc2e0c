package communitysdk

import (
	"encoding/json"
	"fmt"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// ToInput writes an input into theirs, a pointer to the SDK's RunAgentInput or to anything that reads
// the JSON of one. What the SDK has no place for is left out, as the package says. The error is a
// *event.FieldError of an input that is malformed, or that of reading.
func ToInput(in *agui.RunAgentInput, theirs any) error {
	raw, err := event.AppendRunAgentInput(nil, in)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, theirs); err != nil {
		return fmt.Errorf("adapters/communitysdk: the input does not fit into %T: %w", theirs, err)
	}
	return nil
}

// FromInput reads an input of the SDK, or of anything that writes the JSON of one: for a host that
// has such an input and runs an agent of agloop. The SDK writes null for lists that are not set and
// for forwardedProps, which AG-UI 1.0 refuses: lists are taken as empty, the rest as absent, each
// with a note. So is what else an input may not hold. The error is a *event.FieldError that names the
// member, or that of writing.
func FromInput(theirs any) (*agui.RunAgentInput, []Note, error) {
	raw, err := json.Marshal(theirs)
	if err != nil {
		return nil, nil, fmt.Errorf("adapters/communitysdk: %T cannot be written: %w", theirs, err)
	}
	var notes []Note
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) == nil {
		e := editor{kind: inputName, members: members}
		for _, name := range []string{"messages", "tools", "context"} {
			e.list(name)
		}
		if isNull(members["resume"]) {
			delete(members, "resume")
			e.note("resume", noteAbsent)
		}
		if notes = e.notes; len(notes) > 0 {
			if raw, err = json.Marshal(members); err != nil {
				return nil, nil, err
			}
		}
	}
	in, more, err := event.DecodeRunAgentInput(raw)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range more {
		what := noteStripped
		if n.Kind == event.NoteTranslated {
			what = noteAbsent
		}
		notes = append(notes, Note{Event: inputName, Path: n.Path, What: what})
	}
	return in, notes, nil
}

const inputName = "RunAgentInput"
