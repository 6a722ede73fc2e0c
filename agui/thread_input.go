package agui

import "time"

// PendingInterrupts returns what the conversation waits for: the interrupts of the run that was
// finished last. Only another RUN_FINISHED replaces them, so after a run that failed they are still
// to be answered. Nil is none.
func (t *Thread) PendingInterrupts() []Interrupt { return nil }

// Input returns the input of the next run: the messages without those of role activity, the state,
// the protocol version and resume. Tools, context and the rest are the caller's to add; what it
// shares with the conversation nobody may change.
//
// Every pending interrupt must have one entry in resume, and at now, when it has expired, that must
// be [ResumeCancelled]. The error is a [*ResumeError]. An interrupt whose ExpiresAt is not of the
// form of RFC 3339 does not expire.
func (t *Thread) Input(runID string, now time.Time, resume ...ResumeEntry) (*RunAgentInput, error) {
	return nil, nil
}

// ResumeError is a list of answers that does not fit the pending interrupts. Each list has the ids
// of interrupts.
type ResumeError struct {
	// Missing are pending and have no answer.
	Missing []string
	// Unknown are answered and not pending, or answered twice.
	Unknown []string
	// Expired have an answer that comes too late: only cancelled is taken.
	Expired []string
}

// Error names the interrupts.
func (e *ResumeError) Error() string { return "" }
