package agui

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxDiffOps is how many operations a patch has at most; readers take no more.
	maxDiffOps = 1024
	// maxDiffDepth is how deep two documents are compared; what lies deeper is replaced as a whole.
	maxDiffDepth = 64
)

// Diff returns a JSON Patch (RFC 6902) that makes the JSON value to of the JSON value from: none when
// they are equal, at most 1024 operations, which are add, remove and replace. Values in it are those
// of to as they are written, so large numbers and the order of members survive; a member that is added
// to an object stands last there. Where replacing a part as a whole takes fewer bytes, or changing it
// needs a path that readers of AG-UI do not follow alike, such as one through "" or "__proto__", the
// part is replaced; the whole document by a replace with the path "".
//
// Numbers are compared as they are written, strings by what they say. An object that lists a member
// twice is replaced if it differs. The values of the operations point into the result of compacting
// to. The error says which of the two is not JSON.
func Diff(from, to json.RawMessage) ([]PatchOp, error) {
	a, err := compactJSON(from)
	if err != nil {
		return nil, err
	}
	b, err := compactJSON(to)
	if err != nil {
		return nil, err
	}
	ops, _ := diff(a, b)
	return ops, nil
}

func compactJSON(raw json.RawMessage) ([]byte, error) {
	var buf bytes.Buffer
	if err := json.Compact(&buf, raw); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// diff is Diff for documents that are valid and compact. size is how many bytes the list of operations
// takes on the wire.
func diff(from, to []byte) (ops []PatchOp, size int) {
	var d differ
	d.value(from, to)
	return d.ops, len("[]") + d.size + max(0, len(d.ops)-1)
}

// differ collects the operations for the value at path.
type differ struct {
	ops   []PatchOp
	size  int // bytes of the operations, without what separates them
	path  []byte
	depth int
}

// value makes b of a.
func (d *differ) value(a, b []byte) {
	if sameJSON(a, b) {
		return
	}
	before, size := len(d.ops), d.size
	changed := false
	if d.depth < maxDiffDepth {
		d.depth++
		switch {
		case a[0] == '{' && b[0] == '{':
			changed = d.object(a, b)
		case a[0] == '[' && b[0] == '[':
			changed = d.array(a, b)
		}
		d.depth--
	}
	if changed && len(d.ops) <= maxDiffOps && d.size-size+len(d.ops)-before <= opSize(PatchReplace, d.path, b)+1 {
		return
	}
	clear(d.ops[before:])
	d.ops, d.size = d.ops[:before], size
	d.add(PatchReplace, b)
}

// object changes the members of an object. It returns false when that cannot be done member by
// member; the operations are then taken back.
func (d *differ) object(a, b []byte) bool {
	old, ok := splitObject(a)
	if !ok {
		return false
	}
	members, ok := splitObject(b)
	if !ok {
		return false
	}
	at := make(map[string]int, len(members))
	for i := range members {
		at[members[i].key] = i
	}
	was := make(map[string][]byte, len(old))
	for i := range old {
		m := &old[i]
		was[m.key] = m.raw
		if _, stays := at[m.key]; stays {
			continue
		}
		if !safeName(m.key) || len(d.ops) > maxDiffOps {
			return false
		}
		end := d.push(m.key)
		d.add(PatchRemove, nil)
		d.path = d.path[:end]
	}
	for i := range members {
		m := &members[i]
		before, known := was[m.key]
		if known && sameJSON(before, m.raw) {
			continue
		}
		if !safeName(m.key) || len(d.ops) > maxDiffOps {
			return false
		}
		end := d.push(m.key)
		if known {
			d.value(before, m.raw)
		} else {
			d.add(PatchAdd, m.raw)
		}
		d.path = d.path[:end]
	}
	return true
}

// array changes the elements between the equal ones at both ends: it compares them one by one, then
// removes what is too many or adds what is missing. It returns false when there are too many
// operations.
func (d *differ) array(a, b []byte) bool {
	old, list := splitArray(a), splitArray(b)
	first := 0
	for first < len(old) && first < len(list) && sameJSON(old[first], list[first]) {
		first++
	}
	rest := 0 // equal elements at the end
	for rest < len(old)-first && rest < len(list)-first && sameJSON(old[len(old)-1-rest], list[len(list)-1-rest]) {
		rest++
	}
	oldEnd, end := len(old)-rest, len(list)-rest
	for i := first; i < max(oldEnd, end); i++ {
		if len(d.ops) > maxDiffOps {
			return false
		}
		at := i
		if i >= end { // the last first, so that the others keep their index
			at = oldEnd - 1 - (i - end)
		}
		mark := d.push(strconv.Itoa(at))
		switch {
		case i >= end:
			d.add(PatchRemove, nil)
		case i >= oldEnd:
			d.add(PatchAdd, list[i])
		default:
			d.value(old[i], list[i])
		}
		d.path = d.path[:mark]
	}
	return true
}

// push appends a name to the path. It returns the length without it.
func (d *differ) push(name string) int {
	end := len(d.path)
	d.path = append(d.path, '/')
	if strings.ContainsAny(name, "~/") {
		name = strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
	}
	d.path = append(d.path, name...)
	return end
}

func (d *differ) add(kind PatchOpKind, value []byte) {
	d.size += opSize(kind, d.path, value)
	d.ops = append(d.ops, PatchOp{Op: kind, Path: string(d.path), Value: value})
}

// opSize is how many bytes an operation takes on the wire.
func opSize(kind PatchOpKind, path, value []byte) int {
	n := len(`{"op":"","path":""}`) + len(kind) + len(path)
	for _, c := range path {
		switch {
		case c == '"' || c == '\\' || c == '\b' || c == '\f' || c == '\n' || c == '\r' || c == '\t':
			n++
		case c < 0x20:
			n += len(`\u0000`) - 1
		}
	}
	if kind != PatchRemove {
		n += len(`,"value":`) + len(value)
	}
	return n
}

// safeName reports whether all readers find the same member by a name. They differ on empty names, on
// those that reach the prototype of JavaScript's objects, and on numbers that are no index as they are
// written.
func safeName(name string) bool {
	switch name {
	case "", "__proto__", "constructor", "prototype":
		return false
	}
	n, err := strconv.Atoi(name)
	return err != nil || n >= 0 && strconv.Itoa(n) == name
}

// sameJSON reports whether two values are written alike, or are strings that say the same.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if a[0] != '"' || b[0] != '"' || bytes.IndexByte(a, '\\') < 0 && bytes.IndexByte(b, '\\') < 0 {
		return false
	}
	text, ok := unquoteJSON(a)
	other, also := unquoteJSON(b)
	return ok && also && text == other
}

// unquoteJSON returns what a string says. ok is false when that is not certain, because it may hold
// half a character, of which Go makes U+FFFD.
func unquoteJSON(raw []byte) (text string, ok bool) {
	if bytes.IndexByte(raw, '\\') < 0 {
		text = string(raw[1 : len(raw)-1])
	} else if json.Unmarshal(raw, &text) != nil {
		return "", false
	}
	return text, !strings.ContainsRune(text, utf8.RuneError)
}

// diffMember is a member of an object.
type diffMember struct {
	key string
	raw []byte // the value
}

// splitObject returns the members of an object. ok is false when one stands twice or its name is not
// certain.
func splitObject(raw []byte) (members []diffMember, ok bool) {
	for i := 1; raw[i] != '}'; {
		end := valueEnd(raw, i)
		key, ok := unquoteJSON(raw[i:end])
		if !ok {
			return nil, false
		}
		i = end + len(":")
		end = valueEnd(raw, i)
		members = append(members, diffMember{key, raw[i:end]})
		if i = end; raw[i] == ',' {
			i++
		}
	}
	if len(members) < 2 {
		return members, true
	}
	seen := make(map[string]struct{}, len(members))
	for i := range members {
		seen[members[i].key] = struct{}{}
	}
	return members, len(seen) == len(members)
}

// splitArray returns the elements of an array.
func splitArray(raw []byte) (list [][]byte) {
	for i := 1; raw[i] != ']'; {
		end := valueEnd(raw, i)
		list = append(list, raw[i:end])
		if i = end; raw[i] == ',' {
			i++
		}
	}
	return list
}

// valueEnd returns where the value ends that begins at start, in a document that is valid and compact.
func valueEnd(raw []byte, start int) int {
	depth := 0
	for i := start; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i // of what is around a number or a literal
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue // of a number or a literal, or a colon
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(raw)
}

// jsonDepth returns how deep the arrays and objects of a valid document nest.
func jsonDepth(raw []byte) (deepest int) {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}
