package run

import (
	"context"
	"log/slog"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// EmitJSON is Emit for an event that is JSON already, as a relay of another agent or an SDK of its
// own types has it. raw is one event; it is borrowed until EmitJSON returns.
//
// It is read as a client reads it and then sent as Emit sends it, so nothing that a client would
// refuse gets past it. An event of unknown type is dropped and unknown members and elements are
// left out, for which the result is nil and the log has a warning; retired forms are translated
// (AG-UI 1.0, unknown and malformed). The halves of a character that stand in two deltas are put
// together, except in chunks. A doubled member counts as its last.
//
// One stream of a run may be passed on, whole. Its RUN_STARTED is not sent, since the run has had
// its own, but it says by which ids that stream names its run: its RUN_FINISHED is then sent with
// those of this run. A RUN_FINISHED with ids that are neither is an *agui.OrderError, as is a second
// RUN_STARTED. After the terminal event the agent should return.
//
// Errors as Emit, a *event.FieldError also for what is no JSON or no event.
func (r *Run) EmitJSON(raw []byte) error {
	if err := r.emitting.acquire(r.ctx); err != nil {
		return err
	}
	defer r.emitting.release()
	if r.relay == nil {
		r.relay = new(relay)
	}
	if err := r.over(); err != nil {
		return err
	}
	events, err := r.relay.read(r, raw)
	if err != nil {
		return err
	}
	for _, ev := range events {
		if err := r.pass(r.ctx, ev); err != nil {
			return err
		}
	}
	return nil
}

// over returns why no event may follow, nil when one may.
func (r *Run) over() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return ErrRunEnded
	}
	return nil
}

// maxNoted is how many notes about a stream are logged.
const maxNoted = 16

// relay is the stream that EmitJSON passes on, as far as it has come.
type relay struct {
	decoder event.Decoder
	joiner  event.Joiner
	noted   int // notes so far

	// The ids by which the stream names its run, once its RUN_STARTED has come.
	started     bool
	thread, run string
}

// read returns what to send for raw: nothing for what is dropped.
func (s *relay) read(r *Run, raw []byte) ([]agui.Event, error) {
	ev, notes, err := s.decoder.DecodeEvent(raw)
	if err != nil {
		return nil, err
	}
	s.log(r, notes)
	switch e := ev.(type) {
	case nil:
		return nil, nil
	case *agui.RunStarted:
		if s.started {
			return nil, &agui.OrderError{Event: e.Type(), Rule: agui.RuleRunActive, ID: e.RunID}
		}
		s.started, s.thread, s.run = true, e.ThreadID, e.RunID
		return nil, nil
	case *agui.RunFinished:
		if s.started && e.ThreadID == s.thread && e.RunID == s.run {
			e.ThreadID, e.RunID = "", "" // it gets those of the run
		}
	}
	return s.joiner.Join([]agui.Event{ev}, raw), nil
}

// log warns of what is left out of a stream, for the first of its notes.
func (s *relay) log(r *Run, notes []event.Note) {
	for _, n := range notes {
		if n.Kind == event.NoteTranslated {
			continue
		}
		if s.noted++; s.noted > maxNoted {
			return
		}
		r.log.LogAttrs(context.Background(), slog.LevelWarn, "agloop: an event given as JSON is not sent as it is",
			slog.String("thread", r.Input.ThreadID), slog.String("run", r.Input.RunID),
			slog.String("event", n.Event), slog.String("path", n.Path), slog.String("what", n.Kind.String()),
			slog.Bool("last", s.noted == maxNoted))
	}
}
