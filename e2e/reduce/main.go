// Command reduce reads streams from standard input, one a line, and writes the conversation that
// agui.Thread makes of each. A line is {"events": […]}, with "input", a RunAgentInput to begin with,
// when there is one. "reduce fold" has each go through the log of a run and writes what viewers get,
// see fold; "reduce diff" reads pairs of documents and writes their patches, see diff. The official
// client then judges the result.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

func main() {
	do := reduce
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "fold":
			do = fold
		case "diff":
			do = diff
		}
	}
	if err := each(os.Stdin, os.Stdout, do); err != nil {
		fmt.Fprintln(os.Stderr, "reduce:", err)
		os.Exit(1)
	}
}

// each does something with every line; lines end in LF only, for U+2028 is text.
func each(r io.Reader, w io.Writer, do func(line []byte) (any, error)) error {
	in, out := bufio.NewReader(r), bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > 0 {
			result, err := do(line)
			if err == nil {
				err = enc.Encode(result)
			}
			if err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		}
		if err == io.EOF {
			return out.Flush()
		}
		if err != nil {
			return err
		}
	}
}

// conversation is what the official client knows as well.
type conversation struct {
	Messages   []agui.Message   `json:"messages"`
	State      json.RawMessage  `json:"state"`
	Interrupts []agui.Interrupt `json:"pendingInterrupts"`
	// Ends has one element for each RUN_FINISHED.
	Ends []end `json:"ends"`
	// Input is what the next run would begin with, every interrupt cancelled.
	Input json.RawMessage `json:"input"`
	// Skipped is why events changed nothing.
	Skipped []string `json:"skipped"`
}

type end struct {
	Outcome    agui.OutcomeType  `json:"outcome"`
	Result     json.RawMessage   `json:"result,omitempty"`
	Pending    []string          `json:"pendingToolCallIds,omitempty"`
	Interrupts []agui.Interrupt  `json:"interrupts,omitempty"`
	Usage      []agui.TokenUsage `json:"usage,omitempty"`
}

func reduce(line []byte) (any, error) {
	var stream struct {
		Input  json.RawMessage   `json:"input"`
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(line, &stream); err != nil {
		return nil, err
	}
	thread := agui.NewThread(nil)
	if len(stream.Input) > 0 {
		in, _, err := event.DecodeRunAgentInput(stream.Input)
		if err != nil {
			return nil, err
		}
		thread = agui.NewThread(in)
	}
	result := &conversation{Interrupts: []agui.Interrupt{}, Ends: []end{}}
	for _, raw := range stream.Events {
		ev, _, err := new(event.Decoder).DecodeEvent(raw)
		if err != nil {
			return nil, err
		}
		if err := thread.Apply(ev); err != nil {
			result.Skipped = append(result.Skipped, err.Error())
		}
		if _, ok := ev.(*agui.RunFinished); ok {
			result.Ends = append(result.Ends, endOf(thread))
		}
	}
	result.Messages, result.State = thread.Messages(), thread.State()
	result.Interrupts = append(result.Interrupts, thread.PendingInterrupts()...)
	// What was reduced can be sent.
	if _, err := event.Append(nil, &agui.MessagesSnapshot{Messages: result.Messages}); err != nil {
		return nil, err
	}
	var err error
	result.Input, err = nextInput(thread)
	return result, err
}

func nextInput(thread *agui.Thread) (json.RawMessage, error) {
	var resume []agui.ResumeEntry
	for _, n := range thread.PendingInterrupts() {
		resume = append(resume, agui.ResumeEntry{InterruptID: n.ID, Status: agui.ResumeCancelled})
	}
	in, err := thread.Input("next", time.Now(), resume...)
	if err != nil {
		return nil, err
	}
	return event.AppendRunAgentInput(nil, in)
}

func endOf(thread *agui.Thread) end {
	run := thread.Run()
	e := end{Outcome: run.Outcome, Result: run.Result, Pending: run.PendingToolCallIDs, Usage: run.Usage}
	if run.Outcome == agui.OutcomeInterrupt {
		e.Interrupts = thread.PendingInterrupts()
	}
	return e
}
