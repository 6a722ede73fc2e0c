package run

import (
	"cmp"
	"container/heap"
	"container/list"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/agloop/agloop/memmon"
)

const (
	tombstoneKeep   = 24 * time.Hour
	scopeTombstones = 1024
	scopeEnded      = 1024 // ended logs
)

// Errors of a MemoryStore that say how it was used.
var (
	errLogClosed   = errors.New("agloop: the log is closed")
	errStoreClosed = errors.New("agloop: the store is closed")
)

// MemoryStore is a Store in the memory of the process. It holds what it is given by reference: events
// are not copied, so a log and its store hold them once. Logs that have ended go when their time is
// over, or first when there is no room, the oldest first; tombstones stay for 24 hours. A scope has
// at most 1,024 ended logs and 1,024 tombstones, of which the oldest go.
//
// It must be made by NewMemoryStore. All methods may be called from any goroutine. It has no
// goroutine of its own, and one timer.
type MemoryStore struct {
	// Immutable.
	boot   string
	ledger *memmon.Ledger // nil: nobody counts

	// Any goroutine.
	held  atomic.Int64 // bytes
	share atomic.Int64 // bytes that a scope may hold; 0: no limit

	// Any goroutine, under mu, which comes before that of a log.
	mu     sync.Mutex
	closed bool
	logs   map[RunKey]*memoryLog
	scopes map[string]*memoryScope
	due    memoryQueue // what goes by itself, the next first
	timer  *time.Timer // nil before anything is due
	stats  MemoryStats
}

// MemoryStats counts what a MemoryStore holds, and what has left it since it was made.
type MemoryStats struct {
	Live       int   // logs without an end
	Ended      int   // logs that are kept behind their end
	Tombstones int   // of both kinds
	Bytes      int64 // of all that
	Shed       int64 // ended logs that went because there was no room
	Expired    int64 // ended logs whose time was over
}

// memoryScope is what a store has of one scope. Under MemoryStore.mu, but for bytes.
type memoryScope struct {
	name    string
	bytes   atomic.Int64
	records list.List // all *memoryLog, in the order of their start
	ended   list.List // those that are kept behind their end, in the order of that
	buried  list.List // tombstones, in the order in which they came to be
}

// NewMemoryStore returns an empty store. What it holds is added to ledger, which may be nil.
func NewMemoryStore(ledger *memmon.Ledger) *MemoryStore {
	return &MemoryStore{
		boot: FormatEpoch(newEpoch()), ledger: ledger,
		logs: make(map[RunKey]*memoryLog), scopes: make(map[string]*memoryScope),
	}
}

// Info names a store that has nothing of the one before.
func (s *MemoryStore) Info() StoreInfo { return StoreInfo{Boot: s.boot} }

// LimitScope sets how many bytes the logs and tombstones of one scope may take; 0, as at first, is no
// limit. Beyond it the scope's ended logs go, the oldest first; live ones stay, whatever they take.
func (s *MemoryStore) LimitScope(bytes int64) { s.share.Store(bytes) }

// Held is how many bytes the store holds.
func (s *MemoryStore) Held() int64 { return s.held.Load() }

// Stats counts what there is now.
func (s *MemoryStore) Stats() MemoryStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Bytes = s.Held()
	return stats
}

// Shed lets ended logs go until at least so many bytes are free, those of the scope that has most
// bytes first, and of it the oldest. Their tombstones stay. It returns how many went.
func (s *MemoryStore) Shed(bytes int64) (logs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var scopes scopeQueue
	for _, sc := range s.scopes {
		if sc.ended.Len() > 0 {
			scopes = append(scopes, scopeBytes{sc, sc.bytes.Load()})
		}
	}
	heap.Init(&scopes)
	least := s.Held() - bytes
	for len(scopes) > 0 && s.Held() > least {
		sc := scopes[0].memoryScope
		s.shedOldest(sc)
		logs++
		if sc.ended.Len() == 0 {
			heap.Pop(&scopes)
			continue
		}
		scopes[0].bytes = sc.bytes.Load()
		heap.Fix(&scopes, 0)
	}
	return logs
}

// shedOldest lets the scope's oldest ended log go. Under mu.
func (s *MemoryStore) shedOldest(sc *memoryScope) {
	s.bury(sc.ended.Front().Value.(*memoryLog))
	s.stats.Shed++
}

// Open begins a log. The error is an *ExistsError, or ctx's, or says that the store is closed.
func (s *MemoryStore) Open(ctx context.Context, k RunKey, o Opening) (Log, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errStoreClosed
	}
	if l := s.logs[k]; l != nil {
		return nil, &ExistsError{l.snapshot()}
	}
	o.Info.RunKey = k
	l := s.insert(Record{
		Info: o.Info, Epoch: o.Epoch, InputHash: o.InputHash, Resumes: o.Resumes, Last: 1, State: RecordLive,
	})
	l.prelude, l.first = o.Prelude, 1
	l.newest = []Entry{{Event: o.Started, First: 1, Through: 1}}
	n := sizeOf(l.newest)
	for _, e := range o.Prelude {
		n += cap(e) + int(unsafe.Sizeof(e))
	}
	l.count(n)
	s.stats.Live++
	s.shrink(l.scope)
	return l, nil
}

// Bury leaves a tombstone, unless there is something of that name. The error is ctx's, or says that
// the store is closed.
func (s *MemoryStore) Bury(ctx context.Context, k RunKey, cancelled bool, keep time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errStoreClosed
	}
	if s.logs[k] != nil {
		return nil
	}
	state := RecordBuried
	if cancelled {
		state = RecordCancelled
	}
	s.entomb(s.insert(Record{Info: RunInfo{RunKey: k}, State: state}), keep)
	return nil
}

// Read returns what follows a cursor. The error is as Store says, or ctx's, or says that the store is
// closed.
func (s *MemoryStore) Read(ctx context.Context, k RunKey, after Cursor, most int) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return Batch{}, err
	}
	s.mu.Lock()
	l, closed := s.logs[k], s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return Batch{}, errStoreClosed
	case l == nil:
		return Batch{}, ErrGone
	}
	return l.read(after, most)
}

// List yields what there is of a scope when it is ranged over. The error is ctx's, or says that the
// store is closed, and comes last.
func (s *MemoryStore) List(ctx context.Context, scope string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		records, err := s.records(scope)
		for _, r := range records {
			if err = ctx.Err(); err != nil {
				break
			}
			if !yield(r, nil) {
				return
			}
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			yield(Record{}, err)
		}
	}
}

func (s *MemoryStore) records(scope string) (records []Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errStoreClosed
	}
	sc := s.scopes[scope]
	if sc == nil {
		return nil, nil
	}
	records = make([]Record, 0, sc.records.Len())
	for e := sc.records.Front(); e != nil; e = e.Next() {
		records = append(records, e.Value.(*memoryLog).snapshot())
	}
	return records, nil
}

// Close lets everything go. What is called afterwards returns an error, also of the logs.
func (s *MemoryStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, l := range s.logs {
		l.empty(errStoreClosed)
	}
	for _, sc := range s.scopes {
		s.count(sc, 0, -sc.size())
	}
	clear(s.logs)
	clear(s.scopes)
	s.due = nil
	s.stats.Live, s.stats.Ended, s.stats.Tombstones = 0, 0, 0
	return nil
}

// count adds bytes of a scope to all that counts them, in a stripe of the ledger.
func (s *MemoryStore) count(sc *memoryScope, stripe, bytes int) {
	sc.bytes.Add(int64(bytes))
	s.held.Add(int64(bytes))
	if s.ledger != nil {
		s.ledger.Add(stripe, bytes)
	}
}

// insert adds a record of a name that there is nothing of. Under mu.
func (s *MemoryStore) insert(r Record) *memoryLog {
	sc := s.scopes[r.Info.Scope]
	if sc == nil {
		sc = &memoryScope{name: r.Info.Scope}
		s.scopes[sc.name] = sc
		s.count(sc, 0, sc.size())
	}
	l := &memoryLog{store: s, scope: sc, record: r, index: notDue}
	l.inScope = sc.records.PushBack(l)
	s.logs[r.Info.RunKey] = l
	l.count(r.size())
	return l
}

// end keeps a log that has its terminal event for a while. Under mu.
func (s *MemoryStore) end(l *memoryLog, keep time.Duration) {
	s.stats.Live--
	s.stats.Ended++
	l.inState = l.scope.ended.PushBack(l)
	s.setDue(l, keep)
	if l.scope.ended.Len() > scopeEnded {
		s.shedOldest(l.scope)
	}
	s.shrink(l.scope)
}

// shrink lets ended logs of a scope go that has more than its share. Under mu.
func (s *MemoryStore) shrink(sc *memoryScope) {
	share := s.share.Load()
	for share > 0 && sc.bytes.Load() > share && sc.ended.Len() > 0 {
		s.shedOldest(sc)
	}
}

// bury makes a tombstone of an ended log. Under mu.
func (s *MemoryStore) bury(l *memoryLog) {
	s.stats.Ended--
	l.scope.ended.Remove(l.inState)
	l.empty(ErrBuried)
	s.entomb(l, tombstoneKeep)
}

// entomb keeps a tombstone for a while, and lets the oldest of the scope go that are too many. Under
// mu.
func (s *MemoryStore) entomb(l *memoryLog, keep time.Duration) {
	s.stats.Tombstones++
	l.inState = l.scope.buried.PushBack(l)
	s.setDue(l, keep)
	if l.scope.buried.Len() > scopeTombstones {
		s.forget(l.scope.buried.Front().Value.(*memoryLog))
	}
}

// forget lets a tombstone go. Under mu.
func (s *MemoryStore) forget(l *memoryLog) {
	s.stats.Tombstones--
	if l.index != notDue {
		heap.Remove(&s.due, l.index)
	}
	l.scope.buried.Remove(l.inState)
	l.scope.records.Remove(l.inScope)
	delete(s.logs, l.record.Info.RunKey)
	l.count(-l.record.size())
	if l.scope.records.Len() == 0 {
		delete(s.scopes, l.scope.name)
		s.count(l.scope, 0, -l.scope.size())
	}
}

// setDue lets l go to its next state in a while, at once where that is over. Under mu.
func (s *MemoryStore) setDue(l *memoryLog, in time.Duration) {
	l.due = time.Now().Add(in)
	if l.index == notDue {
		heap.Push(&s.due, l)
	} else {
		heap.Fix(&s.due, l.index)
	}
	if s.due[0] == l {
		s.arm()
	}
}

// arm sets the timer for what is due next. Under mu.
func (s *MemoryStore) arm() {
	if len(s.due) == 0 {
		return
	}
	if in := time.Until(s.due[0].due); s.timer == nil {
		s.timer = time.AfterFunc(in, s.expire)
	} else {
		s.timer.Reset(in)
	}
}

// expire lets go what is due.
func (s *MemoryStore) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for now := time.Now(); len(s.due) > 0 && !s.due[0].due.After(now); {
		switch l := s.due[0]; l.snapshot().State {
		case RecordEnded:
			s.bury(l)
			s.stats.Expired++
		default:
			s.forget(l)
		}
	}
	s.arm()
}

var errAppend = errors.New("agloop: not the next offset of the log")

// appendError says which offset a log expects.
func appendError(first, last uint64) error {
	return fmt.Errorf("%w: %d, where the last is %d", errAppend, first, last)
}
