package run_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/run"
)

// memory is a store with a ledger that must be empty at the end.
func memory(t *testing.T) (*run.MemoryStore, *memmon.Ledger) {
	t.Helper()
	ledger := memmon.NewLedger()
	s := run.NewMemoryStore(ledger)
	t.Cleanup(func() {
		if s.Held() != ledger.Total() {
			t.Errorf("the store holds %d bytes, the ledger has %d", s.Held(), ledger.Total())
		}
		if err := s.Close(); err != nil || s.Held() != 0 || ledger.Total() != 0 {
			t.Errorf("closed: %v, %d bytes, the ledger has %d", err, s.Held(), ledger.Total())
		}
	})
	return s, ledger
}

func runKey(scope, id string) run.RunKey { return run.RunKey{Scope: scope, Thread: "t", Run: id} }

// ended opens a log with one event of so many bytes beside RUN_STARTED, and closes it.
func ended(t *testing.T, s *run.MemoryStore, k run.RunKey, bytes int, keep time.Duration) {
	t.Helper()
	log, err := s.Open(t.Context(), k, run.Opening{Epoch: 1, Started: []byte(barrier)})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(t.Context(), 2, [][]byte{make([]byte, bytes)}); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(t.Context(), keep); err != nil {
		t.Fatal(err)
	}
}

// states are the runs of a scope with their states.
func states(t *testing.T, s *run.MemoryStore, scope string) string {
	t.Helper()
	var list []string
	for r, err := range s.List(t.Context(), scope) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s:%d", r.Info.Run, r.State))
	}
	return strings.Join(list, " ")
}

// TestR13LogsGoWhenTheirTimeIsOver: each at its own time, a tombstone stays for 24 hours.
func TestR13LogsGoWhenTheirTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := memory(t)
		before := runtime.NumGoroutine()
		ended(t, s, runKey("s", "later"), 100, 3*time.Minute)
		ended(t, s, runKey("s", "soon"), 100, time.Minute)
		ended(t, s, runKey("s", "now"), 100, 0)
		if _, err := s.Open(t.Context(), runKey("s", "live"), run.Opening{Epoch: 1, Started: []byte(barrier)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Bury(t.Context(), runKey("s", "buried"), true, 2*time.Minute); err != nil {
			t.Fatal(err)
		}
		if n := runtime.NumGoroutine(); n != before {
			t.Errorf("%d goroutines, before %d", n, before)
		}
		start := time.Now()
		for _, tc := range []struct {
			at   time.Duration
			want string
		}{
			{time.Nanosecond, "later:1 soon:1 now:2 live:0 buried:3"},
			{time.Minute - time.Nanosecond, "later:1 soon:1 now:2 live:0 buried:3"},
			{time.Minute, "later:1 soon:2 now:2 live:0 buried:3"},
			{2 * time.Minute, "later:1 soon:2 now:2 live:0"},
			{3 * time.Minute, "later:2 soon:2 now:2 live:0"},
			{24 * time.Hour, "later:2 soon:2 live:0"},
			{24*time.Hour + time.Minute, "later:2 live:0"},
			{24*time.Hour + 3*time.Minute, "live:0"},
			{1000 * time.Hour, "live:0"},
		} {
			time.Sleep(time.Until(start.Add(tc.at)))
			synctest.Wait()
			if got := states(t, s, "s"); got != tc.want {
				t.Errorf("after %v: %s, want %s", tc.at, got, tc.want)
			}
		}
		if st := s.Stats(); st.Live != 1 || st.Ended != 0 || st.Tombstones != 0 || st.Expired != 3 || st.Shed != 0 || st.Bytes != s.Held() {
			t.Errorf("%+v", st)
		}
	})
}

// TestR14AScopeIsBounded: 1,024 ended logs and 1,024 tombstones, the oldest go.
func TestR14AScopeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := memory(t)
		for i := range 2200 {
			ended(t, s, runKey("s", fmt.Sprint(i)), 10, time.Hour)
		}
		if st := s.Stats(); st.Ended != 1024 || st.Tombstones != 1024 || st.Shed != 2200-1024 {
			t.Errorf("%+v", st)
		}
		for _, tc := range []struct {
			id   string
			want error
		}{{"151", run.ErrGone}, {"152", run.ErrBuried}, {"1175", run.ErrBuried}, {"1176", nil}} {
			if _, err := s.Read(t.Context(), runKey("s", tc.id), run.Cursor{}, 1); !errors.Is(err, tc.want) || tc.id == "151" && errors.Is(err, run.ErrBuried) {
				t.Errorf("%s: %v, want %v", tc.id, err, tc.want)
			}
		}
	})
}

// TestR14AShareOfBytes: a scope's ended logs make room, live ones and other scopes stay.
func TestR14AShareOfBytes(t *testing.T) {
	s, _ := memory(t)
	ended(t, s, runKey("other", "x"), 1<<20, time.Hour)
	live, err := s.Open(t.Context(), runKey("s", "live"), run.Opening{Epoch: 1, Started: []byte(barrier)})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		ended(t, s, runKey("s", id), 100<<10, time.Hour)
	}
	s.LimitScope(350 << 10)
	ended(t, s, runKey("s", "e"), 100<<10, time.Hour)
	if got := states(t, s, "s"); got != "live:0 a:2 b:2 c:1 d:1 e:1" {
		t.Error(got)
	}
	if err := live.Append(t.Context(), 2, [][]byte{make([]byte, 200<<10)}); err != nil {
		t.Fatal(err)
	}
	if got := states(t, s, "s"); got != "live:0 a:2 b:2 c:2 d:2 e:1" {
		t.Error(got)
	}
	if err := live.Append(t.Context(), 3, [][]byte{make([]byte, 900<<10)}); err != nil {
		t.Fatal(err)
	}
	if got := states(t, s, "s") + " " + states(t, s, "other"); got != "live:0 a:2 b:2 c:2 d:2 e:2 x:1" || s.Stats().Shed != 5 {
		t.Error(got)
	}
}

// TestR14Shed: the scope with most bytes first, of it the oldest end; tombstones stay.
func TestR14Shed(t *testing.T) {
	s, _ := memory(t)
	for _, l := range []struct {
		scope, id string
		size      int
	}{{"a", "1", 100}, {"b", "1", 400}, {"a", "2", 100}, {"b", "2", 50}, {"c", "1", 300}} {
		ended(t, s, runKey(l.scope, l.id), l.size<<10, time.Hour)
	}
	all := func() string { return states(t, s, "a") + " | " + states(t, s, "b") + " | " + states(t, s, "c") }
	before := s.Held()
	if n := s.Shed(0); n != 0 {
		t.Errorf("%d for nothing", n)
	}
	if n := s.Shed(1); n != 1 || all() != "1:1 2:1 | 1:2 2:1 | 1:1" {
		t.Errorf("%d, %s", n, all())
	}
	if n := s.Shed(350 << 10); n != 2 || all() != "1:2 2:1 | 1:2 2:1 | 1:2" {
		t.Errorf("%d, %s", n, all())
	}
	if n := s.Shed(1 << 40); n != 2 || all() != "1:2 2:2 | 1:2 2:2 | 1:2" {
		t.Errorf("%d, %s", n, all())
	}
	if s.Held() > before-900<<10 || s.Stats().Shed != 5 || s.Stats().Tombstones != 5 {
		t.Errorf("%d bytes of %d, %+v", s.Held(), before, s.Stats())
	}
}

// TestR3EventsAreHeldByReference: a store copies none, and counts what they take.
func TestR3EventsAreHeldByReference(t *testing.T) {
	s, ledger := memory(t)
	log, err := s.Open(t.Context(), runKey("s", "r"), run.Opening{Epoch: 1, Started: []byte(barrier)})
	if err != nil {
		t.Fatal(err)
	}
	before := ledger.Total()
	event := bytes.Repeat([]byte{'x'}, 1000)
	if err := log.Append(t.Context(), 2, [][]byte{event, event[:10]}); err != nil {
		t.Fatal(err)
	}
	entries := []run.Entry{{Event: event[:10], First: 2, Through: 3}}
	if grown := ledger.Total() - before; grown < 1010 || grown > 1010+200 {
		t.Errorf("%d bytes for two events of 1,010", grown)
	}
	b, err := s.Read(t.Context(), runKey("s", "r"), run.Cursor{Epoch: 1, Offset: 1}, 1<<20)
	if err != nil || len(b.Entries) != 2 || &b.Entries[0].Event[0] != &event[0] {
		t.Errorf("%v, %v", b.Entries, err)
	}
	if err := log.Fold(t.Context(), 3, append(plain(1, barrier), entries...)); err != nil {
		t.Fatal(err)
	}
	if grown := ledger.Total() - before; grown < 10 || grown > 10+100 {
		t.Errorf("%d bytes for a fold of 10", grown)
	}
}

// TestFoldThatDoesNotFit is refused, and the log stays.
func TestFoldThatDoesNotFit(t *testing.T) {
	s, _ := memory(t)
	k := runKey("s", "r")
	log, err := s.Open(t.Context(), k, run.Opening{Epoch: 1, Started: []byte(barrier)})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(t.Context(), 2, [][]byte{{'2'}, {'3'}, {'4'}, {'5'}}); err != nil {
		t.Fatal(err)
	}
	if err := log.Fold(t.Context(), 3, []run.Entry{{Event: []byte("f"), First: 2, Through: 3}}); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]struct {
		through uint64
		entries []run.Entry
	}{
		"beyond the end":    {6, []run.Entry{{First: 2, Through: 6}}},
		"another end":       {4, []run.Entry{{First: 2, Through: 3}}},
		"a gap":             {4, []run.Entry{{First: 2, Through: 2}, {First: 4, Through: 4}}},
		"none":              {4, []run.Entry{{First: 5, Through: 4}}},
		"what is gone":      {4, []run.Entry{{First: 1, Through: 4}}},
		"within an entry":   {2, []run.Entry{{First: 2, Through: 2}}},
		"before what there": {0, nil},
	} {
		if err := log.Fold(t.Context(), f.through, f.entries); err == nil {
			t.Errorf("%s: folded", name)
		}
	}
	b, err := s.Read(t.Context(), k, run.Cursor{Epoch: 1, Offset: 1}, 1<<20)
	if err != nil || show(b.Entries) != "2-3 f\n" {
		t.Errorf("%s, %v", show(b.Entries), err)
	}
}

// TestTombstonesKeepNothingOfTheHost: what Authorize gave is not held for a day.
func TestTombstonesKeepNothingOfTheHost(t *testing.T) {
	s, _ := memory(t)
	k := runKey("s", "r")
	o := run.Opening{Epoch: 1, Started: []byte(barrier)}
	o.Info.Principal.Key, o.Info.Principal.Value = "ann", 7
	log, err := s.Open(t.Context(), k, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	s.Shed(1)
	for r, err := range s.List(t.Context(), "s") {
		if p := r.Info.Principal; err != nil || r.State != run.RecordBuried || p.Key != "ann" || p.Value != nil {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// TestMemoryStoreIsClosed: every call says so.
func TestMemoryStoreIsClosed(t *testing.T) {
	s, ledger := memory(t)
	k := runKey("s", "r")
	ended(t, s, runKey("s", "ended"), 10, time.Hour)
	log, err := s.Open(t.Context(), k, run.Opening{Epoch: 1, Started: []byte(barrier)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || ledger.Total() != 0 {
		t.Errorf("%v, %d bytes", err, ledger.Total())
	}
	_, open := s.Open(t.Context(), k, run.Opening{})
	_, read := s.Read(t.Context(), k, run.Cursor{}, 1)
	var list error
	for _, list = range s.List(t.Context(), "s") {
	}
	for name, err := range map[string]error{
		"Open": open, "Read": read, "List": list, "Bury": s.Bury(t.Context(), k, false, time.Hour),
		"Append": log.Append(t.Context(), 2, [][]byte{{'2'}}), "Fold": log.Fold(t.Context(), 1, nil),
		"Renew": log.Renew(t.Context()), "Close": log.Close(t.Context(), time.Hour),
	} {
		if err == nil || errors.Is(err, run.ErrGone) || !strings.Contains(err.Error(), "closed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st := s.Stats(); st != (run.MemoryStats{}) || s.Shed(1) != 0 {
		t.Errorf("%+v", st)
	}
}

// TestMemoryStoreOfMany: what an idle run takes, and that stores are told apart.
func TestMemoryStoreOfMany(t *testing.T) {
	a, _ := memory(t)
	b, _ := memory(t)
	if i := a.Info(); i.Durable || i == b.Info() || a.Info() != i {
		t.Errorf("%+v and %+v", i, b.Info())
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Bury(over, runKey("s", "r"), false, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Bury: %v", err)
	}
	const runs = 2000
	var before, after runtime.MemStats
	runtime.GC() // what pools of other tests hold goes with the second collection
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range runs {
		if _, err := a.Open(t.Context(), runKey(fmt.Sprint(i), "r"), run.Opening{Epoch: 1, Started: []byte(barrier)}); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	real, counted := int64(after.HeapAlloc-before.HeapAlloc)/runs, a.Held()/runs
	if real > 2*counted || counted > 2*real {
		t.Errorf("a run takes %d bytes and is counted as %d", real, counted)
	}
}
