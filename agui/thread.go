package agui

import (
	"encoding/json"
)

// Thread is a conversation: what the events of its runs leave behind, as the official TypeScript
// client keeps it. It holds the messages with their tool calls, results, activities, reasoning and
// encrypted values, the state, and what is known of the run that is active or ended last.
//
// The zero value is an empty conversation. A Thread may be used by one goroutine at a time. What its
// methods return is never changed by the Thread afterwards, so it may be kept and handed to other
// goroutines; nobody may change the slices, pointers and raw JSON in it.
type Thread struct {
	threadID string
}

// NewThread returns the conversation that in stands for: its thread and run id, its messages, its
// state and its resume entries. A nil in is an empty conversation. It copies what it keeps.
func NewThread(in *RunAgentInput) *Thread { return &Thread{} }

// Apply takes the next event of the conversation. Events come in the order that [Order] verifies,
// the runs of a thread one after another; chunks may come as they are or expanded. It copies what it
// keeps, except strings, so the event may be reused.
//
// The error says why the event changed nothing: a [*SkipError] when it concerns something the
// conversation does not have, or its patch does not apply, and an [*OrderError] when a chunk cannot
// be expanded. Neither ends a conversation: the official client warns and goes on.
func (t *Thread) Apply(ev Event) error { return nil }

// SkipError is an event that changed nothing.
type SkipError struct {
	// Event is the type of the event.
	Event EventType
	// ID is the message or the tool call concerned; "" for the state.
	ID string
	// Reason says why.
	Reason string
}

// Error names the event, the id and the reason.
func (e *SkipError) Error() string { return e.Reason }

// ThreadID returns the id of the thread, or "" before the first RUN_STARTED of a Thread that began
// without an input.
func (t *Thread) ThreadID() string { return t.threadID }

// Messages returns the conversation in its order. It costs one copy of the list; the texts are not
// copied.
func (t *Thread) Messages() []Message { return nil }

// AddMessages appends messages of this side to the conversation, as a client does before it asks
// for the next run. It copies what it keeps.
func (t *Thread) AddMessages(messages ...Message) {}

// ToolCall returns the call of that id with the arguments that have arrived.
func (t *Thread) ToolCall(id string) (call ToolCall, ok bool) { return ToolCall{}, false }

// State returns the state: {} when there is none, null when a snapshot said so.
func (t *Thread) State() json.RawMessage { return nil }

// Run returns what is known of the run that is active, or of the one that ended last.
func (t *Thread) Run() ThreadRun { return ThreadRun{} }
