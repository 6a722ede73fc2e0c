package event

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/agloop/agloop/agui"
)

// patchOf reads a list of patch operations that has been checked.
func patchOf(data []byte) []agui.PatchOp {
	s := jsonScan{data: data, most: noDepth}
	ops := []agui.PatchOp{}
	s.peek()
	s.descend()
	if s.peek() == ']' {
		return ops
	}
	for more := true; more; more, _ = s.next(']') {
		s.peek()
		ops = append(ops, s.patchOp())
	}
	return ops
}

// patchMember is a member of an operation. Its meaning depends on the verb, which may come after
// it.
type patchMember struct {
	name, text scanText // text is the inside of a string
	start, end int
}

func (s *jsonScan) patchOp() agui.PatchOp {
	var room [6]patchMember
	members := room[:0]
	var op agui.PatchOp
	s.descend()
	for more := true; more; more, _ = s.next('}') {
		var m patchMember
		m.name, _ = s.key()
		c := s.peek()
		m.start = s.pos
		if c == '"' {
			m.text, _ = s.text()
		} else {
			s.skipValue()
		}
		m.end = s.pos
		if s.is(m.name, "op") {
			op.Op = patchVerb(s, m.text)
			continue
		}
		members = append(members, m)
	}
	for i := range members {
		m := &members[i]
		switch raw := s.data[m.start:m.end]; {
		case s.is(m.name, "path"):
			op.Path = s.string(m.text)
		case patchNeedsFrom(op.Op) && s.is(m.name, "from"):
			op.From = new(s.string(m.text))
		case patchNeedsValue(op.Op) && s.is(m.name, "value"):
			op.Value = bytes.Clone(raw)
		default:
			if op.Extra == nil {
				op.Extra = make(map[string]json.RawMessage)
			}
			op.Extra[s.string(m.name)] = bytes.Clone(raw)
		}
	}
	return op
}

// patchVerb returns the verb without allocating for it.
func patchVerb(s *jsonScan, t scanText) agui.PatchOpKind {
	for _, verb := range [...]agui.PatchOpKind{
		agui.PatchAdd, agui.PatchReplace, agui.PatchRemove, agui.PatchMove, agui.PatchCopy, agui.PatchTest,
	} {
		if s.is(t, string(verb)) {
			return verb
		}
	}
	return agui.PatchOpKind(s.string(t))
}

func patchNeedsFrom(k agui.PatchOpKind) bool {
	return k == agui.PatchMove || k == agui.PatchCopy
}

func patchNeedsValue(k agui.PatchOpKind) bool {
	return k == agui.PatchAdd || k == agui.PatchReplace || k == agui.PatchTest
}

// patch appends a list of operations under the quoted member name.
func (a *appender) patch(member string, ops []agui.PatchOp) {
	if most := a.limits.patchOps(); len(ops) > most {
		a.fail(member, "more than "+strconv.Itoa(most)+" elements")
		return
	}
	a.name(member)
	a.dst = append(a.dst, '[')
	for i := range ops {
		if i > 0 {
			a.dst = append(a.dst, ',')
		}
		a.depth += 2
		reason := a.patchOp(&ops[i])
		a.depth -= 2
		if reason != "" {
			a.fail(member, reason)
			return
		}
	}
	a.dst = append(a.dst, ']')
}

// patchOp appends one operation. It returns the reason if the operation is not valid.
func (a *appender) patchOp(op *agui.PatchOp) string {
	needsFrom, needsValue := patchNeedsFrom(op.Op), patchNeedsValue(op.Op)
	switch {
	case !needsFrom && !needsValue && op.Op != agui.PatchRemove:
		return "an operation is of no known kind"
	case needsFrom != (op.From != nil):
		return "from must stand on move and copy only"
	case needsValue != (len(op.Value) > 0):
		return "value must stand on add, replace and test only"
	case !patchIsPointer(op.Path) || needsFrom && !patchIsPointer(*op.From):
		return "must be a JSON Pointer"
	}
	a.dst = append(a.dst, `{"op":"`...)
	a.dst = append(a.dst, op.Op...)
	a.dst = append(a.dst, '"')
	a.text(`,"path":"`, op.Path)
	a.optionalText(`,"from":"`, op.From)
	if needsValue {
		a.dst = append(a.dst, `,"value":`...)
		if _, reason := a.json(op.Value, &anyValue); reason != "" {
			return reason
		}
	}
	if len(op.Extra) > 0 {
		if reason := a.patchExtra(op); reason != "" {
			return reason
		}
	}
	a.dst = append(a.dst, '}')
	return ""
}

func (a *appender) patchExtra(op *agui.PatchOp) string {
	for _, key := range slices.Sorted(maps.Keys(op.Extra)) {
		if key == "op" || key == "path" || key == "from" && op.From != nil || key == "value" && len(op.Value) > 0 {
			continue
		}
		a.dst = append(a.dst, ',', '"')
		var ok bool
		if a.dst, ok = appendText(a.dst, key); !ok {
			return "a member name is not valid UTF-8"
		}
		a.dst = append(a.dst, '"', ':')
		if _, reason := a.json(op.Extra[key], &anyValue); reason != "" {
			return reason
		}
	}
	return ""
}

func patchIsPointer(s string) bool {
	if s != "" && s[0] != '/' {
		return false
	}
	for i := range len(s) {
		if s[i] == '~' && (i+1 == len(s) || s[i+1] != '0' && s[i+1] != '1') {
			return false
		}
	}
	return true
}
