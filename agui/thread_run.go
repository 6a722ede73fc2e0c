package agui

import "encoding/json"

// ThreadRun is one run of a [Thread]. The zero value is none.
type ThreadRun struct {
	RunID       string
	ParentRunID *string
	// Resume is the answers the run started with, of the input that it began with.
	Resume []ResumeEntry
	// Active is true from RUN_STARTED to the terminal event. A run that is not active, has no
	// Outcome and no Error has not begun.
	Active bool

	// Steps are the steps that are open, in the order of their start.
	Steps []ThreadStep
	// Subagents are those the run announced, in that order.
	Subagents []ThreadSubagent

	// Outcome is how RUN_FINISHED ended the run: success when the event names none. "" before the
	// end and for a run that failed.
	Outcome OutcomeType
	// Result is the result of a success; empty is none.
	Result json.RawMessage
	// PendingToolCallIDs, of a success, are the calls the frontend must answer in the next input:
	// those the outcome names, and else those the run started and gave no result for.
	PendingToolCallIDs []string
	// Error is the RUN_ERROR that ended the run, also after RUN_FINISHED. Of the event it has
	// Message, Code and Usage. Nil is none.
	Error *RunError
	// Usage is what the terminal event counts.
	Usage []TokenUsage
}

// ThreadStep is a step that is open.
type ThreadStep struct {
	Name string
	// SubagentRunID is its owner; nil is the parent agent.
	SubagentRunID *string
}

// ThreadSubagent is a subagent that a run announced.
type ThreadSubagent struct {
	// SubagentStarted is what announced it. Of the common members it has none.
	SubagentStarted
	// Active is true until it finishes or fails.
	Active bool
	// Outcome is how it ended: success when SUBAGENT_FINISHED names none, "" before that and
	// when it failed.
	Outcome OutcomeType
	// InterruptIDs, of OutcomeSuspended, name the interrupts it waits for.
	InterruptIDs []string
	// Result is what it returned; empty is none.
	Result json.RawMessage
	// Error is the SUBAGENT_ERROR that ended it, without the common members. Nil is none.
	Error *SubagentError
}
