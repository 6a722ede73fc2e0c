package event

import (
	"bytes"
	"encoding/json"

	"github.com/agloop/agloop/agui"
)

// jsonSerializer encodes and decodes by encoding/json and checks by the schema.
type jsonSerializer struct {
	loan    Loan
	decoder Decoder // its walk also checks what was written
}

func (*jsonSerializer) Type() SerializerType { return JSON }

func (s *jsonSerializer) AppendEvent(dst []byte, ev agui.Event) ([]byte, error) {
	s.loan.Check()
	if ev == nil || isNil(ev) {
		return appendEvent(dst, ev, s.decoder.Limits)
	}
	start := len(dst)
	out, err := s.encode(dst, ev)
	if err == nil && !jsonDoubtful(ev, out[start:]) {
		return out, nil
	}
	// Append finds errors that cannot be seen in the bytes, and all serializers return its error.
	if _, refusal := appendEvent(out, ev, s.decoder.Limits); refusal != nil {
		return dst[:start], refusal
	}
	if err != nil {
		return dst[:start], err
	}
	return out, nil
}

// encode appends ev by encoding/json and checks the result. The error is a *FieldError; the slice
// begins with dst in any case.
func (s *jsonSerializer) encode(dst []byte, ev agui.Event) ([]byte, error) {
	name := string(ev.Type())
	shape := schemaEvents[name]
	own, ok := ev.(json.Marshaler)
	if shape == nil || !ok {
		return dst, &FieldError{Event: name, Reason: "not an event type"}
	}
	out, err := own.MarshalJSON()
	if err != nil {
		return dst, &FieldError{Event: name, Reason: "cannot be encoded: " + err.Error()}
	}
	start := len(dst)
	dst = append(dst, out...)
	w := &s.decoder.walk
	defer w.release()
	w.limits = s.decoder.Limits
	w.reset(dst[start:], true)
	w.event = name
	w.peek()
	if w.object(shape.object, true) == schemaFatal || !w.finish() {
		return dst, w.error()
	}
	return dst, nil
}

// jsonDoubtful reports whether ev may have an error that cannot be seen in out.
func jsonDoubtful(ev agui.Event, out []byte) bool {
	switch e := ev.(type) {
	case *agui.StateDelta:
		if jsonOddPatch(e.Delta) {
			return true
		}
	case *agui.ActivityDelta:
		if jsonOddPatch(e.Patch) {
			return true
		}
	case *agui.SubagentStarted, *agui.SubagentFinished, *agui.SubagentError:
		// The event's own field hides this one.
		if ev.Common().SubagentRunID != nil {
			return true
		}
	}
	// encoding/json writes U+FFFD, in one spelling or the other, for what is not UTF-8.
	return bytes.Contains(out, []byte("\ufffd")) || bytes.Contains(out, []byte(`\ufffd`))
}

// jsonOddPatch reports whether an operation has a member that its verb does not have. The schema
// does not find that, because the objects of patch operations are open.
func jsonOddPatch(ops []agui.PatchOp) bool {
	for i := range ops {
		op := &ops[i]
		if patchNeedsFrom(op.Op) != (op.From != nil) || patchNeedsValue(op.Op) != (len(op.Value) > 0) {
			return true
		}
	}
	return false
}

func (s *jsonSerializer) DecodeEvent(data []byte) (agui.Event, []Note, error) {
	s.loan.Check()
	d := &s.decoder
	w := &d.walk
	defer w.release()
	w.limits = d.Limits
	w.reset(data, false)
	shape, verdict := d.judge()
	if verdict != schemaKeep && w.again(data) {
		shape, verdict = d.judge()
	}
	switch verdict {
	case schemaFatal:
		return nil, nil, w.error()
	case schemaKeep:
		ev, err := s.build(shape)
		if err != nil {
			return nil, nil, err
		}
		return ev, w.notes.all(w.event), nil
	}
	return nil, w.notes.all(w.event), nil
}

// build makes the event from the document that was just checked.
func (s *jsonSerializer) build(shape *schemaShape) (agui.Event, error) {
	w := &s.decoder.walk
	ev := agui.New(shape.event)
	if err := json.Unmarshal(w.clean(), ev); err != nil {
		return nil, &FieldError{Event: w.event, Reason: "cannot be decoded: " + err.Error()}
	}
	if started, ok := ev.(*agui.RunStarted); ok {
		s.decoder.thinking = thinking{}
		w.warnVersion(started.ProtocolVersion)
	}
	return ev, nil
}

func (s *jsonSerializer) Lend() { s.loan.Begin() }

func (s *jsonSerializer) TakeBack() {
	s.loan.End()
	s.decoder = Decoder{Limits: s.decoder.Limits}
}
