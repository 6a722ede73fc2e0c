package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/server"
)

// stage is the run of a script, and the plan that the page shows for it.
type stage struct {
	ctx   context.Context
	run   *server.Run
	steps []string
	done  int // finished steps; the next one is active
}

// act is one action of a script.
type act = func() error

// play performs acts until one fails.
func (s *stage) play(acts ...act) error {
	for _, a := range acts {
		if err := a(); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for the time of n tokens, 30 to 60 ms each at random.
func (s *stage) pause(n int) error {
	t := time.NewTimer(time.Duration(n) * (30*time.Millisecond + rand.N(30*time.Millisecond)))
	defer t.Stop()
	select {
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-t.C:
		return nil
	}
}

func (s *stage) wait(n int) act { return func() error { return s.pause(n) } }

// say streams text as one message, token by token.
func (s *stage) say(text string) error {
	m, err := s.run.TextMessage()
	if err != nil {
		return err
	}
	for _, token := range strings.SplitAfter(text, " ") {
		if err := s.pause(1); err != nil {
			return err
		}
		var enough bool
		if m, enough, err = s.heed(m); err != nil || enough {
			return err
		}
		if err := m.Write(token); err != nil {
			return err
		}
	}
	return m.Close()
}

// heed answers what somebody has said while m was being spoken. It returns the message in which the
// script goes on; enough says that nobody wants to hear more, and that m is closed.
func (s *stage) heed(m *server.TextMessage) (next *server.TextMessage, enough bool, err error) {
	select {
	case <-s.run.Steering():
	default:
		return m, false, nil
	}
	if err := m.Close(); err != nil {
		return nil, false, err
	}
	var said []string
	for {
		words, ok, err := s.run.TakeSteer()
		if err != nil {
			return nil, false, err
		}
		if !ok {
			break
		}
		said = append(said, words)
	}
	if m, err = s.run.TextMessage(); err != nil {
		return nil, false, err
	}
	answer, enough := steered(strings.Join(said, " "))
	for _, token := range strings.SplitAfter(answer, " ") {
		if err := s.pause(1); err != nil {
			return nil, false, err
		}
		if err := m.Write(token); err != nil {
			return nil, false, err
		}
	}
	if enough {
		err = m.Close()
	}
	return m, enough, err
}

// tool streams a call of a tool and sends its result.
func (s *stage) tool(name string, args, result any) error {
	argsJSON, err := json.Marshal(args)
	if err != nil {
		return err
	}
	resultJSON, err := json.Marshal(result)
	if err != nil {
		return err
	}
	call, err := s.run.ToolCall(name)
	if err != nil {
		return err
	}
	for piece := range pieces(string(argsJSON), 6) {
		if err := s.pause(1); err != nil {
			return err
		}
		if err := call.Write(piece); err != nil {
			return err
		}
	}
	if err := call.Close(); err != nil {
		return err
	}
	if err := s.pause(8); err != nil { // the time that the tool takes
		return err
	}
	return call.Result(string(resultJSON))
}

// pieces cuts text into pieces of n runes, the last of them shorter.
func pieces(text string, n int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		runes := []rune(text)
		for len(runes) > 0 {
			k := min(n, len(runes))
			if !yield(string(runes[:k])) {
				return
			}
			runes = runes[k:]
		}
	}
}

type planStep struct {
	Label  string `json:"label"`
	Status string `json:"status"` // waiting, active, done or skipped; the page makes stopped of the active one when a run is cancelled
}

// plan sets the state of the run to a title and steps, the first of them active.
func (s *stage) plan(title string, steps ...string) act {
	return func() error {
		s.steps, s.done = steps, 0
		rows := make([]planStep, len(steps))
		for i, label := range steps {
			rows[i] = planStep{label, "waiting"}
		}
		rows[0].Status = "active"
		state, err := json.Marshal(map[string]any{
			"plan": map[string]any{"title": title, "done": 0, "steps": rows},
		})
		if err != nil {
			return err
		}
		return s.run.Emit(&agui.StateSnapshot{Snapshot: state})
	}
}

// next marks the active step as done and begins the next one.
func (s *stage) next() act {
	return func() error { return s.endStep("done") }
}

// skip marks the active step as skipped and begins the next one.
func (s *stage) skip() act {
	return func() error { return s.endStep("skipped") }
}

func (s *stage) endStep(status string) error {
	ops := []agui.PatchOp{replace(stepPath(s.done), status)}
	s.done++
	if s.done < len(s.steps) {
		ops = append(ops, replace(stepPath(s.done), "active"))
	}
	ops = append(ops, replace("/plan/done", s.done))
	return s.run.Emit(&agui.StateDelta{Delta: ops})
}

// note adds a line of text to the plan.
func (s *stage) note(text string) act {
	return func() error {
		op := replace("/plan/note", text)
		op.Op = agui.PatchAdd
		return s.run.Emit(&agui.StateDelta{Delta: []agui.PatchOp{op}})
	}
}

func stepPath(i int) string { return fmt.Sprintf("/plan/steps/%d/status", i) }

// replace is a patch operation; value is a string or a number.
func replace(path string, value any) agui.PatchOp {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers can always be encoded
	}
	return agui.PatchOp{Op: agui.PatchReplace, Path: path, Value: raw}
}
