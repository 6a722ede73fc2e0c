package agui

import "encoding/json"

// RunStarted opens a run. It is the first event of a stream, and follows the end of the run before
// it.
type RunStarted struct {
	Base
	ThreadID string `json:"threadId"`
	RunID    string `json:"runId"`

	// ProtocolVersion is the server's own version, never an echo of the client's; nil is a server
	// older than the member.
	ProtocolVersion *string `json:"protocolVersion,omitempty"`
	ParentRunID     *string `json:"parentRunId,omitempty"`

	// Input repeats the input of the run; its messages count as history.
	Input *RunAgentInput `json:"input,omitempty"`
}

// Type returns [EventTypeRunStarted].
func (*RunStarted) Type() EventType { return EventTypeRunStarted }

// RunFinished ends a run in order: nothing may be open when it is sent.
type RunFinished struct {
	Base
	ThreadID string `json:"threadId"`
	RunID    string `json:"runId"`

	// Result is any JSON value except null.
	Result json.RawMessage `json:"result,omitempty"`
	// Outcome says how the run ended; nil reads as success.
	Outcome *Outcome     `json:"outcome,omitempty"`
	Usage   []TokenUsage `json:"usage,omitzero"`
}

// Type returns [EventTypeRunFinished].
func (*RunFinished) Type() EventType { return EventTypeRunFinished }

// RunError ends a run as failed and with it everything that is open. It may stand alone, when a run
// failed before it started, and may follow RUN_FINISHED.
type RunError struct {
	Base
	Message string       `json:"message"`
	Code    *string      `json:"code,omitempty"`
	Usage   []TokenUsage `json:"usage,omitzero"`
}

// Type returns [EventTypeRunError].
func (*RunError) Type() EventType { return EventTypeRunError }

// PublicError is an error whose code and message a client may read: what an agent returns for them,
// also wrapped or joined, becomes its run's RUN_ERROR. Of other errors the client reads that there
// was one.
type PublicError struct {
	// Code is the code of RUN_ERROR, for programs. "" is "agent_error".
	Code string
	// Message is the message of RUN_ERROR, for people. "" says that the agent failed.
	Message string
}

func (e *PublicError) Error() string {
	s := "agloop: agent failed"
	if e.Code != "" {
		s += ": " + e.Code
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// StepStarted opens a step. Steps are unique by owner and name and may overlap.
type StepStarted struct {
	Base
	StepName string `json:"stepName"`
}

// Type returns [EventTypeStepStarted].
func (*StepStarted) Type() EventType { return EventTypeStepStarted }

// StepFinished closes the step of the same owner and name.
type StepFinished struct {
	Base
	StepName string `json:"stepName"`
}

// Type returns [EventTypeStepFinished].
func (*StepFinished) Type() EventType { return EventTypeStepFinished }

// OutcomeType says how a run or a subagent ended. The zero value is not an outcome.
type OutcomeType string

// The outcomes. A run ends with the first three, a subagent with OutcomeSuccess or
// OutcomeSuspended.
const (
	OutcomeSuccess   OutcomeType = "success"
	OutcomeInterrupt OutcomeType = "interrupt"
	OutcomeCancelled OutcomeType = "cancelled"
	OutcomeSuspended OutcomeType = "suspended"
)

// Outcome is the end of a run.
type Outcome struct {
	Type OutcomeType `json:"type"`

	// PendingToolCallIDs, of OutcomeSuccess only, are calls the frontend must answer in the next
	// input.
	PendingToolCallIDs []string `json:"pendingToolCallIds,omitzero"`

	// Interrupts, of OutcomeInterrupt only, must have at least one element there.
	Interrupts []Interrupt `json:"interrupts,omitempty"`
}

// Interrupt asks for something before the run can go on; the next input answers it by a
// [ResumeEntry].
type Interrupt struct {
	// ID is unique within the run.
	ID         string  `json:"id"`
	Reason     string  `json:"reason"`
	Message    *string `json:"message,omitempty"`
	ToolCallID *string `json:"toolCallId,omitempty"`
	// ResponseSchema and Metadata are JSON objects.
	ResponseSchema json.RawMessage `json:"responseSchema,omitempty"`
	// ExpiresAt has no fixed format.
	ExpiresAt     *string         `json:"expiresAt,omitempty"`
	Metadata      json.RawMessage `json:"metadata,omitempty"`
	SubagentRunID *string         `json:"subagentRunId,omitempty"`
}

// TokenUsage counts tokens of one model. InputTokens, OutputTokens and TotalTokens are totals, the
// others parts of them. nil is not known, which differs from 0. Counts are at most 2^53-1.
type TokenUsage struct {
	Provider              *string `json:"provider,omitempty"`
	Model                 *string `json:"model,omitempty"`
	InputTokens           *int64  `json:"inputTokens,omitempty"`
	OutputTokens          *int64  `json:"outputTokens,omitempty"`
	TotalTokens           *int64  `json:"totalTokens,omitempty"`
	ReasoningTokens       *int64  `json:"reasoningTokens,omitempty"`
	CachedInputTokens     *int64  `json:"cachedInputTokens,omitempty"`
	CacheWriteInputTokens *int64  `json:"cacheWriteInputTokens,omitempty"`
}
