// Package eventpb turns the events of package agui into the protobuf encoding of AG-UI and back. The
// messages are those of agui.proto in this directory; one event is one message Event, without a
// length before it. What is legal is decided by package event, so the verdict on an event does not
// depend on its encoding.
//
// States and other values cost several times what they do as JSON, in bytes and in time; texts, tool
// calls and reasoning cost less.
//
// The encoding cannot carry everything that JSON can. Numbers inside values become doubles: integers
// beyond 2^53 are rounded, and what is beyond the largest double is infinite. Unknown members are
// lost, extra members of patch operations too (but for a leftover from or value), and an empty list
// of tool calls or usage reads as absent. Half of a surrogate pair becomes U+FFFD. An input comes
// back with empty lists where tools, context or resume were absent.
//
// It is a building block of agloop: its API may change in any minor release.
package eventpb
