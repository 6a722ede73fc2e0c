package run

import (
	"slices"

	"github.com/agloop/agloop/agui"
)

// preludeMost is how many bytes the messages of a prelude may take, encoded.
const preludeMost = 256 << 10

// prelude is what a viewer that did not start the run gets in the place of its RUN_STARTED, encoded:
// RUN_STARTED with the input's messages, the newest that fit, and nothing else that the client has
// sent; then, unless the input has no state, a STATE_SNAPSHOT of that. The error is enc's.
func prelude(input *agui.RunAgentInput, enc Encoder) ([][]byte, error) {
	messages, err := newestMessages(input.Messages, enc)
	if err != nil {
		return nil, err
	}
	started := runStarted(input)
	started.Input = &agui.RunAgentInput{ThreadID: input.ThreadID, RunID: input.RunID, Messages: messages}
	b, err := enc.AppendEvent(nil, started)
	if err != nil {
		return nil, err
	}
	events := [][]byte{slices.Clone(b)} // as large as what is in it: it lives as long as the log
	if len(input.State) == 0 || string(input.State) == "null" {
		return events, nil
	}
	if b, err = enc.AppendEvent(nil, &agui.StateSnapshot{Snapshot: input.State}); err != nil {
		return nil, err
	}
	return append(events, slices.Clone(b)), nil
}

// newestMessages are those at the end of a list that fit. Each is encoded once more for that, since
// nothing else says how long it is.
func newestMessages(list []agui.Message, enc Encoder) ([]agui.Message, error) {
	empty, err := enc.AppendEvent(nil, &agui.MessagesSnapshot{})
	if err != nil {
		return nil, err
	}
	buf, room := empty, preludeMost
	for i := len(list) - 1; i >= 0; i-- {
		one, err := enc.AppendEvent(buf[:0], &agui.MessagesSnapshot{Messages: list[i : i+1]})
		if err != nil {
			return nil, err
		}
		if room -= len(one) - len(empty) + 1; room < 0 { // 1 for the comma
			return list[i+1:], nil
		}
		buf = one
	}
	return list, nil
}
