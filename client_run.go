package agloop

import (
	"context"
	"errors"
	"iter"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
	"github.com/agloop/agloop/codec/frame"
)

// Run sends in and yields the events of the run, decoded, chunks expanded, order verified, up to
// its terminal event: RUN_FINISHED, or RUN_ERROR, which is an event and no error. On a bare wire a
// RUN_ERROR that has come behind RUN_FINISHED by then follows it: the run has failed. Events of
// unknown type are left out and counted, see Stats. A character that was cut in two halves of a surrogate
// pair comes whole, with the later delta. The events belong to the caller.
//
// On agloop.v1 any number of runs go on at once. A run survives its connection: the client dials
// again, see Resume, and the sequence goes on where it was. The same names with the same input
// attach to the run that there is; a run whose Cursor is not zero is never started again but
// attached to behind that. Leaving the loop early, and the end of ctx, leave the run and do not stop
// it: that is for Cancel. When more than ClientConfig.MaxPending waits for the loop the run is left
// for a while, and nothing is lost.
//
// On a bare wire runs come one after another, and a run ends with its connection. AG-UI knows no
// message that stops a run: leaving the loop early closes the connection, also when its body
// panics, and so does an error that is not yielded before anything is sent.
//
// In both cases the next call dials again when there is no connection. An error ends the sequence:
// a *FieldError naming event and field, an *OrderError, ErrTruncated with why the rest does not
// come, ErrClientClosed, ctx's error, that of dialling. A *FieldError for in itself is yielded
// before anything is sent. On agloop.v1 also ErrGone for a run that has been and is not kept any
// more, ErrConflict, *RejectedError, ErrInputTooBig, ErrStartUnknown; on a bare wire ErrRunActive
// and ErrSlowConsumer.
func (c *Client) Run(ctx context.Context, in *agui.RunAgentInput) iter.Seq2[agui.Event, error] {
	return func(yield func(agui.Event, error) bool) {
		if c.mux == nil {
			yield(nil, &ConfigError{Field: "Handler", Reason: "excludes Run"})
			return
		}
		raw, err := encodeInput(in, &c.cfg.Limits)
		if err != nil {
			yield(nil, err)
			return
		}
		if c.http != nil {
			c.http.run(ctx, in, raw, yield)
			return
		}
		k, err := c.ready(ctx)
		switch {
		case err != nil:
			yield(nil, err)
		case k != nil && k.bare.Load():
			c.runBare(ctx, in, raw, yield)
		default:
			c.runResumable(ctx, in, raw, yield)
		}
	}
}

// runResumable makes a run over agloop.v1.
func (c *Client) runResumable(ctx context.Context, in *agui.RunAgentInput, raw []byte, yield func(agui.Event, error) bool) {
	v, err := c.mux.newRun(in, raw)
	if err != nil {
		yield(nil, err)
		return
	}
	v.deliver(ctx, c.newStream(in.ThreadID, in.RunID), yield)
}

// newRun is the view of a run that is to be started, or of one that was seen before.
func (m *mux) newRun(in *agui.RunAgentInput, raw []byte) (*view, error) {
	at, err := m.load(in.ThreadID, in.RunID)
	if err != nil {
		return nil, err
	}
	v := newView(m, viewStart, in.ThreadID, in.RunID)
	v.input = raw
	if at.Offset > 0 {
		v.kind, v.place = viewAttach, at
	}
	return v, nil
}

// runBare makes a run on a wire without a subprotocol.
func (c *Client) runBare(ctx context.Context, in *agui.RunAgentInput, raw []byte, yield func(agui.Event, error) bool) {
	if !c.running.CompareAndSwap(false, true) {
		yield(nil, ErrRunActive)
		return
	}
	defer c.running.Store(false)
	k, err := c.ready(ctx) // the run before may have closed its connection meanwhile
	if err != nil {
		yield(nil, err)
		return
	}
	if k == nil || !k.bare.Load() { // and the next one speaks agloop.v1
		c.runResumable(ctx, in, raw, yield)
		return
	}
	k.inbox.begin()
	k.conn.SendNow(Text, raw) // dropped on a closed connection: the inbox knows why
	if err := c.readBare(ctx, k, in, yield); err != nil && !errors.Is(err, errCallerLeft) {
		yield(nil, err)
	}
}

// readBare yields the events of the run whose input was sent, and closes the connection unless that
// comes to its terminal event.
func (c *Client) readBare(ctx context.Context, k *connection, in *agui.RunAgentInput, yield func(agui.Event, error) bool) (err error) {
	err = errCallerLeft // if yield panics
	defer func() {
		if err != nil {
			c.retire(k)
			k.conn.Close(closeCodeFor(err), "")
		}
		k.inbox.end(err != nil)
	}()
	return c.newStream(in.ThreadID, in.RunID).read(ctx, k.inbox, yield)
}

// newStream returns the pipeline of a run.
func (c *Client) newStream(thread, run string) *stream {
	limits := eventLimits(&c.cfg.Limits)
	return &stream{
		decoder: &event.Decoder{Limits: limits}, proto: eventpb.Decoder{Limits: limits},
		counts: &c.counts, told: c.cfg.tellNotes(thread, run),
	}
}

// tellNotes tells the hook of notes of a run's events; nil when there is none.
func (cfg *ClientConfig) tellNotes(thread, run string) func([]Note) {
	if cfg.OnNotes == nil {
		return nil
	}
	return func(notes []Note) { cfg.OnNotes(thread, run, notes) }
}

// encodeInput is the message that begins a run.
func encodeInput(in *agui.RunAgentInput, limits *Limits) ([]byte, error) {
	if in != nil && in.ProtocolVersion == nil {
		versioned := *in
		versioned.ProtocolVersion = new(agui.ProtocolVersion)
		in = &versioned
	}
	return eventLimits(limits).AppendRunAgentInput(nil, in)
}

// closeCodeFor is the close code for the server when a run ends with err.
func closeCodeFor(err error) CloseCode {
	if errors.Is(err, ErrClientClosed) {
		return CloseNormal // as Close says, whichever of the two comes first
	}
	if _, ok := errors.AsType[*FieldError](err); ok {
		return frame.CloseProtocolError
	}
	if _, ok := errors.AsType[*OrderError](err); ok {
		return frame.CloseProtocolError
	}
	return CloseGoingAway
}
