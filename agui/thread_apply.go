package agui

import (
	"bytes"
	"slices"
	"strconv"
)

// The reasons of a [SkipError] that are not of a patch.
const (
	SkipNoMessage  = "there is no message of this id"
	SkipNoCall     = "there is no tool call of this id"
	SkipActivity   = "the message of this id is an activity"
	SkipNoActivity = "the message of this id is no activity"
)

// SkipError is an event that changed nothing, except that of an ACTIVITY_DELTA whose patch does not
// apply the metadata counts.
type SkipError struct {
	// Event is the type of the event.
	Event EventType
	// ID is the message or the tool call concerned; "" for the state.
	ID string
	// Reason is one of the Skip constants or says why a patch does not apply.
	Reason string
}

// Error names the event, the id and the reason.
func (e *SkipError) Error() string {
	if e.ID == "" {
		return "agloop: " + string(e.Event) + " skipped: " + e.Reason
	}
	id := e.ID
	if len(id) > 128 {
		id = id[:128]
	}
	return "agloop: " + string(e.Event) + " " + strconv.Quote(id) + " skipped: " + e.Reason
}

// Apply takes the next event of the conversation. Events come in the order that [Order] verifies,
// the runs of a thread one after another; chunks come as they are or expanded. It copies what it
// keeps, except strings, so the event may be reused.
//
// The error says why the event changed nothing: a [*SkipError] when it concerns something the
// conversation does not have, or its patch does not apply; an [*OrderError] when a chunk cannot be
// expanded. Neither ends a conversation, the official client warns and goes on; so a caller may
// ignore it.
func (t *Thread) Apply(ev Event) error {
	if ev == nil {
		return nil
	}
	if _, chunk := asChunk(ev); !chunk && len(t.chunks.open) == 0 {
		return t.apply(ev)
	}
	events, err := t.chunks.Expand(ev, t.expanded[:0])
	for _, ev := range events {
		if skipped := t.apply(ev); err == nil {
			err = skipped
		}
	}
	clear(events) // they hold what the chunk holds
	t.expanded = events[:0]
	return err
}

func (t *Thread) apply(ev Event) error {
	base := ev.Common()
	switch e := ev.(type) {
	case *TextMessageStart:
		role := e.Role
		if role == "" {
			role = RoleAssistant
		}
		return t.startMessage(ev, e.MessageID, role, e.Name)
	case *TextMessageContent:
		return t.continueMessage(ev, e.MessageID, e.Delta, true)
	case *TextMessageEnd:
		return t.continueMessage(ev, e.MessageID, "", false)
	case *ReasoningMessageStart:
		return t.startMessage(ev, e.MessageID, RoleReasoning, nil)
	case *ReasoningMessageContent:
		return t.continueMessage(ev, e.MessageID, e.Delta, true)
	case *ReasoningMessageEnd:
		return t.continueMessage(ev, e.MessageID, "", false)
	case *ReasoningEncryptedValue:
		return t.encrypt(e)
	case *ToolCallStart:
		t.startCall(e)
	case *ToolCallArgs:
		return t.continueCall(ev, e.ToolCallID, e.Delta)
	case *ToolCallEnd:
		return t.continueCall(ev, e.ToolCallID, "")
	case *ToolCallResult:
		t.addResult(e)
	case *StateSnapshot:
		t.state = bytes.Clone(e.Snapshot)
	case *StateDelta:
		state, err := applyPatch(t.State(), e.Delta)
		if err != nil {
			return &SkipError{Event: ev.Type(), Reason: err.Error()}
		}
		t.state = state
	case *MessagesSnapshot:
		t.reconcile(e)
	case *ActivitySnapshot:
		return t.setActivity(e)
	case *ActivityDelta:
		return t.patchActivity(e)
	case *RunStarted:
		t.startRun(e)
	case *RunFinished:
		t.interrupts = t.run.finish(e)
	case *RunError:
		t.run.fail(e)
	case *StepStarted:
		t.run.startStep(stepKey{ownerOf(base.SubagentRunID), e.StepName})
	case *StepFinished:
		delete(t.run.steps, stepKey{ownerOf(base.SubagentRunID), e.StepName})
	case *SubagentStarted:
		t.run.announce(e)
	case *SubagentFinished:
		t.run.endSubagent(e)
	case *SubagentError:
		t.run.failSubagent(e)
	}
	return nil
}

// push appends m.
func (t *Thread) push(m *threadMessage) {
	t.messages = append(t.messages, m)
	t.index(m)
}

// index notes where m and its calls are, unless a message before has their ids.
func (t *Thread) index(m *threadMessage) {
	if t.byID == nil {
		t.byID = make(map[string]*threadMessage)
	}
	if t.byID[m.head.ID] == nil {
		t.byID[m.head.ID] = m
	}
	for _, call := range m.calls {
		t.indexCall(m, call)
	}
}

func (t *Thread) indexCall(m *threadMessage, call *threadCall) {
	if t.calls == nil {
		t.calls = make(map[string]callPlace)
	}
	if _, known := t.calls[call.id]; !known {
		t.calls[call.id] = callPlace{m, call}
	}
}

// reindex notes anew where everything is.
func (t *Thread) reindex() {
	t.byID, t.calls = nil, nil
	for _, m := range t.messages {
		t.index(m)
	}
}

// startMessage begins a message; one that is there is reopened as it is.
func (t *Thread) startMessage(ev Event, id string, role Role, name *string) error {
	base := ev.Common()
	m := t.byID[id]
	switch {
	case m == nil:
		m = &threadMessage{kind: contentText, head: Message{
			ID: id, Role: role, Name: clonePointer(name), SubagentRunID: clonePointer(base.SubagentRunID),
		}}
		t.push(m)
	case m.head.Role == RoleActivity:
		return &SkipError{Event: ev.Type(), ID: id, Reason: SkipActivity}
	}
	m.metadata.merge(base.Metadata)
	return nil
}

// continueMessage adds to the text of a message when the event has content, and to its metadata.
func (t *Thread) continueMessage(ev Event, id, delta string, content bool) error {
	m := t.byID[id]
	switch {
	case m == nil:
		return &SkipError{Event: ev.Type(), ID: id, Reason: SkipNoMessage}
	case m.head.Role == RoleActivity:
		return &SkipError{Event: ev.Type(), ID: id, Reason: SkipActivity}
	}
	if content {
		m.appendText(delta)
	}
	m.metadata.merge(ev.Common().Metadata)
	return nil
}

func (t *Thread) encrypt(e *ReasoningEncryptedValue) error {
	if e.Subtype == EncryptedToolCall {
		place, ok := t.calls[e.EntityID]
		if !ok {
			return &SkipError{Event: e.Type(), ID: e.EntityID, Reason: SkipNoCall}
		}
		place.call.encrypted = new(e.EncryptedValue)
		return nil
	}
	switch m := t.byID[e.EntityID]; {
	case m == nil:
		return &SkipError{Event: e.Type(), ID: e.EntityID, Reason: SkipNoMessage}
	case m.head.Role == RoleActivity:
		return &SkipError{Event: e.Type(), ID: e.EntityID, Reason: SkipActivity}
	default:
		m.head.EncryptedValue = new(e.EncryptedValue)
		return nil
	}
}

// startCall begins a tool call. One that is there keeps its arguments: the same start comes again
// when a run replays what the input held.
func (t *Thread) startCall(e *ToolCallStart) {
	t.run.startCall(e.ToolCallID)
	if place, known := t.calls[e.ToolCallID]; known {
		place.call.name = e.ToolCallName
		place.call.metadata.merge(e.Metadata)
		return
	}
	call := &threadCall{id: e.ToolCallID, name: e.ToolCallName}
	call.metadata.merge(e.Metadata)
	m := t.messageOfCall(e)
	m.calls, m.hasCalls = append(m.calls, call), true
	t.indexCall(m, call)
}

// messageOfCall returns the assistant message that a new call belongs to: its parent, and a new
// message without one. The new message has the parent's id, or the call's when no parent is named
// or the parent is of another role. An empty id names no parent, as the official client reads it.
func (t *Thread) messageOfCall(e *ToolCallStart) *threadMessage {
	id := e.ToolCallID
	if p := e.ParentMessageID; p != nil && *p != "" {
		parent := t.byID[*p]
		if parent != nil && parent.head.Role == RoleAssistant {
			return parent
		}
		if parent == nil {
			id = *p
		}
	}
	m := &threadMessage{head: Message{ID: id, Role: RoleAssistant}}
	if t.byID[id] == nil {
		m.head.SubagentRunID = clonePointer(e.SubagentRunID)
	}
	t.push(m)
	return m
}

func (t *Thread) continueCall(ev Event, id, delta string) error {
	place, ok := t.calls[id]
	if !ok {
		return &SkipError{Event: ev.Type(), ID: id, Reason: SkipNoCall}
	}
	place.call.arguments.WriteString(delta)
	place.call.metadata.merge(ev.Common().Metadata)
	return nil
}

// addResult puts a tool message behind the message that made the call and the results that follow
// it, because providers want it there; without such a message it goes to the end.
func (t *Thread) addResult(e *ToolCallResult) {
	t.run.answer(e.ToolCallID)
	m := newThreadMessage(&Message{
		ID: e.MessageID, Role: RoleTool, Content: &e.Content, ToolCallID: &e.ToolCallID,
		SubagentRunID: e.SubagentRunID, Metadata: e.Metadata,
	})
	place, ok := t.calls[e.ToolCallID]
	if !ok {
		t.push(m)
		return
	}
	at := slices.Index(t.messages, place.message) + 1
	for at < len(t.messages) && t.messages[at].head.Role == RoleTool {
		at++
	}
	t.messages = slices.Insert(t.messages, at, m)
	if other := t.byID[m.head.ID]; other != nil && slices.Index(t.messages, other) > at {
		delete(t.byID, m.head.ID)
	}
	t.index(m)
}
