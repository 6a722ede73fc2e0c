package run

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// foldState is the state of a run behind the last STATE event that it was shown, as long as that is
// certain: viewers compute it by other patch libraries, which differ in what the standard leaves
// open and in some that it does not. It becomes unknown with the first operation of that kind, until
// the next snapshot.
type foldState struct {
	on      bool   // it is followed
	known   bool   // otherwise nothing else counts
	tracked uint64 // offset of the last event that it was shown

	raw     json.RawMessage // encoded; nil when value is newer. Empty is {}
	value   any             // decoded, with numbers as they stand
	decoded bool            // value is there
	size    int             // bytes of the value when it was last encoded
	decoder event.Decoder
}

// follow shows it the next event of the log.
func (s *foldState) follow(e *Entry, kind foldKind) {
	if e.Through <= s.tracked {
		return
	}
	s.tracked = e.Through
	if kind == foldOther || e.Pieces != nil || !s.known && kind == foldPatch {
		return
	}
	ev, notes, err := s.decoder.DecodeEvent(e.Event)
	if err != nil {
		s.forget()
		return
	}
	switch ev := ev.(type) {
	case *agui.StateSnapshot:
		s.forget()
		s.known, s.raw, s.size = !hasHalves(e.Event), ev.Snapshot, len(ev.Snapshot)
	case *agui.StateDelta:
		if !s.known {
			return
		}
		if len(notes) > 0 || hasHalves(e.Event) || !s.patch(ev.Delta) {
			s.forget()
		}
	}
}

// forget makes the state unknown.
func (s *foldState) forget() {
	s.known, s.raw, s.value, s.decoded, s.size = false, nil, nil, false, 0
}

// held is how many bytes it takes, between two settles. The input's state is not its own.
func (s *foldState) held() int {
	if !s.on {
		return 0
	}
	return len(s.raw)
}

// hasHalves reports whether a text may hold half of a surrogate pair, which Go does not decode.
func hasHalves(event []byte) bool {
	return bytes.Contains(event, []byte(`\ud`)) || bytes.Contains(event, []byte(`\uD`))
}

// patch applies the operations, and reports whether all were safe and applied.
func (s *foldState) patch(ops []agui.PatchOp) bool {
	if !s.decoded {
		var ok bool
		if s.value, ok = decodeState(s.raw); !ok {
			return false
		}
		s.decoded = true
	}
	s.raw = nil
	for i := range ops {
		var ok bool
		if s.value, ok = patchState(s.value, &ops[i]); !ok {
			return false
		}
	}
	return true
}

// pack encodes the value, which takes less room than the value itself. One that is larger than any
// snapshot that would be made of it is forgotten.
func (s *foldState) pack(most int) {
	if s.on && (!s.known || !s.encode() || len(s.raw) > most) {
		s.forget()
	}
	s.value, s.decoded = nil, false
}

// encode makes raw the encoded value, and reports whether readers take that.
func (s *foldState) encode() bool {
	if !s.decoded || s.raw != nil {
		return true
	}
	// The event of a snapshot is one level of those that its readers take.
	if !shallow(s.value, s.decoder.Limits.WithDefaults().Depth-1) {
		return false
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(s.value) != nil {
		return false
	}
	s.raw = slices.Clip(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
	s.size = len(s.raw)
	return true
}

func shallow(v any, depth int) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			if !shallow(e, depth-1) {
				return false
			}
		}
		return depth > 0
	case []any:
		for _, e := range v {
			if !shallow(e, depth-1) {
				return false
			}
		}
		return depth > 0
	}
	return true
}

// snapshot is a STATE_SNAPSHOT with timestamp and tag of another event, nil where the state is not
// known or the event has more than so many bytes.
func (s *foldState) snapshot(most int, of *foldEvent) []byte {
	if !s.known || s.size > most || !s.encode() || s.size > most {
		return nil
	}
	raw := s.raw
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	head := foldEvent{kind: foldSnapshot, timestamp: of.timestamp, tag: of.tag}
	b := head.common(make([]byte, 0, head.size()+len(raw)))
	b = append(b, `,"snapshot":`...)
	b = append(b, raw...)
	if b = append(b, '}'); len(b) > most {
		return nil
	}
	return b
}

// decodeState decodes a state. An input's that is null or absent is {}.
func decodeState(raw json.RawMessage) (any, bool) {
	if len(raw) == 0 {
		return map[string]any{}, true
	}
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // a number of another precision stays what it is
	err := dec.Decode(&v)
	return v, err == nil
}

// patchState applies one operation to a value, which it may change, and returns the value then. ok is
// false for what is not done in the same way everywhere.
func patchState(v any, op *agui.PatchOp) (_ any, ok bool) {
	var value any
	switch op.Op {
	case agui.PatchAdd, agui.PatchReplace:
		if value, ok = decodeState(op.Value); !ok {
			return v, false
		}
	case agui.PatchRemove:
		if op.Path == "" {
			return v, false
		}
	default:
		return v, false
	}
	if op.Path == "" {
		return value, true
	}
	path := strings.Split(op.Path, "/")[1:]
	for i, token := range path {
		path[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch path[i] {
		case "__proto__", "constructor", "prototype":
			return v, false
		}
	}
	return patchAt(v, path, op.Op, value)
}

// patchAt applies an operation at a path within v, of which it returns the new value.
func patchAt(v any, path []string, op agui.PatchOpKind, value any) (_ any, ok bool) {
	key, last := path[0], len(path) == 1
	switch v := v.(type) {
	case map[string]any:
		old, there := v[key]
		switch {
		case !last:
			if v[key], ok = patchAt(old, path[1:], op, value); !ok {
				return v, false
			}
		case op == agui.PatchAdd || op == agui.PatchReplace && there:
			v[key] = value
		case op == agui.PatchRemove && there:
			delete(v, key)
		default:
			return v, false
		}
		return v, true
	case []any:
		if last && op == agui.PatchAdd && key == "-" {
			return append(v, value), true
		}
		n, err := strconv.Atoi(key)
		if err != nil || n < 0 || n > len(v) || strconv.Itoa(n) != key {
			return v, false
		}
		switch {
		case last && op == agui.PatchAdd:
			return slices.Insert(v, n, value), true
		case n == len(v):
			return v, false
		case !last:
			v[n], ok = patchAt(v[n], path[1:], op, value)
			return v, ok
		case op == agui.PatchReplace:
			v[n] = value
		default:
			return slices.Delete(v, n, n+1), true
		}
		return v, true
	}
	return v, false // no container
}
