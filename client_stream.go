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
}

// stream is the pipeline from frames to events of one run.
type stream struct {
	// Immutable.
	decoder decoder
	counts  *streamCounts
	// joined says that the run had begun before: what was open is not known, so the order cannot be
	// checked, and a chunk that continues an item comes as it is.
	joined bool

	// The caller's goroutine.
	proto  eventpb.Decoder
	chunks agui.Expander
	joiner surrogateJoiner
	order  agui.Order
	over   bool // the terminal event of a run that was joined has come
	events []agui.Event
}

// decoder makes events of frames, see event.Decoder.
type decoder interface {
	DecodeEvent(data []byte) (agui.Event, []event.Note, error)
}

// streamCounts count what the streams of a client left out. Any goroutine.
type streamCounts struct{ unknown, stripped atomic.Uint64 }

// errCallerLeft says that the caller left the loop before the terminal event.
var errCallerLeft = errors.New("caller left the run")

// read yields the events of a source until the terminal one.
func (s *stream) read(ctx context.Context, src source, yield func(agui.Event, error) bool) error {
	for !s.done() {
		it, err := src.next(ctx)
		if err != nil {
			return err
		}
		if err := s.yield(src, it, yield); err != nil && (err != errCallerLeft || !s.done()) {
			return err
		}
	}
	return nil
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
		case event.NoteDropped:
			s.counts.unknown.Add(1)
		case event.NoteStripped:
			s.counts.stripped.Add(1)
		}
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
		s.events = s.joiner.join(s.events, frame)
	}
	return err
}
