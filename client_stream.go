package agloop

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/eventpb"
)

// source gives the frames of a run, in order.
type source interface {
	// next returns the next frame, which the caller releases, or why none follows.
	next(ctx context.Context) (item, error)
	// applied says that the caller has done with all events of a frame.
	applied(it item) error
	// late returns what follows RUN_FINISHED, if there is something.
	late(ctx context.Context) (it item, ok bool)
}

// stream is the pipeline from frames to events of one run.
type stream struct {
	// Immutable.
	decoder decoder
	counts  *streamCounts
	told    func([]Note) // nil: nobody is
	// joined says that the run had begun before: what was open is not known, so the order cannot be
	// checked, and a chunk that continues an item comes as it is.
	joined bool

	// The caller's goroutine.
	proto  eventpb.Decoder
	chunks agui.Expander
	joiner event.Joiner
	order  agui.Order
	over   bool // the terminal event of a run that was joined has come
	events []agui.Event
}

// decoder makes events of frames, see event.Decoder.
type decoder interface {
	DecodeEvent(data []byte) (agui.Event, []Note, error)
}

// streamCounts count what the streams of a client left out. Any goroutine.
type streamCounts struct{ unknown, stripped atomic.Uint64 }

// errCallerLeft says that the caller left the loop before the terminal event.
var errCallerLeft = errors.New("caller left the run")

// read yields the events of a source until the terminal one, and a RUN_ERROR behind that.
func (s *stream) read(ctx context.Context, src source, yield func(agui.Event, error) bool) error {
	for !s.done() {
		it, err := src.next(ctx)
		if err != nil {
			return err
		}
		if err := s.yield(src, it, yield); err != nil {
			if err == errCallerLeft && s.done() {
				return nil
			}
			return err
		}
	}
	s.readLate(ctx, src, yield)
	return nil
}

// readLate yields a RUN_ERROR that comes behind RUN_FINISHED: the run has failed after all. Anything
// else there belongs to nobody.
func (s *stream) readLate(ctx context.Context, src source, yield func(agui.Event, error) bool) {
	if s.joined || s.order.Failed() {
		return
	}
	it, ok := src.late(ctx)
	if !ok {
		return
	}
	err := s.decode(it.frame.B, it.binary)
	it.frame.Release()
	if err != nil || len(s.events) != 1 || s.events[0].Type() != agui.EventTypeRunError {
		return
	}
	if s.order.Check(s.events[0]) == nil {
		yield(s.events[0], nil)
	}
}

// yield yields the events of one frame, and then says that they were applied.
func (s *stream) yield(src source, it item, yield func(agui.Event, error) bool) error {
	err := s.decode(it.frame.B, it.binary)
	it.frame.Release()
	if err != nil {
		return err
	}
	for _, ev := range s.events {
		if err := s.check(ev); err != nil {
			return err
		}
		if !yield(ev, nil) {
			return errCallerLeft
		}
	}
	return src.applied(it)
}

// check checks the order of an event, where it is known.
func (s *stream) check(ev agui.Event) error {
	if !s.joined {
		return s.order.Check(ev)
	}
	switch ev.(type) {
	case *agui.RunFinished, *agui.RunError:
		s.over = true
	}
	return nil
}

// done reports whether the terminal event has come.
func (s *stream) done() bool { return s.over || s.order.Done() }

// decode makes the events of one frame: none when it is dropped, several for some chunks. A binary
// frame is protobuf, or JSON for an event that protobuf does not carry.
func (s *stream) decode(frame []byte, binary bool) (err error) {
	s.events = s.events[:0]
	d := s.decoder
	proto := binary && (len(frame) == 0 || frame[0] != '{')
	if proto {
		d = &s.proto
	}
	ev, notes, err := d.DecodeEvent(frame)
	for _, n := range notes {
		switch n.Kind {
		case NoteDropped:
			s.counts.unknown.Add(1)
		case NoteStripped:
			s.counts.stripped.Add(uint64(n.Times()))
		}
	}
	if len(notes) > 0 && s.told != nil {
		s.told(notes)
	}
	if err != nil || ev == nil {
		return err
	}
	if s.events, err = s.chunks.Expand(ev, s.events); err != nil && s.joined {
		s.events, err = append(s.events, ev), nil
	}
	if proto {
		frame = nil // it has no halves
	}
	if err == nil {
		s.events = s.joiner.Join(s.events, frame)
	}
	return err
}
