package run

import (
	"context"
	"sync/atomic"

	"github.com/agloop/agloop/agui"
)

// Tracer is told what becomes of the runs of an agent. Any function may be nil.
type Tracer struct {
	// Start is called before the agent. What it returns is the agent's context, with a span for
	// instance, and is given to the other functions; it must descend from ctx.
	Start func(ctx context.Context, r *Run) context.Context
	// FirstEvent is called when the first event of the agent has been sent, by the goroutine that
	// emits it. It must not emit. ev belongs to the agent.
	FirstEvent func(ctx context.Context, ev agui.Event)
	// End is called once, when the agent has returned, has panicked or has ended its goroutine.
	End func(ctx context.Context, sum TraceSum)
}

// TraceSum is what an agent has come to.
type TraceSum struct {
	// Events is how many events of the agent have been sent.
	Events int
	// Err is what the agent returned, a *PanicError when it panicked. A run that is cancelled has
	// its cause in context.Cause.
	Err error
}

// Trace tells a Tracer of each run of the agent. What the run sends by itself, RUN_STARTED and the end
// of a run whose agent has returned, is not counted. A panic of the agent becomes a *PanicError, which
// ends the run as the panic would.
func Trace(t Tracer) Middleware {
	return func(next Agent) Agent {
		return AgentFunc(func(ctx context.Context, r *Run) error {
			if t.Start != nil {
				ctx = t.Start(ctx, r)
			}
			var sent atomic.Int64
			view := r.With(ctx, func(ev agui.Event, emit func(agui.Event) error) error {
				if err := emit(ev); err != nil {
					return err
				}
				if sent.Add(1) == 1 && t.FirstEvent != nil {
					t.FirstEvent(ctx, ev)
				}
				return nil
			})
			err := errGoexit // unless it returns
			defer func() {
				if t.End != nil {
					t.End(ctx, TraceSum{int(sent.Load()), err})
				}
			}()
			err = callRecovered(ctx, next, view)
			return err
		})
	}
}
