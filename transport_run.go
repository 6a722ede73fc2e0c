package agloop

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"runtime/debug"
	"runtime/pprof"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/run"
)

// Run is Client.Run on one of the transport's connections, where the run stays to its end: its
// events come in order. As many runs go on at once as there are connections up; more wait, first
// come first served, until ctx ends. Runs are spread evenly over the URLs and the connections.
//
// On agloop.v1 a run survives its connection, which is dialled again until ctx ends; it keeps its
// place meanwhile. On a bare wire a run that fails after its input was sent is not repeated: an
// agent may have acted on it. Its connection is closed and dialled again then, as when the caller
// leaves early. Errors are those of Client.Run, and ErrTransportClosed.
func (t *Transport) Run(ctx context.Context, in *agui.RunAgentInput) iter.Seq2[agui.Event, error] {
	return func(yield func(agui.Event, error) bool) {
		raw, err := encodeInput(in, &t.cfg.Client.Limits)
		if err != nil {
			yield(nil, err)
			return
		}
		l, err := t.startRun(ctx, raw)
		if err != nil {
			yield(nil, err)
			return
		}
		if err := t.readRun(ctx, l, in, raw, yield); err != nil && !errors.Is(err, errCallerLeft) {
			yield(nil, err)
		}
	}
}

// readRun yields the events of a run. Then it releases the connection, or closes that of a bare wire
// unless the run came to its terminal event.
func (t *Transport) readRun(
	ctx context.Context, l *link, in *agui.RunAgentInput, raw []byte, yield func(agui.Event, error) bool,
) (err error) {
	err = errCallerLeft // if yield panics
	defer func() { t.endRun(l, err) }()
	serializer := t.perf.serializers.Get()
	defer t.perf.serializers.Put(serializer)
	labels := pprof.Labels("thread", in.ThreadID, "run", in.RunID)
	t.perf.collector.Do(ctx, labels, func(ctx context.Context) {
		each := func(ev agui.Event, err error) bool {
			t.dispatch(l, ev)
			return yield(ev, err)
		}
		stream := &stream{counts: &t.streams, decoder: serializer, told: t.cfg.Client.tellNotes(in.ThreadID, in.RunID)}
		if l.bare.Load() {
			err = stream.read(ctx, l.inbox, each)
			return
		}
		var v *view
		if v, err = l.slot.mux.newRun(in, raw); err == nil {
			err = v.read(ctx, stream, each)
		}
	})
	return err
}

// startRun takes a connection for a run, and sends the input over a bare one. If that is ending and
// drops the input, nobody has seen it, so another connection is taken.
func (t *Transport) startRun(ctx context.Context, raw []byte) (*link, error) {
	for {
		l, err := t.acquire(ctx)
		if err != nil {
			return nil, err
		}
		l.inbox.begin()
		l.conn.SetBusy(true)
		if !l.bare.Load() || l.sendInput(raw) != Dropped {
			t.mu.Lock()
			t.counts.runs++
			t.mu.Unlock()
			return l, nil
		}
		_ = t.markUnusable(l)
		t.mu.Lock()
		t.pool.release(l)
		t.mu.Unlock()
	}
}

// endRun releases the connection of a run. A bare one is closed after an error.
func (t *Transport) endRun(l *link, err error) {
	l.conn.SetBusy(false)
	broken := err != nil && l.bare.Load()
	if broken {
		l.conn.Close(closeCodeFor(err), "")
	}
	l.inbox.end(broken)
	t.mu.Lock()
	defer t.mu.Unlock()
	l.unusable = l.unusable || broken
	if err != nil && !errors.Is(err, errCallerLeft) {
		t.counts.runsFailed++
		t.counts.lastErr = err
	}
	t.pool.release(l)
}

// eventHandler is one call of AddEventHandler.
type eventHandler struct{ handle func(agui.Event) }

// dispatch calls the handlers with an event.
func (t *Transport) dispatch(l *link, ev agui.Event) {
	t.eventsIn.Add(1)
	l.useful.Store(true)
	if list := t.handlers.Load(); list != nil {
		for _, h := range *list {
			t.callHandler(h, ev)
		}
	}
}

func (t *Transport) callHandler(h *eventHandler, ev agui.Event) {
	defer func() {
		if v := recover(); v != nil {
			t.panics.Add(1)
			t.log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in an event handler",
				slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		}
	}()
	h.handle(ev)
}

// editHandlers replaces the list, which is read without a lock.
func (t *Transport) editHandlers(edit func([]*eventHandler) []*eventHandler) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*eventHandler
	if old := t.handlers.Load(); old != nil {
		list = append(list, *old...)
	}
	list = edit(list)
	t.handlers.Store(&list)
}

// SendEvent sends one event to the peer, as a text message of its own. AG-UI itself has events
// travel from agent to client only, so this is for peers that take them, such as a relay; an agloop
// server with an Agent takes inputs and answers anything else with RUN_ERROR. The event is checked
// by itself; its order in a run is not.
//
// All events go over one connection while that lives, so they arrive in the order of the calls, and
// over another afterwards. Runs may use the same connection; what the peer answers between runs is
// dropped and counted, what it answers during one is taken for an event of that run.
//
// SendEvent waits while no connection is up, and while more bytes wait for the peer than
// Limits.SoftLimit, until ctx ends. nil means that the event is on its way, not that it arrived.
// Errors: a *FieldError, ErrEventTooBig, ErrEventsOneWay, ctx's error, ErrTransportClosed,
// ErrEventDropped; the event was not sent then.
func (t *Transport) SendEvent(ctx context.Context, ev agui.Event) error {
	buf := bufpool.Get(bufpool.MinSize)
	defer buf.Release()
	enc := t.perf.serializers.Get()
	raw, err := enc.AppendEvent(buf.B, ev)
	t.perf.serializers.Put(enc)
	if err != nil {
		return err
	}
	if err := run.CheckSize(ev, len(raw), t.cfg.Client.Limits.MaxEvent); err != nil {
		return err
	}
	l, err := t.awaitEventLink(ctx)
	if err != nil {
		return err
	}
	if !l.bare.Load() {
		return ErrEventsOneWay
	}
	sent, err := l.send(ctx, raw)
	if err != nil {
		return err
	}
	if sent == Dropped {
		return t.markUnusable(l)
	}
	t.eventsOut.Add(1)
	return nil
}

// awaitEventLink returns the connection that carries events, waiting while there is none.
func (t *Transport) awaitEventLink(ctx context.Context) (*link, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t.mu.Lock()
		if t.state != transportRunning {
			t.mu.Unlock()
			return nil, ErrTransportClosed
		}
		for _, s := range t.slots {
			if t.eventLink != nil {
				break
			}
			if s.link != nil && !s.link.unusable {
				t.eventLink = s.link
			}
		}
		l, arrival, over := t.eventLink, t.arrival, t.lifetime.ctx.Done()
		t.mu.Unlock()
		if l != nil {
			return l, nil
		}
		select {
		case <-arrival:
		case <-over:
			return nil, ErrTransportClosed
		case <-ctx.Done():
		}
	}
}
