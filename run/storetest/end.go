package storetest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/agloop/agloop/run"
)

func testClose(s *suite) {
	k := key("r")
	log := s.open(k)
	s.append(log, 1, 3)
	if err := log.Close(s.Context(), long); err != nil {
		s.Fatalf("Close: %v", err)
	}
	b := s.wantEntries(k, at(1), entry(2, custom(2)), entry(3, custom(3)))
	s.wantRecord(b.Record, k, 3, run.RecordEnded)
	if !b.End {
		s.Error("the end is not told")
	}
	if b = s.wantEntries(k, at(3)); !b.End {
		s.Error("behind the terminal event the end is not told")
	}
	if b = s.read(k, at(1), 1); len(b.Entries) == 1 && b.End {
		s.Error("the end is told before the terminal event")
	}
	s.wantGone(k, at(4), run.ErrFuture)
	s.wantRecord(s.wantExists(k, run.RecordEnded), k, 3, run.RecordEnded)
	if err := log.Append(s.Context(), 4, [][]byte{custom(4)}); err == nil {
		s.Error("Append behind Close")
	}
	if err := log.Fold(s.Context(), 2, nil); err == nil {
		s.Error("Fold behind Close")
	}
	if err := log.Close(s.Context(), long); err == nil {
		s.Error("a second Close")
	}
	s.wantEntries(k, at(1), entry(2, custom(2)), entry(3, custom(3)))
}

// gone reports whether nothing of a run can be read.
func (s *suite) gone(k run.RunKey) bool {
	_, err := s.store.Read(s.Context(), k, run.Cursor{}, all)
	return errors.Is(err, run.ErrGone)
}

func testExpiry(s *suite) {
	kept, k := key("kept"), key("r")
	log := s.open(kept)
	s.append(log, 1, 2)
	if err := log.Close(s.Context(), long); err != nil {
		s.Fatal(err)
	}
	log = s.open(k)
	s.append(log, 1, 2)
	if err := log.Close(s.Context(), short); err != nil {
		s.Fatal(err)
	}
	s.until("the log is gone", func() bool { return s.gone(k) })
	s.wantGone(k, run.Cursor{}, run.ErrBuried)
	s.wantGone(k, at(2), run.ErrBuried)
	s.wantRecord(s.wantExists(k, run.RecordBuried), k, 2, run.RecordBuried)
	s.wantEntries(kept, at(1), entry(2, custom(2)))
	if got := s.list(k.Scope); got != "kept:1 r:2" {
		s.Errorf("there is %s", got)
	}
}

func testBury(s *suite) {
	for _, tc := range []struct {
		id        string
		cancelled bool
		state     run.RecordState
	}{{"buried", false, run.RecordBuried}, {"cancelled", true, run.RecordCancelled}} {
		k := key(tc.id)
		if err := s.store.Bury(s.Context(), k, tc.cancelled, long); err != nil {
			s.Fatalf("Bury: %v", err)
		}
		s.wantGone(k, run.Cursor{}, run.ErrBuried)
		s.wantExists(k, tc.state)
		s.wantExists(k, tc.state) // it stays
	}
}

func testBuryExisting(s *suite) {
	live, ended, cancelled := key("live"), key("ended"), key("cancelled")
	s.append(s.open(live), 1, 2)
	if err := s.open(ended).Close(s.Context(), long); err != nil {
		s.Fatal(err)
	}
	if err := s.store.Bury(s.Context(), cancelled, true, long); err != nil {
		s.Fatal(err)
	}
	for _, k := range []run.RunKey{live, ended, cancelled} {
		for _, cancelled := range []bool{true, false} {
			if err := s.store.Bury(s.Context(), k, cancelled, short); err != nil {
				s.Errorf("Bury of %s: %v", k.Run, err)
			}
		}
	}
	s.wantEntries(live, at(1), entry(2, custom(2)))
	s.wantExists(live, run.RecordLive)
	s.wantExists(ended, run.RecordEnded)
	s.wantExists(cancelled, run.RecordCancelled)
}

func testBuryExpiry(s *suite) {
	k := key("r")
	if err := s.store.Bury(s.Context(), k, true, short); err != nil {
		s.Fatal(err)
	}
	s.until("the name is free", func() bool {
		_, err := s.store.Open(s.Context(), k, opening(k))
		if _, exists := errors.AsType[*run.ExistsError](err); !exists && err != nil {
			s.Fatalf("Open: %v", err)
		}
		return err == nil
	})
	s.wantEntries(k, run.Cursor{}, entry(1, opening(k).Started))
}

// list is what there is of a scope as text: names with their states.
func (s *suite) list(scope string) string {
	s.Helper()
	var names []string
	for r, err := range s.store.List(s.Context(), scope) {
		if err != nil {
			s.Fatalf("List: %v", err)
		}
		names = append(names, fmt.Sprintf("%s:%d", r.Info.Run, r.State))
	}
	return strings.Join(names, " ")
}

func testList(s *suite) {
	if got := s.list("scope"); got != "" {
		s.Errorf("there is %s", got)
	}
	s.open(key("z"))
	second := s.open(key("b"))
	if err := s.store.Bury(s.Context(), key("m"), true, long); err != nil {
		s.Fatal(err)
	}
	s.open(key("a"))
	s.open(run.RunKey{Scope: "other", Thread: "thread", Run: "r"})
	s.append(second, 1, 4)
	if err := second.Close(s.Context(), long); err != nil {
		s.Fatal(err)
	}
	if got := s.list("scope"); got != "z:0 b:1 m:3 a:0" {
		s.Errorf("there is %s", got)
	}
	if got := s.list("other"); got != "r:0" {
		s.Errorf("there is %s", got)
	}
	if got := s.list("scop"); got != "" {
		s.Errorf("there is %s", got)
	}
	for r, err := range s.store.List(s.Context(), "scope") {
		if err != nil {
			s.Fatal(err)
		}
		if r.Info.Run == "b" {
			s.wantRecord(r, key("b"), 4, run.RecordEnded)
			break
		}
	}
}
