package main

import (
	"fmt"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// judge is told each event that somebody has applied of a run, and counts what is wrong with them.
// Its exported fields are all that it knows, so that it can be stored with a cursor.
type judge struct {
	Run    string
	Joined bool // from the start of a run that somebody else began: what the input says comes first

	Started bool
	Input   bool // the input's state has come
	Next    int  // place of the event that is to come
	Owed    int  // place + 1 of a snapshot that has to come, since what lies before it was left out
	Steers  []steer
	Ends    int
	End     string // the terminal event
	AtEnd   bool   // the last event was the end of an item, where it belongs
	Closing int    // place + 1 of the end of an item that came too early: is the run cancelled?

	Lost    int
	Doubled int    // events that came twice, or where they do not belong
	Fault   string // the first of all these
}

// steer is a text that was said to a run: how many events of the script lie before it.
type steer struct {
	At   int
	ID   string
	Text string
	Over bool // its end has come
}

// truth is what the agent of a run has emitted.
type truth struct {
	Calls  int
	Events int // of the script
	Steers []steer
	Over   bool // the agent has returned
}

// hear takes the next event.
func (j *judge) hear(ev agui.Event) {
	over := isCancelled(ev)
	if at := j.Closing - 1; at >= 0 && !over {
		j.put(at)
	}
	atEnd := j.AtEnd
	j.Closing, j.AtEnd = 0, false
	if _, first := ev.(*agui.RunStarted); !first && !j.Started {
		j.Started = true
		j.wrong(&j.Lost, "RUN_STARTED", "%s", encoded(ev))
	}
	switch e := ev.(type) {
	case *agui.RunFinished, *agui.RunError:
		j.checkInput()
		j.AtEnd = atEnd
		j.end(ev)
		return
	case *agui.RunStarted:
		j.start(e)
		return
	}
	switch {
	case j.Ends > 0:
		j.wrong(&j.Doubled, "nothing", "%s", encoded(ev))
	case j.isInput(ev):
		if j.Input || j.Next > 0 {
			j.wrong(&j.Doubled, "no state of the input", "%s", encoded(ev))
		}
		j.Input = true
	case !j.steer(ev):
		j.checkInput()
		for _, piece := range pieces(ev) {
			j.piece(piece)
		}
	}
}

func (j *judge) start(e *agui.RunStarted) {
	switch {
	case j.Started:
		j.wrong(&j.Doubled, "no second RUN_STARTED", "one")
	case e.RunID != j.Run:
		j.wrong(&j.Doubled, "RUN_STARTED", "that of %s", e.RunID)
	case j.Joined && (e.Input == nil || len(e.Input.Messages) != 1):
		j.wrong(&j.Lost, "the messages of the input", "RUN_STARTED without them")
	}
	j.Started = true
}

// isInput reports whether an event is the state of the input.
func (j *judge) isInput(ev agui.Event) bool {
	e, ok := ev.(*agui.StateSnapshot)
	return ok && string(e.Snapshot) == string(script{j.Run}.state())
}

// checkInput misses the state of the input where it has to come first. Who starts a run need not get
// it.
func (j *judge) checkInput() {
	if j.Joined && !j.Input {
		j.Input = true
		j.wrong(&j.Lost, "the state of the input", "something else")
	}
}

func (j *judge) end(ev agui.Event) {
	if j.Ends++; j.Ends > 1 {
		j.wrong(&j.Doubled, "one end", "%s and %s", j.End, encoded(ev))
		return
	}
	j.End = encoded(ev)
	if _, failed := ev.(*agui.RunError); failed {
		j.wrong(&j.Doubled, "RUN_FINISHED", "%s", j.End)
	}
}

// steer takes an event of a text that was said to the run, and reports whether it is one.
func (j *judge) steer(ev agui.Event) bool {
	id := ""
	switch e := ev.(type) {
	case *agui.TextMessageStart:
		id = e.MessageID
	case *agui.TextMessageContent:
		id = e.MessageID
	case *agui.TextMessageEnd:
		id = e.MessageID
	}
	if !strings.HasPrefix(id, "steer-") {
		return false
	}
	if e, ok := ev.(*agui.TextMessageStart); ok {
		if e.Role != agui.RoleUser {
			j.wrong(&j.Doubled, "a message of the user", "%s", encoded(ev))
		}
		j.Steers = append(j.Steers, steer{At: j.Next, ID: id})
		return true
	}
	n := len(j.Steers) - 1
	if n < 0 || j.Steers[n].ID != id || j.Steers[n].Over {
		j.wrong(&j.Doubled, "no text of a steer", "%s", encoded(ev))
		return true
	}
	if e, ok := ev.(*agui.TextMessageContent); ok {
		j.Steers[n].Text += e.Delta
	} else {
		j.Steers[n].Over = true
	}
	return true
}

// piece takes an event of the script.
func (j *judge) piece(ev agui.Event) {
	s := script{j.Run}
	at, ok := s.place(ev)
	if !ok || encoded(ev) != encoded(s.event(at)) {
		j.wrong(&j.Doubled, encoded(s.event(j.Next)), "%s", encoded(ev))
		return
	}
	switch ev.(type) {
	case *agui.TextMessageEnd, *agui.ToolCallEnd:
		if begin := at - at%round; at > j.Next && j.Next > begin { // the run may be over
			j.Closing = at + 1
			return
		}
		j.AtEnd = at == j.Next
	}
	j.put(at)
}

// put notes the event of a place.
func (j *judge) put(at int) {
	s := script{j.Run}
	if at < j.Next {
		j.wrong(&j.Doubled, s.name(j.Next), "%s", s.name(at))
		return
	}
	for ; j.Next < at; j.Next++ {
		if by, ok := s.covered(j.Next); ok {
			j.Owed = by + 1
		} else {
			j.wrong(&j.Lost, s.name(j.Next), "%s", s.name(at))
		}
	}
	if j.Next++; j.Next >= j.Owed {
		j.Owed = 0
	}
}

// finish compares what has come of a run that is over with what its agent has emitted.
func (j *judge) finish(t truth) {
	s, next := script{j.Run}, j.Next
	if next == t.Events+1 && j.AtEnd && j.cancelled() {
		next-- // the run was cancelled in an item, which the server has closed
	}
	for ; next < t.Events; next++ {
		j.wrong(&j.Lost, s.name(next), "nothing")
	}
	for ; next > t.Events; next-- {
		j.wrong(&j.Doubled, "nothing", "%s, which was not emitted", s.name(next-1))
	}
	if j.Owed > 0 {
		j.wrong(&j.Lost, "a change of the state before "+s.name(j.Owed-1), "neither")
	}
	for i := range max(len(j.Steers), len(t.Steers)) {
		switch {
		case i >= len(j.Steers):
			j.wrong(&j.Lost, fmt.Sprint(t.Steers[i]), "nothing")
		case i >= len(t.Steers):
			j.wrong(&j.Doubled, "no steer", "%v", j.Steers[i])
		case j.Steers[i].At != t.Steers[i].At || j.Steers[i].Text != t.Steers[i].Text || !j.Steers[i].Over:
			j.wrong(&j.Doubled, fmt.Sprint(t.Steers[i]), "%v", j.Steers[i])
		}
	}
	if j.Ends != 1 && j.Fault == "" {
		j.Fault = fmt.Sprintf("run %s, place %d: it has %d ends", j.Run, j.Next, j.Ends)
	}
}

// wrong counts something, and keeps it if it is the first.
func (j *judge) wrong(count *int, want, got string, args ...any) {
	*count++
	if j.Fault == "" {
		j.Fault = fmt.Sprintf("run %s, place %d: got %s, want %s", j.Run, j.Next, fmt.Sprintf(got, args...), want)
	}
}

// pieces cuts the text of an event, of which a server may have joined several.
func pieces(ev agui.Event) (list []agui.Event) {
	switch e := ev.(type) {
	case *agui.TextMessageContent:
		for word := range strings.SplitAfterSeq(e.Delta, " ") {
			if word != "" {
				piece := *e
				piece.Delta = word
				list = append(list, &piece)
			}
		}
	case *agui.ToolCallArgs:
		for word := range strings.SplitAfterSeq(e.Delta, " ") {
			if word != "" {
				piece := *e
				piece.Delta = word
				list = append(list, &piece)
			}
		}
	default:
		list = append(list, ev)
	}
	return list
}

// cancelled reports whether the run has ended since it was cancelled.
func (j *judge) cancelled() bool { return strings.Contains(j.End, `"type":"cancelled"`) }

// isCancelled reports whether an event ends a run that was cancelled.
func isCancelled(ev agui.Event) bool {
	e, ok := ev.(*agui.RunFinished)
	return ok && e.Outcome != nil && e.Outcome.Type == agui.OutcomeCancelled
}

// encoded is an event as it is on the wire.
func encoded(ev agui.Event) string {
	b, err := event.Append(nil, ev)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
