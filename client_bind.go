package agloop

import (
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/run"
)

// bind joins the session of the connection before, by its secret. Another server cannot have it, and to
// ask for it would be a guess. Under mux.mu.
func (w *wire) bind() {
	m := w.mux
	switch {
	case w.hello.Secret == "": // the principal finds its runs
	case m.boot != "" && m.boot != w.hello.Boot:
		m.secret = w.hello.Secret
	case m.secret != w.hello.Secret:
		ref := m.nextRef()
		w.refs[ref] = &binding{w}
		w.binds = true
		w.send(control.NameBind, &control.Bind{Ref: ref, Secret: m.secret})
	}
	m.boot = w.hello.Boot
}

// binding is a bind, which has an answer only where the session is no more.
type binding struct{ wire *wire }

func (*binding) ask(*wire, string) (string, any) { return "", nil }
func (*binding) lost()                           {}

// end has the client go on in the session that the connection came with. A start that was sent
// before may have begun in the other one, and would begin again here.
func (b *binding) end(error) {
	w := b.wire
	w.mux.secret = w.hello.Secret
	held := w.held
	w.binds, w.held = false, nil
	for _, v := range held {
		w.mux.drop(v)
		v.end(ErrStartUnknown)
	}
}

// hold keeps a start that was sent before back until it is known in which session it would be sent.
// A bind that holds has no answer, so something is asked for behind it that has one: what lies
// behind a cursor that no log has. Under mux.mu.
func (w *wire) hold(v *view) {
	w.held = append(w.held, v)
	if len(w.held) > 1 {
		return
	}
	ref := w.mux.nextRef()
	w.refs[ref] = &bindProbe{w}
	w.send(control.NameAttach, &control.Attach{
		Ref: ref, ThreadID: v.thread, RunID: v.runID, Epoch: run.FormatEpoch(0), Offset: run.MaxOffset,
	})
}

// bindProbe is answered behind a bind.
type bindProbe struct{ wire *wire }

func (*bindProbe) ask(*wire, string) (string, any) { return "", nil }
func (*bindProbe) lost()                           {}

// end sends what was held back. Under mux.mu.
func (p *bindProbe) end(error) {
	w := p.wire
	held := w.held
	w.binds, w.held = false, nil
	for _, v := range held {
		if s := w.askStart(v); s.view != nil {
			s.sendLocked()
		}
	}
}
