package agui_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/agloop/agloop/agui"
)

// threadEvent makes an event of two bytes: of all types, about few ids, in no order.
func threadEvent(a, b byte) agui.Event {
	ids := []string{"m", "n", "c", ""}
	id, other := ids[b&3], ids[b>>2&3]
	base := agui.Base{}
	switch b >> 4 & 3 {
	case 1:
		base = tagged("s")
	case 2:
		base.Metadata = json.RawMessage(`{"` + other + `":` + []string{"1", "null"}[b>>6&1] + `}`)
	}
	roles := []agui.Role{agui.RoleUser, agui.RoleAssistant, agui.RoleTool, agui.RoleActivity, agui.RoleReasoning}
	messages := []agui.Message{
		{ID: id, Role: roles[int(b>>4)%len(roles)], Content: agui.TextContent("x"), ToolCalls: []agui.ToolCall{{ID: other}}},
		{ID: other, Role: roles[int(b>>5)%len(roles)], Content: &agui.Content{Parts: []agui.ContentPart{}}, Metadata: base.Metadata},
	}
	ops := []agui.PatchOp{
		{Op: agui.PatchAdd, Path: "/" + id, Value: json.RawMessage(`[1]`)},
		{Op: agui.PatchMove, From: new("/" + other), Path: "/" + id + "/0"},
		{Op: agui.PatchCopy, From: new("/" + other), Path: "/" + id},
	}[:b>>6]
	switch a % 20 {
	case 0:
		return &agui.TextMessageStart{Base: base, MessageID: id}
	case 1:
		return &agui.TextMessageContent{Base: base, MessageID: id, Delta: other}
	case 2:
		return &agui.ToolCallStart{Base: base, ToolCallID: id, ParentMessageID: &other}
	case 3:
		return &agui.ToolCallArgs{Base: base, ToolCallID: id, Delta: other}
	case 4:
		return &agui.ToolCallResult{Base: base, MessageID: id, ToolCallID: other}
	case 5:
		return &agui.ReasoningEncryptedValue{Base: base, Subtype: agui.EncryptedToolCall, EntityID: id}
	case 6:
		return &agui.ReasoningEncryptedValue{Base: base, Subtype: agui.EncryptedMessage, EntityID: id}
	case 7:
		return &agui.MessagesSnapshot{Base: base, Messages: messages}
	case 8:
		return &agui.RunStarted{Base: base, ThreadID: "t", RunID: id, Input: &agui.RunAgentInput{Messages: messages}}
	case 9:
		return &agui.RunFinished{RunID: id, Outcome: &agui.Outcome{Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{{ID: id}, {ID: other}}}}
	case 10:
		return &agui.RunError{Message: id}
	case 11:
		return &agui.ActivitySnapshot{Base: base, MessageID: id, Content: json.RawMessage(`{"m":[]}`), Replace: new(b>>6 == 0)}
	case 12:
		return &agui.ActivityDelta{Base: base, MessageID: id, Patch: ops}
	case 13:
		return &agui.StateSnapshot{Base: base, Snapshot: json.RawMessage([]string{`{"m":[]}`, `null`, `[]`, ``}[b>>6])}
	case 14:
		return &agui.StateDelta{Base: base, Delta: ops}
	case 15:
		return &agui.SubagentError{SubagentRunID: id}
	}
	return chunkEvent(a/20, b)
}

// A Thread takes events in any order without harm, and chunks leave what their expansion leaves.
func FuzzThread(f *testing.F) {
	f.Add([]byte{8, 0, 0, 0, 1, 4, 2, 16, 3, 0, 4, 8, 9, 4})
	f.Add([]byte{8, 1, 11, 0, 12, 192, 14, 128, 14, 193, 7, 64, 0, 0})
	f.Add([]byte{16, 0, 36, 1, 56, 0, 76, 192, 96, 2, 116, 0, 10, 0})
	f.Add([]byte{4, 0, 4, 0, 7, 48, 7, 0, 1, 4, 2, 0, 11, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var (
			direct, expanded agui.Thread
			expander         agui.Expander
		)
		for i := 0; i+1 < len(data) && i < 200; i += 2 {
			ev := threadEvent(data[i], data[i+1])
			direct.Apply(ev)
			events, err := expander.Expand(ev, nil)
			if err != nil {
				continue
			}
			for _, ev := range events {
				expanded.Apply(ev)
			}
		}
		for _, of := range []func(*agui.Thread) any{
			func(t *agui.Thread) any { return t.Messages() },
			func(t *agui.Thread) any { return t.State() },
			func(t *agui.Thread) any { return t.PendingInterrupts() },
			func(t *agui.Thread) any { return t.Run() },
		} {
			if got, want := values(t, of(&direct)), values(t, of(&expanded)); !reflect.DeepEqual(got, want) {
				t.Fatalf("\nas they are %v\n   expanded %v", got, want)
			}
		}
	})
}

// A patch of any JSON on any JSON leaves JSON, and the old value when it does not apply.
func FuzzThreadPatch(f *testing.F) {
	for _, line := range dataLines(f, "patches.ndjson") {
		var c struct{ Doc, Patch json.RawMessage }
		if err := json.Unmarshal(line, &c); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(c.Doc), []byte(c.Patch))
	}
	f.Add([]byte(` [null]`), []byte(`[{"op":"test","path":"","value":[null]},{"op":"add","path":"/0","value":{"a":1,"a":2}}]`))
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		var ops []agui.PatchOp
		if json.Unmarshal(patch, &ops) != nil || !json.Valid(doc) {
			return
		}
		got, err := patched(doc, ops)
		if !json.Valid(got) || err != nil && string(got) != string(doc) {
			t.Errorf("%s, error %v", got, err)
		}
	})
}
