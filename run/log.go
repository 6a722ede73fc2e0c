package run

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/agloop/agloop/codec/event"
)

// LogLimits bound the log of one run. The zero value of a field is the default given beside it.
type LogLimits struct {
	WindowEvents int // how many of the newest events stay as they are. 0 is 1,024
	WindowBytes  int // how many bytes they may have; at least one stays. 0 is 256 KiB
	FoldedBytes  int // how many bytes of what is older are kept, folded. 0 is 4 MiB
}

func (l LogLimits) withDefaults() LogLimits {
	set := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	set(&l.WindowEvents, 1024)
	set(&l.WindowBytes, 256<<10)
	set(&l.FoldedBytes, 4<<20)
	return l
}

// liveLog holds the events of one run in this process: the newest as they are, what is older
// folded. It sends each to the viewers that are level. Rules R2 to R5, R9 to R11.
//
// Its lock comes before those of outlets, and is not held while anything is encoded or folded.
type liveLog struct {
	// Immutable.
	epoch     uint64
	limits    LogLimits
	events    event.Limits
	shared    bool          // what is older, and the prelude, lie in a MemoryStore, which counts them
	loaded    bool          // it was read from a store, into a list of its own
	turns     chan struct{} // who folds has put one in
	onGrow    func(bytes int)
	onMoved   func(first uint64, events [][]byte, older []Entry) // what the store is to have
	onDropped func()                                             // what is older is gone
	onEnded   func()                                             // the terminal event is in
	onVacant  func()                                             // the last viewer is gone

	// Any goroutine.
	ahead atomic.Bool // AwaitDrain has to look; written under mu

	// Any goroutine, under mu.
	mu       sync.Mutex
	prelude  [][]byte  // stands for offset 1 where somebody joins from the start; nil: there is none
	older    []Entry   // in order, what is not among the newest
	trimmed  uint64    // offset of the last event that is not there any more; 0: none
	newest   [][]byte  // in segments
	first    uint64    // offset of newest[0], or that the next event will have
	size     int       // bytes of newest
	written  int64     // bytes of all events so far
	segments []segment // of newest, in order
	held     int       // bytes told to onGrow
	folding  bool      // a goroutine folds; the folder is its
	folder   *folder
	dropped  bool // what is older is to be dropped when it has folded
	ended    bool
	released bool          // nobody counts it any more: no viewer comes
	terminal []byte        // in place of the terminal event, for who has not seen that; nil: as it is
	viewers  []*Viewer     // the most advanced is not known without looking
	frame    Frame         // that is being offered: it would take memory of its own otherwise
	room     chan struct{} // closed when the producer is to look again; nil while it does not wait
}

// newLiveLog makes a log that is empty. Its functions are still to be set.
func newLiveLog(epoch uint64, cfg *HubConfig) *liveLog {
	return &liveLog{epoch: epoch, limits: cfg.Limits, events: cfg.Events, first: 1}
}

// last is the offset of the last event, 0 where there is none yet. Under mu.
func (l *liveLog) last() uint64 { return l.first + uint64(len(l.newest)) - 1 }

// append adds one event, which it copies, and sends it to the viewers that are level. Nothing
// follows a terminal event.
func (l *liveLog) append(event []byte, terminal bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	before := cap(l.newest)
	l.newest = append(l.newest, l.keep(event))
	if grown := cap(l.newest) - before; grown > 0 {
		l.grow(grown * newestSize)
	}
	l.size += len(event)
	l.written += int64(len(event))
	l.ended = terminal
	l.sendLevel()
	if l.over() {
		l.startFolding()
	}
	if terminal {
		l.onEnded()
	}
	l.look()
}

// grow counts so many more bytes. Under mu.
func (l *liveLog) grow(bytes int) {
	l.held += bytes
	l.onGrow(bytes)
}

// over reports whether there are more of the newest events than stay as they are. Under mu.
func (l *liveLog) over() bool {
	return !l.folding && (len(l.newest) >= l.limits.WindowEvents || l.size > l.limits.WindowBytes && len(l.newest) > 1)
}

// startFolding has the oldest of the newest events folded, a quarter of them. Under mu.
func (l *liveLog) startFolding() {
	l.folding = true
	go l.fold()
}

// fold moves the oldest of the newest events to what is older. One goroutine at a time.
func (l *liveLog) fold() {
	for {
		older, moved, first, dropped := l.oldest()
		if dropped {
			l.onDropped()
		}
		if moved == nil {
			return
		}
		entries := make([]Entry, len(moved))
		for i, b := range moved {
			entries[i] = Entry{Event: b, First: first + uint64(i), Through: first + uint64(i)}
		}
		l.turns <- struct{}{}
		folded, trimmed := l.folder.add(older, entries)
		<-l.turns
		l.onMoved(first, moved, folded)
		if l.replaceOldest(len(moved), folded, trimmed) {
			l.onDropped()
		}
	}
}

// oldest is what is to be folded next, nil when that is enough. It reports whether what is older was
// dropped before that, as drop asked for.
func (l *liveLog) oldest() (older []Entry, moved [][]byte, first uint64, dropped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, size := 0, l.size
	for n < len(l.newest)-1 && (len(l.newest)-n > l.limits.WindowEvents*3/4 || size > l.limits.WindowBytes*3/4) {
		size -= len(l.newest[n])
		n++
	}
	if n == 0 || len(l.newest) < l.limits.WindowEvents && l.size <= l.limits.WindowBytes {
		before := l.held
		if dropped = l.dropIfAsked(); dropped {
			l.recount(before)
		}
		l.folding = false
		l.free()
		l.look()
		return nil, nil, 0, dropped
	}
	return l.older, slices.Clone(l.newest[:n]), l.first, false
}

// replaceOldest puts what n of the newest events were folded to in their place. It reports whether
// that was dropped, since drop was called meanwhile.
func (l *liveLog) replaceOldest(n int, folded []Entry, trimmed uint64) (dropped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.held
	l.trimmed, l.older = max(l.trimmed, trimmed), folded
	for _, b := range l.newest[:n] {
		l.size -= len(b)
	}
	l.newest = slices.Delete(l.newest, 0, n)
	l.first += uint64(n)
	dropped = l.dropIfAsked()
	l.freeSegments()
	l.recount(before)
	l.look()
	return dropped
}

// recount counts what is held anew. Under mu.
func (l *liveLog) recount(before int) {
	held := cap(l.newest) * newestSize
	for i := range l.segments {
		held += cap(l.segments[i].b)
	}
	if !l.shared {
		held += sizeOf(l.older)
		for _, b := range l.prelude {
			held += cap(b)
		}
	} else if l.loaded {
		held += cap(l.older) * entryBytes
	}
	l.held = held
	l.onGrow(held - before)
}

// recountAll counts what a log holds that was not appended to.
func (l *liveLog) recountAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recount(l.held)
}

// drop forgets all events but the newest, unless somebody views the log. Cursors before those are
// trimmed. It reports whether there was anything, though who folds may still have to do it.
func (l *liveLog) drop() bool {
	did, later := l.tryDrop()
	if did {
		l.onDropped()
	}
	return did || later
}

// tryDrop drops what is older, or has who folds do it.
func (l *liveLog) tryDrop() (did, later bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.viewers) > 0 || l.released:
		return false, false
	case l.folding:
		later = !l.dropped
		l.dropped = true
		return false, later
	}
	before := l.held
	did = l.dropOlder()
	l.recount(before)
	return did, false
}

// trimmedAt is the offset up to which events are gone.
func (l *liveLog) trimmedAt() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trimmed
}

// dropOlder forgets what is older than the newest events, and reports whether there was any. Under mu,
// while nobody folds.
func (l *liveLog) dropOlder() bool {
	if len(l.older) == 0 {
		return false
	}
	l.older, l.trimmed = nil, l.first-1
	l.folder = &folder{most: l.folder.most, settled: l.trimmed} // which knows no state
	l.freeSegments()
	return true
}

// dropIfAsked drops what drop was to drop while it was being folded, unless somebody has come to view
// it. Under mu, by who folds.
func (l *liveLog) dropIfAsked() (did bool) {
	if l.dropped && len(l.viewers) == 0 {
		did = l.dropOlder()
	}
	l.dropped = false
	return did
}

// releaseWhenVacant has the ledger forget the log, and calls then, when the last viewer is gone.
func (l *liveLog) releaseWhenVacant(then func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onVacant = func() {
		l.onGrow(-l.held)
		l.held, l.onVacant, l.onGrow, l.released = 0, func() {}, func(int) {}, true
		l.free()
		then()
	}
	if len(l.viewers) == 0 {
		l.onVacant()
	}
}

// free lets go of what a log holds that nobody counts any more: a host may keep its run for long. While
// it is being folded who folds does that. Under mu.
func (l *liveLog) free() {
	if l.released && !l.folding {
		l.prelude, l.older, l.newest, l.segments, l.folder, l.frame = nil, nil, nil, nil, nil, Frame{}
	}
}

// errReleased says that a log is not counted any more, and its store has it.
var errReleased = errors.New("agloop: the log has gone to its store")

// awaitRoom waits while the log is a window ahead of its most advanced viewer. The error is ctx's.
func (l *liveLog) awaitRoom(ctx context.Context) error {
	for l.ahead.Load() {
		room := l.wait()
		if room == nil {
			break
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// wait returns what is closed when the producer is to look again, nil when it need not wait.
func (l *liveLog) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ahead.Load() {
		return nil
	}
	if l.room == nil {
		l.room = make(chan struct{})
	}
	return l.room
}

// look notes whether the producer is to wait, and wakes it when it is not. Under mu.
func (l *liveLog) look() {
	ahead := l.isAhead()
	if ahead != l.ahead.Load() {
		l.ahead.Store(ahead)
	}
	if !ahead && l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// foldLag is how many windows the newest events may take while the older ones of them are being
// folded, before the producer waits for that.
const foldLag = 4

// isAhead reports whether the producer is to wait: the log is a window ahead of the most advanced
// viewer, or folding cannot keep up. Under mu.
func (l *liveLog) isAhead() bool {
	switch {
	case l.ended:
		return false
	case l.folding && (len(l.newest) >= foldLag*l.limits.WindowEvents || l.size >= foldLag*max(l.limits.WindowBytes, maxSegment)):
		return true
	case len(l.viewers) == 0:
		return false
	}
	next, seen := uint64(0), int64(0)
	for _, v := range l.viewers {
		if v.next > l.last() {
			return false
		}
		next, seen = max(next, v.next), max(seen, v.seen)
	}
	return l.last()+1-next >= uint64(l.limits.WindowEvents) || l.written-seen >= int64(l.limits.WindowBytes)
}
