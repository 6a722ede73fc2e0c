package agloop

import (
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// joiner puts together the characters that a peer cut in two: the first half is escaped at
// the end of a delta, the second at the start of the next delta of the same item. The
// decoder makes U+FFFD of either. The zero value is ready; one joiner follows one stream.
type joiner struct{ held []half }

// half is the first half of a character whose second half may come.
type half struct {
	kind agui.EventType // of the event that appends to the item
	id   string
	high rune
}

const replacement = string(utf8.RuneError)

// join changes the events that frame stands for. Only the frame tells a half from U+FFFD
// that the peer has written.
func (j *joiner) join(events []agui.Event, frame []byte) []agui.Event {
	for i := 0; i < len(events); i++ {
		switch e := events[i].(type) {
		case *agui.TextMessageContent:
			e.Delta = j.delta(e.Type(), e.MessageID, e.Delta, frame)
		case *agui.ToolCallArgs:
			e.Delta = j.delta(e.Type(), e.ToolCallID, e.Delta, frame)
		case *agui.ReasoningMessageContent:
			e.Delta = j.delta(e.Type(), e.MessageID, e.Delta, frame)
		case *agui.TextMessageEnd:
			events, i = j.end(events, i, agui.EventTypeTextMessageContent, e.MessageID)
		case *agui.ToolCallEnd:
			events, i = j.end(events, i, agui.EventTypeToolCallArgs, e.ToolCallID)
		case *agui.ReasoningMessageEnd:
			events, i = j.end(events, i, agui.EventTypeReasoningMessageContent, e.MessageID)
		case *agui.RunError: // it ends what is open
			for len(j.held) > 0 {
				events, i = j.end(events, i, j.held[0].kind, j.held[0].id)
			}
		}
	}
	return events
}

// delta returns what delta adds to its item now.
func (j *joiner) delta(kind agui.EventType, id, delta string, frame []byte) string {
	if delta == "" {
		return "" // the second half may still come
	}
	var low, high rune
	if strings.HasPrefix(delta, replacement) || strings.HasSuffix(delta, replacement) {
		low, high = event.DeltaHalves(frame)
	}
	if first := j.secondOf(kind, id); first != 0 {
		if low != 0 {
			delta = string(utf16.DecodeRune(first, low)) + strings.TrimPrefix(delta, replacement)
		} else {
			delta = replacement + delta
		}
	}
	if high != 0 {
		delta = strings.TrimSuffix(delta, replacement)
		j.held = append(j.held, half{kind, id, high})
	}
	return delta
}

// end puts the half of an item that ends with events[i] before that. It returns the new
// place of events[i].
func (j *joiner) end(events []agui.Event, i int, kind agui.EventType, id string) ([]agui.Event, int) {
	if j.secondOf(kind, id) == 0 {
		return events, i
	}
	var base agui.Base
	if tag := events[i].Common().SubagentRunID; tag != nil {
		base.SubagentRunID = new(*tag)
	}
	var rest agui.Event
	switch kind {
	case agui.EventTypeTextMessageContent:
		rest = &agui.TextMessageContent{Base: base, MessageID: id, Delta: replacement}
	case agui.EventTypeToolCallArgs:
		rest = &agui.ToolCallArgs{Base: base, ToolCallID: id, Delta: replacement}
	default:
		rest = &agui.ReasoningMessageContent{Base: base, MessageID: id, Delta: replacement}
	}
	return slices.Insert(events, i, rest), i + 1
}

// take returns the half that an item has, or 0, and forgets it.
func (j *joiner) secondOf(kind agui.EventType, id string) rune {
	for i, h := range j.held {
		if h.kind == kind && h.id == id {
			j.held = slices.Delete(j.held, i, i+1)
			return h.high
		}
	}
	return 0
}
