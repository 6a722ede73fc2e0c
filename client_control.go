package agloop

import (
	"encoding/json"

	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/run"
)

// control takes a control frame of a server. Names that nobody knows are ignored. Under mux.mu.
func (w *wire) control(payload []byte) error {
	name, body, err := control.Parse(payload)
	if err != nil {
		return fault("control is not [name,{…}]")
	}
	if w.hello == nil {
		if name != control.NameHello || len(payload) > maxHello {
			return fault("the first frame is not hello, or is larger than 64 KiB")
		}
		return w.onHello(body)
	}
	switch name {
	case control.NameHello:
		return fault("a second hello")
	case control.NameRun:
		var s control.Run
		if err := decodeControl(name, body, &s); err != nil {
			return err
		}
		return w.selector(&s)
	case control.NameGone:
		var g control.Gone
		if err := decodeControl(name, body, &g); err != nil {
			return err
		}
		w.onGone(&g)
	case control.NameConflict:
		var c control.Conflict
		if err := decodeControl(name, body, &c); err != nil {
			return err
		}
		w.refuse(c.Ref, ErrConflict)
	case control.NameRejected:
		var r control.Rejected
		if err := decodeControl(name, body, &r); err != nil {
			return err
		}
		w.onRejected(&r)
	case control.NameSteered:
		var s control.Steered
		if err := decodeControl(name, body, &s); err != nil {
			return err
		}
		if q, ok := w.refs[s.Ref].(*question); ok {
			delete(w.refs, s.Ref)
			w.mux.drop(q)
			q.reply(s.OK, nil)
		}
	case control.NameIdle:
		var i control.Idle
		if err := decodeControl(name, body, &i); err != nil {
			return err
		}
		w.settled(i.Ref)
	case control.NameGoing:
		var g control.Going
		if err := decodeControl(name, body, &g); err != nil {
			return err
		}
		w.onGoing(g)
	}
	return nil
}

func (w *wire) onHello(body json.RawMessage) error {
	h := new(control.Hello)
	if err := decodeControl(control.NameHello, body, h); err != nil {
		return err
	}
	switch {
	case h.Version != control.Version:
		return fault("hello: version %d is not %d", h.Version, control.Version)
	case h.Boot == "":
		return fault("hello: no boot")
	case h.Resumable != control.ResumableProcess && h.Resumable != control.ResumableDurable:
		return fault("hello: resumable %q is neither process nor durable", clip(h.Resumable))
	}
	w.hello = h
	if w.mux.secret == "" { // that of the first hello is kept, however soon its connection ends
		w.mux.secret, w.mux.boot = h.Secret, h.Boot
	}
	w.greet()
	return nil
}

// onGone ends a request, or of a Follow one of its runs. Under mux.mu.
func (w *wire) onGone(g *control.Gone) {
	v, ok := w.refs[g.Ref].(*view)
	if !ok {
		w.refuse(g.Ref, &GoneError{Thread: g.ThreadID, Run: g.RunID, Reason: g.Reason})
		return
	}
	gone := &GoneError{Thread: v.thread, Run: v.runID, Reason: g.Reason}
	if v.kind != viewFollow {
		w.refuse(g.Ref, gone)
		return
	}
	gone.Run = g.RunID
	if g.RunID == "" {
		w.refuse(g.Ref, gone)
		return
	}
	w.settled(g.Ref)
	v.runGone(w, gone)
}

// onRejected ends a request. A start that came too late for a server that is going has not begun,
// so it is sent to the next. Under mux.mu.
func (w *wire) onRejected(r *control.Rejected) {
	v, ok := w.refs[r.Ref].(*view)
	if !ok || r.Code != run.CodeShutdown || !v.starts() {
		w.refuse(r.Ref, &RejectedError{Code: r.Code, Field: r.Field})
		return
	}
	delete(w.refs, r.Ref)
	v.sentTo = ""
	w.answer(&v.answer)
	v.detach()
	if w.going == nil {
		w.onGoing(control.Going{})
	}
	w.mux.settle()
}

// onGoing notes that the server shuts down. Under mux.mu.
func (w *wire) onGoing(g control.Going) {
	w.going = &g
	if w.mux.tell != nil {
		w.mux.tell()
	}
	w.mux.settle()
}

// refuse ends a request with an error. One that nobody has asked for, or that was left, is no
// mistake: answers and leaves cross each other. Under mux.mu.
func (w *wire) refuse(ref string, err error) {
	r, ok := w.refs[ref]
	if !ok {
		return
	}
	delete(w.refs, ref)
	switch r := r.(type) {
	case *view:
		delete(w.views, r.number)
		w.deselect(r.number)
		w.answer(&r.answer)
		r.detach()
		if r.seen {
			err = joinErrors(ErrTruncated, err)
		}
	case *leftRequest:
		w.answer(&r.answer)
	}
	w.mux.drop(r)
	r.end(err)
	w.mux.settle()
}

// deselect has an event behind the end of its attachment be a mistake. Under mux.mu.
func (w *wire) deselect(number uint64) {
	if w.selected && w.number == number {
		w.selected = false
	}
}

// settled notes an answer to a Follow that is none of its runs. Under mux.mu.
func (w *wire) settled(ref string) {
	if v, ok := w.refs[ref].(*view); ok {
		w.answer(&v.answer)
	}
}
