package run

import (
	"bytes"
	"context"
	"iter"
	"sync"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/memmon"
)

func withoutInterrupts(b []byte, m map[string]bool) ([]byte, error) { return b, nil }

func prelude(in *agui.RunAgentInput, enc Encoder) ([][]byte, error) {
	b, err := enc.AppendEvent(nil, startedEvent(in))
	return [][]byte{b}, err
}

type MemoryStore struct {
	mu   sync.Mutex
	logs map[RunKey]*mlog
	list []*mlog
}
type mlog struct {
	s       *MemoryStore
	r       Record
	lead    [][]byte
	entries []Entry
}

func NewMemoryStore(*memmon.Ledger) *MemoryStore { return &MemoryStore{logs: map[RunKey]*mlog{}} }
func (s *MemoryStore) Close()                    {}
func (s *MemoryStore) Info() StoreInfo           { return StoreInfo{Boot: "b"} }
func (s *MemoryStore) Open(ctx context.Context, k RunKey, o Opening) (Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[k]; l != nil {
		return nil, &ExistsError{l.r}
	}
	l := &mlog{s: s, r: Record{Info: o.Info, Epoch: o.Epoch, InputHash: o.InputHash, Resumes: o.Resumes}, lead: o.Prelude}
	s.logs[k] = l
	s.list = append(s.list, l)
	return l, nil
}

func (s *MemoryStore) Bury(ctx context.Context, k RunKey, cancelled bool, keep time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs[k] == nil {
		s.logs[k] = &mlog{s: s, r: Record{State: RecordCancelled, Info: RunInfo{RunKey: k}}}
	}
	return nil
}

func (s *MemoryStore) Read(ctx context.Context, k RunKey, after Cursor, most int) (Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[k]
	if l == nil {
		return Batch{}, ErrGone
	}
	if after.Epoch != 0 && after.Epoch != l.r.Epoch {
		return Batch{}, ErrOtherEpoch
	}
	if after.Offset > l.r.Last {
		return Batch{}, ErrFuture
	}
	var es []Entry
	for _, e := range l.entries {
		if e.Through <= after.Offset {
			continue
		}
		if e.First <= after.Offset {
			e, _ = e.rest(after.Offset)
		}
		es = append(es, e)
	}
	return Batch{Record: l.r, Prelude: l.lead, Entries: es, End: l.r.State == RecordEnded}, nil
}

func (s *MemoryStore) List(ctx context.Context, scope string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		s.mu.Lock()
		list := append([]*mlog(nil), s.list...)
		s.mu.Unlock()
		for _, l := range list {
			if l.r.Info.Scope == scope && !yield(l.r, nil) {
				return
			}
		}
	}
}

func (l *mlog) Append(ctx context.Context, first uint64, events [][]byte) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	for i, e := range events {
		l.entries = append(l.entries, Entry{Event: bytes.Clone(e), First: first + uint64(i), Through: first + uint64(i)})
		l.r.Last = first + uint64(i)
	}
	return nil
}

func (l *mlog) Fold(ctx context.Context, through uint64, entries []Entry) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	var rest []Entry
	for _, e := range l.entries {
		if e.First > through {
			rest = append(rest, e)
		}
	}
	l.entries = append(append([]Entry(nil), entries...), rest...)
	return nil
}
func (l *mlog) Renew(ctx context.Context) error { return nil }
func (l *mlog) Close(ctx context.Context, keep time.Duration) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.r.State = RecordEnded
	return nil
}
