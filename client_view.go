package agloop

import (
	"context"

	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/run"
)

// view is what one sequence of events sees: a run, or of a Follow one run of a thread after another.
// It outlives connections.
type view struct {
	// Immutable.
	mux    *mux
	kind   viewKind
	thread string
	input  []byte // of a start: the exact bytes, which go to the server each time

	// Any goroutine, under mux.mu.
	pending   pending
	runID     string     // of a Follow the run under way, "" before the first
	leg       *leg       // nil before the first selector
	place     run.Cursor // behind the last event that is kept here, of the run under way
	prelude   bool       // what stands for no offset behind RUN_STARTED has come
	seen      bool       // a selector has come for it: it is never started again
	sentTo    string     // boot of the server that a start was sent to and did not answer
	cancelled bool       // the caller has cancelled the run
	legOver   bool       // the caller has had the terminal event of the run under way
	away      bool       // it was left since too much waits, and comes back
	over      bool       // the sequence has ended
	err       error      // nothing more follows what waits

	// Any goroutine, under mux.mu, of the wire that is up.
	ref      string     // "" while it is not asked for
	number   uint64     // of the attachment; 0: none yet
	from     run.Cursor // where it was asked for from
	position uint64     // offset of the last event that was received
	answer   answer
}

type viewKind uint8

const (
	viewStart viewKind = iota
	viewAttach
	viewFollow
)

// leg is one run of a sequence.
type leg struct {
	runID string
	from  run.Cursor // where the client joined it: behind its start the order of events is not known
	whole bool       // it was attached to from the start, so a prelude may come
}

func newView(m *mux, kind viewKind, thread, runID string) *view {
	return &view{mux: m, kind: kind, thread: thread, runID: runID, pending: newPending(m.limit)}
}

// starts reports whether the run is still to be started. Under mux.mu.
func (v *view) starts() bool { return v.kind == viewStart && !v.seen }

// ended reports whether the server has nothing more to send. Under mux.mu.
func (v *view) ended() bool { return v.err != nil || v.kind != viewFollow && v.legOver }

// live reports whether it keeps a client on a server that is going. Under mux.mu.
func (v *view) live() bool {
	if v.kind == viewFollow {
		return v.leg != nil && !v.legOver
	}
	return !v.ended() && (v.ref != "" || v.away)
}

// ask implements request. Under mux.mu.
func (v *view) ask(w *wire, ref string) (name string, body any) {
	if v.err != nil || v.over {
		return "", nil
	}
	v.ref, v.number, v.away, v.answer = ref, 0, false, answer{awaited: true}
	v.from = v.resumeAt()
	v.position = v.from.Offset
	epoch := ""
	if v.from.Offset > 0 {
		epoch = run.FormatEpoch(v.from.Epoch)
	}
	if v.kind != viewFollow {
		return control.NameAttach, &control.Attach{
			Ref: ref, ThreadID: v.thread, RunID: v.runID, Epoch: epoch, Offset: v.from.Offset,
		}
	}
	follow := &control.Follow{Ref: ref, ThreadID: v.thread}
	if v.leg != nil {
		follow.After = &control.After{
			RunID: v.runID, Epoch: run.FormatEpoch(v.place.Epoch), Offset: v.from.Offset,
		}
	}
	return control.NameFollow, follow
}

// start returns the whole frame that asks for a run that has not been seen, nil where it is not to be
// asked for any more. A start that had no answer is repeated only for the process that it was sent
// to: another one may not know that the run goes on. Under mux.mu.
func (v *view) start(w *wire, ref string) (raw []byte) {
	switch {
	case v.err != nil || v.over:
		return nil
	case v.sentTo != "" && v.sentTo != w.hello.Boot:
		v.mux.drop(v)
		v.end(ErrStartUnknown)
		return nil
	}
	raw = make([]byte, 0, len(v.input)+48)
	raw = append(raw, `["`+control.NameStart+`",{"ref":"`+ref+`","input":`...)
	raw = append(raw, v.input...)
	raw = append(raw, `}]`...)
	if err := checkLimit("an input", len(raw), w.hello.Limits.Message); err != nil {
		v.mux.drop(v)
		v.end(err)
		return nil
	}
	v.sentTo = w.hello.Boot
	v.ref, v.number, v.answer = ref, 0, answer{awaited: true}
	v.from, v.position = run.Cursor{}, 0
	return raw
}

// resumeAt is where to go on: behind what is kept here. A run whose prelude may not have come whole
// is asked for from its start again. Under mux.mu.
func (v *view) resumeAt() run.Cursor {
	if v.place.Offset == 1 && v.leg != nil && v.leg.whole && !v.prelude {
		return run.Cursor{}
	}
	return v.place
}

// beginsAgain reports whether a selector answers that: RUN_STARTED comes once more. Under mux.mu.
func (v *view) beginsAgain(s *control.Run) bool {
	return v.place.Offset > 0 && v.from.Offset == 0 && v.number == 0 && s.RunID == v.runID
}

// lost implements request. Under mux.mu.
func (v *view) lost() {
	v.detach()
	v.pending.disown()
}

// detach forgets what it was on the wire. Under mux.mu.
func (v *view) detach() { v.ref, v.number, v.answer, v.away = "", 0, answer{}, false }

// end implements request. Under mux.mu.
func (v *view) end(err error) {
	if v.err == nil {
		v.err = err
		v.pending.notify()
	}
}

// unfinished is the error of a sequence whose connection ends for good with err. Under mux.mu.
func (v *view) unfinished(err error) error {
	switch {
	case err == ErrClientClosed: // the caller knows
		return err
	case v.seen:
		return joinErrors(ErrTruncated, err)
	case v.sentTo != "":
		return joinErrors(ErrStartUnknown, err)
	}
	return err
}

// announced takes the first selector of an attachment. Under mux.mu.
func (v *view) announced(w *wire, s *control.Run) error {
	epoch, ok := run.ParseEpoch(s.Epoch)
	switch {
	case !ok:
		return fault("epoch %q is not 16 hex digits", clip(s.Epoch))
	case s.ThreadID != v.thread:
		return fault("ref %q asked for thread %q", s.Ref, clip(v.thread))
	case v.kind == viewFollow:
		return v.announcedNext(w, s, epoch)
	case s.RunID != v.runID:
		return fault("ref %q asked for run %q", s.Ref, clip(v.runID))
	case v.number != 0:
		return fault("ref %q has an attachment already", s.Ref)
	}
	if v.leg == nil {
		v.leg = &leg{runID: v.runID, from: v.from, whole: v.kind == viewAttach && v.from.Offset == 0}
	}
	v.number, v.seen, v.place.Epoch = s.Run, true, epoch
	return nil
}

// announcedNext is announced for a run of a Follow: the one it goes on with, or the next.
func (v *view) announcedNext(w *wire, s *control.Run, epoch uint64) error {
	goesOn := v.leg != nil && v.number == 0 && s.RunID == v.runID
	if !goesOn {
		v.leg = &leg{runID: s.RunID, whole: true}
		v.runID, v.place = s.RunID, run.Cursor{}
		v.prelude, v.legOver, v.cancelled = false, false, false
		v.from, v.position = run.Cursor{}, 0
	}
	if v.number != 0 {
		delete(w.views, v.number)
	}
	v.number, v.seen, v.place.Epoch = s.Run, true, epoch
	return nil
}

// runGone tells the caller of a Follow of a run that cannot be given, and goes on. Under mux.mu.
func (v *view) runGone(w *wire, gone *GoneError) {
	it := item{err: gone, size: besides + len(gone.Run)}
	if v.leg != nil && gone.Run == v.runID {
		it.leg = v.leg
		it.err = joinErrors(ErrTruncated, gone)
		delete(w.views, v.number)
		w.deselect(v.number)
		v.legOver = true
	}
	if !v.pending.put(it) {
		v.leaveForAWhile(w) // and is told again
	}
}

// leaveForAWhile leaves a run of which too much waits, see pop. Under mux.mu.
func (v *view) leaveForAWhile(w *wire) {
	w.leave(v, true)
	v.away = true
}

// keep takes an event frame that stands for the offsets from..to; to = from-1 is none. Under
// mux.mu, on the loop.
func (v *view) keep(w *wire, payload []byte, from, to uint64) error {
	v.position = to
	none := to < from
	switch {
	case none:
	case to <= v.place.Offset:
		return nil // it is here: only the prelude was to come again
	case from <= v.place.Offset:
		return fault("a fold of %d to %d, and %d was there", from, to, v.place.Offset)
	}
	place := run.Cursor{Epoch: v.place.Epoch, Offset: max(to, v.place.Offset)}
	it := item{leg: v.leg, at: place, binary: w.op == Binary}
	if v.leg.whole && to == 1 && !none {
		it.at = run.Cursor{} // who goes on from here would miss the rest of the prelude
	}
	if !v.pending.push(w.conn, payload, it) {
		v.leaveForAWhile(w)
		return nil
	}
	v.place, v.prelude = place, v.prelude || none
	return nil
}

// next implements source.
func (v *view) next(ctx context.Context) (item, error) {
	for {
		if err := ctx.Err(); err != nil {
			return item{}, err
		}
		it, ok, err := v.pop()
		switch {
		case ok:
			return it, nil
		case err != nil:
			return item{}, err
		}
		select {
		case <-v.pending.signal:
		case <-ctx.Done():
		}
	}
}

// pop takes what waits, and comes back to a run that was left for that once half of it is taken.
func (v *view) pop() (it item, ok bool, err error) {
	v.mux.mu.Lock()
	defer v.mux.mu.Unlock()
	it, ok = v.pending.pop()
	if v.away && v.pending.bytes <= v.pending.limit/2 && v.mux.wire != nil && v.err == nil {
		v.away = false
		v.mux.wire.ask(v) // it was seen, so nothing is left to send
	}
	return it, ok, v.err
}

// legEnded notes that the caller has had the terminal event of a run.
func (v *view) legEnded(runID string) {
	m := v.mux
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(v.thread, runID)
	if v.runID == runID {
		v.legOver = true
	}
	m.settle()
}
