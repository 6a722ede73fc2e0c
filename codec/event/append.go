package event

import (
	"iter"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/agloop/agloop/agui"
)

// appender appends an event member by member and checks each member. It keeps the first failure in
// reason and field; the bytes must then not be used.
//
// The parameter member of its methods is a member's name with all that surrounds it before a
// string, `,"name":"`. The last quote is left out before other values. Every member begins with its
// comma, and the brace of an object replaces the comma of its first member.
type appender struct {
	dst    []byte
	depth  int // how many containers are open
	limits Limits
	field  string
	reason string
	failed int // the depth that field is relative to
}

// The schemas of values that are JSON already.
var (
	anyValue  = plainField("", schemaAny)
	dataValue = plainField("", schemaData)
	openValue = plainField("", schemaOpen)
)

func (a *appender) fail(member, reason string) { a.failAt(member, "", reason) }

// failAt is fail for a place within the member, such as "[2]".
func (a *appender) failAt(member, place, reason string) {
	if a.reason == "" {
		a.field, a.reason, a.failed = member[2:len(member)-3]+place, reason, a.depth
	}
}

// open begins the event and appends what is common to all.
func (a *appender) open(head string, b *agui.Base) {
	a.dst = append(a.dst, head...)
	if b.Timestamp != nil || b.SubagentRunID != nil || len(b.RawEvent) > 0 || len(b.Metadata) > 0 {
		a.base(b)
	}
}

// openUntagged is open for an event whose Base must not name a subagent, for the given reason.
func (a *appender) openUntagged(head string, b *agui.Base, reason string) {
	if b.SubagentRunID != nil {
		a.fail(`,"subagentRunId":"`, reason)
	}
	a.open(head, b)
}

func (a *appender) base(b *agui.Base) {
	a.integer(`,"timestamp":"`, b.Timestamp, schemaInteger)
	a.optionalText(`,"subagentRunId":"`, b.SubagentRunID)
	a.optionalRaw(`,"rawEvent":"`, b.RawEvent, &dataValue)
	a.optionalRaw(`,"metadata":"`, b.Metadata, &openValue)
}

func (a *appender) text(member, s string) {
	a.dst = append(a.dst, member...)
	var ok bool
	if a.dst, ok = appendText(a.dst, s); !ok {
		a.fail(member, "a string is not valid UTF-8")
	}
	a.dst = append(a.dst, '"')
}

func (a *appender) optionalText(member string, s *string) {
	if s != nil {
		a.text(member, *s)
	}
}

// texts appends a list of strings, if there is one.
func (a *appender) texts(member string, list []string) {
	if list == nil {
		return
	}
	a.name(member)
	a.dst = append(a.dst, '[')
	for i, s := range list {
		if i > 0 {
			a.dst = append(a.dst, ',')
		}
		a.dst = append(a.dst, '"')
		var ok bool
		if a.dst, ok = appendText(a.dst, s); !ok {
			a.failAt(member, "["+strconv.Itoa(i)+"]", "a string is not valid UTF-8")
		}
		a.dst = append(a.dst, '"')
	}
	a.dst = append(a.dst, ']')
}

// name appends a member whose value is no string, up to the value.
func (a *appender) name(member string) {
	a.dst = append(a.dst, member[:len(member)-1]...)
}

// integer appends a number, if there is one.
func (a *appender) integer(member string, n *int64, kind schemaKind) {
	if n == nil {
		return
	}
	switch {
	case *n > schemaMaxInteger || *n < -schemaMaxInteger:
		a.fail(member, "beyond the safe integers")
	case kind == schemaCount && *n < 0:
		a.fail(member, "must not be negative")
	}
	a.name(member)
	a.dst = strconv.AppendInt(a.dst, *n, 10)
}

// oneOf appends a string that must be in set.
func (a *appender) oneOf(member, s string, set ...string) {
	if !slices.Contains(set, s) {
		a.fail(member, "must be "+strings.Join(set, " or "))
	}
	a.dst = append(a.dst, member...)
	a.dst = append(a.dst, s...)
	a.dst = append(a.dst, '"')
}

// textRole appends the role of a text message, if it names one.
func (a *appender) textRole(r agui.Role) {
	const member = `,"role":"`
	switch r {
	case "":
		return
	case agui.RoleDeveloper, agui.RoleSystem, agui.RoleAssistant, agui.RoleUser:
		a.dst = append(a.dst, member...)
		a.dst = append(a.dst, r...)
		a.dst = append(a.dst, '"')
	default:
		a.fail(member, "must be developer or system or assistant or user")
	}
}

// raw appends a value that is JSON already.
func (a *appender) raw(member string, raw []byte, f *schemaField) {
	a.name(member)
	if place, reason := a.json(raw, f); reason != "" {
		a.failAt(member, place, reason)
	}
}

// optionalRaw is raw for a value that may be absent.
func (a *appender) optionalRaw(member string, raw []byte, f *schemaField) {
	if len(raw) > 0 {
		a.raw(member, raw, f)
	}
}

// json appends a value. If the value does not fit f it also returns the reason and the place.
func (a *appender) json(raw []byte, f *schemaField) (place, reason string) {
	if len(raw) == 0 {
		return "", "required but missing"
	}
	w := walks.Get().(*schemaWalk)
	w.limits = a.limits
	w.reset(raw, true)
	w.depth = a.depth
	if w.value(f) == schemaFatal || !w.finish() {
		place, reason = w.place(), w.reason
	}
	w.release()
	walks.Put(w)
	a.dst = append(a.dst, raw...)
	return place, reason
}

// beginObject begins an object. Its members are appended next, then endObject is called.
func (a *appender) beginObject(member string) (start int) {
	a.name(member)
	a.depth++
	return len(a.dst)
}

// endObject ends the object that begins at start.
func (a *appender) endObject(member string, start int) {
	a.closeObject(start)
	if a.depth--; a.failed > a.depth {
		a.field, a.failed = member[2:len(member)-3]+"."+a.field, a.depth
	}
}

// closeObject puts braces around the members that begin at start.
func (a *appender) closeObject(start int) {
	if len(a.dst) == start {
		a.dst = append(a.dst, '{', '}')
		return
	}
	a.dst[start] = '{'
	a.dst = append(a.dst, '}')
}

// list appends a list of n objects. The body of the loop appends the members of each.
func (a *appender) list(member string, n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		a.name(member)
		a.dst = append(a.dst, '[')
		a.depth += 2
		for i := range n {
			if i > 0 {
				a.dst = append(a.dst, ',')
			}
			start := len(a.dst)
			if !yield(i) {
				return
			}
			a.closeObject(start)
			if a.failed >= a.depth {
				a.field, a.failed = member[2:len(member)-3]+"["+strconv.Itoa(i)+"]."+a.field, a.depth-2
			}
		}
		a.depth -= 2
		a.dst = append(a.dst, ']')
	}
}

// union says which members each of several kinds of objects has, by the schema. In a set of
// members, bit i is members[i].
type union struct {
	tag     string
	members []string
	kinds   map[string]unionKind
}

type unionKind struct {
	has, needs uint
	content    *schemaField
}

func unionOf(u *schemaUnion, tag string, members ...string) *union {
	union := &union{tag, members, make(map[string]unionKind, len(u.variants))}
	for name, o := range u.variants {
		var kind unionKind
		for i := range o.fields {
			f := &o.fields[i]
			for bit, member := range members {
				if member != `,"`+f.name+`":"` {
					continue
				}
				kind.has |= 1 << bit
				if f.required {
					kind.needs |= 1 << bit
				}
			}
			if f.name == "content" {
				kind.content = f
			}
		}
		union.kinds[name] = kind
	}
	return union
}

// checkKind checks that an object has the members of the kind that its tag names. present says for
// each of u.members whether the object has it.
func (a *appender) checkKind(u *union, tag string, present ...bool) unionKind {
	kind, known := u.kinds[tag]
	if !known {
		a.fail(u.tag, "not one of the known kinds")
		return unionKind{content: &anyValue}
	}
	var set uint
	for i, yes := range present {
		if yes {
			set |= 1 << i
		}
	}
	if extra := set &^ kind.has; extra != 0 {
		a.fail(u.members[bits.TrailingZeros(extra)], "no such member here")
	}
	if missing := kind.needs &^ set; missing != 0 {
		a.fail(u.members[bits.TrailingZeros(missing)], "required but missing")
	}
	return kind
}
