package main

import (
	"encoding/json"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// diff is the patch from one document to another, as a reader of its event has it, and what agui.Thread
// makes of it. A line is {"from": …, "to": …}.
func diff(line []byte) (any, error) {
	var pair struct{ From, To json.RawMessage }
	if err := json.Unmarshal(line, &pair); err != nil {
		return nil, err
	}
	ops, err := agui.Diff(pair.From, pair.To)
	if err != nil {
		return nil, err
	}
	raw, err := event.Append(nil, &agui.StateDelta{Delta: ops})
	if err != nil {
		return nil, err
	}
	back, _, err := new(event.Decoder).DecodeEvent(raw)
	if err != nil {
		return nil, err
	}
	thread := agui.NewThread(nil)
	for _, ev := range []agui.Event{&agui.StateSnapshot{Snapshot: pair.From}, back} {
		if err := thread.Apply(ev); err != nil {
			return nil, err
		}
	}
	return map[string]any{"event": json.RawMessage(raw), "state": thread.State()}, nil
}
