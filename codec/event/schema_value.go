package event

import (
	"math"
	"strconv"
	"strings"
)

// value checks the value at pos, of a member or an element, by f.
func (w *schemaWalk) value(f *schemaField) schemaVerdict {
	c := w.peek()
	if c == 'n' {
		if !w.literal("null") {
			return schemaFatal
		}
		switch {
		case f.kind == schemaAny:
			return schemaKeep
		case w.strict:
		case f.stateNull:
			return schemaRemove
		case f.retiredNull:
			w.note(NoteTranslated)
			return schemaRemove
		}
		return w.fatal("must not be null")
	}
	switch f.kind {
	case schemaString:
		return w.stringValue(c)
	case schemaSet, schemaFixed, schemaPointer:
		return w.stringOf(f, c)
	case schemaInteger, schemaCount:
		return w.integerValue(f, c)
	case schemaBool:
		if c != 't' && c != 'f' {
			return w.fatal("must be true or false")
		}
	case schemaOpen:
		if c != '{' {
			return w.fatal("must be an object")
		}
	case schemaNested:
		if c != '{' {
			return w.fatal("must be an object")
		}
		return w.object(f.object, false)
	case schemaTagged:
		return w.tagged(f.union, c)
	case schemaList:
		return w.list(f, c)
	case schemaContent:
		if c == '"' {
			return w.stringValue(c)
		}
		if c != '[' {
			return w.fatal("must be a string or an array of parts")
		}
		return w.list(f, c)
	}
	if !w.jsonScan.skipValue() {
		return schemaFatal
	}
	return schemaKeep
}

func (w *schemaWalk) stringValue(c byte) schemaVerdict {
	if c != '"' {
		return w.fatal("must be a string")
	}
	var ok bool
	if w.last, ok = w.text(); !ok {
		return schemaFatal
	}
	return schemaKeep
}

func (w *schemaWalk) stringOf(f *schemaField, c byte) schemaVerdict {
	if w.stringValue(c) == schemaFatal {
		return schemaFatal
	}
	if f.kind == schemaPointer {
		if !schemaIsPointer(w.last, &w.jsonScan) {
			return w.fatal("must be a JSON Pointer")
		}
		return schemaKeep
	}
	for _, want := range f.set {
		if w.is(w.last, want) {
			return schemaKeep
		}
	}
	if f.kind == schemaSet && !w.strict {
		return schemaUnknown
	}
	return w.fatal("must be " + strings.Join(f.set, " or "))
}

// schemaIsPointer reports whether t is a JSON Pointer (RFC 6901 §3).
func schemaIsPointer(t scanText, s *jsonScan) bool {
	text := s.data[t.start:t.end]
	if t.escaped {
		text = []byte(s.string(t))
	}
	if len(text) > 0 && text[0] != '/' {
		return false
	}
	for i, c := range text {
		if c == '~' && (i+1 == len(text) || text[i+1] != '0' && text[i+1] != '1') {
			return false
		}
	}
	return true
}

const schemaMaxInteger = 1<<53 - 1

func (w *schemaWalk) integerValue(f *schemaField, c byte) schemaVerdict {
	if c != '-' && (c < '0' || c > '9') {
		return w.fatal("must be an integer")
	}
	n, ok := w.number()
	if !ok {
		return schemaFatal
	}
	text := string(w.data[n.start:n.end])
	v, err := strconv.ParseInt(text, 10, 64)
	plain := err == nil && text != "-0"
	if !n.whole {
		// 5.0 and 5e3 are integers, too, which Go's decoders refuse in this form.
		var float float64
		if float, err = strconv.ParseFloat(text, 64); float != math.Trunc(float) {
			return w.fatal("must be an integer")
		} else if err == nil && math.Abs(float) <= schemaMaxInteger {
			v = int64(float)
		} else {
			v = math.MaxInt64
		}
	}
	switch {
	case err != nil || v > schemaMaxInteger || v < -schemaMaxInteger:
		return w.fatal("beyond the safe integers")
	case f.kind == schemaCount && v < 0:
		return w.fatal("must not be negative")
	}
	if !plain {
		w.edit(n.start, n.end, strconv.FormatInt(v, 10))
	}
	w.integer = v
	return schemaKeep
}

// tagged checks one object of a union. The tag may be anywhere in the object, so it is looked up
// first.
func (w *schemaWalk) tagged(u *schemaUnion, c byte) schemaVerdict {
	if c != '{' {
		return w.fatal("must be an object")
	}
	tag, ok := w.lookup(u.tag)
	if !ok {
		return schemaFatal
	}
	o := u.variants[string(w.data[tag.start:tag.end])]
	if tag.escaped {
		o = u.variants[w.string(tag)]
	}
	if o != nil {
		return w.object(o, false)
	}
	if w.strict {
		w.push(u.tag, 0)
		return w.fatal("not one of the known kinds")
	}
	if w.doubled(u.tag) {
		return w.fatal(standsTwice)
	}
	if u.binary && w.is(tag, "binary") {
		return w.binaryPart()
	}
	if !w.jsonScan.skipValue() {
		return schemaFatal
	}
	return schemaUnknown
}

// lookup finds the string in the member name of the object at pos, and does not move pos.
func (w *schemaWalk) lookup(name string) (scanText, bool) {
	s := w.jsonScan
	s.depth, s.pos = 0, s.pos+1
	if s.peek() != '}' {
		for {
			key, ok := s.key()
			if ok && s.is(key, name) {
				w.push(name, 0)
				if s.peek() != '"' {
					return scanText{}, w.fail("must be a string")
				}
				tag, ok := s.text()
				if !ok {
					return tag, w.fail(s.reason)
				}
				w.pop()
				return tag, true
			}
			if !ok || !s.skipValue() {
				return scanText{}, w.fail(s.reason)
			}
			if s.peek() != ',' {
				break
			}
			s.pos++
		}
	}
	w.push(name, 0)
	return scanText{}, w.fail("required but missing")
}

// doubled reports whether the object at pos, which holds the member name, holds it twice. It does
// not move pos. Only the kinds that nobody knows need it: of a known one the walk itself finds that.
func (w *schemaWalk) doubled(name string) bool {
	s := w.jsonScan
	s.descend()
	count := 0
	for more, ok := true, true; more && ok; more, ok = s.next('}') {
		key, isKey := s.key()
		if isKey && s.is(key, name) {
			count++
		}
		if !isKey || !s.skipValue() {
			return false // it is not JSON, which others say
		}
	}
	return count > 1
}

func (w *schemaWalk) list(f *schemaField, c byte) schemaVerdict {
	if c != '[' {
		return w.fatal("must be an array")
	}
	if !w.descend() {
		return schemaFatal
	}
	count := 0
	if w.peek() == ']' {
		w.ascend()
	} else {
		list := memberEdits{w: w, before: w.pos}
		for more, ok := true, true; more; list.follow(more) {
			w.peek()
			list.start(w.pos)
			w.push("", count)
			got := w.value(f.item)
			if got == schemaFatal {
				return got
			}
			if got == schemaUnknown {
				list.strip()
				got = schemaRemove
			}
			w.pop()
			if count++; f.patch && count > w.limits.patchOps() {
				return w.fatal("more than " + strconv.Itoa(w.limits.patchOps()) + " elements")
			}
			list.end(got == schemaRemove)
			if more, ok = w.next(']'); !ok {
				return schemaFatal
			}
		}
	}
	if count < f.min {
		return w.fatal("must not be empty")
	}
	return schemaKeep
}
