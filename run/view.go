package run

import (
	"context"

	"github.com/agloop/agloop/agui"
)

// EventFilter sees the events of an agent before they are sent, and decides what is: it calls emit
// with the event, with another one, several times or not at all. What it returns is what the agent's
// Emit returns, so it should return emit's error. It is called by the goroutine that emits, by one at
// a time, in the order in which events are sent. It may change ev, which belongs to the agent again
// when it returns, and must call no method of the run that it filters that emits: that would wait for
// itself.
//
// It sees what the agent emits, by whichever method, and not what the run sends by itself:
// RUN_STARTED, and the end of a run whose agent has returned.
type EventFilter func(ev agui.Event, emit func(agui.Event) error) error

// With returns a view of the run, for an agent within another one, as a Middleware has it. The view's
// Emit waits until ctx ends, which should be the context that the agent gets and descend from that of
// r. Its events pass through filter, nil is none, and then through what r has.
//
// All else is the run's own. Input and Principal of the view may be set before it is used. The view
// is of use as long as the run.
func (r *Run) With(ctx context.Context, filter EventFilter) *Run {
	view := &Run{Input: r.Input, Principal: r.Principal, ctx: ctx, up: r, via: filter, core: r.core}
	view.emitting.pass = make(chan struct{}, 1)
	return view
}

// passUp sends an event by way of the run that r is a view of.
func (r *Run) passUp(ctx context.Context, ev agui.Event) error {
	if r.via == nil {
		return r.up.emitWithin(ctx, ev)
	}
	return r.via(ev, func(ev agui.Event) error { return r.up.emitWithin(ctx, ev) })
}
