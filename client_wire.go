package agloop

import (
	"encoding/json"
	"fmt"

	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/run"
)

// wire is one connection that speaks agloop.v1, or may: what its frames belong to.
type wire struct {
	// Immutable.
	mux     *mux
	greeted chan struct{} // closed when the hello has come, or none will

	// Written once, under mux.mu, before the hello or with it.
	conn *Conn
	op   Opcode // of all frames

	// Any goroutine, under mux.mu.
	hello   *control.Hello // nil before it has come
	fault   error          // what the server did wrong: nothing more is taken from it
	ended   bool           // the connection is gone
	speaks  bool           // the server chose the subprotocol
	useful  bool           // an event has come
	going   *control.Going // the server shuts down; nil while it does not
	moved   bool           // and was left for that
	greets  bool           // greeted is closed
	refs    map[string]request
	views   map[uint64]*view // attachments by number; nil for one that was left
	waiting []*view          // to be asked for when fewer are unanswered
	asked   int              // views that were asked for and are unanswered
	binds   bool             // a bind was sent, and may be refused yet
	held    []*view          // starts that were sent before, until the bind is known to hold

	// Any goroutine, under mux.mu: where the server's stream of frames stands.
	selected bool   // a selector has come
	number   uint64 // of the attachment that the next event belongs to
	next     uint64 // offset of that event
	single   bool   // it stands for next to through
	through  uint64
	spent    bool // it was single: the next one needs a selector
}

func newWire(m *mux) *wire {
	return &wire{
		mux: m, greeted: make(chan struct{}),
		refs: make(map[string]request), views: make(map[uint64]*view),
	}
}

// maxHello bounds the first frame of a server, in bytes.
const maxHello = 64 << 10

// fault is what a server did against docs/protocol.md.
func fault(format string, args ...any) error {
	return &frame.ProtocolError{Code: CloseProtocolError, Reason: fmt.Sprintf(format, args...)}
}

// receive is OnMessage. On the loop.
func (w *wire) receive(c *Conn, op Opcode, payload []byte) {
	w.mux.mu.Lock()
	defer w.mux.mu.Unlock()
	if w.fault != nil || w.ended {
		return
	}
	if w.conn == nil {
		w.conn = c
	}
	var err error
	if w.op == 0 {
		w.op = op // awaitHello knows whether it is right
	}
	switch {
	case op != w.op:
		err = errOpcode
	case control.IsControl(payload):
		err = w.control(payload)
	case w.hello == nil:
		err = fault("an event before hello")
	default:
		err = w.event(payload)
	}
	if err != nil {
		w.fail(err)
	}
}

// errOpcode is a frame of the other opcode.
var errOpcode = fault("frames of %s are text, of %s binary", control.Protocol, control.ProtocolProto)

// opcodeOf is the opcode of all frames of a subprotocol.
func opcodeOf(protocol string) Opcode {
	if protocol == control.ProtocolProto {
		return Binary
	}
	return Text
}

// fail ends everything on a wire whose server breaks the rules. Under mux.mu.
func (w *wire) fail(err error) {
	w.fault = err
	w.greet()
	if w.speaks {
		w.conn.Close(CloseProtocolError, err.(*frame.ProtocolError).Reason)
		if w.mux.wire == w {
			w.mux.endAll(err)
		}
	}
}

// greet wakes who waits for the hello. Under mux.mu.
func (w *wire) greet() {
	if !w.greets {
		w.greets = true
		close(w.greeted)
	}
}

// event takes an event frame: it is counted before anybody looks at it. Under mux.mu.
func (w *wire) event(payload []byte) error {
	switch {
	case !w.selected:
		return fault("an event before any selector")
	case w.spent:
		return fault("an event behind a fold, without a selector")
	}
	from, to := w.next, w.next
	if w.single {
		to, w.single, w.spent = w.through, false, true
	}
	if to > run.MaxOffset {
		return fault("an offset above 2^53-1")
	}
	w.next, w.useful = to+1, true
	v := w.views[w.number]
	if v == nil {
		return nil // it was left
	}
	return v.keep(w, payload, from, to)
}

// selector says what the next events belong to. Under mux.mu.
func (w *wire) selector(s *control.Run) error {
	v, known := w.views[s.Run]
	if !known {
		var err error
		if v, err = w.announce(s); err != nil {
			return err
		}
	} else if v != nil && s.Ref != "" && s.Ref != v.ref {
		return fault("attachment %d belongs to another ref", s.Run)
	}
	switch {
	case s.Run == 0:
		return fault("attachment 0")
	case s.Offset < 1 || s.Offset > run.MaxOffset:
		return fault("offset %d is not between 1 and 2^53-1", s.Offset)
	case s.Through != nil && (*s.Through+1 < s.Offset || *s.Through > run.MaxOffset):
		return fault("through %d does not fit offset %d", *s.Through, s.Offset)
	case v != nil && s.Offset != v.position+1:
		return fault("offset %d of run %q, and the last one was %d", s.Offset, clip(v.runID), v.position)
	}
	if v != nil && s.Epoch != "" {
		epoch, ok := run.ParseEpoch(s.Epoch)
		if !ok {
			return fault("epoch %q is not 16 hex digits", clip(s.Epoch))
		}
		v.place.Epoch = epoch
	}
	w.selected, w.spent = true, false
	w.number, w.next = s.Run, s.Offset
	if w.single = s.Through != nil; w.single {
		w.through = *s.Through
	}
	return nil
}

// announce gives a new number to what was asked for under its ref. The view is nil when that was
// left. Under mux.mu.
func (w *wire) announce(s *control.Run) (*view, error) {
	r, ok := w.refs[s.Ref]
	if !ok || s.Ref == "" {
		return nil, fault("attachment %d was never announced", s.Run)
	}
	if left, ok := r.(*leftRequest); ok {
		w.views[s.Run] = nil
		if !left.follow {
			delete(w.refs, s.Ref)
			w.send(control.NameLeave, &control.Leave{Run: s.Run})
			w.answer(&left.answer)
		}
		return nil, nil
	}
	v, ok := r.(*view)
	if !ok {
		return nil, fault("ref %q asked for no run", s.Ref)
	}
	if v.kind == viewFollow && w.mux.owns(s.ThreadID, s.RunID) {
		w.answer(&v.answer)
		w.views[s.Run] = nil
		w.send(control.NameLeave, &control.Leave{Run: s.Run})
		return nil, nil
	}
	again, epoch := v.beginsAgain(s), v.place.Epoch
	if err := v.announced(w, s); err != nil {
		return nil, err
	}
	w.answer(&v.answer)
	w.views[s.Run] = v
	if again && v.place.Epoch != epoch { // what is here is of another log
		w.leave(v, false)
		w.mux.drop(v)
		v.end(joinErrors(ErrTruncated, &GoneError{Thread: v.thread, Run: s.RunID, Reason: control.ReasonEpoch}))
		return nil, nil
	}
	return v, nil
}

// ask asks for r, now or when fewer requests are unanswered: a server handles them one after
// another, and bounds how many wait. Under mux.mu.
func (w *wire) ask(r request) sending {
	v, isView := r.(*view)
	most := w.hello.Limits.Controls / 2
	switch {
	case isView && most > 0 && w.asked >= most:
		w.waiting = append(w.waiting, v)
	case isView && v.starts():
		return w.askStart(v)
	default:
		w.askNow(r)
	}
	return sending{}
}

// askNow asks for what is no start. Under mux.mu.
func (w *wire) askNow(r request) {
	ref := w.mux.nextRef()
	w.refs[ref] = r
	name, body := r.ask(w, ref)
	if name == "" {
		delete(w.refs, ref)
		return
	}
	if v, ok := r.(*view); ok {
		w.asked++
		v.answer.counted = true
	}
	sent := w.send(name, body)
	if q, ok := r.(*question); ok && q.cancels != nil {
		delete(w.refs, ref)
		if sent != Dropped { // else the next wire is told
			w.mux.drop(q)
			q.reply(true, nil)
		}
	}
}

// askStart asks for a run to be started. While the server is going it would refuse. Under mux.mu.
func (w *wire) askStart(v *view) sending {
	if w.going != nil {
		return sending{}
	}
	if w.binds && v.sentTo != "" {
		w.hold(v)
		return sending{}
	}
	ref := w.mux.nextRef()
	raw := v.start(w, ref)
	if raw == nil {
		return sending{}
	}
	w.refs[ref] = v
	w.asked++
	v.answer.counted = true
	return sending{w, v, raw}
}

// answer is the one that a view waits for.
type answer struct {
	awaited bool // it has not come
	counted bool // in wire.asked
}

// answer notes that it has come, and asks for what waits for that. Under mux.mu.
func (w *wire) answer(a *answer) {
	counted := a.counted
	*a = answer{}
	if !counted {
		return
	}
	w.asked--
	for len(w.waiting) > 0 {
		v := w.waiting[0]
		w.waiting = w.waiting[1:]
		switch {
		case v.over || v.ref != "" || v.err != nil:
			continue
		case !v.starts():
			w.askNow(v)
			return
		}
		if s := w.askStart(v); s.view != nil {
			s.sendLocked()
			return
		}
	}
}

// leftRequest stands in wire.refs for what was left before the server answered, or may go on
// answering.
type leftRequest struct {
	follow bool
	answer answer
}

func (*leftRequest) ask(*wire, string) (string, any) { return "", nil }
func (*leftRequest) lost()                           {}
func (*leftRequest) end(error)                       {}

// leave ends what a view has on the wire. Under mux.mu.
func (w *wire) leave(v *view, back bool) {
	if v.ref == "" {
		return
	}
	switch {
	case v.ended():
		delete(w.refs, v.ref)
		delete(w.views, v.number)
	case v.kind == viewFollow:
		w.refs[v.ref] = &leftRequest{follow: true}
		w.send(control.NameLeave, &control.Leave{Ref: v.ref})
		w.answer(&v.answer)
	case v.answer.awaited:
		w.refs[v.ref] = &leftRequest{answer: v.answer} // its number comes with the answer
	default:
		delete(w.refs, v.ref)
		w.send(control.NameLeave, &control.Leave{Run: v.number, Back: back})
	}
	if _, has := w.views[v.number]; has {
		w.views[v.number] = nil
	}
	v.detach()
}

// send sends control. Under mux.mu.
func (w *wire) send(name string, body any) SendResult {
	// The only possible error is a body that is no JSON, and those of package control are.
	b, _ := control.Append(nil, name, body)
	return w.conn.SendNow(w.op, b)
}

// clip bounds what an error quotes of a peer's.
func clip(s string) string { return s[:min(len(s), 64)] }

// decodeControl reads the body of a control frame.
func decodeControl(name string, body json.RawMessage, into any) error {
	if json.Unmarshal(body, into) != nil {
		return fault("%s is malformed", name)
	}
	return nil
}
