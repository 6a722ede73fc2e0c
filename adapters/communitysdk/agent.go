package communitysdk

import (
	"context"
	"fmt"

	"github.com/agloop/agloop/run"
)

// Event is an event value of the SDK, or of anybody's: what can write itself as JSON.
type Event interface {
	ToJSON() ([]byte, error)
}

// Emit sends an event, by Run.EmitJSON: its RUN_STARTED is not sent, since the run has one, and its
// RUN_FINISHED gets the ids of the run. noted is told what was translated; nil is nobody. Errors are
// those of ev and of EmitJSON, which does not send what is out of order. It may be called from any
// goroutine.
func Emit(r *run.Run, ev Event, noted func(Note)) error {
	raw, err := ev.ToJSON()
	if err != nil {
		return fmt.Errorf("adapters/communitysdk: %T cannot be written: %w", ev, err)
	}
	return emit(r, raw, noted)
}

func emit(r *run.Run, raw []byte, noted func(Note)) error {
	raw, notes := Translate(raw)
	if noted != nil {
		for _, n := range notes {
			noted(n)
		}
	}
	return r.EmitJSON(raw)
}

// Agent makes an agent of f, which takes an input of the SDK (or any type with the JSON of one) and
// emits its events. When f returns, the run ends as it does for every agent: f may also emit the
// terminal event itself. ctx ends when the run is cancelled. An input that does not fit into I is
// the agent's error. noted is that of [Emit], and may be called from any goroutine.
func Agent[I any, E Event](f func(ctx context.Context, in I, emit func(E) error) error, noted func(Note)) run.Agent {
	return run.AgentFunc(func(ctx context.Context, r *run.Run) error {
		var in I
		if err := ToInput(r.Input, &in); err != nil {
			return err
		}
		return f(ctx, in, func(ev E) error { return Emit(r, ev, noted) })
	})
}
