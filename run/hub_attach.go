package run

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"time"
)

// Attach adds a viewer to a run, behind a cursor; the zero Cursor is the start, with the prelude. The
// viewer that is returned is to Pull. The error is ErrGone, wrapped, or that of the store.
func (h *Hub) Attach(ctx context.Context, k RunKey, at Cursor, out Outlet) (*Live, *Viewer, error) {
	l, err := h.find(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	if l != nil {
		v, err := l.attach(at, true, out)
		switch err {
		case nil:
			return l, v, nil
		case errReleased: // the store has it by now
		default:
			return nil, nil, err
		}
	}
	return h.view(ctx, k, at, true, out)
}

// Known reports whether there is a run of that name: one that has not ended, or whose log is kept.
func (h *Hub) Known(ctx context.Context, k RunKey) bool {
	if h.Find(k) != nil {
		return true
	}
	_, err := h.cfg.Store.Read(ctx, k, Cursor{}, 1)
	return err == nil || errors.Is(err, ErrTrimmed)
}

// StoreInfo is what the hub's store is.
func (h *Hub) StoreInfo() StoreInfo { return h.cfg.Store.Info() }

// Find returns a run that has not ended, nil where there is none.
func (h *Hub) Find(k RunKey) *Live {
	l := h.named(k)
	if l == nil {
		return nil
	}
	select {
	case <-l.opened:
		if l.begins {
			return l
		}
	default:
	}
	return nil
}

// Active returns the run of a thread that is going on, nil where there is none.
func (h *Hub) Active(scope, thread string) *Live {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.threads[threadKey{scope, thread}]; t != nil {
		return t.active
	}
	return nil
}

// find is Find that waits for a run that is being opened.
func (h *Hub) find(ctx context.Context, k RunKey) (*Live, error) {
	l := h.named(k)
	if l == nil {
		return nil, nil
	}
	if begins, err := l.awaitOpened(ctx); !begins {
		return nil, err
	}
	return l, nil
}

// named is who has a name, though it may not be open.
func (h *Hub) named(k RunKey) *Live {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.runs[k]
}

// view attaches to an ended log in the store; out may be nil. The log is counted and its run lingers
// while it has its viewer.
func (h *Hub) view(ctx context.Context, k RunKey, at Cursor, fromStart bool, out Outlet) (_ *Live, v *Viewer, err error) {
	l, err := h.load(ctx, k, at)
	if err != nil || out == nil {
		return l, nil, err
	}
	h.mu.Lock()
	h.lingering[l] = struct{}{} // before it is asked which interrupts were answered: none is missed
	h.mu.Unlock()
	defer func() {
		if v == nil {
			h.forget(l)
		}
	}()
	if err = h.settleLoaded(ctx, l); err != nil {
		return nil, nil, err
	}
	if v, err = l.attach(at, fromStart, out); err != nil {
		return nil, nil, err
	}
	l.log.recountAll()
	l.mu.Lock()
	l.expireLater()
	l.mu.Unlock()
	h.releaseLater(l)
	return l, v, nil
}

// readAtOnce is how much is asked of a store at once, in bytes.
const readAtOnce = 1 << 20

// load makes a run of an ended log in the store, of which it reads what follows a cursor.
func (h *Hub) load(ctx context.Context, k RunKey, at Cursor) (*Live, error) {
	var lead [][]byte
	var record Record
	var entries []Entry
	for from, end := at, false; !end; {
		b, err := h.cfg.Store.Read(ctx, k, from, readAtOnce)
		if err != nil {
			return nil, err
		}
		if record = b.Record; lead == nil {
			lead = b.Prelude
		}
		if len(b.Entries) == 0 && !b.End { // its writer is somewhere else, or gone
			return nil, ErrGone
		}
		entries = append(entries, b.Entries...)
		if n := len(entries); n > 0 {
			from = Cursor{record.Epoch, entries[n-1].Through}
		}
		end = b.End
	}
	l := &Live{
		hub: h, info: record.Info, hash: record.InputHash,
		opened: make(chan struct{}), done: make(chan struct{}), steering: &steering{over: true},
	}
	close(l.opened)
	close(l.done)
	l.ctx, l.stop = context.WithCancelCause(context.Background())
	l.stop(ErrCancelled)
	l.outcome = OutcomeSuccess // it has ended; nobody asks how
	l.log = newLiveLog(record.Epoch, &h.cfg)
	_, l.log.shared = h.cfg.Store.(*MemoryStore)
	l.log.prelude, l.log.older, l.log.first, l.log.ended, l.log.loaded = lead, entries, record.Last+1, true, true
	if len(entries) > 0 {
		l.log.trimmed = entries[0].First - 1
	}
	l.log.onGrow, l.log.onVacant = h.grow, func() {}
	return l, nil
}

// settleLoaded leaves out of the end of a log from the store what later runs have answered.
func (h *Hub) settleLoaded(ctx context.Context, l *Live) error {
	answered, err := h.answered(ctx, l.info)
	if err == nil {
		l.log.settle(answered)
	}
	return err
}

// answered are the ids of interrupts that runs of the same thread answer which began after a run.
func (h *Hub) answered(ctx context.Context, r RunInfo) (map[string]bool, error) {
	var ids map[string]bool
	for other, err := range h.List(ctx, r.Scope, r.Thread) {
		if err != nil {
			return nil, err
		}
		if !other.Info.Started.After(r.Started) {
			continue
		}
		for _, id := range other.Resumes {
			if ids == nil {
				ids = make(map[string]bool)
			}
			ids[id] = true
		}
	}
	return ids, nil
}

// settle leaves out, of the terminal event, the interrupts that were answered.
func (l *liveLog) settle(answered map[string]bool) {
	if len(answered) == 0 {
		return
	}
	last := l.terminalEvent()
	if last == nil || !bytes.Contains(last, []byte(`"interrupts"`)) {
		return
	}
	settled, err := withoutInterrupts(last, answered, l.events)
	if err != nil || bytes.Equal(settled, last) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.terminal = settled
}

// terminalEvent is the last event of a log that has ended, nil for one that has not.
func (l *liveLog) terminalEvent() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.ended:
		return nil
	case l.terminal != nil:
		return l.terminal
	case len(l.newest) > 0:
		return l.newest[len(l.newest)-1]
	case len(l.older) > 0:
		return l.older[len(l.older)-1].Event
	}
	return nil
}

// settleInterrupts leaves out the interrupts that a run answers for those who have not seen them
// yet.
func (h *Hub) settleInterrupts(l *Live) {
	if len(l.resumes) == 0 {
		return
	}
	answered := make(map[string]bool, len(l.resumes))
	for _, id := range l.resumes {
		answered[id] = true
	}
	for _, other := range h.sameThread(l) {
		other.log.settle(answered)
	}
}

// sameThread are the other runs of a thread whose events somebody may still get.
func (h *Hub) sameThread(l *Live) (list []*Live) {
	h.mu.Lock()
	defer h.mu.Unlock()
	take := func(other *Live) {
		if other != l && other.info.Scope == l.info.Scope && other.info.Thread == l.info.Thread {
			list = append(list, other)
		}
	}
	for _, other := range h.runs { // its client has the end before the hub
		take(other)
	}
	for other := range h.lingering {
		take(other)
	}
	return list
}

// List yields what there is of the runs of a thread, in the order of their start; of all threads of
// the scope where thread is "".
func (h *Hub) List(ctx context.Context, scope, thread string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for r, err := range h.cfg.Store.List(ctx, scope) {
			if err == nil && thread != "" && r.Info.Thread != thread {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// Follow has wake called for every run of a thread that is started from now on, until stop is
// called. wake must not block, nor call the hub.
func (h *Hub) Follow(scope, thread string, wake func(RunKey)) (stop func()) {
	f := &follower{wake}
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.thread(scope, thread)
	if t.followers == nil {
		t.followers = make(map[*follower]struct{})
	}
	t.followers[f] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(t.followers, f)
		h.tidy(scope, thread)
	}
}

// tombstones is how long a name is not given again, see Store.Bury.
const tombstones = 24 * time.Hour

// Cancel cancels a run, see Live.Cancel. Where there is no run of that name, one that is started
// later ends at once. The error is ctx's or the store's.
func (h *Hub) Cancel(ctx context.Context, k RunKey, cause error) error {
	if found, err := h.cancelNamed(ctx, k, cause); found || err != nil {
		return err
	}
	if err := h.cfg.Store.Bury(ctx, k, true, tombstones); err != nil {
		return err
	}
	_, err := h.cancelNamed(ctx, k, cause) // one that was opened meanwhile has found no tombstone
	return err
}

// cancelNamed cancels the run that has a name, at once also where it is still being opened. It reports
// whether there is one that begins.
func (h *Hub) cancelNamed(ctx context.Context, k RunKey, cause error) (found bool, err error) {
	l := h.named(k)
	if l == nil {
		return false, nil
	}
	l.Cancel(cause)
	return l.awaitOpened(ctx)
}

// Live are the runs that have not ended, those included that wait for their thread.
func (h *Hub) Live() []*Live {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*Live, 0, len(h.runs))
	for _, l := range h.runs {
		list = append(list, l)
	}
	return list
}

// Close has no run begin any more. Those that wait for their thread are cancelled.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	var waiting []*Live
	for _, t := range h.threads {
		waiting = append(waiting, t.queue...)
	}
	h.mu.Unlock()
	for _, l := range waiting {
		l.Cancel(ErrShutdown)
	}
}

// CancelAll cancels all runs.
func (h *Hub) CancelAll(cause error) {
	for _, l := range h.Live() {
		l.Cancel(cause)
	}
}

// Busy is how many runs have not ended, or have an agent that has not returned.
func (h *Hub) Busy() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(len(h.runs), int(h.running.Load()))
}
