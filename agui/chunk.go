package agui

import "slices"

// Expander turns the chunk shorthand into explicit events. The zero value is ready; one Expander
// follows one stream.
//
// A lane is one owner, the parent agent or a subagent, and has at most one item open by chunks. The
// item is closed by a chunk with another id, by an explicit event of the same owner that concerns
// messages, calls, steps, state or reasoning, by CUSTOM, by the end of its subagent, and by
// everything that concerns the run as a whole.
type Expander struct {
	open lanes
}

// Expand appends to dst what ev stands for: ev itself, preceded by the END of every chunk item it
// closes, or the expansion of a chunk, which may be nothing. Events of a chunk share its RawEvent
// and Metadata bytes.
//
// The error is an [*OrderError] when a chunk continues nothing, is ambiguous, lacks what a first
// chunk needs, or contradicts its opener, and when an explicit event continues a chunk item; dst
// and the Expander are then as before.
func (x *Expander) Expand(ev Event, dst []Event) ([]Event, error) {
	c, ok := asChunk(ev)
	if !ok {
		if len(x.open) > 0 {
			if kind, id, ok := continues(ev); ok && x.open.findItem(kind, id) >= 0 {
				return dst, &OrderError{Event: ev.Type(), Rule: RuleChunkMixed, ID: id}
			}
			dst = x.close(closedBy(ev), dst)
		}
		return append(dst, ev), nil
	}
	owner, at, opens, err := x.open.laneFor(&c)
	if err != nil {
		return dst, err
	}
	if opens {
		if at >= 0 {
			dst = append(dst, x.open[at].end())
			x.open = slices.Delete(x.open, at, at+1)
		}
		at = len(x.open)
		x.open = append(x.open, newLane(owner, &c))
		dst = append(dst, x.open[at].start(&c))
	}
	if c.hasContent(opens) {
		dst = append(dst, x.open[at].content(&c))
	}
	return dst, nil
}

func (x *Expander) close(r laneScope, dst []Event) []Event {
	x.open = slices.DeleteFunc(x.open, func(l lane) bool {
		if !r.covers(l.owner) {
			return false
		}
		dst = append(dst, l.end())
		return true
	})
	return dst
}

func (l *lane) start(c *chunk) Event {
	base := Base{SubagentRunID: l.owner.tag(), Metadata: c.base.Metadata}
	switch l.kind {
	case itemText:
		return &TextMessageStart{Base: base, MessageID: l.id, Role: l.role, Name: l.name}
	case itemCall:
		return &ToolCallStart{Base: base, ToolCallID: l.id, ToolCallName: *l.name, ParentMessageID: l.parent}
	}
	return &ReasoningMessageStart{Base: base, MessageID: l.id, Role: RoleReasoning}
}

func (l *lane) content(c *chunk) Event {
	base := Base{SubagentRunID: l.owner.tag(), RawEvent: c.base.RawEvent, Metadata: c.base.Metadata}
	var delta string
	if c.delta != nil {
		delta = *c.delta
	}
	switch l.kind {
	case itemText:
		return &TextMessageContent{Base: base, MessageID: l.id, Delta: delta}
	case itemCall:
		return &ToolCallArgs{Base: base, ToolCallID: l.id, Delta: delta}
	}
	return &ReasoningMessageContent{Base: base, MessageID: l.id, Delta: delta}
}

func (l *lane) end() Event {
	base := Base{SubagentRunID: l.owner.tag()}
	switch l.kind {
	case itemText:
		return &TextMessageEnd{Base: base, MessageID: l.id}
	case itemCall:
		return &ToolCallEnd{Base: base, ToolCallID: l.id}
	}
	return &ReasoningMessageEnd{Base: base, MessageID: l.id}
}
