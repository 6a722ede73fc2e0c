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
	w.judgeInput(data)
	if w.reason != "" {
		if last, twice := eventDedup(data); twice {
			w.judgeInput(last)
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

// AppendRunAgentInput appends in as JSON to dst, with the guarantees of [AppendEvent].
func AppendRunAgentInput(dst []byte, in *agui.RunAgentInput) ([]byte, error) {
	if in == nil {
		return dst, &FieldError{Event: eventInputName, Reason: "no input"}
	}
	a := eventAppender{dst: dst, depth: 1}
	a.input(in)
	a.brace(len(dst))
	if a.reason != "" {
		return dst, &FieldError{Event: eventInputName, Field: a.field, Reason: a.reason}
	}
	return a.dst, nil
}

// input appends the members of an input.
func (a *eventAppender) input(in *agui.RunAgentInput) {
	a.text(`,"threadId":"`, in.ThreadID)
	a.text(`,"runId":"`, in.RunID)
	a.messages(in.Messages)
	a.optional(`,"protocolVersion":"`, in.ProtocolVersion)
	a.optional(`,"parentRunId":"`, in.ParentRunID)
	a.maybe(`,"state":"`, in.State, &eventData)
	if in.Tools != nil {
		for i := range a.list(`,"tools":"`, len(in.Tools)) {
			tool := &in.Tools[i]
			a.text(`,"name":"`, tool.Name)
			a.text(`,"description":"`, tool.Description)
			a.maybe(`,"parameters":"`, tool.Parameters, &eventData)
			a.maybe(`,"metadata":"`, tool.Metadata, &eventOpen)
		}
	}
	if in.Context != nil {
		for i := range a.list(`,"context":"`, len(in.Context)) {
			a.text(`,"description":"`, in.Context[i].Description)
			a.text(`,"value":"`, in.Context[i].Value)
		}
	}
	a.maybe(`,"forwardedProps":"`, in.ForwardedProps, &eventData)
	if in.Resume != nil {
		for i := range a.list(`,"resume":"`, len(in.Resume)) {
			entry := &in.Resume[i]
			a.text(`,"interruptId":"`, entry.InterruptID)
			a.oneOf(`,"status":"`, string(entry.Status), "resolved", "cancelled")
			a.maybe(`,"payload":"`, entry.Payload, &eventData)
			a.maybe(`,"metadata":"`, entry.Metadata, &eventOpen)
		}
	}
}

func (w *schemaWalk) judgeInput(data []byte) {
	w.reset(data, false)
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
