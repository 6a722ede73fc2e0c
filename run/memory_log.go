package run

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
	"unsafe"
)

// notDue is the index of what is not in the queue.
const notDue = -1

// memoryLog is one log of a MemoryStore, or its tombstone. It is the Log of its writer.
type memoryLog struct {
	// Immutable.
	store *MemoryStore
	scope *memoryScope

	// Any goroutine, under store.mu.
	inScope *list.Element // in scope.records
	inState *list.Element // in scope.ended or scope.buried
	due     time.Time     // when it leaves its state
	index   int           // in store.due

	// Any goroutine, under mu.
	mu      sync.Mutex
	record  Record // its names never change
	gone    error  // why there are no events; nil for a log
	prelude [][]byte
	folded  []Entry // what Fold was given last
	newest  []Entry // what follows
	first   uint64  // offset of the first event that there is, or would be
	size    int     // bytes of all that and the record
}

// size is what a record takes in a store.
func (r *Record) size() int {
	k, of := r.Info.RunKey, int(unsafe.Sizeof(memoryLog{}))+recordBytes
	n := of + len(k.Scope) + len(k.Thread) + len(k.Run)
	for _, id := range r.Resumes {
		n += len(id) + int(unsafe.Sizeof(id))
	}
	return n
}

// size is what a scope takes beside its records.
func (sc *memoryScope) size() int { return int(unsafe.Sizeof(*sc)) + len(sc.name) + scopeOverhead }

const (
	recordBytes   = 256 // about what the maps, lists and the queue of a store take for one record
	scopeOverhead = 64  // about what its map takes for one scope
)

// count adds bytes to all that counts them. Under mu, or before others know the log.
func (l *memoryLog) count(bytes int) {
	l.size += bytes
	l.store.count(l.scope, int(l.record.Epoch), bytes)
}

// snapshot is the record as it is now.
func (l *memoryLog) snapshot() Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record
}

// empty lets go of all but the tombstone, for a reason that readers get; where the store is closed of
// that, too. Under store.mu.
func (l *memoryLog) empty(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prelude, l.folded, l.newest, l.gone = nil, nil, nil, reason
	l.record.Info.Principal.Value = nil // the host's, which may be large
	if l.record.State <= RecordEnded {
		l.record.State = RecordBuried
	}
	left := 0
	if reason == ErrBuried {
		left = l.record.size()
	}
	l.count(left - l.size)
}

// read is Read of the store, without a lock of the store. Entries that are there are never changed.
func (l *memoryLog) read(after Cursor, most int) (Batch, error) {
	l.mu.Lock()
	b, gone, first := Batch{Record: l.record}, l.gone, l.first
	prelude, folded, newest := l.prelude, l.folded, l.newest
	l.mu.Unlock()
	start := after.Offset == 0
	switch {
	case b.Record.State >= RecordBuried:
		return Batch{}, ErrBuried
	case gone != nil:
		return Batch{}, gone
	case after.Epoch != b.Record.Epoch && after != Cursor{}:
		return Batch{}, ErrOtherEpoch
	case after.Offset > b.Record.Last:
		return Batch{}, ErrFuture
	case after.Offset+1 < first:
		return Batch{}, ErrTrimmed
	}
	if start {
		b.Prelude = prelude
	}
	b.Entries = EntriesAfter(folded, after.Offset, most)
	if len(b.Entries) == 0 {
		b.Entries = EntriesAfter(newest, after.Offset, most)
	}
	through := after.Offset
	if n := len(b.Entries); n > 0 {
		through = b.Entries[n-1].Through
	}
	b.End = b.Record.State == RecordEnded && through == b.Record.Last
	return b, nil
}

// writing is nil while the log has a writer. Under mu.
func (l *memoryLog) writing(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case l.gone == errStoreClosed:
		return l.gone
	case l.record.State != RecordLive:
		return errLogClosed
	}
	return nil
}

// Append implements Log.
func (l *memoryLog) Append(ctx context.Context, first uint64, events [][]byte) error {
	if err := l.append(ctx, first, events); err != nil {
		return err
	}
	s := l.store
	if share := s.share.Load(); share > 0 && l.scope.bytes.Load() > share {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.shrink(l.scope)
	}
	return nil
}

func (l *memoryLog) append(ctx context.Context, first uint64, events [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writing(ctx); err != nil {
		return err
	}
	last := l.record.Last
	if first != last+1 || uint64(len(events)) > MaxOffset-last {
		return appendError(first, last)
	}
	n := -cap(l.newest) * entryBytes
	l.newest = slices.Grow(l.newest, len(events))
	n += cap(l.newest) * entryBytes
	for i, e := range events {
		entry := Entry{Event: e, First: first + uint64(i), Through: first + uint64(i)}
		n += entry.size() - entryBytes
		l.newest = append(l.newest, entry)
	}
	l.record.Last += uint64(len(events))
	l.count(n)
	return nil
}

var errFold = errors.New("agloop: what a log is folded into does not fit it")

// Fold implements Log. It keeps the slice, too.
func (l *memoryLog) Fold(ctx context.Context, through uint64, entries []Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writing(ctx); err != nil {
		return err
	}
	next := through + 1
	first := next
	for i := range entries {
		e := &entries[i]
		if i == 0 {
			first = e.First
		}
		if e.First > e.Through || i > 0 && e.First != entries[i-1].Through+1 {
			return errFold
		}
	}
	if through > l.record.Last || first < l.first || len(entries) > 0 && entries[len(entries)-1].Through != through {
		return errFold
	}
	_, others := split(l.folded, next)
	newest, left := split(l.newest, next)
	switch {
	case len(others) > 0 && others[0].First < next || len(left) > 0 && left[0].First < next:
		return errFold // it ends within an entry
	case len(others) > 0:
		entries = append(slices.Clip(entries), others...)
	}
	if len(newest) > 0 {
		left = slices.Clone(left)
	}
	before := sizeOf(l.folded) + sizeOf(l.newest)
	l.folded, l.newest, l.first = entries, left, first
	l.count(sizeOf(l.folded) + sizeOf(l.newest) - before)
	return nil
}

// split divides entries into those before an offset and the others.
func split(entries []Entry, next uint64) (before, others []Entry) {
	i, _ := slices.BinarySearchFunc(entries, next, func(e Entry, next uint64) int {
		if e.Through < next {
			return -1
		}
		return 1
	})
	return entries[:i], entries[i:]
}

// Renew implements Log. Nobody else can write.
func (l *memoryLog) Renew(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writing(ctx)
}

// Close implements Log.
func (l *memoryLog) Close(ctx context.Context, keep time.Duration) error {
	s := l.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := l.close(ctx); err != nil {
		return err
	}
	s.end(l, keep)
	return nil
}

func (l *memoryLog) close(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writing(ctx); err != nil {
		return err
	}
	l.record.State = RecordEnded
	return nil
}

// memoryQueue has what is due next at its head.
type memoryQueue []*memoryLog

func (q memoryQueue) Len() int           { return len(q) }
func (q memoryQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q memoryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *memoryQueue) Push(x any) {
	l := x.(*memoryLog)
	l.index = len(*q)
	*q = append(*q, l)
}

// Pop implements heap.Interface.
func (q *memoryQueue) Pop() any {
	last := len(*q) - 1
	l := (*q)[last]
	(*q)[last] = nil
	*q, l.index = (*q)[:last], notDue
	return l
}

// scopeBytes is a scope with the bytes it had when it was put in line.
type scopeBytes struct {
	*memoryScope
	bytes int64
}

// scopeQueue has the scope with most bytes at its head.
type scopeQueue []scopeBytes

func (q scopeQueue) Len() int           { return len(q) }
func (q scopeQueue) Less(i, j int) bool { return q[i].bytes > q[j].bytes }
func (q scopeQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *scopeQueue) Push(x any) { *q = append(*q, x.(scopeBytes)) }

// Pop implements heap.Interface.
func (q *scopeQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
