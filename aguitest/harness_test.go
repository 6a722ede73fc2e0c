package aguitest_test

import (
	"context"
	"io"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// agent makes an agent of a function that needs the run alone.
func agent(f func(r *run.Run) error) run.Agent {
	return run.AgentFunc(func(_ context.Context, r *run.Run) error { return f(r) })
}

// emit is an agent that emits events and stops at the first that is refused.
func emit(events ...agui.Event) run.Agent {
	return agent(func(r *run.Run) error {
		for _, ev := range events {
			if err := r.Emit(ev); err != nil {
				return err
			}
		}
		return nil
	})
}

// quiet is a test without what is logged.
type quiet struct{ *testing.T }

func (quiet) Output() io.Writer { return io.Discard }
