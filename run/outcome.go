package run

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/agloop/agloop/agui"
)

// Result sets what the run comes to, which its RUN_FINISHED then has as result unless the agent
// emits one that has its own. A cancelled or failed run has none. value is encoded by encoding/json;
// nil takes back what was set before. The agent should return nil afterwards.
//
// Errors: those of encoding/json, a *event.FieldError for null, ErrEventTooBig, ErrRunEnded; what was
// set before then stays.
func (r *Run) Result(value any) error {
	raw, err := encodeResult(value)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.result
	r.result = raw
	if err = r.checkTotals(); err != nil {
		r.result = before
	}
	return err
}

func encodeResult(value any) (json.RawMessage, error) {
	if value == nil {
		return nil, nil
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("agloop: result: %w", err)
	}
	return raw, nil
}

// checkTotals checks that a RUN_FINISHED with what is set for it can be sent. Under mu.
func (r *Run) checkTotals() error {
	if r.ended {
		return ErrRunEnded
	}
	end := r.withTotals(&agui.RunFinished{ThreadID: r.Input.ThreadID, RunID: r.Input.RunID})
	b, err := r.enc.AppendEvent(r.buf[:0], end)
	if err != nil {
		return err
	}
	return CheckSize(end, len(b), r.maxEvent)
}

// Interrupt ends the run with questions that the next input answers by its Resume: RUN_FINISHED with
// outcome interrupt. An empty ID becomes a fresh one; an agent that must find the question again sets
// its own. Nothing may be open, and the agent should return afterwards. Errors as Emit, also for no
// interrupts and for two with the same id.
func (r *Run) Interrupt(interrupts ...agui.Interrupt) error {
	interrupts = slices.Clone(interrupts)
	for i := range interrupts {
		if interrupts[i].ID == "" {
			interrupts[i].ID = newID("int-")
		}
	}
	return r.Emit(&agui.RunFinished{Outcome: &agui.Outcome{Type: agui.OutcomeInterrupt, Interrupts: interrupts}})
}

// PendingToolCalls ends the run with calls of tools of the frontend, whose results come as tool
// messages of the next input: RUN_FINISHED with outcome success. Nothing may be open, and the agent
// should return afterwards. Errors as Emit.
func (r *Run) PendingToolCalls(toolCallIDs ...string) error {
	return r.Emit(&agui.RunFinished{Outcome: &agui.Outcome{Type: agui.OutcomeSuccess, PendingToolCallIDs: toolCallIDs}})
}

// withTotals returns a terminal event with the usage and the result that were collected for it, any
// other event as it is. ev is not changed. Under mu.
func (c *core) withTotals(ev agui.Event) agui.Event {
	switch e := ev.(type) {
	case *agui.RunFinished:
		cancelled := e.Outcome != nil && e.Outcome.Type == agui.OutcomeCancelled
		result := c.result
		if len(e.Result) > 0 || cancelled {
			result = e.Result
		}
		if len(c.usage) == 0 && len(result) == len(e.Result) {
			return ev
		}
		whole := *e
		whole.Result, whole.Usage = result, c.totalUsage(e.Usage)
		return &whole
	case *agui.RunError:
		if len(c.usage) == 0 {
			return ev
		}
		whole := *e
		whole.Usage = c.totalUsage(e.Usage)
		return &whole
	}
	return ev
}
