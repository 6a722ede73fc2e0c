package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/agloop/agloop/run"
)

func testOpen(s *suite) {
	k := key("r")
	log := s.open(k)
	for _, start := range []run.Cursor{{}, at(0)} {
		b := s.wantEntries(k, start, entry(1, opening(k).Started))
		s.wantRecord(b.Record, k, 1, run.RecordLive)
		if !same(b.Prelude, opening(k).Prelude) || b.End {
			s.Errorf("prelude %s, end %v", b.Prelude, b.End)
		}
	}
	if err := log.Renew(s.Context()); err != nil {
		s.Errorf("Renew: %v", err)
	}
}

func testExists(s *suite) {
	k := key("r")
	log := s.open(k)
	s.append(log, 1, 3)
	s.wantRecord(s.wantExists(k, run.RecordLive), k, 3, run.RecordLive)
	for _, other := range []run.RunKey{{Scope: "other", Thread: k.Thread, Run: k.Run}, {Scope: k.Scope, Thread: "other", Run: k.Run}} {
		s.open(other)
	}
}

func testRace(s *suite) {
	k := key("r")
	const openers = 8
	var wg sync.WaitGroup
	var won, found [openers]uint64 // epochs
	for i := range openers {
		wg.Go(func() {
			o := opening(k)
			o.Epoch = uint64(i) + 1
			_, err := s.store.Open(s.Context(), k, o)
			if exists, ok := errors.AsType[*run.ExistsError](err); ok {
				found[i] = exists.Record.Epoch
			} else if err == nil {
				won[i] = o.Epoch
			} else {
				s.Errorf("Open: %v", err)
			}
		})
	}
	wg.Wait()
	var winner uint64
	for _, epoch := range won {
		if epoch != 0 && winner != 0 {
			s.Errorf("%d and %d have won", winner, epoch)
		}
		winner = max(winner, epoch)
	}
	for _, epoch := range found {
		if epoch != 0 && epoch != winner {
			s.Errorf("one that lost has found %d, the winner is %d", epoch, winner)
		}
	}
	if winner == 0 {
		s.Error("nobody has won")
	}
}

func testAppend(s *suite) {
	k := key("r")
	log := s.open(k)
	s.append(log, 1, 4)
	s.append(log, 4, 4) // of nothing
	s.append(log, 4, 5)
	b := s.wantEntries(k, run.Cursor{}, entry(1, opening(k).Started), entry(2, custom(2)), entry(3, custom(3)), entry(4, custom(4)), entry(5, custom(5)))
	if b.Record.Last != 5 || b.End {
		s.Errorf("last %d, end %v", b.Record.Last, b.End)
	}
	event := custom(6)
	kept := bytes.Clone(event)
	if err := log.Append(s.Context(), 6, [][]byte{event}); err != nil {
		s.Fatal(err)
	}
	if s.wantEntries(k, at(5), entry(6, kept)); !bytes.Equal(event, kept) {
		s.Errorf("the store has changed an event to %s", event)
	}
}

func testAppendOrder(s *suite) {
	k := key("r")
	log := s.open(k)
	s.append(log, 1, 3)
	for _, first := range []uint64{0, 1, 3, 5, run.MaxOffset} {
		if err := log.Append(s.Context(), first, [][]byte{custom(9)}); err == nil {
			s.Errorf("an event at %d behind one at 3 is stored", first)
		}
	}
	s.wantEntries(k, at(1), entry(2, custom(2)), entry(3, custom(3)))
	s.append(log, 3, 4)
	s.wantEntries(k, at(3), entry(4, custom(4)))
}

func testCursors(s *suite) {
	k := key("r")
	log := s.open(k)
	s.append(log, 1, 6)
	entries := []run.Entry{entry(1, opening(k).Started)}
	for n := uint64(2); n <= 6; n++ {
		entries = append(entries, entry(n, custom(n)))
	}
	for after := uint64(0); after <= 6; after++ {
		b := s.wantEntries(k, at(after), entries[after:]...)
		if (b.Prelude != nil) != (after == 0) {
			s.Errorf("after %d: prelude %s", after, b.Prelude)
		}
		s.wantRecord(b.Record, k, 6, run.RecordLive)
	}
	s.wantGone(k, at(7), run.ErrFuture)
	s.wantGone(k, at(run.MaxOffset), run.ErrFuture)
	for _, c := range []run.Cursor{{Epoch: epoch + 1}, {Epoch: epoch + 1, Offset: 3}, {Epoch: 0, Offset: 3}, {Epoch: 1, Offset: run.MaxOffset}} {
		s.wantGone(k, c, run.ErrOtherEpoch)
	}
	s.append(log, 6, 7)
	s.wantEntries(k, at(6), entry(7, custom(7)))
}

func testParts(s *suite) {
	k := key("r")
	log := s.open(k)
	s.append(log, 1, 50)
	size := len(opening(k).Started)
	for _, most := range []int{0, 1, size, 5 * size} {
		var after uint64
		for after < 50 {
			b := s.read(k, at(after), most)
			n := 0
			for _, e := range b.Entries {
				if e.First != after+1 {
					s.Fatalf("%d follows %d", e.First, after)
				}
				after = e.Through
				n += len(e.Event)
			}
			if len(b.Entries) == 0 || n > most+size {
				s.Fatalf("%d entries of %d bytes, wanted about %d", len(b.Entries), n, most)
			}
		}
	}
}

func testUnknown(s *suite) {
	s.open(key("r"))
	for _, k := range []run.RunKey{key("other"), {Scope: "other", Thread: "thread", Run: "r"}, {}} {
		s.wantGone(k, run.Cursor{}, run.ErrGone)
		s.wantGone(k, at(1), run.ErrGone)
	}
}

// folded is a log of ten offsets, of which 2 to 8 are folded.
func (s *suite) folded(k run.RunKey) (log run.Log, folded []run.Entry) {
	s.Helper()
	log = s.open(k)
	deltas := [][]byte{
		content("a"), content(""), content(`\ud83d`), content(`\ude00`), custom(6),
		[]byte(`{"type":"STATE_DELTA","delta":[]}`), []byte(`{"type":"STATE_SNAPSHOT","snapshot":1}`), custom(9), custom(10),
	}
	if err := log.Append(s.Context(), 2, deltas); err != nil {
		s.Fatal(err)
	}
	folded = []run.Entry{
		entry(1, opening(k).Started),
		{Event: content(`a\ud83d\ude00`), First: 2, Through: 5, Pieces: []uint32{1, 0, 6, 6}},
		entry(6, custom(6)),
		{Event: deltas[6], First: 7, Through: 8},
	}
	kept := show(folded)
	if err := log.Fold(s.Context(), 8, folded); err != nil {
		s.Fatalf("Fold: %v", err)
	}
	s.Cleanup(func() {
		if show(folded) != kept {
			s.Errorf("the store has changed what it was given to\n%s", show(folded))
		}
	})
	return log, folded
}

func testFold(s *suite) {
	k := key("r")
	log, f := s.folded(k)
	newest := []run.Entry{entry(9, custom(9)), entry(10, custom(10))}
	snapshot := f[3]
	snapshot.First = 8
	for after, want := range [][]run.Entry{
		{f[0], f[1], f[2], f[3]},
		{f[1], f[2], f[3]},
		{{Event: content(`\ud83d\ude00`), First: 3, Through: 5, Pieces: []uint32{0, 6, 6}}, f[2], f[3]},
		{{Event: content(`\ud83d\ude00`), First: 4, Through: 5, Pieces: []uint32{6, 6}}, f[2], f[3]},
		{{Event: content(`\ude00`), First: 5, Through: 5, Pieces: []uint32{6}}, f[2], f[3]},
		{f[2], f[3]},
		{f[3]},
		{snapshot},
		{},
	} {
		b := s.wantEntries(k, at(uint64(after)), append(want, newest...)...)
		s.wantRecord(b.Record, k, 10, run.RecordLive)
	}
	s.wantEntries(k, at(9), newest[1])
	s.append(log, 10, 11)
	s.wantEntries(k, at(10), entry(11, custom(11)))
	s.wantGone(k, at(12), run.ErrFuture)
}

func testFoldAgain(s *suite) {
	k := key("r")
	log, f := s.folded(k)
	s.append(log, 10, 11)
	f = append(f[:4:4], run.Entry{Event: custom(9), First: 9, Through: 10})
	if err := log.Fold(s.Context(), 10, f); err != nil {
		s.Fatalf("Fold: %v", err)
	}
	s.wantEntries(k, at(5), f[2], f[3], f[4], entry(11, custom(11)))
	s.wantEntries(k, at(10), entry(11, custom(11)))
	if err := log.Fold(s.Context(), 6, []run.Entry{{Event: content("z"), First: 1, Through: 6}}); err != nil {
		s.Fatalf("Fold of the older half alone: %v", err)
	}
	s.wantEntries(k, at(0), run.Entry{Event: content("z"), First: 1, Through: 6}, f[3], f[4], entry(11, custom(11)))
}

func testTrim(s *suite) {
	k := key("r")
	log, f := s.folded(k)
	if err := log.Fold(s.Context(), 8, f[2:]); err != nil {
		s.Fatalf("Fold: %v", err)
	}
	for _, after := range []run.Cursor{{}, at(0), at(1), at(4)} {
		s.wantGone(k, after, run.ErrTrimmed)
	}
	s.wantEntries(k, at(5), f[2], f[3], entry(9, custom(9)), entry(10, custom(10)))
	if err := log.Fold(s.Context(), 9, nil); err != nil {
		s.Fatalf("Fold into nothing: %v", err)
	}
	s.wantGone(k, at(8), run.ErrTrimmed)
	s.wantEntries(k, at(9), entry(10, custom(10)))
	if err := log.Fold(s.Context(), 10, nil); err != nil {
		s.Fatalf("Fold of all into nothing: %v", err)
	}
	s.wantGone(k, at(9), run.ErrTrimmed)
	s.wantEntries(k, at(10))
	s.append(log, 10, 11)
	s.wantEntries(k, at(10), entry(11, custom(11)))
}

func testReaders(s *suite) {
	k := key("r")
	log := s.open(k)
	const last = 400
	var wg sync.WaitGroup
	defer wg.Wait()
	var written atomic.Bool // nothing more comes
	defer written.Store(true)
	for i := range 4 {
		wg.Go(func() {
			var got uint64
			for {
				over := written.Load()
				b, err := s.store.Read(s.Context(), k, at(got), 200*i)
				if err != nil {
					s.Errorf("Read after %d: %v", got, err)
					return
				}
				for _, e := range b.Entries {
					if e.First != got+1 {
						s.Errorf("%d follows %d", e.First, got)
						return
					}
					got = e.Through
				}
				if b.End {
					if got != last {
						s.Errorf("the end is at %d", got)
					}
					return
				}
				if over && len(b.Entries) == 0 {
					s.Errorf("behind %d there is nothing, and the end is not told", got)
					return
				}
			}
		})
	}
	var folded []run.Entry
	for n := uint64(2); n <= last; n++ {
		if err := log.Append(s.Context(), n, [][]byte{content("x")}); err != nil {
			s.Errorf("Append: %v", err)
			break
		}
		if n%50 != 0 {
			continue
		}
		if folded == nil {
			folded = []run.Entry{entry(1, opening(k).Started)}
		}
		e := run.Entry{First: folded[len(folded)-1].Through + 1, Through: n - 10}
		delta := ""
		for range e.Through - e.First + 1 {
			delta += "x"
			e.Pieces = append(e.Pieces, 1)
		}
		e.Event = content(delta)
		folded = append(folded[:len(folded):len(folded)], e)
		if err := log.Fold(s.Context(), n-10, folded); err != nil {
			s.Errorf("Fold: %v", err)
		}
	}
	if err := log.Close(s.Context(), long); err != nil {
		s.Errorf("Close: %v", err)
	}
}

func testNames(s *suite) {
	names := []string{
		"", ".", "*", ">", "a.b", "a|b", "c", "a", "b|c", "A", "a ", " a", "ä", "a\u0308", "\u0000", "\n", "a/b", "../a", "%2e",
		"日本語", string(bytes.Repeat([]byte{'x'}, 128)),
	}
	var keys []run.RunKey
	for _, a := range names {
		keys = append(keys, run.RunKey{Scope: a}, run.RunKey{Thread: a, Run: "b"}, run.RunKey{Scope: "s", Run: a})
	}
	keys = append(keys, run.RunKey{Thread: "a|b", Run: "c"}, run.RunKey{Thread: "a", Run: "b|c"}, run.RunKey{Thread: "a", Run: "|b|c"})
	seen := map[run.RunKey]run.Log{}
	for _, k := range keys {
		if seen[k] == nil {
			seen[k] = s.open(k)
			if err := seen[k].Append(s.Context(), 2, [][]byte{fmt.Appendf(nil, `%q`, fmt.Sprintf("%q", k))}); err != nil {
				s.Fatalf("%q: Append: %v", k, err)
			}
		}
	}
	for k := range seen {
		s.wantEntries(k, at(1), entry(2, fmt.Appendf(nil, `%q`, fmt.Sprintf("%q", k))))
		if r := s.wantExists(k, run.RecordLive); r.Info.RunKey != k {
			s.Errorf("%q is %q", k, r.Info.RunKey)
		}
		found := 0
		for r, err := range s.store.List(s.Context(), k.Scope) {
			if err != nil || r.Info.Scope != k.Scope {
				s.Errorf("%q lists %q, %v", k.Scope, r.Info.Scope, err)
			}
			if r.Info.RunKey == k {
				found++
			}
		}
		if found != 1 {
			s.Errorf("%q is listed %d times", k, found)
		}
	}
}
