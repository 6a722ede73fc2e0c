// Package agui holds the types of AG-UI 1.0: the 31 events, the messages and the run input they
// carry, the rules of their order, the expansion of the chunk shorthand, and the conversation that
// events leave behind. It does no I/O and imports the standard library and a library for JSON Patch.
// Hosts may rely on its API.
//
// # Absent and empty
//
// In the protocol an absent member differs from an empty one, and null is allowed almost nowhere.
// The types follow it: a nil pointer, a nil slice and an empty [json.RawMessage] are absent and are
// not written; a pointer to "" and a slice of length zero are present. Strings that are not
// pointers are required members and are always written. A closed set (such as [Role]) is a string
// type whose zero value is absent.
//
// The structs carry JSON tags for their members. The member "type" of an event is not a field; the
// methods MarshalJSON write it. Package codec/event writes and reads the wire form and checks it
// while doing so: a value that a program builds is not checked here.
//
// # Following a stream
//
// A sender checks each event with [Order.Check] before writing it. A reader passes each decoded
// event through [Expander.Expand] and each result through [Order.Check]; when the stream ends,
// [Order.Done] reports whether the run has ended or was truncated. Whoever wants to know what a
// conversation has come to gives the events to [Thread.Apply]. None of the three may be used by two
// goroutines at once.
//
// # State
//
// An agent keeps the state that it shares with its client in a [State], a Go value of any type that
// comes back from JSON. It begins by [StateOf] with what the client has, or by [NewState]; each
// [State.Update] sends what has changed. [Diff] is the patch between any two documents.
package agui
