package agloop

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/frame"
)

// Run sends in and yields the events of the run, decoded, chunks expanded, order verified, up to
// its terminal event: RUN_FINISHED, or RUN_ERROR, which is an event and no error. Events of unknown
// type are left out and counted, see Stats. A character that was cut in two halves of a surrogate
// pair comes whole, with the later delta.
//
// An error ends the sequence and closes the connection: a *FieldError naming event and field, an
// *OrderError, ErrTruncated with the *CloseError when the connection ended first, ErrSlowConsumer,
// ctx's error. A *FieldError for in itself, and ErrRunActive, are yielded before anything is sent
// and close nothing. AG-UI knows no message that stops a run: leaving the loop early closes the
// connection, also when its body panics.
//
// Runs of one client come one after another; the events belong to the caller.
func (c *Client) Run(ctx context.Context, in *agui.RunAgentInput) iter.Seq2[agui.Event, error] {
	return func(yield func(agui.Event, error) bool) {
		if c.inbox == nil {
			yield(nil, &ConfigError{Field: "Handler", Reason: "excludes Run"})
			return
		}
		if !c.running.CompareAndSwap(false, true) {
			yield(nil, ErrRunActive)
			return
		}
		defer c.running.Store(false)
		raw, err := encodeInput(in)
		if err != nil {
			yield(nil, err)
			return
		}
		c.inbox.begin()
		c.conn.SendNow(Text, raw) // dropped on a closed connection: the inbox knows why
		if err := c.readRun(ctx, yield); err != nil && !errors.Is(err, errCallerLeft) {
			yield(nil, err)
		}
	}
}

// readRun yields the events of the run whose input was sent, and closes the connection unless that
// comes to its terminal event.
func (c *Client) readRun(ctx context.Context, yield func(agui.Event, error) bool) (err error) {
	err = errCallerLeft // if yield panics
	defer func() {
		if err != nil {
			c.conn.Close(closeCodeFor(err), "")
		}
		c.inbox.end(err != nil)
	}()
	stream := stream{client: c, decoder: new(event.Decoder)}
	return stream.read(ctx, yield)
}

// encodeInput is the message that begins a run.
func encodeInput(in *agui.RunAgentInput) ([]byte, error) {
	if in != nil && in.ProtocolVersion == nil {
		versioned := *in
		versioned.ProtocolVersion = new(agui.ProtocolVersion)
		in = &versioned
	}
	return event.AppendRunAgentInput(nil, in)
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

// errCallerLeft says that the caller left the loop before the terminal event.
var errCallerLeft = errors.New("caller left the run")

// stream is the pipeline from frames to events of one run.
type stream struct {
	client  *Client
	decoder decoder
	chunks  agui.Expander
	joiner  surrogateJoiner
	order   agui.Order
	events  []agui.Event
}

// decoder makes events of frames, see event.Decoder.
type decoder interface {
	DecodeEvent(data []byte) (agui.Event, []event.Note, error)
}

// read yields events until the terminal one.
func (s *stream) read(ctx context.Context, yield func(agui.Event, error) bool) error {
	for !s.order.Done() {
		frame, err := s.client.inbox.next(ctx)
		if err != nil {
			return err
		}
		err = s.decode(frame.B)
		frame.Release()
		if err != nil {
			return err
		}
		for _, ev := range s.events {
			if err := s.order.Check(ev); err != nil {
				return err
			}
			if !yield(ev, nil) {
				if s.order.Done() {
					return nil
				}
				return errCallerLeft
			}
		}
	}
	return nil
}

// decode makes the events of one frame: none when it is dropped, several for some chunks.
func (s *stream) decode(frame []byte) (err error) {
	s.events = s.events[:0]
	ev, notes, err := s.decoder.DecodeEvent(frame)
	for _, n := range notes {
		switch n.Kind {
		case event.NoteDropped:
			s.client.unknown.Add(1)
		case event.NoteStripped:
			s.client.stripped.Add(1)
		}
	}
	if err != nil || ev == nil {
		return err
	}
	if s.events, err = s.chunks.Expand(ev, s.events); err == nil {
		s.events = s.joiner.join(s.events, frame)
	}
	return err
}

// inbox is the Handler of a client that runs agents: it keeps frames until Run reads them.
type inbox struct {
	NopHandler
	limit int

	// Any goroutine, under mu.
	mu      sync.Mutex
	frames  []*bufpool.Buffer
	bytes   int           // that frames take, see eventSize
	reading bool          // a run reads them; what comes while none does belongs to none
	broken  bool          // the connection is closed: what still comes is of a run that is over
	conn    *Conn         // for which the ledger counts the frames; nil while it counts none
	err     error         // no more frames will come; those that came are still good
	signal  chan struct{} // holds one token when something changed
}

func newInbox(limit int) *inbox {
	return &inbox{limit: limit, signal: make(chan struct{}, 1)}
}

// OnMessage implements Handler.
func (b *inbox) OnMessage(c *Conn, op Opcode, payload []byte) {
	if op != Text {
		c.Close(frame.CloseUnsupported, "events are text")
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || !b.reading {
		return
	}
	f := bufpool.Get(len(payload)).Append(payload)
	if size := eventSize(f); b.bytes+size <= b.limit || len(b.frames) == 0 {
		b.frames = append(b.frames, f)
		b.bytes += size
		b.conn = c
		c.Hold(size)
	} else {
		f.Release()
		b.err = ErrSlowConsumer
		c.Close(ClosePolicy, "events wait too long")
	}
	b.notify()
}

// eventSize is the memory that an event takes while it waits, in bytes: its buffer, and besides the
// bufpool.Buffer itself and a pointer to it in a list that doubles when it grows.
func eventSize(f *bufpool.Buffer) int {
	const besides = 80 + 2*8
	return f.Cap() + besides
}

// OnClose implements Handler.
func (b *inbox) OnClose(_ *Conn, why *CloseError) {
	b.mu.Lock()
	b.unhold(b.frames...) // perhaps nobody ever reads them
	b.conn = nil
	b.mu.Unlock()
	b.fail(joinErrors(ErrTruncated, why))
}

// fail ends the inbox with err, unless it has ended.
func (b *inbox) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.notify()
}

// notify is called under mu.
func (b *inbox) notify() {
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// begin keeps what comes from now on for a run.
func (b *inbox) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = !b.broken
}

// end drops the frames that the run has not read, and those that come until the next one begins.
// After a run that broke the connection none does.
func (b *inbox) end(broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading, b.broken = false, b.broken || broken
	b.drop()
}

// drop is called under mu.
func (b *inbox) drop() {
	b.unhold(b.frames...)
	for _, f := range b.frames {
		f.Release()
	}
	b.frames, b.bytes = nil, 0
}

// unhold takes frames off the ledger. Under mu.
func (b *inbox) unhold(frames ...*bufpool.Buffer) {
	if b.conn == nil {
		return
	}
	for _, f := range frames {
		b.conn.Hold(-eventSize(f))
	}
}

// next returns the next frame, which the caller releases.
func (b *inbox) next(ctx context.Context) (*bufpool.Buffer, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b.mu.Lock()
		if len(b.frames) > 0 {
			f := b.frames[0]
			b.frames[0] = nil
			b.frames = b.frames[1:]
			b.bytes -= eventSize(f)
			b.unhold(f)
			b.mu.Unlock()
			return f, nil
		}
		err := b.err
		b.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-b.signal:
		case <-ctx.Done():
		}
	}
}
