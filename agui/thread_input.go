package agui

import (
	"fmt"
	"strings"
	"time"
)

// PendingInterrupts returns what the conversation waits for: the interrupts of the run that was
// finished last. Only another RUN_FINISHED replaces them, so after a run that failed they are still
// to be answered. Nil is none.
func (t *Thread) PendingInterrupts() []Interrupt { return t.interrupts }

// Input returns the input of the next run: the messages without those of role activity, the state,
// the protocol version and resume. Tools, context and the rest are the caller's to add. It shares
// memory with the conversation, as the other methods do.
//
// Every pending interrupt must have one entry in resume, and one that has expired at now only a
// [ResumeCancelled]; else the error is a [*ResumeError]. An ExpiresAt that is not of RFC 3339 never
// expires.
func (t *Thread) Input(runID string, now time.Time, resume ...ResumeEntry) (*RunAgentInput, error) {
	if err := t.checkResume(now, resume); err != nil {
		return nil, err
	}
	in := &RunAgentInput{
		ThreadID: t.threadID, RunID: runID, ProtocolVersion: new(ProtocolVersion),
		Messages: make([]Message, 0, len(t.messages)),
		Resume:   cloneResume(resume),
	}
	if state := t.State(); !isNull(state) { // null and absent both read as {}, and only absent is legal
		in.State = state
	}
	for _, m := range t.messages {
		if m.head.Role != RoleActivity {
			in.Messages = append(in.Messages, m.message())
		}
	}
	return in, nil
}

func (t *Thread) checkResume(now time.Time, resume []ResumeEntry) error {
	var fault ResumeError
	left := make(map[string]*Interrupt, len(t.interrupts))
	for i := range t.interrupts {
		left[t.interrupts[i].ID] = &t.interrupts[i]
	}
	for i := range resume {
		id := resume[i].InterruptID
		pending := left[id]
		switch {
		case pending == nil:
			fault.Unknown = append(fault.Unknown, id)
		case resume[i].Status != ResumeCancelled && pending.expired(now):
			fault.Expired = append(fault.Expired, id)
		}
		delete(left, id)
	}
	for i := range t.interrupts {
		if id := t.interrupts[i].ID; left[id] != nil {
			fault.Missing = append(fault.Missing, id)
			delete(left, id)
		}
	}
	if len(fault.Missing)+len(fault.Unknown)+len(fault.Expired) == 0 {
		return nil
	}
	return &fault
}

func (n *Interrupt) expired(now time.Time) bool {
	if n.ExpiresAt == nil {
		return false
	}
	at, err := time.Parse(time.RFC3339, *n.ExpiresAt)
	return err == nil && !now.Before(at)
}

// ResumeError is a list of answers that does not fit the pending interrupts. The lists hold ids of
// interrupts.
type ResumeError struct {
	// Missing are pending and have no answer.
	Missing []string
	// Unknown are answered and not pending, or answered a second time.
	Unknown []string
	// Expired are answered too late: only cancelled is taken.
	Expired []string
}

// Error names the interrupts.
func (e *ResumeError) Error() string {
	var parts []string
	for _, list := range []struct {
		ids    []string
		reason string
	}{
		{e.Missing, "no answer to"},
		{e.Unknown, "an answer to what is not pending:"},
		{e.Expired, "too late for any answer but cancelled:"},
	} {
		if len(list.ids) > 0 {
			parts = append(parts, fmt.Sprintf("%s %q", list.reason, list.ids))
		}
	}
	return "agloop: resume does not fit the pending interrupts: " + strings.Join(parts, "; ")
}
