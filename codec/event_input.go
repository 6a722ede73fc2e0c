package codec

import (
	"github.com/agloop/agloop/agui"
)

const eventInputName = "RunAgentInput"

// eventMaxID is how long the threadId and runId of an input may be.
const eventMaxID = 128

// DecodeRunAgentInput decodes what a client sends to start a run, by the rules
// of [Decoder.DecodeEvent]; nothing is ever dropped whole. A protocol version
// newer in its minor number only is noted. data is borrowed: nothing returned
// points into it. The error is a [*FieldError] that names the member; such an
// input is refused before any event.
func DecodeRunAgentInput(data []byte) (*agui.RunAgentInput, []Note, error) {
	w := eventWalks.Get().(*schemaWalk)
	defer eventWalks.Put(w)
	defer w.release()
	w.judgeInput(data, false)
	if w.reason != "" {
		if last, twice := eventDedup(data); twice {
			w.judgeInput(last, false)
		}
	}
	if w.reason != "" {
		return nil, nil, w.error()
	}
	in := new(agui.RunAgentInput)
	if err := eventJSON.Unmarshal(w.clean(), in); err != nil {
		return nil, nil, &FieldError{Event: eventInputName, Reason: "cannot be decoded: " + err.Error()}
	}
	w.warnVersion(in.ProtocolVersion)
	return in, w.notes, nil
}

func (w *schemaWalk) judgeInput(data []byte, strict bool) {
	w.reset(data, strict)
	w.event = eventInputName
	if w.peek() != '{' {
		w.fail("must be a JSON object")
		return
	}
	if w.object(schemaInput, false) != schemaFatal {
		w.finish()
	}
}

// CheckInputIDs refuses a threadId or runId that is longer than 128 bytes or
// holds a control character. The protocol allows both; a server that logs ids
// and keys maps with them need not. The error is a [*FieldError].
func CheckInputIDs(in *agui.RunAgentInput) error {
	if reason := eventCheckID(in.ThreadID); reason != "" {
		return &FieldError{Event: eventInputName, Field: "threadId", Reason: reason}
	}
	if reason := eventCheckID(in.RunID); reason != "" {
		return &FieldError{Event: eventInputName, Field: "runId", Reason: reason}
	}
	return nil
}

func eventCheckID(id string) string {
	if len(id) > eventMaxID {
		return "longer than 128 bytes"
	}
	for _, r := range id {
		if r < 0x20 || 0x7f <= r && r < 0xa0 {
			return "holds a control character"
		}
	}
	return ""
}
