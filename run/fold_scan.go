package run

import (
	"encoding/json"
	"unicode/utf8"
)

// foldKind is what a folder makes of an event.
type foldKind uint8

const (
	foldOther     foldKind = iota // of a type that is never folded, and does not change the state
	foldOdd                       // may be anything: it has unexpected members, or is not written as usual
	foldSnapshot                  // STATE_SNAPSHOT
	foldPatch                     // STATE_DELTA
	foldText                      // TEXT_MESSAGE_CONTENT
	foldArgs                      // TOOL_CALL_ARGS
	foldReasoning                 // REASONING_MESSAGE_CONTENT
	foldUnread                    // a fold whose event was not scanned yet
)

func (k foldKind) isState() bool { return k == foldSnapshot || k == foldPatch }
func (k foldKind) isDelta() bool { return k >= foldText }

// foldHeads is how the events that a folder writes begin.
var foldHeads = [...]string{
	foldSnapshot:  `{"type":"STATE_SNAPSHOT"`,
	foldText:      `{"type":"TEXT_MESSAGE_CONTENT"`,
	foldArgs:      `{"type":"TOOL_CALL_ARGS"`,
	foldReasoning: `{"type":"REASONING_MESSAGE_CONTENT"`,
}

// foldEvent is an event by the places of its members, as they stand in it: strings without their
// quotes, and nil where there is none.
type foldEvent struct {
	kind      foldKind
	timestamp []byte
	tag       []byte // subagentRunId
	id        []byte // messageId or toolCallId
	delta     []byte // of an event that adds to an item
}

// size is an upper bound of the bytes that append writes beside the delta.
func (e *foldEvent) size() int {
	const names = `,"timestamp":,"subagentRunId":"","messageId":"","delta":""}  `
	return len(foldHeads[e.kind]) + len(names) + len("-9007199254740991") + len(e.tag) + len(e.id)
}

// append appends an event that adds to an item, as package event writes it.
func (e *foldEvent) append(dst []byte) []byte {
	dst = e.begin(dst)
	dst = append(dst, e.delta...)
	return append(dst, `"}`...)
}

// begin is append up to the delta.
func (e *foldEvent) begin(dst []byte) []byte {
	dst = e.common(dst)
	if e.kind == foldArgs {
		dst = append(dst, `,"toolCallId":"`...)
	} else {
		dst = append(dst, `,"messageId":"`...)
	}
	dst = append(dst, e.id...)
	return append(dst, `","delta":"`...)
}

func (e *foldEvent) common(dst []byte) []byte {
	dst = append(dst, foldHeads[e.kind]...)
	if e.timestamp != nil {
		dst = append(dst, `,"timestamp":`...)
		dst = append(dst, e.timestamp...)
	}
	if e.tag != nil {
		dst = append(dst, `,"subagentRunId":"`...)
		dst = append(dst, e.tag...)
		dst = append(dst, '"')
	}
	return dst
}

// foldMembers are the members of the events that are folded, as they stand, quotes included.
type foldMembers struct{ kind, timestamp, tag, message, call, delta, snapshot []byte }

func (m *foldMembers) of(name string) *[]byte {
	switch name {
	case `"type"`:
		return &m.kind
	case `"timestamp"`:
		return &m.timestamp
	case `"subagentRunId"`:
		return &m.tag
	case `"messageId"`:
		return &m.message
	case `"toolCallId"`:
		return &m.call
	case `"delta"`:
		return &m.delta
	case `"snapshot"`:
		return &m.snapshot
	}
	return nil
}

// scanFold finds the members of an event, in any order, without decoding it. It knows the form
// without white space. What has another form, a member twice, or one that is not in the table of its
// type, such as metadata, is odd.
func scanFold(event []byte) foldEvent {
	var m foldMembers
	i := 0
	for i < len(event) && (i == 0 && event[0] == '{' || i > 0 && event[i] == ',') {
		end := scanString(event, i+1)
		if end < 0 || end >= len(event) || event[end] != ':' {
			return foldEvent{kind: foldOdd}
		}
		member := m.of(string(event[i+1 : end]))
		if member == nil || *member != nil {
			return foldEvent{kind: foldOdd}
		}
		if i = scanValue(event, end+1); i < 0 {
			return foldEvent{kind: foldOdd}
		}
		*member = event[end+1 : i]
		if member == &m.kind && foldKindOf(m.kind) == foldOther {
			return foldEvent{kind: foldOther}
		}
	}
	if i != len(event)-1 || event[i] != '}' {
		return foldEvent{kind: foldOdd}
	}
	return m.event(event)
}

// event judges the members of an event.
func (m *foldMembers) event(event []byte) foldEvent {
	e := foldEvent{kind: foldKindOf(m.kind), timestamp: m.timestamp, tag: unquoted(m.tag)}
	item := m.message
	if e.kind == foldArgs {
		item = m.call
	}
	e.id, e.delta = unquoted(item), unquoted(m.delta)
	var known bool
	switch e.kind {
	case foldText, foldReasoning:
		known = m.call == nil && m.snapshot == nil && e.id != nil && e.delta != nil && utf8.Valid(event)
	case foldArgs:
		known = m.message == nil && m.snapshot == nil && e.id != nil && e.delta != nil && utf8.Valid(event)
	case foldSnapshot:
		known = m.message == nil && m.call == nil && m.delta == nil && m.snapshot != nil && json.Valid(event)
	case foldPatch:
		known = m.message == nil && m.call == nil && m.snapshot == nil && m.delta != nil && json.Valid(event)
	}
	if !known || m.tag != nil && e.tag == nil || m.timestamp != nil && !isInteger(m.timestamp) {
		return foldEvent{kind: foldOdd}
	}
	return e
}

func foldKindOf(name []byte) foldKind {
	switch string(name) {
	case `"TEXT_MESSAGE_CONTENT"`:
		return foldText
	case `"TOOL_CALL_ARGS"`:
		return foldArgs
	case `"REASONING_MESSAGE_CONTENT"`:
		return foldReasoning
	case `"STATE_SNAPSHOT"`:
		return foldSnapshot
	case `"STATE_DELTA"`:
		return foldPatch
	}
	for _, c := range name {
		if c == '\\' { // another way to write one of these
			return foldOdd
		}
	}
	if unquoted(name) == nil {
		return foldOdd
	}
	return foldOther
}

// unquoted is the inside of a string, nil for what is none.
func unquoted(s []byte) []byte {
	if len(s) < 2 || s[0] != '"' {
		return nil
	}
	return s[1 : len(s)-1]
}

// scanString returns the end of the string that begins at i, or -1.
func scanString(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < 0x20:
			return -1
		case c == '\\':
			n := scanEscape(b[i:])
			if n == 0 {
				return -1
			}
			i += n - 1
		}
	}
	return -1
}

// scanEscape returns the length of the escape that b begins with, 0 for none.
func scanEscape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if (c < '0' || '9' < c) && (c|0x20 < 'a' || 'f' < c|0x20) {
				return 0
			}
		}
		return 6
	}
	return 0
}

// scanValue returns the end of the value that begins at i, or -1. It only looks for that: containers
// need not be right inside.
func scanValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = scanString(b, i); i < 0 {
				return -1
			}
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // of the object around a number or a literal
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return -1
}

// isInteger reports whether b is a number without fraction and exponent.
func isInteger(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	for _, c := range b {
		if c < '0' || '9' < c {
			return false
		}
	}
	return len(b) == 1 || 1 < len(b) && len(b) <= 16 && b[0] != '0'
}
