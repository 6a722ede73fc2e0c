package agloop

import (
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/run"
)

// mux is a client's end of agloop.v1: what it has asked for, over the connection of now and the
// ones after that. One wire at a time is up; what is asked for while none is waits for the next.
type mux struct {
	// Immutable.
	limit int         // bytes that may wait for one sequence
	store CursorStore // nil: memory alone
	tell  func()      // told under mu that the server is going; nil tells nobody

	// Any goroutine, under mu.
	mu       sync.Mutex
	wire     *wire     // nil while none is up
	down     error     // why no wire will come up by itself; nil while one is, or is dialled
	requests []request // all that has not ended, in the order it was asked for
	refs     uint64    // the last one given
	secret   string    // of the session; "" before the first hello, and with a principal
	boot     string    // of the server that has the session; "" where that is not known
	cursors  map[runName]run.Cursor
	own      map[runName]struct{} // runs that were started or attached to, which no Follow gives
}

// runName names a run in what a client holds.
type runName struct{ thread, run string }

// request is something a client has asked for: a *view, a *question.
type request interface {
	// ask returns the control that asks for it on a wire that is up; no name is nothing to ask. A
	// start is asked for by view.start. Under mux.mu.
	ask(w *wire, ref string) (name string, body any)
	// lost notes that the wire it was asked on is gone. Under mux.mu.
	lost()
	// end ends it with an error. Under mux.mu.
	end(err error)
}

// add takes a request and asks for it as soon as a wire is up. The error says that none will be, or
// that it is more than the server lets a connection ask for.
func (m *mux) add(r request) error {
	late, err := m.addLocked(r)
	if err == nil {
		late.send()
	}
	return err
}

// addLocked is the part of add under mu.
func (m *mux) addLocked(r request) (late sending, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return late, m.down
	}
	if v, ok := r.(*view); ok {
		err = m.admit(v)
	} else {
		m.noteCancel(r.(*question))
	}
	if err != nil {
		return late, err
	}
	if v, ok := r.(*view); ok && v.kind != viewFollow {
		m.noteOwn(v)
	}
	m.requests = append(m.requests, r)
	if m.wire != nil {
		late = m.wire.ask(r)
	}
	return late, nil
}

// maxOwnRuns bounds how many runs a client remembers to have started or attached to.
const maxOwnRuns = 1024

// noteOwn remembers a run that a Follow leaves out. A server does so too, as long as the connection
// lives. Under mu.
func (m *mux) noteOwn(v *view) {
	if m.own == nil {
		m.own = make(map[runName]struct{})
	}
	if len(m.own) >= maxOwnRuns {
		for other := range m.own { // any: a server forgets as well
			delete(m.own, other)
			break
		}
	}
	m.own[runName{v.thread, v.runID}] = struct{}{}
}

// owns reports whether a run is left out of a Follow. Under mu.
func (m *mux) owns(thread, runID string) bool {
	_, ok := m.own[runName{thread, runID}]
	return ok
}

// noteCancel has a cancel sent again with the run that it is for: nobody answers it, so it may be
// lost with the connection. Under mu.
func (m *mux) noteCancel(q *question) {
	for _, r := range m.requests {
		if v, ok := r.(*view); ok && q.cancels != nil && v.thread == q.cancels.ThreadID && v.runID == q.cancels.RunID {
			v.cancelled = true
		}
	}
}

// admit makes room for a view: the server would end an earlier one of the same run, and refuse one
// too many. Under mu.
func (m *mux) admit(v *view) error {
	n := 0
	for _, r := range slices.Clone(m.requests) {
		other, ok := r.(*view)
		switch {
		case !ok:
		case v.kind != viewFollow && other.kind != viewFollow && other.thread == v.thread && other.runID == v.runID:
			m.release(other)
			other.end(&GoneError{Thread: v.thread, Run: v.runID, Reason: control.ReasonRevoked})
		default:
			n++
		}
	}
	if w := m.wire; w != nil && w.hello.Limits.Attachments > 0 && n >= w.hello.Limits.Attachments {
		return &RejectedError{Code: control.CodeAttachments}
	}
	return nil
}

// remove takes a request that is over off the list. What was asked for it and goes on is left.
func (m *mux) remove(r request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := r.(*view); ok {
		m.release(v)
		v.over = true
		v.pending.drop()
	} else {
		m.drop(r)
	}
	m.settle()
}

// release leaves what a view has on the wire, and takes it off the list. Under mu.
func (m *mux) release(v *view) {
	if m.wire != nil {
		m.wire.leave(v, false)
	}
	m.drop(v)
}

// drop takes a request off the list. Under mu.
func (m *mux) drop(r request) {
	if i := slices.Index(m.requests, r); i >= 0 {
		m.requests = slices.Delete(m.requests, i, i+1)
	}
}

// nextRef is a ref that this client has not used. Under mu.
func (m *mux) nextRef() string {
	m.refs++
	return strconv.FormatUint(m.refs, 10)
}

// connected takes a wire whose hello has come, and asks over it for all that goes on. It does nothing
// when that has ended already.
func (m *mux) connected(w *wire) {
	late := m.connectedLocked(w)
	for _, s := range late {
		s.send()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wire != w {
		return
	}
	for _, r := range m.requests {
		if v, ok := r.(*view); ok && v.cancelled {
			w.send(control.NameCancel, &control.Cancel{ThreadID: v.thread, RunID: v.runID})
		}
	}
}

// connectedLocked is the part of connected under mu. It returns the starts, which come last: one may
// wait for its thread.
func (m *mux) connectedLocked(w *wire) (late []sending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = nil
	if w.ended || w.fault != nil {
		return nil
	}
	m.wire = w
	w.bind()
	for _, r := range slices.Clone(m.requests) {
		late = append(late, w.ask(r))
	}
	m.settle()
	return late
}

// revive takes what is asked for again: a wire is about to come up.
func (m *mux) revive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = nil
}

// disconnected notes that a wire is gone. What was asked for waits for the next.
func (m *mux) disconnected(w *wire) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.ended = true
	w.greet()
	if m.wire != w {
		return
	}
	m.wire = nil
	for _, r := range m.requests {
		r.lost()
	}
}

// failAll ends everything that was asked for, and what is asked for until a wire is up again.
func (m *mux) failAll(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = err
	m.endAll(err)
}

// endAll is failAll under mu.
func (m *mux) endAll(err error) {
	for _, r := range m.requests {
		if v, ok := r.(*view); ok {
			v.end(v.unfinished(err))
		} else {
			r.end(err)
		}
	}
	m.requests = nil
}

// settle closes the connection to a server that is going as soon as nothing needs it: at once where
// another process has the runs too, else when this client's own have ended. Under mu.
func (m *mux) settle() {
	w := m.wire
	if w == nil || w.going == nil || w.moved {
		return
	}
	if w.hello.Resumable != control.ResumableDurable {
		for _, r := range m.requests {
			if v, ok := r.(*view); ok && v.live() {
				return
			}
		}
	}
	w.moved = true
	w.conn.Close(CloseNormal, "the server is going")
}

// sending is a frame to send without mux.mu, since it may be large.
type sending struct {
	wire *wire
	view *view // a start; nil sends nothing
	raw  []byte
}

// send sends it.
func (s sending) send() {
	if s.view == nil || s.wire.conn.SendNow(s.wire.op, s.raw) != Dropped {
		return
	}
	m := s.wire.mux
	m.mu.Lock()
	defer m.mu.Unlock()
	s.dropped()
}

// sendLocked is send under mux.mu.
func (s sending) sendLocked() {
	if s.wire.conn.SendNow(s.wire.op, s.raw) == Dropped {
		s.dropped()
	}
}

// dropped notes that nobody has seen it, so that it may be sent to any server. Under mux.mu.
func (s sending) dropped() {
	if !s.view.seen {
		s.view.sentTo = ""
	}
}

// checkLimit is the error of something that is larger than a server takes, in bytes.
func checkLimit(what string, size, most int) error {
	if most > 0 && size > most {
		return fmt.Errorf("%w: %s takes %d bytes, and the server takes %d", ErrInputTooBig, what, size, most)
	}
	return nil
}
