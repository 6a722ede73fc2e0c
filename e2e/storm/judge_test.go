package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
)

// told are the events of a run, as who starts it gets them, up to a place.
func told(length int) []agui.Event {
	list := []agui.Event{&agui.RunStarted{ThreadID: "t", RunID: "r"}}
	for at := range length {
		list = append(list, script{"r"}.event(at))
	}
	return append(list, &agui.RunFinished{ThreadID: "t", RunID: "r"})
}

// joined are the events of a run, as who attaches to it gets them.
func joined(length int) []agui.Event {
	list := told(length)
	list[0] = &agui.RunStarted{ThreadID: "t", RunID: "r", Input: script{"r"}.input("t", wait{})}
	return slices.Insert(list, 1, agui.Event(&agui.StateSnapshot{Snapshot: script{"r"}.state()}))
}

// stopped are the events of a run that was cancelled behind a place, what was open closed.
func stopped(length int) []agui.Event {
	list := told(length)
	end := script{"r"}.event(length - length%round + textEnd)
	list[len(list)-1] = &agui.RunFinished{ThreadID: "t", RunID: "r", Outcome: &agui.Outcome{Type: agui.OutcomeCancelled}}
	if length%round > textStart && length%round <= textEnd {
		list = slices.Insert(list, len(list)-1, end)
	}
	return list
}

// content is a piece of text in the first message.
func content(delta string) agui.Event {
	return &agui.TextMessageContent{MessageID: "r.0", Delta: delta}
}

func steered(id, text string) []agui.Event {
	return []agui.Event{
		&agui.TextMessageStart{MessageID: id, Role: agui.RoleUser},
		&agui.TextMessageContent{MessageID: id, Delta: text},
		&agui.TextMessageEnd{MessageID: id},
	}
}

// TestJudge: it says of each mistake what it is, and of what is right nothing.
func TestJudge(t *testing.T) {
	const length = 3 * round // of which the second round has snapshots
	s := script{"r"}
	place := func(at int) int { return at + 1 } // in told
	without := func(list []agui.Event, from, to int) []agui.Event { return slices.Delete(list, place(from), place(to)) }
	full := truth{Events: length}
	for _, c := range []struct {
		name          string
		events        []agui.Event
		truth         truth
		joined        bool
		lost, doubled int
		ends          int
	}{
		{"whole", told(length), full, false, 0, 0, 1},
		{"whole for who joined", joined(length), full, true, 0, 0, 1},
		{"joined as one", slices.Replace(told(length), place(1), place(4), content(s.word(1)+s.word(2)+s.word(3))), full, false, 0, 0, 1},
		{"a piece lost", without(told(length), 3, 4), full, false, 1, 0, 1},
		{"a piece lost inside a fold", slices.Replace(told(length), place(1), place(4), content(s.word(1)+s.word(3))), full, false, 1, 0, 1},
		{"a piece doubled", slices.Insert(told(length), place(3), s.event(2)), full, false, 0, 1, 1},
		{"a piece doubled inside a fold", slices.Replace(told(length), place(1), place(4), content(s.word(1)+s.word(2)+s.word(2)+s.word(3))), full, false, 0, 1, 1},
		{"two pieces swapped", slices.Replace(told(length), place(2), place(4), s.event(3), s.event(2)), full, false, 1, 1, 1},
		{"two pieces swapped inside a fold", slices.Replace(told(length), place(2), place(4), content(s.word(3)+s.word(2))), full, false, 1, 1, 1},
		{"half a piece", slices.Replace(told(length), place(2), place(3), content(s.word(2)[:3])), full, false, 1, 1, 1},
		{"a piece in another message", slices.Replace(told(length), place(2), place(3), agui.Event(&agui.TextMessageContent{MessageID: "r.20", Delta: s.word(2)})), full, false, 1, 1, 1},
		{"a piece of another run", slices.Insert(told(length), place(3), content(script{"r1"}.word(3))), full, false, 0, 1, 1},
		{"the last events lost", without(told(length), length-5, length), full, false, 5, 0, 1},
		{"an end of an item lost", without(told(length), textEnd, textEnd+1), full, false, 1, 0, 1},
		{"an end of an item too early", slices.Insert(without(told(length), textEnd, textEnd+1), place(textEnd-2), s.event(textEnd)), full, false, 2, 2, 1},
		{"more than the agent has emitted", told(length), truth{Events: length - 2}, false, 0, 2, 1},
		{"no RUN_STARTED", told(length)[1:], full, false, 1, 0, 1},
		{"two RUN_STARTED", slices.Insert(told(length), 1, told(0)[0]), full, false, 0, 1, 1},
		{"from the start again", append(told(length)[:place(9)], told(length)...), full, false, 0, 1 + 9, 1},
		{"no end", told(length)[:place(length)], full, false, 0, 0, 0},
		{"two ends", append(told(length), told(0)[1]), full, false, 0, 1, 2},
		{"events behind the end", append(told(length), s.event(length)), full, false, 0, 1, 1},
		{"RUN_ERROR", append(told(length)[:place(length)], &agui.RunError{Message: "no"}), full, false, 0, 1, 1},
		{"no input for who joined", slices.Insert(told(length), 1, joined(length)[1]), full, true, 1, 0, 1},
		{"no state of the input for who joined", slices.Delete(joined(length), 1, 2), full, true, 1, 0, 1},
		{"the state of the input twice", slices.Insert(joined(length), 1, joined(length)[1]), full, true, 0, 1, 1},
		{"the state of the input too late", slices.Insert(told(length), place(9), joined(length)[1]), full, false, 0, 1, 1},

		{"a state left out before a snapshot", without(told(length), round+firstState, round+lastState), full, false, 0, 0, 1},
		{"a state left out inside a message", without(told(length), round+textState, round+textState+1), full, false, 0, 0, 1},
		{"a state lost with its snapshot", without(told(length), round+firstState, round+lastState+1), full, false, 1, 0, 1},
		{"a state lost where there is no snapshot", without(told(length), firstState, lastState), full, false, 1, 0, 1},
		{
			"a state left out for a snapshot that does not come",
			without(stopped(round+textShot), round+textState, round+textState+1),
			truth{Events: round + textShot},
			false, 1, 0, 1,
		},

		{"cancelled in a message", stopped(round + 3), truth{Events: round + 3}, false, 0, 0, 1},
		{"cancelled right before the end of a message", stopped(round + textEnd), truth{Events: round + textEnd}, false, 0, 0, 1},
		{"cancelled between two items", stopped(firstState), truth{Events: firstState}, false, 0, 0, 1},
		{"cancelled before it began", stopped(0), truth{}, false, 0, 0, 1},
		{"cancelled, and the last piece lost", without(stopped(round+3), round+2, round+3), truth{Events: round + 3}, false, 1, 0, 1},
		{"cancelled, and a piece too many", stopped(round + 3), truth{Events: round + 2}, false, 0, 1, 1},

		{"a steer", slices.Insert(told(length), place(4), steered("steer-1", "x")...), truth{Events: length, Steers: []steer{{At: 4, Text: "x"}}}, false, 0, 0, 1},
		{"no steer", told(length), truth{Events: length, Steers: []steer{{At: 4, Text: "x"}}}, false, 1, 0, 1},
		{"a steer that was not taken", slices.Insert(told(length), place(4), steered("steer-1", "x")...), full, false, 0, 1, 1},
		{
			"a steer twice",
			slices.Insert(told(length), place(4), append(steered("steer-1", "x"), steered("steer-1", "x")...)...),
			truth{Events: length, Steers: []steer{{At: 4, Text: "x"}}},
			false, 0, 1, 1,
		},
		{"another text", slices.Insert(told(length), place(4), steered("steer-1", "y")...), truth{Events: length, Steers: []steer{{At: 4, Text: "x"}}}, false, 0, 1, 1},
		{"a steer at another place", slices.Insert(told(length), place(5), steered("steer-1", "x")...), truth{Events: length, Steers: []steer{{At: 4, Text: "x"}}}, false, 0, 1, 1},
		{"half a steer", slices.Insert(told(length), place(4), steered("steer-1", "x")[:2]...), truth{Events: length, Steers: []steer{{At: 4, Text: "x"}}}, false, 0, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := &judge{Run: "r", Joined: c.joined}
			for i, ev := range c.events {
				j.hear(ev)
				if i%3 > 0 {
					continue
				}
				b, err := json.Marshal(j) // as a process stores it that is killed then
				if err != nil {
					t.Fatal(err)
				}
				j = new(judge)
				if err := json.Unmarshal(b, j); err != nil {
					t.Fatal(err)
				}
			}
			j.finish(c.truth)
			if j.Lost != c.lost || j.Doubled != c.doubled || j.Ends != c.ends {
				t.Errorf("%d lost, %d doubled, %d ends; want %d, %d, %d; %s", j.Lost, j.Doubled, j.Ends, c.lost, c.doubled, c.ends, j.Fault)
			}
			right := c.lost+c.doubled == 0 && c.ends == 1
			if right != (j.Fault == "") || !right && !strings.Contains(j.Fault, "run r, place ") {
				t.Errorf("the fault is %q", j.Fault)
			}
		})
	}
}
