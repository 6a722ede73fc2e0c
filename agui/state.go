package agui

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// StateSnapshot replaces the state of the run.
type StateSnapshot struct {
	Base
	// Snapshot is any JSON value, null included. Empty is absent and not a legal event.
	Snapshot json.RawMessage `json:"snapshot,omitempty"`
}

// Type returns [EventTypeStateSnapshot].
func (*StateSnapshot) Type() EventType { return EventTypeStateSnapshot }

// StateDelta patches the state of the run; all operations apply or none.
type StateDelta struct {
	Base
	// Delta may be empty; nil is empty.
	Delta []PatchOp `json:"delta"`
}

// Type returns [EventTypeStateDelta].
func (*StateDelta) Type() EventType { return EventTypeStateDelta }

// ActivitySnapshot creates an activity or, unless Replace is false, replaces it.
type ActivitySnapshot struct {
	Base
	MessageID    string `json:"messageId"`
	ActivityType string `json:"activityType"`
	// Content is a JSON object. Empty is absent and not a legal event.
	Content json.RawMessage `json:"content,omitempty"`
	// Replace reads as true when nil.
	Replace *bool `json:"replace,omitempty"`
}

// Type returns [EventTypeActivitySnapshot].
func (*ActivitySnapshot) Type() EventType { return EventTypeActivitySnapshot }

// ActivityDelta patches the content of an activity. A delta for an activity that is not known is
// skipped by its reader, never fatal.
type ActivityDelta struct {
	Base
	MessageID    string `json:"messageId"`
	ActivityType string `json:"activityType"`
	// Patch may be empty; nil is empty.
	Patch []PatchOp `json:"patch"`
}

// Type returns [EventTypeActivityDelta].
func (*ActivityDelta) Type() EventType { return EventTypeActivityDelta }

// Raw passes on an event of some other system.
type Raw struct {
	Base
	// Event is any JSON value, null included. Empty is absent and not a legal event.
	Event  json.RawMessage `json:"event,omitempty"`
	Source *string         `json:"source,omitempty"`
}

// Type returns [EventTypeRaw].
func (*Raw) Type() EventType { return EventTypeRaw }

// Custom is an event whose meaning the application defines.
type Custom struct {
	Base
	Name string `json:"name"`
	// Value is any JSON value, null included. Empty is absent and not a legal event.
	Value json.RawMessage `json:"value,omitempty"`
}

// Type returns [EventTypeCustom].
func (*Custom) Type() EventType { return EventTypeCustom }

// PatchOpKind is the verb of a JSON Patch operation. The zero value is none.
type PatchOpKind string

// The verbs of RFC 6902.
const (
	PatchAdd     PatchOpKind = "add"
	PatchRemove  PatchOpKind = "remove"
	PatchReplace PatchOpKind = "replace"
	PatchMove    PatchOpKind = "move"
	PatchCopy    PatchOpKind = "copy"
	PatchTest    PatchOpKind = "test"
)

// PatchOp is one operation of a JSON Patch.
type PatchOp struct {
	Op PatchOpKind
	// Path is a JSON Pointer; "" is the whole document.
	Path string
	// From is the source of move and copy, which need it; nil on the others.
	From *string
	// Value is what add, replace and test need, null included; empty on the others.
	Value json.RawMessage
	// Extra holds members the operation does not use. They are legal and survive; a key naming a
	// member in use is ignored. Nil is none.
	Extra map[string]json.RawMessage
}

// uses reports whether operations of kind k give the member key a meaning.
func (k PatchOpKind) uses(key string) bool {
	switch key {
	case "op", "path":
		return true
	case "from":
		return k == PatchMove || k == PatchCopy
	case "value":
		return k == PatchAdd || k == PatchReplace || k == PatchTest
	}
	return false
}

// MarshalJSON writes the members the operation uses, then those of Extra by key. It fails when a
// string is not encodable or a value is not valid JSON.
func (p PatchOp) MarshalJSON() ([]byte, error) {
	buf := make([]byte, 0, 64+len(p.Path)+len(p.Value))
	buf = append(buf, `{"op":`...)
	buf, err := appendJSON(buf, string(p.Op))
	if err != nil {
		return nil, err
	}
	buf = append(buf, `,"path":`...)
	if buf, err = appendJSON(buf, p.Path); err != nil {
		return nil, err
	}
	if p.From != nil {
		buf = append(buf, `,"from":`...)
		if buf, err = appendJSON(buf, *p.From); err != nil {
			return nil, err
		}
	}
	if len(p.Value) > 0 {
		if !json.Valid(p.Value) {
			return nil, fmt.Errorf("agloop: value of patch operation %s %q is not JSON", p.Op, p.Path)
		}
		buf = append(buf, `,"value":`...)
		buf = append(buf, p.Value...)
	}
	for _, key := range slices.Sorted(maps.Keys(p.Extra)) {
		if p.Op.uses(key) || key == "from" && p.From != nil || key == "value" && len(p.Value) > 0 {
			continue
		}
		if !json.Valid(p.Extra[key]) {
			return nil, fmt.Errorf("agloop: member %q of patch operation %s %q is not JSON", key, p.Op, p.Path)
		}
		buf = append(buf, ',')
		if buf, err = appendJSON(buf, key); err != nil {
			return nil, err
		}
		buf = append(buf, ':')
		buf = append(buf, p.Extra[key]...)
	}
	return append(buf, '}'), nil
}

// UnmarshalJSON reads an operation and keeps a copy of every member. It fails when data is not an
// object or a member in use has the wrong type.
func (p *PatchOp) UnmarshalJSON(data []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	var op PatchOp
	if err := json.Unmarshal(members["op"], &op.Op); err != nil {
		return fmt.Errorf("agloop: patch operation without op: %w", err)
	}
	for key, raw := range members {
		if !op.Op.uses(key) {
			if op.Extra == nil {
				op.Extra = make(map[string]json.RawMessage)
			}
			op.Extra[key] = raw
			continue
		}
		var err error
		switch key {
		case "path":
			err = json.Unmarshal(raw, &op.Path)
		case "from":
			err = json.Unmarshal(raw, &op.From)
		case "value":
			op.Value = raw
		}
		if err != nil {
			return err
		}
	}
	*p = op
	return nil
}
