package agui

import "encoding/json"

// SubagentStarted announces a subagent. Its id is never used again within the run.
type SubagentStarted struct {
	Base
	SubagentRunID string  `json:"subagentRunId"`
	Name          string  `json:"name"`
	Description   *string `json:"description,omitempty"`
	// ParentSubagentRunID must have been announced in this run; nil is the parent agent.
	ParentSubagentRunID *string `json:"parentSubagentRunId,omitempty"`
	ParentToolCallID    *string `json:"parentToolCallId,omitempty"`
	ParentMessageID     *string `json:"parentMessageId,omitempty"`
}

// Type returns [EventTypeSubagentStarted].
func (*SubagentStarted) Type() EventType { return EventTypeSubagentStarted }

// SubagentFinished ends an announced subagent in order.
type SubagentFinished struct {
	Base
	SubagentRunID string `json:"subagentRunId"`
	// Result is any JSON value except null.
	Result json.RawMessage `json:"result,omitempty"`
	// Outcome says how the subagent ended; nil reads as success.
	Outcome *SubagentOutcome `json:"outcome,omitempty"`
}

// Type returns [EventTypeSubagentFinished].
func (*SubagentFinished) Type() EventType { return EventTypeSubagentFinished }

// SubagentError ends an announced subagent as failed. The run goes on.
type SubagentError struct {
	Base
	SubagentRunID string  `json:"subagentRunId"`
	Message       string  `json:"message"`
	Code          *string `json:"code,omitempty"`
}

// Type returns [EventTypeSubagentError].
func (*SubagentError) Type() EventType { return EventTypeSubagentError }

// SubagentOutcome is the end of a subagent.
type SubagentOutcome struct {
	// Type is OutcomeSuccess or OutcomeSuspended.
	Type OutcomeType `json:"type"`
	// InterruptIDs, of OutcomeSuspended only, name the run's interrupts it waits for.
	InterruptIDs []string `json:"interruptIds,omitzero"`
}
