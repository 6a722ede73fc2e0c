package event

import (
	"strconv"

	"github.com/agloop/agloop/agui"
)

const inputName = "RunAgentInput"

// DecodeRunAgentInput decodes what a client sends to start a run, by the rules of
// [Decoder.DecodeEvent]; an input is never dropped. A protocol version that is newer, or none,
// is noted. data is borrowed: nothing returned points into it. The error is a [*FieldError] that
// names the member; such an input is refused before any event.
func DecodeRunAgentInput(data []byte) (*agui.RunAgentInput, []Note, error) {
	return decodeInput(data, Limits{})
}

func decodeInput(data []byte, limits Limits) (*agui.RunAgentInput, []Note, error) {
	w := walks.Get().(*schemaWalk)
	defer walks.Put(w)
	defer w.release()
	w.limits = limits
	w.reset(data, false)
	w.judgeInput()
	if w.reason != "" && w.again(data) {
		w.judgeInput()
	}
	if w.reason != "" {
		return nil, nil, w.error()
	}
	in := new(agui.RunAgentInput)
	if err := sonicJSON.Unmarshal(w.clean(), in); err != nil {
		return nil, nil, &FieldError{Event: inputName, Reason: "cannot be decoded: " + err.Error()}
	}
	w.warnVersion(in.ProtocolVersion)
	return in, w.notes.all(w.event), nil
}

// AppendRunAgentInput appends in as JSON to dst, with the guarantees of [Append].
func AppendRunAgentInput(dst []byte, in *agui.RunAgentInput) ([]byte, error) {
	return appendInput(dst, in, Limits{})
}

func appendInput(dst []byte, in *agui.RunAgentInput, limits Limits) ([]byte, error) {
	if in == nil {
		return dst, &FieldError{Event: inputName, Reason: "no input"}
	}
	a := appender{dst: dst, depth: 1, limits: limits}
	a.input(in)
	a.closeObject(len(dst))
	if a.reason != "" {
		return dst, &FieldError{Event: inputName, Field: a.field, Reason: a.reason}
	}
	return a.dst, nil
}

// input appends the members of an input.
func (a *appender) input(in *agui.RunAgentInput) {
	a.text(`,"threadId":"`, in.ThreadID)
	a.text(`,"runId":"`, in.RunID)
	a.messages(in.Messages)
	a.optionalText(`,"protocolVersion":"`, in.ProtocolVersion)
	a.optionalText(`,"parentRunId":"`, in.ParentRunID)
	a.optionalRaw(`,"state":"`, in.State, &dataValue)
	if in.Tools != nil {
		for i := range a.list(`,"tools":"`, len(in.Tools)) {
			tool := &in.Tools[i]
			a.text(`,"name":"`, tool.Name)
			a.text(`,"description":"`, tool.Description)
			a.optionalRaw(`,"parameters":"`, tool.Parameters, &dataValue)
			a.optionalRaw(`,"metadata":"`, tool.Metadata, &openValue)
		}
	}
	if in.Context != nil {
		for i := range a.list(`,"context":"`, len(in.Context)) {
			a.text(`,"description":"`, in.Context[i].Description)
			a.text(`,"value":"`, in.Context[i].Value)
		}
	}
	a.optionalRaw(`,"forwardedProps":"`, in.ForwardedProps, &dataValue)
	if in.Resume != nil {
		for i := range a.list(`,"resume":"`, len(in.Resume)) {
			entry := &in.Resume[i]
			a.text(`,"interruptId":"`, entry.InterruptID)
			a.oneOf(`,"status":"`, string(entry.Status), "resolved", "cancelled")
			a.optionalRaw(`,"payload":"`, entry.Payload, &dataValue)
			a.optionalRaw(`,"metadata":"`, entry.Metadata, &openValue)
		}
	}
}

func (w *schemaWalk) judgeInput() {
	w.event = inputName
	if w.peek() != '{' {
		w.fail("must be a JSON object")
		return
	}
	if w.object(schemaInput, false) != schemaFatal {
		w.finish()
	}
}

// CheckInputIDs refuses a threadId or runId that is longer than l.ID or holds a control character.
// The protocol allows both; a server that logs ids and keys maps with them need not. The error is a
// [*FieldError].
func (l Limits) CheckInputIDs(in *agui.RunAgentInput) error { return l.CheckIDs(in.ThreadID, in.RunID) }

// CheckIDs is CheckInputIDs for ids that are in no input.
func (l Limits) CheckIDs(threadID, runID string) error {
	if reason := l.checkID(threadID); reason != "" {
		return &FieldError{Event: inputName, Field: "threadId", Reason: reason}
	}
	if reason := l.checkID(runID); reason != "" {
		return &FieldError{Event: inputName, Field: "runId", Reason: reason}
	}
	return nil
}

func (l Limits) checkID(id string) string {
	if most := l.id(); len(id) > most {
		return "longer than " + strconv.Itoa(most) + " bytes"
	}
	for _, r := range id {
		if r < 0x20 || 0x7f <= r && r < 0xa0 {
			return "holds a control character"
		}
	}
	return ""
}
