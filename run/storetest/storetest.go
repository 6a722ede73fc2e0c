// Package storetest judges implementations of run.Store. Hosts that write one may rely on its API.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/run"
)

// Test holds what open returns against each sentence of run.Store and run.Log. It calls open for
// each of its subtests, with that subtest's t; a store must be empty, and open closes it by t.Cleanup.
// What takes time takes tens of milliseconds of it. Run it under the race detector, too.
func Test(t *testing.T, open func(t *testing.T) run.Store) {
	for _, tc := range []struct {
		name string
		test func(*suite)
	}{
		{"Info", testInfo},
		{"Open", testOpen},
		{"Open of a name that there is", testExists},
		{"Open by many at once", testRace},
		{"Append", testAppend},
		{"Append of another offset", testAppendOrder},
		{"Read at every cursor", testCursors},
		{"Read of a part", testParts},
		{"Read of a run that there is not", testUnknown},
		{"Fold", testFold},
		{"Fold again", testFoldAgain},
		{"Fold without the oldest", testTrim},
		{"Close", testClose},
		{"Close, and the time is over", testExpiry},
		{"Bury", testBury},
		{"Bury where there is something", testBuryExisting},
		{"Bury, and the time is over", testBuryExpiry},
		{"List", testList},
		{"Names", testNames},
		{"Contexts", testContexts},
		{"Readers beside the writer", testReaders},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.test(&suite{T: t, store: open(t)})
		})
	}
}

// suite is one subtest.
type suite struct {
	*testing.T
	store run.Store
}

const (
	epoch = 0x1234_5678_9abc_def0
	all   = 1 << 30 // bytes of a Read that wants everything
	long  = time.Hour
	short = 20 * time.Millisecond
)

func key(id string) run.RunKey { return run.RunKey{Scope: "scope", Thread: "thread", Run: id} }

// opening is what a run of that key is opened with.
func opening(k run.RunKey) run.Opening {
	o := run.Opening{
		Info:    run.RunInfo{RunKey: k, Started: time.Unix(1_700_000_000, 0)},
		Epoch:   epoch,
		Resumes: []string{"interrupt"},
		Started: []byte(`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`),
		Prelude: [][]byte{
			[]byte(`{"type":"RUN_STARTED","threadId":"t","runId":"r","input":{"threadId":"t","runId":"r","messages":[]}}`),
			[]byte(`{"type":"STATE_SNAPSHOT","snapshot":{}}`),
		},
	}
	o.Info.Principal.Key = "ann"
	o.InputHash[0], o.InputHash[31] = 1, 2
	return o
}

func (s *suite) open(k run.RunKey) run.Log {
	s.Helper()
	log, err := s.store.Open(s.Context(), k, opening(k))
	if err != nil {
		s.Fatalf("Open: %v", err)
	}
	return log
}

// custom is an event of its own.
func custom(n uint64) []byte { return fmt.Appendf(nil, `{"type":"CUSTOM","name":"n","value":%d}`, n) }

func content(delta string) []byte {
	return []byte(`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"` + delta + `"}`)
}

// append adds events of their own up to an offset, behind one.
func (s *suite) append(log run.Log, last, through uint64) {
	s.Helper()
	var events [][]byte
	for n := last + 1; n <= through; n++ {
		events = append(events, custom(n))
	}
	if err := log.Append(s.Context(), last+1, events); err != nil {
		s.Fatalf("Append of %d to %d: %v", last+1, through, err)
	}
}

func (s *suite) read(k run.RunKey, after run.Cursor, most int) run.Batch {
	s.Helper()
	b, err := s.store.Read(s.Context(), k, after, most)
	if err != nil {
		s.Fatalf("Read after %v: %v", after, err)
	}
	return b
}

// at is a cursor of the epoch that logs are opened with.
func at(offset uint64) run.Cursor { return run.Cursor{Epoch: epoch, Offset: offset} }

// show is entries as text.
func show(entries []run.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%d-%d %s", e.First, e.Through, e.Event)
		if e.Pieces != nil {
			fmt.Fprintf(&b, " %d", e.Pieces)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// entry is one event of its own.
func entry(offset uint64, event []byte) run.Entry {
	return run.Entry{Event: event, First: offset, Through: offset}
}

// wantEntries compares what follows a cursor.
func (s *suite) wantEntries(k run.RunKey, after run.Cursor, want ...run.Entry) run.Batch {
	s.Helper()
	b := s.read(k, after, all)
	for len(b.Entries) > 0 && len(b.Entries) < len(want) { // a store may give them in parts
		last := b.Entries[len(b.Entries)-1].Through
		more := s.read(k, at(last), all)
		if len(more.Entries) == 0 {
			break
		}
		b.Entries, b.End = append(b.Entries[:len(b.Entries):len(b.Entries)], more.Entries...), more.End
	}
	if show(b.Entries) != show(want) {
		s.Errorf("after %v:\n%swant\n%s", after, show(b.Entries), show(want))
	}
	return b
}

// wantGone checks that a cursor is refused for a reason, which wraps ErrGone.
func (s *suite) wantGone(k run.RunKey, after run.Cursor, reason error) {
	s.Helper()
	if b, err := s.store.Read(s.Context(), k, after, all); !errors.Is(err, reason) || !errors.Is(err, run.ErrGone) {
		s.Errorf("Read after %v: %d entries, error %v, want %v", after, len(b.Entries), err, reason)
	}
}

// wantExists checks that Open finds something of that name, and returns what.
func (s *suite) wantExists(k run.RunKey, state run.RecordState) run.Record {
	s.Helper()
	log, err := s.store.Open(s.Context(), k, opening(k))
	exists, ok := errors.AsType[*run.ExistsError](err)
	if !ok || log != nil {
		s.Fatalf("Open of what there is: error %v", err)
	}
	if exists.Record.State != state || exists.Record.Info.RunKey != k {
		s.Errorf("there is %+v, want state %d", exists.Record, state)
	}
	return exists.Record
}

// wantRecord compares the record of a run with what it was opened with.
func (s *suite) wantRecord(r run.Record, k run.RunKey, last uint64, state run.RecordState) {
	s.Helper()
	o := opening(k)
	if r.Info.RunKey != k || r.Info.Principal.Key != o.Info.Principal.Key || !r.Info.Started.Equal(o.Info.Started) ||
		r.Epoch != o.Epoch || r.InputHash != o.InputHash || fmt.Sprint(r.Resumes) != fmt.Sprint(o.Resumes) ||
		r.Last != last || r.State != state {
		s.Errorf("record %+v, want last %d and state %d of %+v", r, last, state, o)
	}
}

// until waits for what a store does by itself.
func (s *suite) until(what string, done func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(short / 4)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.Fatalf("waited in vain until %s", what)
		}
	}
}

func testInfo(s *suite) {
	info := s.store.Info()
	if info.Boot == "" || s.store.Info() != info {
		s.Errorf("%+v, then %+v", info, s.store.Info())
	}
}

func testContexts(s *suite) {
	k := key("r")
	over, cancel := context.WithCancel(s.Context())
	cancel()
	if _, err := s.store.Open(over, k, opening(k)); !errors.Is(err, context.Canceled) {
		s.Errorf("Open: %v", err)
	}
	log := s.open(k) // that did not open it
	if err := log.Append(over, 2, [][]byte{custom(2)}); !errors.Is(err, context.Canceled) {
		s.Errorf("Append: %v", err)
	}
	if _, err := s.store.Read(over, k, run.Cursor{}, all); !errors.Is(err, context.Canceled) {
		s.Errorf("Read: %v", err)
	}
	var last error
	for _, err := range s.store.List(over, k.Scope) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		s.Errorf("List: %v", last)
	}
}

// same reports whether two lists of events are the same bytes.
func same(a, b [][]byte) bool {
	return bytes.Equal(bytes.Join(a, []byte{'\n'}), bytes.Join(b, []byte{'\n'}))
}
