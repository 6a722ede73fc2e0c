package eventpb

import (
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"google.golang.org/protobuf/encoding/protowire"
)

// Append appends the protobuf encoding of ev to dst. It refuses what [event.Append] refuses, with
// the same error; then dst is returned as it was, though its spare capacity may have been written
// to. ev is not changed. Texts, tool calls and reasoning are written without an allocation when dst
// has room.
func Append(dst []byte, ev agui.Event) ([]byte, error) { return appendWithin(dst, ev, event.Limits{}) }

func appendWithin(dst []byte, ev agui.Event, limits event.Limits) ([]byte, error) {
	if out, ok := appendFrequent(dst, ev); ok {
		return out, nil
	}
	room := rooms.Get().(*[]byte)
	defer rooms.Put(room)
	text, err := limits.AppendEvent((*room)[:0], ev)
	if cap(text) <= keptText {
		*room = text
	}
	if err != nil {
		return dst, err
	}
	return AppendJSON(dst, text)
}

// rooms are buffers for the JSON of events.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

// part is a field that is a string.
type part struct {
	number protowire.Number
	text   string
	absent bool
}

// plain is a string that is left out when it is empty.
func plain(number protowire.Number, s string) part {
	return part{number, s, s == ""}
}

func perhaps(number protowire.Number, s *string) part {
	if s == nil {
		return part{absent: true}
	}
	return part{number: number, text: *s}
}

// appendFrequent appends an event of those that a stream consists of. ok is false for others, and
// where anything is unusual or wrong. The numbers are those of the table, where subagent_run_id is
// the last field or the first.
func appendFrequent(dst []byte, ev agui.Event) (_ []byte, ok bool) {
	switch e := ev.(type) {
	case *agui.TextMessageContent:
		if e != nil {
			return appendParts(dst, 2, &e.Base, plain(2, e.MessageID), plain(3, e.Delta), perhaps(4, e.SubagentRunID))
		}
	case *agui.ToolCallArgs:
		if e != nil {
			return appendParts(dst, 5, &e.Base, plain(2, e.ToolCallID), plain(3, e.Delta), perhaps(4, e.SubagentRunID))
		}
	case *agui.ReasoningMessageContent:
		if e != nil {
			return appendParts(dst, 27, &e.Base, perhaps(2, e.SubagentRunID), plain(3, e.MessageID), plain(4, e.Delta))
		}
	case *agui.TextMessageStart:
		if e != nil && isTextRole(e.Role) {
			return appendParts(dst, 1, &e.Base, plain(2, e.MessageID), plain(3, string(e.Role)), perhaps(4, e.Name),
				perhaps(5, e.SubagentRunID))
		}
	case *agui.TextMessageEnd:
		if e != nil {
			return appendParts(dst, 3, &e.Base, plain(2, e.MessageID), perhaps(3, e.SubagentRunID))
		}
	case *agui.TextMessageChunk:
		if e != nil && isTextRole(e.Role) {
			return appendParts(dst, 17, &e.Base, perhaps(2, e.MessageID), plain(3, string(e.Role)), perhaps(4, e.Delta),
				perhaps(5, e.Name), perhaps(6, e.SubagentRunID))
		}
	case *agui.ToolCallStart:
		if e != nil {
			return appendParts(dst, 4, &e.Base, plain(2, e.ToolCallID), plain(3, e.ToolCallName), perhaps(4, e.ParentMessageID),
				perhaps(5, e.SubagentRunID))
		}
	case *agui.ToolCallEnd:
		if e != nil {
			return appendParts(dst, 6, &e.Base, plain(2, e.ToolCallID), perhaps(3, e.SubagentRunID))
		}
	case *agui.ToolCallChunk:
		if e != nil {
			return appendParts(dst, 18, &e.Base, perhaps(2, e.ToolCallID), perhaps(3, e.ToolCallName),
				perhaps(4, e.ParentMessageID), perhaps(5, e.Delta), perhaps(6, e.SubagentRunID))
		}
	case *agui.ReasoningMessageStart:
		if e != nil && (e.Role == "" || e.Role == agui.RoleReasoning) {
			return appendParts(dst, 26, &e.Base, perhaps(2, e.SubagentRunID), plain(3, e.MessageID),
				plain(4, string(agui.RoleReasoning)))
		}
	case *agui.ReasoningMessageEnd:
		if e != nil {
			return appendParts(dst, 28, &e.Base, perhaps(2, e.SubagentRunID), plain(3, e.MessageID))
		}
	case *agui.ReasoningMessageChunk:
		if e != nil {
			return appendParts(dst, 29, &e.Base, perhaps(2, e.SubagentRunID), perhaps(3, e.MessageID), perhaps(4, e.Delta))
		}
	}
	return dst, false
}

// isTextRole reports whether a text message may have the role, which may be absent.
func isTextRole(role agui.Role) bool {
	return role == "" || slices.Contains(textRoles[:], role)
}

// appendParts appends the envelope of an event that has strings alone.
func appendParts(dst []byte, arm protowire.Number, base *agui.Base, parts ...part) (_ []byte, ok bool) {
	if len(base.RawEvent) > 0 || len(base.Metadata) > 0 {
		return dst, false
	}
	enum := shapes[arm-1].enum
	head := 0 // the size of the base
	if enum != 0 {
		head = 1 + protowire.SizeVarint(enum)
	}
	if t := base.Timestamp; t != nil {
		if *t > maxInteger || *t < -maxInteger {
			return dst, false
		}
		head += 1 + protowire.SizeVarint(uint64(*t))
	}
	size := 1 + protowire.SizeBytes(head)
	for i := range parts {
		if parts[i].absent {
			continue
		}
		if !utf8.ValidString(parts[i].text) {
			return dst, false
		}
		size += 1 + protowire.SizeBytes(len(parts[i].text))
	}
	dst = protowire.AppendTag(dst, arm, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, baseNumber, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(head))
	if enum != 0 {
		dst = protowire.AppendTag(dst, typeNumber, protowire.VarintType)
		dst = protowire.AppendVarint(dst, enum)
	}
	if t := base.Timestamp; t != nil {
		dst = protowire.AppendTag(dst, timeNumber, protowire.VarintType)
		dst = protowire.AppendVarint(dst, uint64(*t))
	}
	for i := range parts {
		if !parts[i].absent {
			dst = protowire.AppendTag(dst, parts[i].number, protowire.BytesType)
			dst = protowire.AppendString(dst, parts[i].text)
		}
	}
	return dst, true
}
