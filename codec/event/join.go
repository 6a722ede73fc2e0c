package event

import (
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/agloop/agloop/agui"
)

// Joiner puts together the characters that a peer cut in two: the first half is escaped at the end
// of a delta, the second at the start of the next delta of the same item. The decoder makes U+FFFD
// of either. The zero value is ready; one Joiner is for one stream. Only one goroutine may use it at
// a time.
type Joiner struct{ halves []joinHalf }

// joinHalf is the first half of a character whose second half may come.
type joinHalf struct {
	kind agui.EventType // of the event that appends to the item
	id   string
	char rune
}

const joinReplacement = string(utf8.RuneError)

// Join changes events, which were decoded from frame and whose chunks are expanded; it inserts an
// event before the end of an item whose last half stays alone. Only the frame shows whether a U+FFFD
// is a half or was written by the peer. frame is borrowed.
func (j *Joiner) Join(events []agui.Event, frame []byte) []agui.Event {
	for i := 0; i < len(events); i++ {
		switch e := events[i].(type) {
		case *agui.TextMessageContent:
			e.Delta = j.delta(e.Type(), e.MessageID, e.Delta, frame)
		case *agui.ToolCallArgs:
			e.Delta = j.delta(e.Type(), e.ToolCallID, e.Delta, frame)
		case *agui.ReasoningMessageContent:
			e.Delta = j.delta(e.Type(), e.MessageID, e.Delta, frame)
		case *agui.TextMessageEnd:
			events, i = j.flush(events, i, agui.EventTypeTextMessageContent, e.MessageID)
		case *agui.ToolCallEnd:
			events, i = j.flush(events, i, agui.EventTypeToolCallArgs, e.ToolCallID)
		case *agui.ReasoningMessageEnd:
			events, i = j.flush(events, i, agui.EventTypeReasoningMessageContent, e.MessageID)
		case *agui.RunError: // it ends every item
			for len(j.halves) > 0 {
				events, i = j.flush(events, i, j.halves[0].kind, j.halves[0].id)
			}
		}
	}
	return events
}

// delta returns what to add to the item now for delta.
func (j *Joiner) delta(kind agui.EventType, id, delta string, frame []byte) string {
	if delta == "" {
		return "" // the second half may still come
	}
	var low, high rune
	if strings.HasPrefix(delta, joinReplacement) || strings.HasSuffix(delta, joinReplacement) {
		low, high = DeltaHalves(frame)
	}
	if first := j.takeHalf(kind, id); first != 0 {
		if low != 0 {
			delta = string(utf16.DecodeRune(first, low)) + strings.TrimPrefix(delta, joinReplacement)
		} else {
			delta = joinReplacement + delta
		}
	}
	if high != 0 {
		delta = strings.TrimSuffix(delta, joinReplacement)
		j.halves = append(j.halves, joinHalf{kind, id, high})
	}
	return delta
}

// flush inserts the half of an item that ends with events[i], if it has one, before that. It
// returns the new index of events[i].
func (j *Joiner) flush(events []agui.Event, i int, kind agui.EventType, id string) (
	[]agui.Event, int,
) {
	if j.takeHalf(kind, id) == 0 {
		return events, i
	}
	var base agui.Base
	if tag := events[i].Common().SubagentRunID; tag != nil {
		base.SubagentRunID = new(*tag)
	}
	var last agui.Event
	switch kind {
	case agui.EventTypeTextMessageContent:
		last = &agui.TextMessageContent{Base: base, MessageID: id, Delta: joinReplacement}
	case agui.EventTypeToolCallArgs:
		last = &agui.ToolCallArgs{Base: base, ToolCallID: id, Delta: joinReplacement}
	default:
		last = &agui.ReasoningMessageContent{Base: base, MessageID: id, Delta: joinReplacement}
	}
	return slices.Insert(events, i, last), i + 1
}

// takeHalf removes and returns the half that an item has, or 0.
func (j *Joiner) takeHalf(kind agui.EventType, id string) rune {
	for i, h := range j.halves {
		if h.kind == kind && h.id == id {
			j.halves = slices.Delete(j.halves, i, i+1)
			return h.char
		}
	}
	return 0
}
