package agui

import (
	"bytes"
	"encoding/json"
)

// Thread is a conversation: what the events of its runs leave behind, reduced as the official
// TypeScript client reduces them. It holds the messages with their tool calls, results, activities,
// reasoning and encrypted values, the state, and what is known of the run that is active or ended
// last. Its memory grows with what it holds, not with the number of events.
//
// The zero value is an empty conversation. A Thread may be used by one goroutine at a time. What its
// methods return is never changed by the Thread afterwards, so it may be kept and handed to other
// goroutines; nobody may change the slices, pointers and raw JSON in it.
type Thread struct {
	_ noCopy

	// One goroutine.
	threadID   string
	messages   []*threadMessage
	byID       map[string]*threadMessage // the first of messages with that id
	calls      map[string]callPlace      // the first call with that id
	state      json.RawMessage           // empty is {}
	interrupts []Interrupt               // of the last RUN_FINISHED
	run        threadRun

	chunks   Expander
	expanded []Event // of the chunk being applied
}

// callPlace is where a tool call is.
type callPlace struct {
	message *threadMessage
	call    *threadCall
}

// noCopy lets go vet find copies: a copy would share maps and buffers with the original.
type noCopy struct{}

func (noCopy) Lock()   {}
func (noCopy) Unlock() {}

// NewThread returns the conversation that in stands for: its thread and run, its messages, its
// state and its resume entries. A nil in is an empty conversation. It copies what it keeps.
func NewThread(in *RunAgentInput) *Thread {
	t := new(Thread)
	if in == nil {
		return t
	}
	t.threadID = in.ThreadID
	t.run.head = ThreadRun{RunID: in.RunID, ParentRunID: clonePointer(in.ParentRunID), Resume: cloneResume(in.Resume)}
	t.AddMessages(in.Messages...)
	if !isNull(in.State) {
		t.state = bytes.Clone(in.State)
	}
	return t
}

// ThreadID returns the id of the thread. It is "" before the first RUN_STARTED of a Thread that
// began without an input.
func (t *Thread) ThreadID() string { return t.threadID }

// Messages returns the conversation in its order. It costs a list of new messages; their texts are
// not copied. Two messages may have one id when the events said so; events that name the id concern
// the first.
func (t *Thread) Messages() []Message {
	list := make([]Message, len(t.messages))
	for i, m := range t.messages {
		list[i] = m.message()
	}
	return list
}

// AddMessages appends messages of this side to the conversation, as a client does before it asks
// for the next run. It copies what it keeps.
func (t *Thread) AddMessages(messages ...Message) {
	for i := range messages {
		t.push(newThreadMessage(&messages[i]))
	}
}

// ToolCall returns the call of that id with the arguments that have arrived.
func (t *Thread) ToolCall(id string) (call ToolCall, ok bool) {
	place, ok := t.calls[id]
	if !ok {
		return ToolCall{}, false
	}
	return place.call.toolCall(), true
}

// State returns the state: {} when there is none, null when a snapshot said so.
func (t *Thread) State() json.RawMessage {
	if len(t.state) == 0 {
		return json.RawMessage("{}")
	}
	return t.state
}

// Run returns what is known of the run that is active, or of the one that ended last.
func (t *Thread) Run() ThreadRun { return t.run.summary() }

// isNull reports whether raw is null or absent.
func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}
