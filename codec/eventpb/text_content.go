package eventpb

import (
	"strings"

	"github.com/agloop/agloop/agui"
)

// content writes the content of a message or of a tool's result. The wire has a field for each form,
// and the role says which are used.
func (w *textWriter) content(m *message, data []byte, got *[maxFields]merged) {
	var plain, parts, object *merged
	var partsField, objectField *field
	known, usesParts, usesObject := true, true, false
	for i := range m.fields {
		switch f := &m.fields[i]; {
		case f.kind == kindPlain:
			plain = &got[i]
		case f.kind == kindParts:
			parts, partsField = &got[i], f
		case f.kind == kindObject:
			object, objectField = &got[i], f
		case f.kind == kindText && f.name == "role":
			known, usesParts, usesObject = contentOf(got[i].payload)
		}
	}
	if object == nil {
		object = new(merged)
	}
	hasPlain, hasParts, hasObject := plain.count > 0, parts.count > 0, object.count > 0
	if !known { // it is dropped, but must be clear
		usesParts, usesObject = hasParts, hasObject && !hasParts
	}
	switch {
	case hasPlain && hasParts || hasPlain && hasObject || hasParts && hasObject:
		w.fail("content in several forms")
	case hasParts && !usesParts:
		w.fail("content parts for a role that has none")
	case hasObject && !usesObject:
		w.fail("activity content for a role that has none")
	case hasPlain && usesObject:
		w.fail("content of an activity is a string")
	case hasPlain:
		w.field(&field{name: "content", kind: kindPlain}, plain, nil)
	case hasObject:
		w.field(objectField, object, nil)
	case usesParts:
		w.field(partsField, parts, data)
	}
}

// contentOf says which forms the content of a message has.
func contentOf(role []byte) (known, parts, object bool) {
	switch agui.Role(role) {
	case agui.RoleUser, agui.RoleTool:
		return true, true, false
	case agui.RoleActivity:
		return true, false, true
	case agui.RoleDeveloper, agui.RoleSystem, agui.RoleAssistant, agui.RoleReasoning:
		return true, false, false
	}
	return false, false, false
}

// outcome writes the members of an event that ends with an outcome, whose parts the wire has among
// its fields, and the brace behind them. Without an outcome the parts stand alone, and are stripped.
func (w *textWriter) outcome(shape *shape, data []byte, got *[maxFields]merged) {
	prefix := shape.outer + "."
	var outcome string
	var parts [maxFields]merged
	inner := message{}
	rest := message{}
	var others [maxFields]merged
	for i := range shape.fields {
		f := shape.fields[i]
		name, isPart := strings.CutPrefix(f.name, prefix)
		switch {
		case !isPart:
			others[len(rest.fields)] = got[i]
			rest.fields = append(rest.fields, f)
		case name == "type":
			outcome = string(got[i].payload)
		default:
			f.name = name
			// An interrupt without any has an empty list, which is not legal.
			f.always = name == "interrupts" && outcome == string(agui.OutcomeInterrupt)
			parts[len(inner.fields)] = got[i]
			inner.fields = append(inner.fields, f)
		}
	}
	w.fields(&rest, data, &others)
	if outcome == "" {
		w.fields(&inner, data, &parts)
		w.dst = append(w.dst, '}')
		return
	}
	w.dst = append(w.dst, `,"outcome":`...)
	start := len(w.dst)
	w.dst = append(w.dst, `,"type":`...)
	w.text([]byte(outcome))
	w.fields(&inner, data, &parts)
	w.closeObject(start)
	w.dst = append(w.dst, '}')
}
