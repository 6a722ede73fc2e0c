package run

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/agloop/agloop/agui"
)

// Live is a run that a Hub has: its log, its viewers, and its agent while that is being called. Its
// exported methods may be called from any goroutine.
type Live struct {
	// Immutable.
	hub     *Hub
	info    RunInfo
	hash    [32]byte // of its input
	resumes []string // the interrupts that its input answers
	start   *Start   // what it was started with
	log     *liveLog
	opened  chan struct{} // closed when it is known whether the run begins
	done    chan struct{} // closed when the agent has returned, or was given up
	ctx     context.Context
	stop    context.CancelCauseFunc

	// Who starts it, until opened is closed.
	begins    bool // otherwise it never does
	discarded bool // its hub has taken back what it has
	stored    Log  // nil: it is in no store

	// Any goroutine.
	steering *steering

	// Any goroutine, under storing. It is held while the store is asked, and comes before the log's.
	storing sync.Mutex
	through uint64 // what the store has
	closed  bool   // the store is to have no more
	warned  bool   // the log has that the store fails

	// Any goroutine, under mu, which comes after the log's.
	mu      sync.Mutex
	run     *Run // while the agent may be called
	vacant  *time.Timer
	expiry  *time.Timer // after its end, while it has viewers
	since   time.Time   // without a viewer; zero: it has some
	err     error       // how the agent ended
	outcome Outcome
	claimed bool // it begins, or has begun

	// Who emits, under the Run's mu.
	firsts firsts
}

// firsts says what of a run was there already.
type firsts struct{ event, token bool }

// Outcome says how a run ended.
type Outcome uint8

// The outcomes of runs.
const (
	OutcomeNone      Outcome = iota // it goes on
	OutcomeSuccess                  // RUN_FINISHED
	OutcomeInterrupt                // RUN_FINISHED with interrupts
	OutcomeCancelled                // RUN_FINISHED, cancelled
	OutcomeError                    // RUN_ERROR
)

// outcomeOf is how a run ends by a terminal event.
func outcomeOf(ev agui.Event) Outcome {
	e, ok := ev.(*agui.RunFinished)
	switch {
	case !ok:
		return OutcomeError
	case e.Outcome == nil:
		return OutcomeSuccess
	case e.Outcome.Type == agui.OutcomeInterrupt:
		return OutcomeInterrupt
	case e.Outcome.Type == agui.OutcomeCancelled:
		return OutcomeCancelled
	}
	return OutcomeSuccess
}

// causeError is why a run is cancelled. It is a context.Canceled.
type causeError string

func (e causeError) Error() string        { return string(e) }
func (e causeError) Is(target error) bool { return target == context.Canceled }

// Causes of a run's context, see context.Cause.
var (
	ErrCancelled error = causeError("agloop: run was cancelled")
	ErrAbandoned error = causeError("agloop: nobody follows the run any more")
	ErrShutdown  error = causeError("agloop: server shuts down")
)

// Info says what the run is.
func (l *Live) Info() RunInfo { return l.info }

// Viewers is how many are attached now.
func (l *Live) Viewers() int { return l.log.viewerCount() }

// Wait waits for the run's end and returns how its agent ended, see RunEnd.Err, or ctx's error when
// that ends first.
func (l *Live) Wait(ctx context.Context) error {
	select {
	case <-l.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// patience is how long an agent may ignore that its run was cancelled.
const patience = 10 * time.Second

// Cancel cancels the run; its agent finds the cause by context.Cause, nil is ErrCancelled. The run
// ends with outcome cancelled: when the agent has returned, or after ten seconds without it. It does
// not wait. A run that has ended stays as it is.
func (l *Live) Cancel(cause error) {
	if cause == nil {
		cause = ErrCancelled
	}
	l.stop(cause)
	l.hub.dequeue(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.run != nil && l.expiry == nil && l.outcome == OutcomeNone {
		l.expiry = time.AfterFunc(patience, l.giveUp)
	}
}

// giveUp ends a run whose agent ignores that it was cancelled.
func (l *Live) giveUp() {
	l.mu.Lock()
	r := l.run
	l.mu.Unlock()
	if r == nil || !r.abandon() {
		return
	}
	l.hub.counters.givenUp.Add(1)
	l.hub.cfg.Log.Warn("agloop: an agent ignores that its run was cancelled; the run ends without it",
		"thread", l.info.Thread, "run", l.info.Run)
	l.finish(context.Cause(l.ctx))
}

// awaitOpened waits until it is known whether the run begins. The error is ctx's.
func (l *Live) awaitOpened(ctx context.Context) (begins bool, err error) {
	select {
	case <-l.opened:
		return l.begins, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// claim reports whether the caller is to have the run begin, which happens once.
func (l *Live) claim() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.claimed {
		return false
	}
	l.claimed = true
	return true
}

// bind tells the run that its agent is called.
func (l *Live) bind(r *Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run = r
	if l.ctx.Err() != nil && l.expiry == nil {
		l.expiry = time.AfterFunc(patience, l.giveUp)
	}
}

// EmitInto is Run.EmitContext for who has the run from its hub. Before the agent is called and after it has
// returned it returns ErrRunEnded.
func EmitInto(ctx context.Context, l *Live, ev agui.Event) error {
	l.mu.Lock()
	r := l.run
	l.mu.Unlock()
	if r == nil {
		return ErrRunEnded
	}
	return r.EmitContext(ctx, ev)
}

// finish notes that the agent has returned, or was given up.
func (l *Live) finish(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return
	default:
	}
	if err == errGoexit && l.run != nil && l.run.exited != nil { // a cancelled run ends with its cause
		err = l.run.exited
	}
	l.err, l.run = err, nil
	close(l.done)
}

// Send implements Sink.
func (l *Live) Send(event []byte, kind Kind) bool {
	if kind == KindTerminal {
		l.noteEnd(OutcomeError) // unless noteEvent has said what it is
	}
	l.log.append(event, kind == KindTerminal)
	return true
}

// AwaitDrain implements Sink.
func (l *Live) AwaitDrain(ctx context.Context) error { return l.log.awaitRoom(ctx) }

// noteCalled notes that the agent is called.
func (l *Live) noteCalled() { l.hub.counters.started.Add(1) }

// noteEvent notes what an event that is to be sent says of the run. It is called by one goroutine
// at a time.
func (l *Live) noteEvent(ev agui.Event, terminal bool) {
	if terminal {
		l.noteEnd(outcomeOf(ev))
	}
	if l.firsts.token {
		return
	}
	now := time.Now()
	if !l.firsts.event {
		l.firsts.event = true
		l.hub.counters.firstEvent.Record(int64(now.Sub(l.info.Started)))
	}
	switch ev.(type) {
	case *agui.TextMessageContent, *agui.TextMessageChunk, *agui.ReasoningMessageContent, *agui.ToolCallArgs:
		l.firsts.token = true
		l.hub.counters.firstToken.Record(int64(now.Sub(l.info.Started)))
	}
}

// noteEnd notes how the run ends. The first to say so counts.
func (l *Live) noteEnd(o Outcome) {
	l.mu.Lock()
	if l.outcome == OutcomeNone {
		l.outcome = o
	}
	l.mu.Unlock()
	l.steering.end()
}

// hasEnded reports whether the run has its terminal event, or is about to.
func (l *Live) hasEnded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outcome != OutcomeNone
}

// endTimers has the viewers of a run that has ended sent away in a while, and nothing else happen. It
// returns how it ended.
func (l *Live) endTimers() Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range [...]*time.Timer{l.expiry, l.vacant} {
		if t != nil {
			t.Stop()
		}
	}
	l.expireLater()
	return l.outcome
}

// expireLater has the viewers of a run that has ended sent away in a while. Under mu.
func (l *Live) expireLater() {
	l.expiry = time.AfterFunc(longest, func() { l.log.sendAway(ErrBuried) })
}

func (l *Live) stopExpiry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expiry.Stop()
}

// leftAlone is told when the last viewer is gone. Under the log's lock.
func (l *Live) leftAlone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outcome != OutcomeNone {
		return
	}
	l.since = time.Now()
	switch grace := l.hub.cfg.Grace; {
	case l.start.Keep, l.start.OnDisconnect == DisconnectContinue && grace < 0:
	case l.start.OnDisconnect == DisconnectContinue:
		l.vacant = time.AfterFunc(grace, func() { l.abandon(grace) })
	default:
		go l.Cancel(ErrAbandoned)
	}
}

// abandon cancels a run that has been without a viewer for so long. A timer that a viewer has come
// before may still call it.
func (l *Live) abandon(grace time.Duration) {
	if since := l.aloneSince(); !since.IsZero() && time.Since(since) >= grace {
		l.Cancel(ErrAbandoned)
	}
}

// aloneSince is since when it is without a viewer, zero where it has some.
func (l *Live) aloneSince() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since
}

// attach adds a viewer.
func (l *Live) attach(at Cursor, fromStart bool, out Outlet) (*Viewer, error) {
	v, err := l.log.attach(at, fromStart, out)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = time.Time{}
	if l.vacant != nil {
		l.vacant.Stop()
		l.vacant = nil
	}
	return v, nil
}

// store gives events to the run's log in the store. The log's lock is not held.
func (l *Live) store(first uint64, events [][]byte, older []Entry) {
	l.storing.Lock()
	defer l.storing.Unlock()
	if l.stored == nil || l.closed || !l.append(first, events) {
		return
	}
	l.noteStored(l.stored.Fold(context.Background(), first+uint64(len(events))-1, older))
}

// dropped has the store drop what the log has dropped. A MemoryStore counts that, and does so at once;
// for another one nobody waits.
func (l *Live) dropped() {
	if l.log.shared {
		l.dropStored()
		return
	}
	go l.dropStored()
}

// dropStored is what dropped does.
func (l *Live) dropStored() {
	l.storing.Lock()
	defer l.storing.Unlock()
	if through := min(l.log.trimmedAt(), l.through); l.stored != nil && !l.closed && through > 0 {
		l.noteStored(l.stored.Fold(context.Background(), through, nil))
	}
}

// append gives the store those events that it does not have, and reports whether it has them. Where it
// fails there would be a gap, so the store is given no more, and no end that would close the log
// before its terminal event. Under storing.
func (l *Live) append(first uint64, events [][]byte) bool {
	if skip := int(l.through + 1 - first); skip > 0 {
		events = events[min(skip, len(events)):]
		first = l.through + 1
	}
	if len(events) == 0 {
		return true
	}
	if err := l.stored.Append(context.Background(), first, events); err != nil {
		l.closed = true
		l.noteStored(err)
		return false
	}
	l.through = first + uint64(len(events)) - 1
	return true
}

// seal gives the store the rest of the log and ends the writing.
func (l *Live) seal(keep time.Duration) {
	l.storing.Lock()
	defer l.storing.Unlock()
	if l.stored == nil || l.closed || !l.append(l.log.rest()) {
		return
	}
	l.closed = true
	l.noteStored(l.stored.Close(context.Background(), keep))
}

// noteStored logs what went wrong with the store, once: a store that fails does so for every event.
// Under storing.
func (l *Live) noteStored(err error) {
	if err == nil || l.warned || errors.Is(err, errStoreClosed) { // which is what a server does that ends at once
		return
	}
	l.warned = true
	l.hub.cfg.Log.Error("agloop: a run could not be stored", "thread", l.info.Thread, "run", l.info.Run, "err", err)
}
