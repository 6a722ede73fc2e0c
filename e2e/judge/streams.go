package main

import (
	"math/rand/v2"
	"slices"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// A small world, in which streams soon make items and owners meet.
var (
	ids    = []string{"x", "y", ""}
	owners = []*string{nil, nil, new("a"), new("b"), new("")}
)

func maybe(r *rand.Rand, s string) *string {
	if r.IntN(2) == 0 {
		return nil
	}
	return &s
}

// anyEvent is one of any type, of the small world.
func anyEvent(r *rand.Rand) agui.Event {
	id, other := pick(r, ids), pick(r, ids)
	base := agui.Base{SubagentRunID: pick(r, owners)}
	if r.IntN(8) == 0 {
		base.Metadata = []byte(`{"k":1}`)
	}
	if r.IntN(12) == 0 {
		base.RawEvent = []byte(`"raw"`)
	}
	if r.IntN(12) == 0 {
		base.Timestamp = new(int64(7))
	}
	text := agui.TextContent("done")
	message := agui.Message{ID: id, Role: agui.RoleAssistant, SubagentRunID: pick(r, owners)}
	switch r.IntN(8) {
	case 0:
		message.Role, message.Content = agui.RoleReasoning, text
	case 1:
		message.Role, message.Content, message.ActivityType = agui.RoleActivity, &agui.Content{Object: []byte("{}")}, new("plan")
	case 2, 3:
		message.ToolCalls = []agui.ToolCall{{ID: other, Type: "function", Function: agui.FunctionCall{Name: "f", Arguments: "{}"}}}
	}
	switch r.IntN(37) {
	case 0, 1, 2:
		return &agui.TextMessageChunk{Base: base, MessageID: maybe(r, id), Delta: maybe(r, "d"), Name: pick(r, []*string{nil, nil, nil, new("n")}), Role: pick(r, []agui.Role{"", "", "", agui.RoleAssistant, agui.RoleUser})}
	case 3, 4:
		return &agui.ToolCallChunk{Base: base, ToolCallID: maybe(r, id), ToolCallName: maybe(r, "f"), ParentMessageID: pick(r, []*string{nil, nil, &other}), Delta: maybe(r, "d")}
	case 5, 6:
		return &agui.ReasoningMessageChunk{Base: base, MessageID: maybe(r, id), Delta: maybe(r, "d")}
	case 7, 8:
		return &agui.TextMessageStart{Base: base, MessageID: id, Role: pick(r, []agui.Role{"", agui.RoleUser})}
	case 9:
		return &agui.TextMessageContent{Base: base, MessageID: id, Delta: "d"}
	case 10:
		return &agui.TextMessageEnd{Base: base, MessageID: id}
	case 11, 12:
		return &agui.ToolCallStart{Base: base, ToolCallID: id, ToolCallName: "f", ParentMessageID: maybe(r, other)}
	case 13:
		return &agui.ToolCallArgs{Base: base, ToolCallID: id, Delta: "d"}
	case 14:
		return &agui.ToolCallEnd{Base: base, ToolCallID: id}
	case 15:
		return &agui.ReasoningMessageStart{Base: base, MessageID: id, Role: agui.RoleReasoning}
	case 16:
		return &agui.ReasoningMessageContent{Base: base, MessageID: id, Delta: "d"}
	case 17:
		return &agui.ReasoningMessageEnd{Base: base, MessageID: id}
	case 18:
		return &agui.ReasoningStart{Base: base, MessageID: id}
	case 19:
		return &agui.ReasoningEnd{Base: base, MessageID: id}
	case 20:
		return &agui.StepStarted{Base: base, StepName: id}
	case 21:
		return &agui.StepFinished{Base: base, StepName: id}
	case 22:
		return &agui.SubagentStarted{SubagentRunID: id, Name: "n", ParentSubagentRunID: pick(r, []*string{nil, nil, &other})}
	case 23:
		return &agui.SubagentFinished{SubagentRunID: id}
	case 24:
		return &agui.SubagentError{SubagentRunID: id, Message: "m"}
	case 25:
		return &agui.MessagesSnapshot{Messages: []agui.Message{message}}
	case 26:
		return &agui.Raw{Base: base, Event: []byte("1")}
	case 27:
		return &agui.Custom{Base: base, Name: "n", Value: []byte("1")}
	case 28:
		return &agui.ReasoningEncryptedValue{Base: base, Subtype: pick(r, []agui.EncryptedSubtype{agui.EncryptedMessage, agui.EncryptedToolCall}), EntityID: id, EncryptedValue: "e"}
	case 29:
		return &agui.ActivitySnapshot{Base: base, MessageID: id, ActivityType: "plan", Content: []byte("{}"), Replace: pick(r, []*bool{nil, new(true), new(false)})}
	case 30:
		return &agui.ActivityDelta{Base: base, MessageID: id, ActivityType: "plan", Patch: []agui.PatchOp{}}
	case 31:
		return &agui.StateDelta{Base: base, Delta: []agui.PatchOp{}}
	case 32:
		return &agui.StateSnapshot{Base: base, Snapshot: []byte("{}")}
	}
	return &agui.ToolCallResult{Base: base, MessageID: id, ToolCallID: other, Content: *text}
}

// begin and end are the events around a run.
func begin(r *rand.Rand, thread, run string) agui.Event {
	e := &agui.RunStarted{ThreadID: thread, RunID: run}
	if r.IntN(4) == 0 {
		e.Input = &agui.RunAgentInput{ThreadID: thread, RunID: run, Messages: []agui.Message{
			{ID: pick(r, ids), Role: agui.RoleAssistant, SubagentRunID: pick(r, owners)},
		}}
	}
	return e
}

func end(r *rand.Rand, thread, run string) agui.Event {
	switch r.IntN(12) {
	case 0, 1:
		return &agui.RunError{Message: "m"}
	case 2:
		return &agui.RunFinished{ThreadID: thread, RunID: run, Outcome: &agui.Outcome{Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{
			{ID: pick(r, ids), Reason: "r"}, {ID: pick(r, ids), Reason: "r", SubagentRunID: pick(r, owners)},
		}}}
	}
	return &agui.RunFinished{ThreadID: thread, RunID: run}
}

// stream is the frames of one to three runs. Most events are in order when they are made, and what is
// open is closed at the end of most; then up to three places change.
func (c *corpus) stream(r *rand.Rand) []string {
	if r.IntN(10) == 0 {
		texts := c.changed(r, slices.Clone(pick(r, c.sequences)))
		if len(texts) > 0 {
			return texts
		}
	}
	var (
		order agui.Order
		texts []string
	)
	add := func(ev agui.Event) {
		if b, err := event.Append(nil, ev); err == nil {
			texts = append(texts, string(b))
		}
	}
	thread := "t"
	for i := range 1 + r.IntN(12)/10 + r.IntN(12)/10 {
		run := string(rune('r' + i))
		if r.IntN(40) == 0 {
			thread = "t2"
		}
		first := begin(r, thread, run)
		_ = order.Check(first)
		add(first)
		for range r.IntN(14) {
			ev := anyEvent(r)
			for range 20 { // until it is in order, or anything else
				if order.Check(ev) == nil {
					break
				}
				if r.IntN(40) == 0 {
					break
				}
				ev = anyEvent(r)
			}
			add(ev)
		}
		if r.IntN(8) > 0 {
			for _, ev := range order.Open() {
				_ = order.Check(ev)
				add(ev)
			}
		}
		last := end(r, thread, pick(r, []string{run, run, run, run, run, run, run, "other"}))
		if r.IntN(20) > 0 {
			_ = order.Check(last)
			add(last)
		}
		if r.IntN(20) == 0 {
			late := &agui.RunError{Message: "late"}
			_ = order.Check(late)
			add(late)
		}
	}
	if texts = c.changed(r, texts); len(texts) == 0 {
		return c.stream(r)
	}
	return texts
}

// changed changes some places of a stream: events leave, come, change places or owners.
func (c *corpus) changed(r *rand.Rand, texts []string) []string {
	for range r.IntN(4) {
		if len(texts) == 0 {
			return texts
		}
		i, j := r.IntN(len(texts)), r.IntN(len(texts))
		switch r.IntN(10) {
		case 0:
			texts = slices.Delete(texts, i, i+1)
		case 1:
			texts = slices.Insert(texts, j, texts[i])
		case 2:
			texts[i], texts[j] = texts[j], texts[i]
		case 3: // one moves
			moved := texts[i]
			texts = slices.Delete(texts, i, i+1)
			texts = slices.Insert(texts, min(j, len(texts)), moved)
		case 4:
			texts = texts[:i]
		case 5, 6:
			n := object(texts[i])
			if n == nil || !plain(texts[i]) {
				continue
			}
			var owner *node
			if o := pick(r, owners); o != nil {
				owner = &node{raw: quote(*o)}
			}
			n.set("subagentRunId", owner)
			texts[i] = n.String()
		case 7:
			n := object(texts[i])
			if n == nil || !plain(texts[i]) {
				continue
			}
			for _, name := range []string{"messageId", "toolCallId", "stepName", "runId", "entityId", "parentMessageId"} {
				if n.get(name) != nil {
					n.set(name, &node{raw: quote(pick(r, ids))})
					break
				}
			}
			texts[i] = n.String()
		case 8:
			if b, err := event.Append(nil, anyEvent(r)); err == nil {
				texts = slices.Insert(texts, j, string(b))
			}
		case 9: // any event at all, mostly a malformed one
			texts = slices.Insert(texts, j, pick(r, c.agreed))
		}
	}
	return texts
}

// plain reports whether an event is kept as it is. In a stream no other one is changed, so that each event
// by itself is one of which both sides think the same.
func plain(text string) bool {
	ev, notes, err := new(event.Decoder).DecodeEvent([]byte(text))
	return err == nil && ev != nil && len(notes) == 0
}
