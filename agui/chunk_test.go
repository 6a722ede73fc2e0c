package agui_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/agloop/agloop/agui"
)

func TestExpander(t *testing.T) {
	meta, raw := json.RawMessage(`{"k":1}`), json.RawMessage(`"raw"`)
	tests := []struct {
		name string
		in   []agui.Event
		want []agui.Event // of the last
		rule string       // of the last
	}{
		{
			name: "first chunk: START and content, metadata on both, raw event and no timestamp on the content",
			in: []agui.Event{&agui.TextMessageChunk{
				Base:      agui.Base{Timestamp: new(int64(1)), Metadata: meta, RawEvent: raw},
				MessageID: new("m"), Delta: new("x"), Name: new("n"),
			}},
			want: []agui.Event{
				&agui.TextMessageStart{Base: agui.Base{Metadata: meta}, MessageID: "m", Role: agui.RoleAssistant, Name: new("n")},
				&agui.TextMessageContent{Base: agui.Base{Metadata: meta, RawEvent: raw}, MessageID: "m", Delta: "x"},
			},
		},
		{
			name: "first chunk without delta: START only",
			in:   []agui.Event{&agui.ReasoningMessageChunk{Base: agui.Base{Metadata: meta}, MessageID: new("m")}},
			want: []agui.Event{&agui.ReasoningMessageStart{Base: agui.Base{Metadata: meta}, MessageID: "m", Role: agui.RoleReasoning}},
		},
		{
			name: "later chunk with nothing",
			in:   []agui.Event{&agui.TextMessageChunk{MessageID: new("m")}, &agui.TextMessageChunk{Name: nil}},
		},
		{
			name: "later chunk with metadata only: empty content",
			in:   []agui.Event{&agui.TextMessageChunk{MessageID: new("m")}, &agui.TextMessageChunk{Base: agui.Base{Metadata: meta}}},
			want: []agui.Event{&agui.TextMessageContent{Base: agui.Base{Metadata: meta}, MessageID: "m"}},
		},
		{
			name: "later chunk repeats the role established by omission",
			in:   []agui.Event{&agui.TextMessageChunk{MessageID: new("m")}, &agui.TextMessageChunk{Role: agui.RoleAssistant, Delta: new("")}},
			want: []agui.Event{&agui.TextMessageContent{MessageID: "m"}},
		},
		{
			name: "later chunk with another role",
			in:   []agui.Event{&agui.TextMessageChunk{MessageID: new("m")}, &agui.TextMessageChunk{Role: agui.RoleUser}},
			rule: agui.RuleChunkConflict,
		},
		{
			name: "later chunk with a name the first had not",
			in:   []agui.Event{&agui.TextMessageChunk{MessageID: new("m")}, &agui.TextMessageChunk{Name: new("n")}},
			rule: agui.RuleChunkConflict,
		},
		{
			name: "later chunk with another parent",
			in: []agui.Event{
				&agui.ToolCallChunk{ToolCallID: new("c"), ToolCallName: new("f"), ParentMessageID: new("m")},
				&agui.ToolCallChunk{ParentMessageID: new("n")},
			},
			rule: agui.RuleChunkConflict,
		},
		{
			name: "another id closes the item before",
			in:   []agui.Event{&agui.TextMessageChunk{MessageID: new("m")}, &agui.TextMessageChunk{MessageID: new(""), Role: agui.RoleUser}},
			want: []agui.Event{&agui.TextMessageEnd{MessageID: "m"}, &agui.TextMessageStart{MessageID: "", Role: agui.RoleUser}},
		},
		{
			name: "another kind closes the item before",
			in:   []agui.Event{&agui.TextMessageChunk{MessageID: new("m")}, &agui.ToolCallChunk{ToolCallID: new("c"), ToolCallName: new("f"), Delta: new("{}")}},
			want: []agui.Event{
				&agui.TextMessageEnd{MessageID: "m"},
				&agui.ToolCallStart{ToolCallID: "c", ToolCallName: "f"},
				&agui.ToolCallArgs{ToolCallID: "c", Delta: "{}"},
			},
		},
		{name: "first chunk without id", in: []agui.Event{&agui.ReasoningMessageChunk{Delta: new("x")}}, rule: agui.RuleChunkID},
		{name: "first tool chunk without name", in: []agui.Event{&agui.ToolCallChunk{ToolCallID: new("c")}}, rule: agui.RuleChunkName},
		{
			name: "owners have a lane each",
			in: []agui.Event{
				&agui.TextMessageChunk{Base: tagged("a"), MessageID: new("m")},
				&agui.TextMessageChunk{Base: tagged("b"), MessageID: new("n")},
				&agui.TextMessageChunk{Base: tagged("a"), Delta: new("x")},
			},
			want: []agui.Event{&agui.TextMessageContent{Base: tagged("a"), MessageID: "m", Delta: "x"}},
		},
		{
			name: "the only item of the kind",
			in: []agui.Event{
				&agui.TextMessageChunk{Base: tagged("a"), MessageID: new("m")},
				&agui.ReasoningMessageChunk{MessageID: new("r")},
				&agui.TextMessageChunk{Delta: new("x")},
			},
			want: []agui.Event{&agui.TextMessageContent{Base: tagged("a"), MessageID: "m", Delta: "x"}},
		},
		{
			name: "one of two items of the kind",
			in: []agui.Event{
				&agui.TextMessageChunk{Base: tagged("a"), MessageID: new("m")},
				&agui.TextMessageChunk{Base: tagged("b"), MessageID: new("n")},
				&agui.TextMessageChunk{Delta: new("x")},
			},
			rule: agui.RuleChunkAmbiguous,
		},
		{
			name: "a known id under another tag",
			in: []agui.Event{
				&agui.TextMessageChunk{Base: tagged("a"), MessageID: new("m")},
				&agui.TextMessageChunk{Base: tagged("b"), MessageID: new("m")},
			},
			rule: agui.RuleOwner,
		},
		{
			name: "an event of another owner closes nothing",
			in:   []agui.Event{&agui.TextMessageChunk{Base: tagged("a"), MessageID: new("m")}, &agui.StepStarted{StepName: "s"}},
			want: []agui.Event{&agui.StepStarted{StepName: "s"}},
		},
		{
			name: "RAW closes nothing",
			in:   []agui.Event{&agui.TextMessageChunk{MessageID: new("m")}, &agui.Raw{Event: raw}},
			want: []agui.Event{&agui.Raw{Event: raw}},
		},
		{
			name: "CUSTOM closes its owner's item",
			in:   []agui.Event{&agui.TextMessageChunk{MessageID: new("m")}, &agui.Custom{Name: "c", Value: raw}},
			want: []agui.Event{&agui.TextMessageEnd{MessageID: "m"}, &agui.Custom{Name: "c", Value: raw}},
		},
		{
			name: "the end of a subagent closes its item",
			in:   []agui.Event{&agui.TextMessageChunk{Base: tagged("a"), MessageID: new("m")}, &agui.SubagentError{SubagentRunID: "a"}},
			want: []agui.Event{&agui.TextMessageEnd{Base: tagged("a"), MessageID: "m"}, &agui.SubagentError{SubagentRunID: "a"}},
		},
		{
			name: "the end of the run closes all, in the order they opened",
			in: []agui.Event{
				&agui.ReasoningMessageChunk{Base: tagged("a"), MessageID: new("r")},
				&agui.ToolCallChunk{ToolCallID: new("c"), ToolCallName: new("f")},
				finish(),
			},
			want: []agui.Event{
				&agui.ReasoningMessageEnd{Base: tagged("a"), MessageID: "r"},
				&agui.ToolCallEnd{ToolCallID: "c"},
				finish(),
			},
		},
		{
			name: "an explicit event on a chunk item",
			in:   []agui.Event{&agui.TextMessageChunk{MessageID: new("m")}, &agui.TextMessageContent{MessageID: "m"}},
			rule: agui.RuleChunkMixed,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var x agui.Expander
			last := len(tt.in) - 1
			for _, ev := range tt.in[:last] {
				if _, err := x.Expand(ev, nil); err != nil {
					t.Fatal(err)
				}
			}
			got, err := x.Expand(tt.in[last], nil)
			if tt.rule != "" {
				if order, ok := errors.AsType[*agui.OrderError](err); !ok || order.Rule != tt.rule || got != nil {
					t.Fatalf("got %v, error %v, want rule %q", got, err, tt.rule)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("error %v\n got %v\nwant %v", err, got, tt.want)
			}
		})
	}
}

// chunkEvent makes an event of a small world from two bytes, so that random bytes soon make items
// meet.
func chunkEvent(kind, who byte) agui.Event {
	ids := [...]string{"x", "y", ""}
	id := ids[int(who)%len(ids)]
	var base agui.Base
	if tag := who >> 4 & 3; tag != 0 {
		base.SubagentRunID = new(ids[tag-1])
	}
	maybe := func(bit byte) *string {
		if who>>bit&1 != 0 {
			return nil
		}
		return &id
	}
	switch kind % 25 {
	case 0, 1, 2:
		return &agui.TextMessageChunk{Base: base, MessageID: maybe(6), Delta: maybe(7)}
	case 3, 4:
		return &agui.ToolCallChunk{Base: base, ToolCallID: maybe(6), ToolCallName: maybe(7), ParentMessageID: maybe(2)}
	case 5, 6:
		return &agui.ReasoningMessageChunk{Base: base, MessageID: maybe(6), Delta: maybe(7)}
	case 7:
		return &agui.TextMessageStart{Base: base, MessageID: id}
	case 8:
		return &agui.TextMessageContent{Base: base, MessageID: id}
	case 9:
		return &agui.TextMessageEnd{Base: base, MessageID: id}
	case 10:
		return &agui.ToolCallStart{Base: base, ToolCallID: id, ParentMessageID: maybe(6)}
	case 11:
		return &agui.ToolCallArgs{Base: base, ToolCallID: id}
	case 12:
		return &agui.ToolCallEnd{Base: base, ToolCallID: id}
	case 13:
		return &agui.ReasoningMessageStart{Base: base, MessageID: id}
	case 14:
		return &agui.ReasoningMessageEnd{Base: base, MessageID: id}
	case 15:
		return &agui.ReasoningStart{Base: base, MessageID: id}
	case 16:
		return &agui.ReasoningEnd{Base: base, MessageID: id}
	case 17:
		return &agui.StepStarted{Base: base, StepName: id}
	case 18:
		return &agui.StepFinished{Base: base, StepName: id}
	case 19:
		return &agui.SubagentStarted{SubagentRunID: id}
	case 20:
		return &agui.SubagentFinished{SubagentRunID: id}
	case 21:
		return &agui.MessagesSnapshot{Messages: []agui.Message{{ID: id, Role: agui.RoleAssistant, SubagentRunID: base.SubagentRunID}}}
	case 22:
		return &agui.Raw{Base: base}
	case 24:
		return &agui.ToolCallResult{Base: base, MessageID: id, ToolCallID: id}
	}
	return finish()
}

// A sender checks chunks as they are, a reader expands them first: both must come to the same
// verdict on every event. Wrong events are skipped, so the state after an error is compared as
// well. And whatever is open can be closed.
func FuzzOrder(f *testing.F) {
	f.Add([]byte{0, 0, 0, 64, 3, 1, 8, 0, 23, 0})
	f.Add([]byte{0, 16, 0, 33, 1, 192, 20, 0})
	f.Add([]byte{7, 16, 10, 0, 4, 1, 21, 32, 12, 0, 9, 0, 23, 0})
	f.Add([]byte{19, 0, 17, 16, 15, 1, 13, 1, 6, 1, 5, 65, 22, 0, 23, 0})
	f.Add([]byte{0, 16, 24, 0, 23, 0}) // a result in another lane, with the id of a message of chunks
	f.Add([]byte{0, 0, 24, 0, 0, 16, 24, 16})
	f.Fuzz(func(t *testing.T, data []byte) {
		var (
			direct, expanded agui.Order
			expander         agui.Expander
			scratch          []agui.Event
		)
		for _, o := range []*agui.Order{&direct, &expanded} {
			if err := o.Check(start()); err != nil {
				t.Fatal(err)
			}
		}
		for i := 0; i+1 < len(data) && i < 200; i += 2 {
			ev := chunkEvent(data[i], data[i+1])
			err := direct.Check(ev)
			events, expandErr := expander.Expand(ev, scratch[:0])
			if expandErr == nil && err == nil {
				for _, ev := range events {
					if err := expanded.Check(ev); err != nil {
						t.Fatalf("event %d, %+v: accepted as it is, expanded: %v", i/2, ev, err)
					}
				}
				continue
			}
			if err == nil {
				t.Fatalf("event %d, %+v: accepted as it is, not expanded: %v", i/2, ev, expandErr)
			}
			if expandErr != nil {
				continue
			}
			// The order of the expansion must refuse it; the expander has moved on, so stop here. A
			// result that gives another owner to a message of chunks is refused at the END of that,
			// however the run ends.
			if _, ok := ev.(*agui.ToolCallResult); ok {
				events, _ = expander.Expand(&agui.RunError{}, events)
			}
			for _, ev := range events {
				if expandErr = expanded.Check(ev); expandErr != nil {
					break
				}
			}
			if expandErr == nil {
				t.Fatalf("event %d, %+v: %v as it is, accepted expanded", i/2, ev, err)
			}
			break
		}
		if !direct.Active() {
			return
		}
		for _, ev := range direct.Open() {
			if err := direct.Check(ev); err != nil {
				t.Fatalf("closing what is open: %v", err)
			}
		}
		if err := direct.Check(finish()); err != nil {
			t.Fatal(err)
		}
	})
}
