package run

import (
	"errors"
	"log/slog"

	"github.com/agloop/agloop/agui"
)

// Subagent is an agent that works for the agent of a run; its events have its id. Its methods may be
// called from any goroutine; what they return, as it says.
type Subagent struct{ owner owner }

// Subagent announces a subagent: SUBAGENT_STARTED with a fresh id. Errors as Emit.
func (r *Run) Subagent(name string) (*Subagent, error) {
	return r.StartSubagent(agui.SubagentStarted{Name: name})
}

// StartSubagent is Subagent for one that has a description, a parent or an id of the agent's: it
// sends start. An empty SubagentRunID is a fresh one; the protocol uses none twice within a run.
// Errors as Emit.
func (r *Run) StartSubagent(start agui.SubagentStarted) (*Subagent, error) {
	if start.SubagentRunID == "" {
		start.SubagentRunID = newID("sub-")
	}
	if err := r.Emit(&start); err != nil {
		return nil, err
	}
	return &Subagent{owner{r, &start.SubagentRunID}}, nil
}

// ID is the subagentRunId.
func (s *Subagent) ID() string { return *s.owner.tag }

// Emit is Run.Emit for an event of the subagent's: it gets the subagent's id, unless it has one or
// is of a type that has none.
func (s *Subagent) Emit(ev agui.Event) error {
	switch ev.(type) {
	case *agui.RunStarted, *agui.RunFinished, *agui.RunError, *agui.MessagesSnapshot,
		*agui.SubagentStarted, *agui.SubagentFinished, *agui.SubagentError:
		return s.owner.run.Emit(ev)
	}
	return s.owner.emit(ev)
}

// TextMessage is Run.TextMessage for the subagent.
func (s *Subagent) TextMessage() (*TextMessage, error) {
	return s.owner.textMessage(agui.TextMessageStart{})
}

// StartTextMessage is Run.StartTextMessage for the subagent.
func (s *Subagent) StartTextMessage(start agui.TextMessageStart) (*TextMessage, error) {
	return s.owner.textMessage(start)
}

// ToolCall is Run.ToolCall for the subagent.
func (s *Subagent) ToolCall(name string) (*ToolCall, error) {
	return s.owner.toolCall(agui.ToolCallStart{ToolCallName: name})
}

// StartToolCall is Run.StartToolCall for the subagent.
func (s *Subagent) StartToolCall(start agui.ToolCallStart) (*ToolCall, error) {
	return s.owner.toolCall(start)
}

// Reasoning is Run.Reasoning for the subagent.
func (s *Subagent) Reasoning() (*Reasoning, error) { return s.owner.reasoning() }

// Step is Run.Step for the subagent.
func (s *Subagent) Step(name string) (*Step, error) { return s.owner.step(name) }

// Activity is Run.Activity for the subagent.
func (s *Subagent) Activity(activityType string, content any) (*Activity, error) {
	return s.owner.activity(activityType, content)
}

// Subagent announces a subagent of this one. Errors as Emit.
func (s *Subagent) Subagent(name string) (*Subagent, error) {
	return s.owner.run.StartSubagent(agui.SubagentStarted{Name: name, ParentSubagentRunID: new(s.ID())})
}

// Finish ends the subagent in order: SUBAGENT_FINISHED. result is encoded by encoding/json; nil is
// no result. What the subagent has open should be closed before. Errors as Emit, and those of
// encoding/json.
func (s *Subagent) Finish(result any) error {
	raw, err := encodeResult(result)
	if err != nil {
		return err
	}
	return s.owner.run.Emit(&agui.SubagentFinished{SubagentRunID: s.ID(), Result: raw})
}

// Suspend ends the subagent for this run, waiting for the answers to interrupts of these ids, with
// which the run then ends: SUBAGENT_FINISHED with outcome suspended. Errors as Emit.
func (s *Subagent) Suspend(interruptIDs ...string) error {
	return s.owner.run.Emit(&agui.SubagentFinished{
		SubagentRunID: s.ID(),
		Outcome:       &agui.SubagentOutcome{Type: agui.OutcomeSuspended, InterruptIDs: interruptIDs},
	})
}

// Fail ends the subagent as failed, and the run goes on: SUBAGENT_ERROR. The client reads what an
// *agui.PublicError says; of other errors it reads an id, under which the log has the error. Errors
// as Emit.
func (s *Subagent) Fail(err error) error {
	r := s.owner.run
	public, ok := errors.AsType[*agui.PublicError](err)
	if ok && public != nil {
		message, code := publicText(public, "the subagent failed")
		return r.Emit(&agui.SubagentError{SubagentRunID: s.ID(), Message: message, Code: &code})
	}
	text, id := Hidden("the subagent failed")
	r.log.Error("agloop: a subagent failed", slog.String("id", id),
		slog.String("thread", r.Input.ThreadID), slog.String("run", r.Input.RunID),
		slog.String("subagent", s.ID()), slog.Any("err", err))
	return r.Emit(&agui.SubagentError{SubagentRunID: s.ID(), Message: text, Code: new(CodeAgent)})
}
