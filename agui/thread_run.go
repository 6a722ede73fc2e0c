package agui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
)

// ThreadRun is one run of a [Thread]. The zero value is none.
type ThreadRun struct {
	RunID       string
	ParentRunID *string
	// Resume is the answers that the run began with: of the input of [NewThread], or of its
	// RUN_STARTED when that repeats the input.
	Resume []ResumeEntry
	// Active is true from RUN_STARTED to the terminal event. A run that is not active and has
	// neither Outcome nor Error has not begun.
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
	// those the outcome names, and when it names none those the run started and gave no result for.
	PendingToolCallIDs []string
	// Error is the RUN_ERROR that ended the run, also after RUN_FINISHED, without the common
	// members. Nil is none. A run that failed before its RUN_STARTED counts to the run before.
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
	SubagentRunID       string
	Name                string
	Description         *string
	ParentSubagentRunID *string
	ParentToolCallID    *string
	ParentMessageID     *string

	// Active is true until it finishes or fails, or the run ends.
	Active bool
	// Outcome is how it finished: success when the event names none. "" before that and for one
	// that failed.
	Outcome OutcomeType
	// InterruptIDs, of OutcomeSuspended, name the interrupts it waits for.
	InterruptIDs []string
	// Result is any JSON value; empty is none.
	Result json.RawMessage
	// Error is the SUBAGENT_ERROR that ended it, without the common members. Nil is none.
	Error *SubagentError
}

// threadRun follows a run.
type threadRun struct {
	head      ThreadRun // without Steps and Subagents
	opened    int       // counts steps
	steps     map[stepKey]int
	subagents []*ThreadSubagent
	byID      map[string]*ThreadSubagent

	started  []string        // tool calls, in order
	answered map[string]bool // by their ids: true when there is a result
}

func (r *threadRun) summary() ThreadRun {
	run := r.head
	for _, key := range slices.SortedFunc(maps.Keys(r.steps), func(a, b stepKey) int { return cmp.Compare(r.steps[a], r.steps[b]) }) {
		run.Steps = append(run.Steps, ThreadStep{Name: key.name, SubagentRunID: key.owner.tag()})
	}
	for _, s := range r.subagents {
		run.Subagents = append(run.Subagents, *s)
	}
	return run
}

// startRun begins a run, perhaps that of the input of NewThread. Messages of the event's input that
// the conversation does not have are appended.
func (t *Thread) startRun(e *RunStarted) {
	head := t.run.head
	if begun := head.Active || head.Outcome != "" || head.Error != nil; begun || head.RunID != e.RunID {
		head = ThreadRun{RunID: e.RunID}
	}
	head.Active = true
	if e.ParentRunID != nil {
		head.ParentRunID = clonePointer(e.ParentRunID)
	}
	if e.Input != nil && e.Input.Resume != nil {
		head.Resume = cloneResume(e.Input.Resume)
	}
	t.threadID, t.run = e.ThreadID, threadRun{head: head}
	if e.Input == nil {
		return
	}
	for i := range e.Input.Messages {
		if m := &e.Input.Messages[i]; t.byID[m.ID] == nil {
			t.push(newThreadMessage(m))
		}
	}
}

// finish ends the run and returns its interrupts.
func (r *threadRun) finish(e *RunFinished) []Interrupt {
	r.end(e.Usage)
	outcome := e.Outcome
	if outcome == nil {
		outcome = &Outcome{Type: OutcomeSuccess}
	}
	r.head.Outcome = outcome.Type
	switch outcome.Type {
	case OutcomeInterrupt:
		return cloneInterrupts(outcome.Interrupts)
	case OutcomeSuccess:
		r.head.Result = bytes.Clone(e.Result)
		r.head.PendingToolCallIDs = r.pending(outcome)
	}
	return nil
}

// pending returns the calls a success leaves to the frontend.
func (r *threadRun) pending(o *Outcome) []string {
	if len(o.PendingToolCallIDs) > 0 {
		return slices.Clone(o.PendingToolCallIDs)
	}
	var ids []string
	for _, id := range r.started {
		if !r.answered[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// fail ends the run as failed, whatever end it had before.
func (r *threadRun) fail(e *RunError) {
	r.end(e.Usage)
	r.head.Outcome, r.head.Result, r.head.PendingToolCallIDs = "", nil, nil
	r.head.Error = &RunError{Message: e.Message, Code: clonePointer(e.Code), Usage: r.head.Usage}
}

func (r *threadRun) end(usage []TokenUsage) {
	r.head.Active, r.head.Usage = false, cloneUsage(usage)
	r.steps = nil
	for _, s := range r.subagents {
		s.Active = false
	}
}

func (r *threadRun) startStep(key stepKey) {
	if r.steps == nil {
		r.steps = make(map[stepKey]int)
	}
	r.opened++
	r.steps[key] = r.opened
}

func (r *threadRun) startCall(id string) {
	if r.answered == nil {
		r.answered = make(map[string]bool)
	}
	if _, known := r.answered[id]; !known {
		r.answered[id] = false
		r.started = append(r.started, id)
	}
}

func (r *threadRun) answer(id string) {
	if r.answered == nil {
		r.answered = make(map[string]bool)
	}
	r.answered[id] = true
}

func (r *threadRun) announce(e *SubagentStarted) {
	s := &ThreadSubagent{
		SubagentRunID: e.SubagentRunID, Name: e.Name, Description: clonePointer(e.Description),
		ParentSubagentRunID: clonePointer(e.ParentSubagentRunID),
		ParentToolCallID:    clonePointer(e.ParentToolCallID),
		ParentMessageID:     clonePointer(e.ParentMessageID),
		Active:              true,
	}
	if r.byID == nil {
		r.byID = make(map[string]*ThreadSubagent)
	}
	r.byID[s.SubagentRunID] = s
	r.subagents = append(r.subagents, s)
}

func (r *threadRun) endSubagent(e *SubagentFinished) {
	s := r.byID[e.SubagentRunID]
	if s == nil {
		return
	}
	s.Active, s.Outcome, s.Result = false, OutcomeSuccess, bytes.Clone(e.Result)
	if e.Outcome != nil {
		s.Outcome, s.InterruptIDs = e.Outcome.Type, slices.Clone(e.Outcome.InterruptIDs)
	}
}

func (r *threadRun) failSubagent(e *SubagentError) {
	if s := r.byID[e.SubagentRunID]; s != nil {
		s.Active = false
		s.Error = &SubagentError{SubagentRunID: e.SubagentRunID, Message: e.Message, Code: clonePointer(e.Code)}
	}
}

func cloneResume(entries []ResumeEntry) []ResumeEntry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Payload, entries[i].Metadata = bytes.Clone(entries[i].Payload), bytes.Clone(entries[i].Metadata)
	}
	return entries
}

func cloneInterrupts(list []Interrupt) []Interrupt {
	list = slices.Clone(list)
	for i := range list {
		n := &list[i]
		n.Message, n.ToolCallID = clonePointer(n.Message), clonePointer(n.ToolCallID)
		n.ExpiresAt, n.SubagentRunID = clonePointer(n.ExpiresAt), clonePointer(n.SubagentRunID)
		n.ResponseSchema, n.Metadata = bytes.Clone(n.ResponseSchema), bytes.Clone(n.Metadata)
	}
	return list
}

func cloneUsage(list []TokenUsage) []TokenUsage {
	list = slices.Clone(list)
	for i := range list {
		u := &list[i]
		u.Provider, u.Model = clonePointer(u.Provider), clonePointer(u.Model)
		for _, count := range []**int64{
			&u.InputTokens, &u.OutputTokens, &u.TotalTokens,
			&u.ReasoningTokens, &u.CachedInputTokens, &u.CacheWriteInputTokens,
		} {
			if *count != nil {
				*count = new(**count)
			}
		}
	}
	return list
}
