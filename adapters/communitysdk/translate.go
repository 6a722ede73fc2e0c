package communitysdk

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Note says what was written in a way that AG-UI 1.0 refuses, and what was made of it.
type Note struct {
	// Event is the type of the event, or "RunAgentInput".
	Event string
	// Path is the member, such as "delta[0].value".
	Path string
	// What was done, in a few words.
	What string
}

const (
	noteList     = "null, taken as an empty list"
	noteAbsent   = "null, taken as absent"
	noteMissing  = "missing, taken as null"
	noteRoot     = "missing, taken as the root"
	noteData     = "data, which is called so here"
	noteRole     = "assistant, taken as reasoning"
	noteStripped = "unknown, left out"
)

// Translate returns the event raw as AG-UI 1.0 has it, where the SDK writes it differently:
//
//   - rawEvent under the name "data", as an event writes it that is no more than its base; of a
//     CUSTOM without a name, as errors of the SDK's SSEWriter are, "data" becomes the value
//   - null for an empty list of messages or of patch operations
//   - no value in CUSTOM and in patch operations, for null; no from, for the root of the document
//   - role assistant in REASONING_MESSAGE_START
//   - runId in RUN_ERROR
//
// Everything else is as it was, and for EmitJSON to judge: that also translates THINKING events and
// the other forms that AG-UI retired. What is no JSON is returned as it is. raw is borrowed, and may
// be returned.
func Translate(raw []byte) (event []byte, notes []Note) {
	if !suspect(raw) {
		return raw, nil
	}
	var members map[string]json.RawMessage
	var kind string
	if json.Unmarshal(raw, &members) != nil || json.Unmarshal(members["type"], &kind) != nil {
		return raw, nil
	}
	e := editor{kind: kind, members: members}
	e.edit()
	if len(e.notes) == 0 {
		return raw, nil
	}
	event, err := json.Marshal(members)
	if err != nil {
		return raw, nil // what was read can be written
	}
	return event, e.notes
}

// suspects are found in everything that may have to be translated, and in few of the events that
// are frequent.
var suspects = [][]byte{
	[]byte(`"data"`), []byte(`null`), []byte(`"CUSTOM"`), []byte(`_DELTA"`), []byte(`"RUN_ERROR"`), []byte(`"REASONING_MESSAGE_START"`),
}

func suspect(raw []byte) bool {
	for _, s := range suspects {
		if bytes.Contains(raw, s) {
			return true
		}
	}
	return false
}

// editor translates one event.
type editor struct {
	kind    string
	members map[string]json.RawMessage
	notes   []Note
}

func (e *editor) note(path, what string) {
	e.notes = append(e.notes, Note{Event: e.kind, Path: path, What: what})
}

func (e *editor) edit() {
	switch e.kind {
	case "MESSAGES_SNAPSHOT":
		e.list("messages")
	case "STATE_DELTA":
		e.patch("delta")
	case "ACTIVITY_DELTA":
		e.patch("patch")
	case "RUN_ERROR":
		if e.members["runId"] != nil {
			delete(e.members, "runId")
			e.note("runId", noteStripped)
		}
	case "REASONING_MESSAGE_START":
		if string(e.members["role"]) == `"assistant"` {
			e.members["role"] = json.RawMessage(`"reasoning"`)
			e.note("role", noteRole)
		}
	case "CUSTOM":
		e.custom()
	}
	if data := e.members["data"]; data != nil && e.members["rawEvent"] == nil {
		delete(e.members, "data")
		if !isNull(data) {
			e.members["rawEvent"] = data
		}
		e.note("rawEvent", noteData)
	}
}

func (e *editor) custom() {
	if data := e.members["data"]; data != nil && e.members["name"] == nil && e.members["value"] == nil {
		delete(e.members, "data")
		e.members["name"], e.members["value"] = json.RawMessage(`"data"`), data
		e.note("value", noteData)
	}
	if e.members["value"] == nil {
		e.members["value"] = json.RawMessage("null")
		e.note("value", noteMissing)
	}
}

// list makes a list of a member that is null.
func (e *editor) list(name string) {
	if isNull(e.members[name]) {
		e.members[name] = json.RawMessage("[]")
		e.note(name, noteList)
	}
}

// patch completes the operations of a patch.
func (e *editor) patch(name string) {
	e.list(name)
	var ops []map[string]json.RawMessage
	if json.Unmarshal(e.members[name], &ops) != nil {
		return // it is for EmitJSON to say so
	}
	before := len(e.notes)
	for i, op := range ops {
		if op == nil {
			return
		}
		path := name + "[" + strconv.Itoa(i) + "]."
		switch string(op["op"]) {
		case `"add"`, `"replace"`, `"test"`:
			if op["value"] == nil {
				op["value"] = json.RawMessage("null")
				e.note(path+"value", noteMissing)
			}
		case `"move"`, `"copy"`:
			if op["from"] == nil {
				op["from"] = json.RawMessage(`""`)
				e.note(path+"from", noteRoot)
			}
		}
	}
	if len(e.notes) == before {
		return
	}
	if raw, err := json.Marshal(ops); err == nil {
		e.members[name] = raw
	}
}

// isNull reports whether a member is there and null.
func isNull(raw json.RawMessage) bool { return string(raw) == "null" }
