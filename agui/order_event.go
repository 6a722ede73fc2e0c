package agui

import (
	"cmp"
	"slices"
)

// checkEvent checks an event that is not a chunk and is allowed in the present phase. It treats the
// lanes in r as closed and changes nothing.
func (o *Order) checkEvent(ev Event, r laneScope) error {
	t, tag := ev.Type(), ev.Common().SubagentRunID
	switch e := ev.(type) {
	case *RunStarted:
		if o.hasThread && e.ThreadID != o.threadID {
			return &OrderError{Event: t, Rule: RuleOtherThread, ID: e.ThreadID}
		}
	case *RunFinished:
		return o.checkFinish(e)
	case *TextMessageStart:
		return o.checkStart(o.texts[e.MessageID], t, itemText, e.MessageID, tag, r)
	case *TextMessageContent:
		return checkOpen(o.texts[e.MessageID], t, e.MessageID, tag)
	case *TextMessageEnd:
		return checkOpen(o.texts[e.MessageID], t, e.MessageID, tag)
	case *ToolCallStart:
		_, err := o.checkCall(t, e.ToolCallID, e.ParentMessageID, tag, r)
		return err
	case *ToolCallArgs:
		return checkOpen(o.calls[e.ToolCallID], t, e.ToolCallID, tag)
	case *ToolCallEnd:
		return checkOpen(o.calls[e.ToolCallID], t, e.ToolCallID, tag)
	case *ReasoningMessageStart:
		return o.checkStart(o.reasoning[e.MessageID], t, itemReasoning, e.MessageID, tag, r)
	case *ReasoningMessageContent:
		return checkOpen(o.reasoning[e.MessageID], t, e.MessageID, tag)
	case *ReasoningMessageEnd:
		return checkOpen(o.reasoning[e.MessageID], t, e.MessageID, tag)
	case *ReasoningStart:
		return checkSpan(o.reasoning[e.MessageID], t, e.MessageID, tag)
	case *ReasoningEnd:
		return checkSpan(o.reasoning[e.MessageID], t, e.MessageID, tag)
	case *ReasoningEncryptedValue:
		return o.checkEncrypted(e)
	case *ToolCallResult:
		return o.checkResult(e, r)
	case *ActivityDelta:
		if owner, ok := o.activities[e.MessageID]; ok && !owner.agrees(tag) {
			return &OrderError{Event: t, Rule: RuleOwner, ID: e.MessageID}
		}
	case *StepStarted:
		if _, open := o.steps[stepKey{ownerOf(tag), e.StepName}]; open {
			return &OrderError{Event: t, Rule: RuleAlreadyOpen, ID: e.StepName}
		}
	case *StepFinished:
		return o.checkStepEnd(e)
	case *SubagentStarted:
		if o.subagents[e.SubagentRunID] != nil {
			return &OrderError{Event: t, Rule: RuleSubagentReused, ID: e.SubagentRunID}
		}
		if p := e.ParentSubagentRunID; p != nil && o.subagents[*p] == nil {
			return &OrderError{Event: t, Rule: RuleSubagentUnknown, ID: *p}
		}
	case *SubagentFinished:
		return o.checkSubagentEnd(t, e.SubagentRunID)
	case *SubagentError:
		return o.checkSubagentEnd(t, e.SubagentRunID)
	}
	return nil
}

func (o *Order) checkFinish(e *RunFinished) error {
	fail := func(rule, id string) error {
		return &OrderError{Event: EventTypeRunFinished, Rule: rule, ID: id}
	}
	if e.RunID != o.runID {
		return fail(RuleOtherRun, e.RunID)
	}
	if e.ThreadID != o.threadID {
		return fail(RuleOtherThread, e.ThreadID)
	}
	if o.explicit+len(o.steps)+o.running > 0 {
		return fail(RuleStillOpen, o.openings()[0].id)
	}
	if e.Outcome != nil && len(e.Outcome.Interrupts) > 1 {
		seen := make(map[string]struct{}, len(e.Outcome.Interrupts))
		for i := range e.Outcome.Interrupts {
			id := e.Outcome.Interrupts[i].ID
			if _, twice := seen[id]; twice {
				return fail(RuleInterruptTwice, id)
			}
			seen[id] = struct{}{}
		}
	}
	return nil
}

func checkSpan(it *item, t EventType, id string, tag *string) error {
	open := it != nil && it.span
	switch {
	case t == EventTypeReasoningStart && open:
		return &OrderError{Event: t, Rule: RuleAlreadyOpen, ID: id}
	case t == EventTypeReasoningEnd && !open:
		return &OrderError{Event: t, Rule: RuleNotOpen, ID: id}
	case it != nil && !it.owner.agrees(tag):
		return &OrderError{Event: t, Rule: RuleOwner, ID: id}
	}
	return nil
}

// checkEncrypted compares owners only: a value may name an entity that is closed or unknown.
func (o *Order) checkEncrypted(e *ReasoningEncryptedValue) error {
	var it *item
	if e.Subtype == EncryptedToolCall {
		it = o.calls[e.EntityID]
	} else if it = o.texts[e.EntityID]; it == nil {
		it = o.reasoning[e.EntityID]
	}
	if it != nil && !it.owner.agrees(e.Base.SubagentRunID) {
		return &OrderError{Event: EventTypeReasoningEncryptedValue, Rule: RuleOwner, ID: e.EntityID}
	}
	return nil
}

// checkResult checks that a result leaves the text message of its id, if chunks have that open, to
// the owner that its end will name: a reader that expands the chunks refuses every other end.
func (o *Order) checkResult(e *ToolCallResult, r laneScope) error {
	at := o.lanes.findItem(itemText, e.MessageID)
	if at < 0 || r.covers(o.lanes[at].owner) {
		return nil
	}
	if !ownerOf(e.SubagentRunID).agrees(o.lanes[at].owner.tag()) {
		return &OrderError{Event: EventTypeToolCallResult, Rule: RuleOwner, ID: e.MessageID}
	}
	return nil
}

func (o *Order) checkStepEnd(e *StepFinished) error {
	if _, open := o.steps[stepKey{ownerOf(e.Base.SubagentRunID), e.StepName}]; open {
		return nil
	}
	rule := RuleNotOpen
	for key := range o.steps {
		if key.name == e.StepName {
			rule = RuleOwner
		}
	}
	return &OrderError{Event: EventTypeStepFinished, Rule: rule, ID: e.StepName}
}

func (o *Order) checkSubagentEnd(t EventType, id string) error {
	if s := o.subagents[id]; s == nil || !s.active {
		return &OrderError{Event: t, Rule: RuleNotOpen, ID: id}
	}
	return nil
}

// apply records an event that checkEvent has accepted.
func (o *Order) apply(ev Event) {
	tag := ev.Common().SubagentRunID
	switch e := ev.(type) {
	case *RunStarted:
		*o = Order{phase: phaseRunning, hasThread: true, threadID: e.ThreadID, runID: e.RunID}
		if e.Input != nil {
			o.adoptOwners(e.Input.Messages, false)
		}
	case *RunFinished:
		*o = Order{phase: phaseFinished, hasThread: o.hasThread, threadID: o.threadID, runID: o.runID}
	case *RunError:
		*o = Order{phase: phaseFailed, hasThread: o.hasThread, threadID: o.threadID, runID: o.runID}
	case *TextMessageStart:
		o.openItem(itemText, e.MessageID, ownerOf(tag))
		o.explicit++
	case *TextMessageEnd:
		o.texts[e.MessageID].open = false
		o.explicit--
	case *ToolCallStart:
		owner := ownerOf(tag)
		if p := e.ParentMessageID; p != nil && o.texts[*p] != nil {
			owner = o.texts[*p].owner
		}
		o.openItem(itemCall, e.ToolCallID, owner)
		o.explicit++
	case *ToolCallEnd:
		o.calls[e.ToolCallID].open = false
		o.explicit--
	case *ToolCallResult:
		// The result is a message of its own, whose owner is who executed the tool.
		item := o.ensureItem(itemText, e.MessageID, ownerID{})
		item.owner = ownerOf(tag)
	case *ReasoningMessageStart:
		o.openItem(itemReasoning, e.MessageID, ownerOf(tag))
		o.explicit++
	case *ReasoningMessageEnd:
		o.reasoning[e.MessageID].open = false
		o.explicit--
	case *ReasoningStart:
		it := o.ensureItem(itemReasoning, e.MessageID, ownerOf(tag))
		o.openCount++
		it.span, it.spanAt = true, o.openCount
		o.explicit++
	case *ReasoningEnd:
		o.reasoning[e.MessageID].span = false
		o.explicit--
	case *MessagesSnapshot:
		o.adoptOwners(e.Messages, true)
	case *ActivitySnapshot:
		if _, known := o.activities[e.MessageID]; !known || e.Replace == nil || *e.Replace {
			o.ownActivity(e.MessageID, ownerOf(tag))
		}
	case *StepStarted:
		if o.steps == nil {
			o.steps = make(map[stepKey]int)
		}
		o.openCount++
		o.steps[stepKey{ownerOf(tag), e.StepName}] = o.openCount
	case *StepFinished:
		delete(o.steps, stepKey{ownerOf(tag), e.StepName})
	case *SubagentStarted:
		if o.subagents == nil {
			o.subagents = make(map[string]*subagent)
		}
		o.openCount++
		o.subagents[e.SubagentRunID] = &subagent{active: true, opened: o.openCount}
		o.running++
	case *SubagentFinished:
		o.subagents[e.SubagentRunID].active = false
		o.running--
	case *SubagentError:
		o.subagents[e.SubagentRunID].active = false
		o.running--
	}
}

func (o *Order) items(kind itemKind) *map[string]*item {
	switch kind {
	case itemText:
		return &o.texts
	case itemCall:
		return &o.calls
	}
	return &o.reasoning
}

// ensureItem returns the item; a new one gets owner.
func (o *Order) ensureItem(kind itemKind, id string, owner ownerID) *item {
	items := o.items(kind)
	it := (*items)[id]
	if it == nil {
		if *items == nil {
			*items = make(map[string]*item)
		}
		it = &item{owner: owner}
		(*items)[id] = it
	}
	return it
}

func (o *Order) openItem(kind itemKind, id string, owner ownerID) *item {
	it := o.ensureItem(kind, id, owner)
	o.openCount++
	it.open, it.opened = true, o.openCount
	return it
}

func (o *Order) ownActivity(id string, owner ownerID) {
	if o.activities == nil {
		o.activities = make(map[string]ownerID)
	}
	o.activities[id] = owner
}

// adoptOwners records the owners that a list of messages gives its messages and calls. A snapshot
// replaces owners, so of an id that occurs twice the last one counts. An input only adds owners
// that are not known, so the first one counts.
func (o *Order) adoptOwners(messages []Message, snapshot bool) {
	own := func(kind itemKind, id string, owner ownerID) {
		if it := o.ensureItem(kind, id, owner); snapshot {
			it.owner = owner
		}
	}
	for i := range messages {
		m := &messages[i]
		owner := ownerOf(m.SubagentRunID)
		switch m.Role {
		case RoleActivity:
			if _, known := o.activities[m.ID]; snapshot || !known {
				o.ownActivity(m.ID, owner)
			}
		case RoleReasoning:
			own(itemReasoning, m.ID, owner)
		default:
			own(itemText, m.ID, owner)
		}
		for j := range m.ToolCalls {
			own(itemCall, m.ToolCalls[j].ID, owner)
		}
	}
}

func (o *Order) closeLanes(r laneScope) {
	o.lanes = slices.DeleteFunc(o.lanes, func(l lane) bool {
		if !r.covers(l.owner) {
			return false
		}
		it := (*o.items(l.kind))[l.id]
		it.open, it.chunks = false, false
		return true
	})
}

// opening is an item, step or subagent that is open, with the event that would close it.
type opening struct {
	id   string
	rank int // closing in the order of ranks is allowed by the protocol
	at   int
	end  Event
}

// openings lists what explicit events have open: messages, calls and reasoning first, then steps,
// then subagents, and within a kind the latest first.
func (o *Order) openings() []opening {
	var list []opening
	for id, it := range o.texts {
		if it.open && !it.chunks {
			list = append(list, opening{id, 0, it.opened, &TextMessageEnd{Base: Base{SubagentRunID: it.owner.tag()}, MessageID: id}})
		}
	}
	for id, it := range o.calls {
		if it.open && !it.chunks {
			list = append(list, opening{id, 1, it.opened, &ToolCallEnd{Base: Base{SubagentRunID: it.owner.tag()}, ToolCallID: id}})
		}
	}
	for id, it := range o.reasoning {
		if it.open && !it.chunks {
			list = append(list, opening{id, 2, it.opened, &ReasoningMessageEnd{Base: Base{SubagentRunID: it.owner.tag()}, MessageID: id}})
		}
		if it.span {
			list = append(list, opening{id, 3, it.spanAt, &ReasoningEnd{Base: Base{SubagentRunID: it.owner.tag()}, MessageID: id}})
		}
	}
	for key, at := range o.steps {
		list = append(list, opening{key.name, 4, at, &StepFinished{Base: Base{SubagentRunID: key.owner.tag()}, StepName: key.name}})
	}
	for id, s := range o.subagents {
		if s.active {
			list = append(list, opening{id, 5, s.opened, &SubagentFinished{SubagentRunID: id}})
		}
	}
	slices.SortFunc(list, func(a, b opening) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.at, a.at))
	})
	return list
}

// Open returns the events that close everything open, in an order Check accepts, so that a run can
// then end with RUN_FINISHED; it changes nothing. Items opened by chunks are not among them,
// because the end of the run closes them. A subagent is closed by a plain SUBAGENT_FINISHED; send
// SUBAGENT_ERROR in its place to report a failure. Nil means that nothing is open.
func (o *Order) Open() []Event {
	list := o.openings()
	if len(list) == 0 {
		return nil
	}
	events := make([]Event, len(list))
	for i := range list {
		events[i] = list[i].end
	}
	return events
}
