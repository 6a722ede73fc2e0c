package run

import (
	"bytes"
	"slices"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// withoutInterrupts is the end of a run as it is replayed once a later run has answered some of its
// interrupts: a RUN_FINISHED without these, and without outcome when none is left, since its reader
// would ask for what was given. Any other event, and one that asks for none of them, is returned as
// it is. The error is a *event.FieldError of an event that cannot be read.
func withoutInterrupts(ended []byte, answered map[string]bool, limits event.Limits) ([]byte, error) {
	if len(answered) == 0 || !bytes.Contains(ended, []byte(`"RUN_FINISHED"`)) {
		return ended, nil
	}
	decoder := event.Decoder{Limits: limits}
	ev, _, err := decoder.DecodeEvent(ended)
	if err != nil {
		return ended, err
	}
	finished, ok := ev.(*agui.RunFinished)
	if !ok || finished.Outcome == nil {
		return ended, nil
	}
	all := len(finished.Outcome.Interrupts)
	left := slices.DeleteFunc(finished.Outcome.Interrupts, func(i agui.Interrupt) bool { return answered[i.ID] })
	switch finished.Outcome.Interrupts = left; len(left) {
	case all:
		return ended, nil
	case 0:
		finished.Outcome = nil
	}
	return limits.AppendEvent(nil, finished)
}
