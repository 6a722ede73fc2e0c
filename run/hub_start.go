package run

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
)

// Errors of Start.
var (
	// ErrConflict says that a run of that name was started with another input.
	ErrConflict = errors.New("agloop: a run of that name has another input")
	// ErrThreadBusy says that the thread has a run, and as many wait as may.
	ErrThreadBusy = errors.New("agloop: thread has a run already")
)

// Start is what a run is started with.
type Start struct {
	Key       RunKey
	Principal auth.Principal
	Input     *agui.RunAgentInput
	Hash      [32]byte // SHA-256 of the input as it was received
	Encoder   Encoder  // used before Start returns
	MaxEvent  int      // the largest encoded event, in bytes; an input whose RUN_STARTED is larger is refused
	// At is behind what who starts it has seen of it already: it is attached there, and a run that is
	// not there is never executed again. The zero Cursor is the start.
	At Cursor
	// OnDisconnect is what becomes of it when its last viewer is gone. Keep leaves it to its end.
	OnDisconnect Disconnect
	Keep         bool
	// Do runs the agent with the Live as the Sink of its Setup, and returns what run.Do did.
	Do func(ctx context.Context, l *Live) error
	// Released is called when Do has returned, or will not be called. nil is skipped.
	Released func()
	// BaseContext is what the run's context descends from.
	BaseContext context.Context
}

// Start starts a run, unless there is one of that name: then it is that one, if its input was the
// same. out is attached from the start; nil: nobody is. The viewer that is returned is to Pull. ctx
// bounds the asking of the store. Errors: ErrConflict, ErrThreadBusy, ErrShutdown, ErrGone wrapped,
// those of the store and of the encoder; s.Released was called then. It was called as well when the
// run was there already.
func (h *Hub) Start(ctx context.Context, s *Start, out Outlet) (*Live, *Viewer, error) {
	began := false
	defer func() {
		if !began && s.Released != nil {
			s.Released()
		}
	}()
	if s.At != (Cursor{}) {
		return h.startSeen(ctx, s, out)
	}
	fresh, started, err := h.newLive(s)
	if err != nil {
		return nil, nil, err
	}
	defer func() { // also when the store panics
		if !began {
			h.discard(fresh)
		}
	}()
	previous, other, err := h.take(ctx, fresh)
	switch {
	case err == ErrThreadBusy:
		return h.startKnown(ctx, s, out)
	case err != nil:
		return nil, nil, err
	case other != nil:
		return h.join(ctx, other, s, out)
	}
	record, err := h.open(ctx, fresh, started)
	if record != nil {
		h.discard(fresh) // so that its thread is free
		return h.startAgain(ctx, s, record, out)
	}
	if err != nil {
		return nil, nil, err
	}
	began = true
	return fresh, h.begin(fresh, started, previous, out), nil
}

// begin has a run begin whose log is open, as soon as its thread is free.
func (h *Hub) begin(l *Live, started []byte, previous []*Live, out Outlet) *Viewer {
	l.through = 1
	l.log.append(started, false)
	var v *Viewer
	if out != nil {
		v, _ = l.attach(Cursor{}, false, out) // all there is in the log is its first event, so there is no error
	}
	l.begins = true
	h.announce(l) // before anybody can attach to it: who has it from a list is told of it before its end
	close(l.opened)
	for _, other := range previous {
		other.Cancel(ErrCancelled)
	}
	h.settleInterrupts(l)
	return v
}

// take reserves the name for a run, or returns the run that has it and has begun. One that is being
// opened by another start is waited for: should that fail, this one tries.
func (h *Hub) take(ctx context.Context, l *Live) (previous []*Live, other *Live, err error) {
	for {
		previous, other, err = h.reserve(l)
		if other == nil || err != nil {
			return previous, nil, err
		}
		if begins, err := other.awaitOpened(ctx); begins || err != nil {
			return nil, other, err
		}
	}
}

// newLive makes the run of a Start, which has not begun, and its first event.
func (h *Hub) newLive(s *Start) (_ *Live, started []byte, err error) {
	first := runStarted(s.Input)
	if started, err = s.Encoder.AppendEvent(nil, first); err == nil {
		err = CheckSize(first, len(started), s.MaxEvent)
	}
	if err != nil {
		return nil, nil, err
	}
	lead, err := prelude(s.Input, s.Encoder)
	if err != nil {
		return nil, nil, err
	}
	l := &Live{
		hub: h, hash: s.Hash, start: s,
		info:   RunInfo{RunKey: s.Key, Principal: s.Principal, Started: time.Now()},
		opened: make(chan struct{}), done: make(chan struct{}), steering: new(steering),
	}
	l.since = l.info.Started
	for _, r := range s.Input.Resume {
		l.resumes = append(l.resumes, r.InterruptID)
	}
	l.ctx, l.stop = context.WithCancelCause(s.BaseContext)
	l.log = newLiveLog(newEpoch(), &h.cfg)
	l.log.prelude = lead
	_, l.log.shared = h.cfg.Store.(*MemoryStore)
	l.log.folder = newFolder(s.Input.State, h.cfg.Limits.FoldedBytes, h.cfg.Events)
	l.log.onGrow, l.log.turns = h.grow, h.folding
	l.log.onMoved = func(first uint64, events [][]byte, older []Entry) {
		h.counters.folds.Add(1)
		l.store(first, events, older)
	}
	l.log.onDropped = l.dropped
	l.log.onEnded = func() { go h.ended(l) }
	l.log.onVacant = l.leftAlone
	l.log.recountAll()
	return l, started, nil
}

// reserve takes the name for a run and its place in the thread, or returns the run that has the
// name. previous are the runs of the thread that are to be cancelled.
func (h *Hub) reserve(l *Live) (previous []*Live, other *Live, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.runs[l.info.RunKey]; other != nil {
		return nil, other, nil
	}
	if h.closed {
		return nil, nil, ErrShutdown
	}
	t := h.thread(l.info.Scope, l.info.Thread)
	if t.active != nil && t.active.hasEnded() { // whose client may have the end before the hub
		h.advance(t)
	}
	switch {
	case t.active == nil:
		t.active = l
	case h.cfg.OnBusy == BusyReject, len(t.queue) >= maxQueued && h.cfg.OnBusy == BusyEnqueue:
		return nil, nil, ErrThreadBusy
	default:
		if h.cfg.OnBusy == BusyCancelPrevious {
			previous = append([]*Live{t.active}, t.queue...)
		}
		t.queue = append(t.queue, l)
	}
	h.runs[l.info.RunKey] = l
	return previous, nil, nil
}

// discard gives back all that a run has which does not begin, perhaps again.
func (h *Hub) discard(l *Live) {
	if l.discarded {
		return
	}
	l.discarded = true
	l.log.releaseWhenVacant(func() {})
	l.stop(ErrCancelled)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaveThread(l)
	h.leaveName(l)
	close(l.opened) // behind the name: who has waited for it finds it free
}

// leaveName gives back a run's name. Under mu.
func (h *Hub) leaveName(l *Live) {
	if h.runs[l.info.RunKey] == l {
		delete(h.runs, l.info.RunKey)
	}
}

// leaveThread gives back a run's place in the thread, and has the next one begin. Under mu.
func (h *Hub) leaveThread(l *Live) {
	t := h.threads[threadKey{l.info.Scope, l.info.Thread}]
	if t == nil {
		return
	}
	t.queue = slices.DeleteFunc(t.queue, func(other *Live) bool { return other == l })
	if t.active == l {
		h.advance(t)
	}
	h.tidy(l.info.Scope, l.info.Thread)
}

// advance has the next run of a thread begin. Under mu.
func (h *Hub) advance(t *thread) {
	if t.active = nil; len(t.queue) > 0 {
		t.active = t.queue[0]
		t.queue = slices.Delete(t.queue, 0, 1)
		go h.execute(t.active)
	}
}

// open opens the log in the store. It returns the record of the run that has the name there.
func (h *Hub) open(ctx context.Context, l *Live, started []byte) (_ *Record, err error) {
	l.stored, err = h.cfg.Store.Open(ctx, l.info.RunKey, Opening{
		Info: l.info, Epoch: l.log.epoch, InputHash: l.hash, Resumes: l.resumes,
		Started: started, Prelude: l.log.prelude,
	})
	if exists, ok := errors.AsType[*ExistsError](err); ok {
		return &exists.Record, err
	}
	return nil, err
}

// join attaches to a run that was there when it was started again.
func (h *Hub) join(ctx context.Context, l *Live, s *Start, out Outlet) (*Live, *Viewer, error) {
	if l.hash != s.Hash {
		h.counters.conflicts.Add(1)
		return nil, nil, ErrConflict
	}
	if out == nil {
		return l, nil, nil
	}
	v, err := l.attach(s.At, false, out)
	if err == errReleased {
		return h.view(ctx, l.info.RunKey, s.At, false, out)
	}
	if err != nil {
		return nil, nil, err
	}
	return l, v, nil
}

// startAgain answers a start whose name the store has a record of.
func (h *Hub) startAgain(ctx context.Context, s *Start, r *Record, out Outlet) (*Live, *Viewer, error) {
	switch {
	case r.State == RecordCancelled:
		return h.startCancelled(s, out)
	case r.State == RecordBuried:
		return nil, nil, ErrBuried
	case r.InputHash != s.Hash:
		h.counters.conflicts.Add(1)
		return nil, nil, ErrConflict
	}
	return h.view(ctx, s.Key, Cursor{}, false, out)
}

// startSeen answers a start of who has seen a part of the run: it is attached to what there is. Rule
// R16.
func (h *Hub) startSeen(ctx context.Context, s *Start, out Outlet) (*Live, *Viewer, error) {
	l, err := h.find(ctx, s.Key)
	if err != nil {
		return nil, nil, err
	}
	if l != nil {
		return h.join(ctx, l, s, out)
	}
	b, err := h.cfg.Store.Read(ctx, s.Key, s.At, 1)
	switch {
	case err != nil:
		return nil, nil, err
	case b.Record.InputHash != s.Hash:
		h.counters.conflicts.Add(1)
		return nil, nil, ErrConflict
	}
	return h.view(ctx, s.Key, s.At, false, out)
}

// startKnown answers a start whose thread is busy: one that only asks for a run that has ended needs
// no place in it.
func (h *Hub) startKnown(ctx context.Context, s *Start, out Outlet) (*Live, *Viewer, error) {
	b, err := h.cfg.Store.Read(ctx, s.Key, Cursor{}, 1)
	if err != nil {
		return nil, nil, ErrThreadBusy
	}
	return h.startAgain(ctx, s, &b.Record, out)
}

// startCancelled is the run of a name that was cancelled before: it has its first event and its
// last, and is in no store and not found by others.
func (h *Hub) startCancelled(s *Start, out Outlet) (*Live, *Viewer, error) {
	quiet := *s
	quiet.Released = nil
	l, started, err := h.newLive(&quiet)
	if err != nil {
		return nil, nil, err
	}
	l.log.onEnded = func() { go l.log.releaseWhenVacant(func() {}) }
	l.log.append(started, false)
	l.begins = true
	close(l.opened)
	var v *Viewer
	if out != nil {
		v, _ = l.attach(Cursor{}, false, out)
	}
	l.stop(ErrCancelled)
	go h.execute(l)
	return l, v, nil
}

// announce tells the followers of a run that is there, and has it begin when its thread has no
// other.
func (h *Hub) announce(l *Live) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.threads[threadKey{l.info.Scope, l.info.Thread}]
	if t == nil { // it was cancelled while it was being opened, and has ended
		return
	}
	for f := range t.followers {
		f.wake(l.info.RunKey)
	}
	if t.active == l {
		go h.execute(l)
	}
}
