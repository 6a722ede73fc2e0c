package run

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/codec/event"
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
	Events    event.Limits  // what events were encoded within
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
	shed      atomic.Uint64 // live logs; a MemoryStore counts those that have ended
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
	shedFrom atomic.Int64  // bytes beyond the bound from which on shedding is tried again
	running  atomic.Int64  // agents that have not returned
	folding  chan struct{} // has a token for each log that is being folded: more at once take memory and are no faster

	// Any goroutine, under mu.
	mu      sync.Mutex
	closed  bool             // no run begins any more
	runs    map[RunKey]*Live // until the store has their logs
	threads map[threadKey]*thread
	// lingering are ended runs that have viewers, those included whose log comes from the store.
	lingering map[*Live]struct{}
	// steered is what was said to runs that have ended, while their logs are kept.
	steered map[RunKey]*steering
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
		lingering: make(map[*Live]struct{}), steered: make(map[RunKey]*steering),
		folding: make(chan struct{}, runtime.GOMAXPROCS(0)),
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
	if <-l.opened; !l.begins || !l.claim() {
		return
	}
	h.running.Add(1)
	err := errGoexit
	defer func() { h.executed(l, err) }() // a panic is run.Do's
	err = l.start.Do(l.ctx, l)
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

// ended is what follows a terminal event: the thread's next run begins, and the store has the log
// from now on.
func (h *Hub) ended(l *Live) {
	h.counters.duration.Record(int64(time.Since(l.info.Started)))
	h.counters.outcomes[l.endTimers()].Add(1)
	h.linger(l)
	l.seal(h.cfg.Retention) // until then others find it by its name
	h.mu.Lock()
	h.leaveName(l)
	h.keepAnswers(l)
	h.mu.Unlock()
	h.releaseLater(l)
	h.shedFrom.Store(0)          // there is a log more that may be dropped,
	h.keepToBound(h.held.Load()) // and the store may count more for it than the hub did
}

// keepAnswers keeps the answers to what was said to an ended run, if there are any: who has missed one
// asks again. Under mu.
func (h *Hub) keepAnswers(l *Live) {
	if k := l.info.RunKey; l.steering.answered() {
		h.steered[k] = l.steering
		time.AfterFunc(h.cfg.Retention, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			delete(h.steered, k)
		})
	}
}

// Say says something to a run by its name, see Live.Say. One that has ended takes nothing, but answers
// that were given are kept. told is called unless there is an error: that the log of the run is gone, or
// the store's.
func (h *Hub) Say(ctx context.Context, k RunKey, id, text string, told func(ok bool)) error {
	if l := h.Find(k); l != nil {
		l.Say(id, text, told)
		return nil
	}
	h.mu.Lock()
	s := h.steered[k]
	h.mu.Unlock()
	if s != nil {
		s.say(id, text, told)
		return nil
	}
	if _, err := h.cfg.Store.Read(ctx, k, Cursor{}, 1); err != nil && !errors.Is(err, ErrTrimmed) {
		return err
	}
	told(false)
	return nil
}

// linger notes an ended run that may have viewers, and frees its thread.
func (h *Hub) linger(l *Live) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lingering[l] = struct{}{}
	h.leaveThread(l)
}

// releaseLater forgets an ended run when it has no viewers any more.
func (h *Hub) releaseLater(l *Live) {
	l.log.releaseWhenVacant(func() {
		l.stopExpiry()
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
