package run

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/metrics"
)

// Disconnect says what becomes of a run when its last viewer is gone. The zero value leaves that to
// who started it.
type Disconnect uint8

const (
	DisconnectDefault  Disconnect = iota
	DisconnectCancel              // it is cancelled
	DisconnectContinue            // it goes on for the grace period
)

// Busy says what becomes of a run whose thread has one already.
type Busy uint8

const (
	BusyEnqueue        Busy = iota // it waits, at most eight do
	BusyReject                     // it is refused
	BusyCancelPrevious             // the others are cancelled, and it follows them
)

// maxQueued is how many runs of a thread may wait.
const maxQueued = 8

// HubConfig says what a Hub does.
type HubConfig struct {
	Store     Store
	Limits    LogLimits
	LogBytes  func() int64  // of all logs together; 0 or less is no bound
	Grace     time.Duration // how long a run goes on without a viewer; negative: to its end
	Retention time.Duration // how long a log lives after its end
	OnBusy    Busy
	Ledger    *memmon.Ledger
	Log       *slog.Logger
}

// hubCounters are a hub's totals. Any goroutine.
type hubCounters struct {
	started   atomic.Uint64 // agents called
	outcomes  [OutcomeError + 1]atomic.Uint64
	givenUp   atomic.Uint64 // agents that ignored that their run was cancelled
	folds     atomic.Uint64
	shed      atomic.Uint64
	conflicts atomic.Uint64

	duration   metrics.Histogram // of runs, from start to terminal event
	firstEvent metrics.Histogram // from start to the first event behind RUN_STARTED
	firstToken metrics.Histogram
}

// Hub finds the runs of this process by their names. Its methods may be called from any goroutine.
//
// Lock order: Live.storing → Hub.mu → liveLog.mu → Live.mu. A log calls its outlets, and through
// them connections, under its own lock.
type Hub struct {
	// Immutable.
	cfg HubConfig

	// Any goroutine.
	counters hubCounters
	held     atomic.Int64 // bytes of the logs
	shedding atomic.Bool
	running  atomic.Int64 // agents that have not returned

	// Any goroutine, under mu.
	mu      sync.Mutex
	closed  bool             // no run begins any more
	runs    map[RunKey]*Live // until the store has their logs
	threads map[threadKey]*thread
	// lingering are ended runs that have viewers.
	lingering map[*Live]struct{}
}

type threadKey struct{ scope, thread string }

// thread is what a thread has now. It is there while it has anything.
type thread struct {
	active    *Live
	queue     []*Live
	followers map[*follower]struct{}
}

type follower struct{ wake func(RunKey) }

// NewHub makes a hub. A zero Retention is two minutes, a zero Grace 120 s.
func NewHub(cfg HubConfig) *Hub {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Grace == 0 {
		cfg.Grace = 120 * time.Second
	}
	if cfg.Retention == 0 {
		cfg.Retention = 2 * time.Minute
	}
	return &Hub{
		cfg: cfg, runs: make(map[RunKey]*Live), threads: make(map[threadKey]*thread),
		lingering: make(map[*Live]struct{}),
	}
}

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
	fresh, started, err := h.newLive(s)
	if err != nil {
		return nil, nil, err
	}
	l, previous, err := h.reserve(fresh)
	switch {
	case err != nil:
		return nil, nil, err
	case l != fresh:
		v, err := h.join(ctx, l, s.Hash, out)
		return l, v, err
	}
	record, err := h.open(ctx, l, started)
	if record != nil {
		h.unreserve(l, err)
		return h.startAgain(ctx, s, record, out)
	}
	if err != nil {
		h.unreserve(l, err)
		return nil, nil, err
	}
	began = true
	l.through = 1
	l.log.append(started, false)
	var v *Viewer
	if out != nil {
		v, _ = l.attach(Cursor{}, false, out) // all there is in the log is its first event, so there is no error
	}
	close(l.opened)
	h.announce(l)
	for _, other := range previous {
		other.Cancel(ErrCancelled)
	}
	h.settleInterrupts(l)
	return l, v, nil
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
		opened: make(chan struct{}), done: make(chan struct{}),
	}
	for _, r := range s.Input.Resume {
		l.resumes = append(l.resumes, r.InterruptID)
	}
	l.ctx, l.stop = context.WithCancelCause(s.BaseContext)
	l.log = newLiveLog(newEpoch(), h.cfg.Limits)
	l.log.prelude = lead
	_, l.log.shared = h.cfg.Store.(*MemoryStore)
	l.log.folder = newFolder(s.Input.State, h.cfg.Limits.FoldedBytes)
	l.log.onGrow = h.grow
	l.log.onMoved = func(first uint64, events [][]byte, older []Entry) {
		h.counters.folds.Add(1)
		l.store(first, events, older)
	}
	l.log.onDropped = l.dropStored
	l.log.onEnded = func() { go h.ended(l) }
	l.log.onVacant = l.leftAlone
	l.log.recountAll()
	return l, started, nil
}

// reserve takes the name for a run and its place in the thread, or returns the run that has the
// name. previous are the runs of the thread that are to be cancelled.
func (h *Hub) reserve(l *Live) (holder *Live, previous []*Live, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if other := h.runs[l.info.RunKey]; other != nil {
		return other, nil, nil
	}
	if h.closed {
		return nil, nil, ErrShutdown
	}
	t := h.thread(l.info.Scope, l.info.Thread)
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
	return l, previous, nil
}

// unreserve gives back what reserve took for a run that does not begin.
func (h *Hub) unreserve(l *Live, why error) {
	l.openErr = why
	close(l.opened)
	l.log.releaseWhenVacant(func() {})
	l.stop(ErrCancelled)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaveThread(l)
}

// leaveThread gives back a run's name and its place in the thread, and has the next one begin. Under
// mu.
func (h *Hub) leaveThread(l *Live) {
	if h.runs[l.info.RunKey] == l {
		delete(h.runs, l.info.RunKey)
	}
	t := h.threads[threadKey{l.info.Scope, l.info.Thread}]
	if t == nil {
		return
	}
	t.queue = slices.DeleteFunc(t.queue, func(other *Live) bool { return other == l })
	if t.active == l {
		if t.active = nil; len(t.queue) > 0 {
			t.active, t.queue = t.queue[0], t.queue[1:]
			go h.execute(t.active)
		}
	}
	h.tidy(l.info.Scope, l.info.Thread)
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
func (h *Hub) join(ctx context.Context, l *Live, hash [32]byte, out Outlet) (*Viewer, error) {
	select {
	case <-l.opened:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case l.openErr != nil:
		return nil, l.openErr
	case l.hash != hash:
		h.counters.conflicts.Add(1)
		return nil, ErrConflict
	case out == nil:
		return nil, nil
	}
	return l.attach(Cursor{}, false, out)
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
	l, err := h.load(ctx, s.Key, Cursor{})
	if err != nil || out == nil {
		return l, nil, err
	}
	v, err := l.attach(Cursor{}, false, out)
	return l, v, err
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
	t := h.thread(l.info.Scope, l.info.Thread)
	for f := range t.followers {
		f.wake(l.info.RunKey)
	}
	if t.active == l {
		go h.execute(l)
	}
}

// thread returns a thread, a new one if there is none. Under mu.
func (h *Hub) thread(scope, name string) *thread {
	k := threadKey{scope, name}
	t := h.threads[k]
	if t == nil {
		t = &thread{}
		h.threads[k] = t
	}
	return t
}

// tidy forgets a thread that has nothing any more. Under mu.
func (h *Hub) tidy(scope, name string) {
	k := threadKey{scope, name}
	if t := h.threads[k]; t != nil && t.active == nil && len(t.queue) == 0 && len(t.followers) == 0 {
		delete(h.threads, k)
	}
}

// execute runs the agent of a run, in a goroutine of its own. A run that follows another may not
// be open yet.
func (h *Hub) execute(l *Live) {
	if <-l.opened; l.openErr != nil {
		return
	}
	if !l.claim() {
		return
	}
	h.running.Add(1)
	h.counters.started.Add(1)
	returned := false
	err := errGoexit
	defer func() {
		if !returned { // runtime.Goexit; a panic is run.Do's
			go h.executed(l, err)
			return
		}
		h.executed(l, err)
	}()
	err = l.start.Do(l.ctx, l)
	returned = true
}

// executed is what follows the agent's return.
func (h *Hub) executed(l *Live, err error) {
	l.finish(err)
	l.stop(nil)
	if l.start.Released != nil {
		l.start.Released()
	}
	h.running.Add(-1)
}

// longest is how long an ended log lives while it has viewers.
const longest = 10 * time.Minute

// ended is what follows a terminal event: the store has the log from now on, and the thread's next
// run begins.
func (h *Hub) ended(l *Live) {
	l.seal(h.cfg.Retention)
	h.counters.duration.Record(int64(time.Since(l.info.Started)))
	l.mu.Lock()
	h.counters.outcomes[l.outcome].Add(1)
	if l.expiry != nil {
		l.expiry.Stop()
	}
	if l.vacant != nil {
		l.vacant.Stop()
	}
	l.expiry = time.AfterFunc(longest, func() { l.log.sendAway(ErrBuried) })
	l.mu.Unlock()

	h.mu.Lock()
	h.leaveThread(l)
	h.lingering[l] = struct{}{}
	h.mu.Unlock()
	l.log.releaseWhenVacant(func() {
		l.mu.Lock()
		l.expiry.Stop()
		l.mu.Unlock()
		go h.forget(l)
	})
}

// forget is told of an ended run that has no viewers any more.
func (h *Hub) forget(l *Live) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.lingering, l)
}

// dequeue lets a run that was cancelled while it waited for its thread begin, so that it ends.
func (h *Hub) dequeue(l *Live) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.threads[threadKey{l.info.Scope, l.info.Thread}]
	if t == nil {
		return
	}
	if i := slices.Index(t.queue, l); i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
		go h.execute(l)
	}
}
