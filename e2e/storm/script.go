package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/agloop/agloop/agui"
)

// script is what an agent says in a run. Its event at each place is a function of the run's name and
// the place alone, and names both, so whoever hears an event knows whether it is the one that
// belongs there.
type script struct{ run string }

// The places of a script are of rounds that are alike: a message with a change of the state inside,
// a tool call, two changes of the state, something of the application's own. In every third round
// the later ones of these changes are snapshots, so that a log may leave out those before them.
const (
	textStart  = 0
	textState  = 5
	textShot   = 8
	textEnd    = 10
	callStart  = 11
	callEnd    = 16
	firstState = 17
	lastState  = 18
	custom     = 19
	round      = 20
)

// event is the event at a place.
func (s script) event(at int) agui.Event {
	begin := at - at%round
	text, call := s.name(begin+textStart), s.name(begin+callStart)
	switch n := at % round; n {
	case textStart:
		return &agui.TextMessageStart{MessageID: text, Role: agui.RoleAssistant}
	case textEnd:
		return &agui.TextMessageEnd{MessageID: text}
	case callStart:
		return &agui.ToolCallStart{ToolCallID: call, ToolCallName: "f"}
	case callEnd:
		return &agui.ToolCallEnd{ToolCallID: call}
	case textState, textShot, firstState, lastState:
		if s.snapshot(at) {
			return &agui.StateSnapshot{Snapshot: json.RawMessage(`{"at":"` + s.name(at) + `"}`)}
		}
		return &agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchAdd, Path: "/" + s.name(at), Value: []byte("1")}}}
	case custom:
		return &agui.Custom{Name: s.name(at), Value: []byte("null")}
	default:
		if n < textEnd {
			return &agui.TextMessageContent{MessageID: text, Delta: s.word(at)}
		}
		return &agui.ToolCallArgs{ToolCallID: call, Delta: s.word(at)}
	}
}

// name names a place.
func (s script) name(at int) string { return s.run + "." + strconv.Itoa(at) }

// word is the piece of text at a place. It ends with a space, and there is no other in it.
func (s script) word(at int) string {
	return s.name(at) + [...]string{"", `."\`, ".é", ".😀"}[at%4] + " "
}

// snapshot reports whether the event at a place is a STATE_SNAPSHOT.
func (s script) snapshot(at int) bool {
	return at/round%3 == 1 && (at%round == textShot || at%round == lastState)
}

// covered returns the place of the snapshot for which a log may leave out the event at a place; ok is
// false where it may not. That is so where no other events than pieces of text lie between the two.
func (s script) covered(at int) (by int, ok bool) {
	switch at % round {
	case textState:
		by = at - textState + textShot
	case firstState:
		by = at - firstState + lastState
	default:
		return 0, false
	}
	return by, s.snapshot(by)
}

// place reads the place that an event names. The end of an item is not asked for: it names its begin.
func (s script) place(ev agui.Event) (at int, ok bool) {
	name := ""
	switch e := ev.(type) {
	case *agui.TextMessageStart:
		name = e.MessageID
	case *agui.TextMessageContent:
		name = e.Delta
	case *agui.TextMessageEnd:
		at, ok = s.parse(e.MessageID)
		return at - textStart + textEnd, ok
	case *agui.ToolCallStart:
		name = e.ToolCallID
	case *agui.ToolCallArgs:
		name = e.Delta
	case *agui.ToolCallEnd:
		at, ok = s.parse(e.ToolCallID)
		return at - callStart + callEnd, ok
	case *agui.StateDelta:
		if len(e.Delta) == 1 {
			name = strings.TrimPrefix(e.Delta[0].Path, "/")
		}
	case *agui.StateSnapshot:
		var state struct{ At string }
		_ = json.Unmarshal(e.Snapshot, &state)
		name = state.At
	case *agui.Custom:
		name = e.Name
	}
	return s.parse(name)
}

// parse reads a place behind the name of the run; what follows is for who compares.
func (s script) parse(name string) (at int, ok bool) {
	rest, ok := strings.CutPrefix(name, s.run+".")
	if !ok {
		return 0, false
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	at, err := strconv.Atoi(rest[:digits])
	return at, err == nil
}

// input is the input of a run: the same bytes whoever makes it, and whenever.
func (s script) input(thread string, w wait) *agui.RunAgentInput {
	props, _ := json.Marshal(w) // it has no error
	return &agui.RunAgentInput{
		ThreadID: thread, RunID: s.run, State: s.state(), ForwardedProps: props,
		Messages: []agui.Message{{ID: "in-" + s.run, Role: agui.RoleUser, Content: agui.TextContent("go on")}},
	}
}

// wait says what an agent waits for that has said its script. What is lost is missed for ever.
type wait struct {
	Cancel bool // that it is cancelled
	Steers int  // that it was told so many texts
}

// state is the state of the input.
func (s script) state() json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"in":%q}`, s.run)) }
