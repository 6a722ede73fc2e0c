package agloop

import (
	"context"
	"errors"
	"iter"

	"github.com/agloop/agloop/agui"
)

// Attach yields the events of a run behind a cursor, up to its terminal event: those that there are,
// and then each as it comes. The zero Cursor is the start: RUN_STARTED comes with the messages of
// the input then, and a STATE_SNAPSHOT of its state behind it. Behind another one the order of
// events is not checked, and a chunk whose item began before it comes as it is. Events that came one
// by one may come as one with the text of all.
//
// Attaching to a run that this client sees already ends the earlier sequence with ErrGone. Leaving
// the loop early, the end of ctx and a lost connection are as with Run. Errors: ErrGone, as a
// *GoneError that says why where the server does; ErrNoResume on a bare wire; and as Run.
func (c *Client) Attach(ctx context.Context, thread, run string, from Cursor) iter.Seq2[agui.Event, error] {
	return func(yield func(agui.Event, error) bool) {
		if c.http != nil {
			c.http.attach(ctx, thread, run, from, yield)
			return
		}
		if err := c.resumable(ctx); err != nil {
			yield(nil, err)
			return
		}
		v := newView(c.mux, viewAttach, thread, run)
		v.place = from
		v.deliver(ctx, c.newStream(thread, run), yield)
	}
}

// Follow yields the runs of a thread, one after another in the order of their start: those that the
// server still has, each from its start, the one that goes on, and those to come, whoever starts
// them, but none that another sequence of this client sees. It ends with ctx, when the loop is left,
// or with an error. Each run begins with RUN_STARTED and ends with its terminal event.
//
// An error that is a *GoneError with the name of a run says that this one cannot be given, or not to
// its end; the sequence goes on with the next one when the loop does. Every other error ends it; as
// Attach.
func (c *Client) Follow(ctx context.Context, thread string) iter.Seq2[agui.Event, error] {
	return func(yield func(agui.Event, error) bool) {
		if err := c.resumable(ctx); err != nil {
			yield(nil, err)
			return
		}
		v := newView(c.mux, viewFollow, thread, "")
		err := v.follow(ctx, func(run string) *stream { return c.newStream(thread, run) }, yield)
		if !errors.Is(err, errCallerLeft) {
			yield(nil, err)
		}
	}
}

// resumable waits until the client has a connection, or dials again for one, and returns ErrNoResume
// when that is a bare wire.
func (c *Client) resumable(ctx context.Context) error {
	if c.http != nil {
		return ErrNoResume
	}
	k, err := c.ready(ctx)
	if err == nil && k != nil && k.bare.Load() {
		err = ErrNoResume
	}
	return err
}

// deliver yields the events of one run.
func (v *view) deliver(ctx context.Context, s *stream, yield func(agui.Event, error) bool) {
	if err := v.read(ctx, s, yield); err != nil && !errors.Is(err, errCallerLeft) {
		yield(nil, err)
	}
}

// read yields the events of one run and leaves it, whatever the caller does. It returns why the run
// did not come to its terminal event.
func (v *view) read(ctx context.Context, s *stream, yield func(agui.Event, error) bool) error {
	s.joined = v.place.Offset > 0 // before the loop knows of v
	if err := v.mux.add(v); err != nil {
		return err
	}
	defer v.mux.remove(v)
	err := s.read(ctx, v, yield)
	if s.done() {
		v.legEnded(v.runID)
	}
	return err
}

// follow yields the events of one run after another.
func (v *view) follow(ctx context.Context, newStream func(run string) *stream, yield func(agui.Event, error) bool) error {
	if err := v.mux.add(v); err != nil {
		return err
	}
	defer v.mux.remove(v)
	var s *stream
	var under *leg // the run under way; nil between two
	var whole *leg // the last one that came to its end
	for {
		it, err := v.next(ctx)
		if err != nil {
			return err
		}
		if it.leg != under && under != nil && it.err == nil {
			if !yield(nil, &GoneError{Thread: v.thread, Run: under.runID}) {
				return errCallerLeft
			}
		}
		if it.err != nil {
			if it.leg != nil && it.leg == whole {
				continue // the server does not have it any more, and the caller has all of it
			}
			if it.leg == under {
				under = nil
			}
			if !yield(nil, it.err) {
				return errCallerLeft
			}
			continue
		}
		if it.leg != under {
			under, s = it.leg, newStream(it.leg.runID)
		}
		if err := s.yield(v, it, yield); err != nil {
			return err
		}
		if s.done() {
			v.legEnded(under.runID)
			under, whole = nil, under
		}
	}
}
