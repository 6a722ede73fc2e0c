package run

import (
	"cmp"
	"encoding/json"
	"unsafe"

	"github.com/agloop/agloop/codec/event"
)

const (
	foldMost    = 64 << 10 // bytes of a fold, encoded
	foldPieces  = 16 << 10 // offsets that are joined into one fold, since empty deltas add no bytes
	foldSegment = 16 << 10 // bytes; a larger event lies alone, so that it is shared and not copied
	foldShare   = 8        // an eighth of new entries pays for going through the others again
)

// folder makes less of what is older than the newest events of one log, without changing what any
// viewer ends up with, whatever its cursor.
//
//   - Consecutive deltas of one type, item and tag become one entry: neighbours only, and nothing
//     moves.
//   - STATE events before a STATE_SNAPSHOT of the same tag, with only such deltas between, are dropped.
//     The entry that follows stands for their offsets, too. Nothing in between reads the state, and
//     the snapshot replaces it.
//   - When more than half of the bound is taken, the last of several STATE_DELTA of such a stretch
//     becomes a snapshot of what they have made, where that is certain and smaller.
//   - Beyond the bound the oldest entries go.
//
// Whatever it does not know well stays as it is. One goroutine at a time may use a folder, and it
// needs no lock of the log for that: it never writes to what others read.
type folder struct {
	// Immutable.
	most int // bytes

	// The goroutine that folds.
	bytes      int    // of all entries that add returned
	loose      int    // how many of them were added since they were last gone through
	looseBytes int    // and their bytes
	final      int    // entries before this index do not change any more
	open       int    // bytes of the others, as of then, which are read again and perhaps written
	settled    uint64 // offset up to which entries do not share the bytes of the log's segments
	state      foldState
}

// newFolder returns the folder of a log. inputState is the state of the run's input, empty where it
// has none; it is kept. most is how many bytes entries may take, 0 for 4 MiB. limits are
// those that events were encoded within.
func newFolder(inputState json.RawMessage, most int, limits event.Limits) *folder {
	if string(inputState) == "null" {
		inputState = nil
	}
	return &folder{
		most: cmp.Or(most, 4<<20),
		state: foldState{
			known: !hasHalves(inputState), raw: inputState, size: len(inputState), decoder: event.Decoder{Limits: limits},
		},
	}
}

// entryBytes is what an Entry takes beside its bytes.
const entryBytes = int(unsafe.Sizeof(Entry{}))

// size is how many bytes e holds: by capacity, but for the bytes of a small event, which lie in a
// segment with others.
func (e *Entry) size() int {
	n := len(e.Event)
	if n > foldSegment {
		n = cap(e.Event)
	}
	return n + 4*cap(e.Pieces) + entryBytes
}

// sizeOf is how many bytes a list of entries holds, by its capacity.
func sizeOf(entries []Entry) int {
	n := cap(entries) * entryBytes
	for i := range entries {
		n += entries[i].size() - entryBytes
	}
	return n
}

// add returns older, which is what it returned before, and moved behind it, with what can be folded
// of both: entries without a gap, of at most as many bytes as the bound. trimmed is the offset up to
// which entries were dropped for the bound, 0 for none. older, and the bytes of either, stay as they
// are; what is returned may share them. Of moved it keeps the entries, not the slice.
//
// Over several calls it costs a constant factor of what moved has: not every call goes through the
// entries, and none through those that do not change any more.
func (f *folder) add(older, moved []Entry) (folded []Entry, trimmed uint64) {
	folded = append(older, moved...) // behind the end of older nobody reads
	for i := range moved {
		f.looseBytes += moved[i].size()
		f.bytes += moved[i].size()
	}
	f.loose += len(moved)
	enough := f.loose*foldShare >= len(folded) && f.looseBytes*foldShare >= f.open
	if f.loose > 0 && (enough || f.looseBytes >= f.most/(2*foldShare)) {
		folded = f.settle(folded)
	}
	return f.trim(folded)
}

// trim drops the oldest entries beyond the bound. It does not reach those that were not gone through
// yet, which have less than a sixteenth of that, so the state is known behind it. The slots of what
// it drops go with the next settle.
func (f *folder) trim(entries []Entry) (_ []Entry, trimmed uint64) {
	n := 0
	for ; n < len(entries) && f.bytes+f.state.held() > f.most; n++ {
		f.bytes -= entries[n].size()
		trimmed = entries[n].Through
	}
	f.final = max(f.final-n, 0)
	return entries[n:], trimmed
}

// settle goes through the entries that may change, and returns a new slice.
func (f *folder) settle(all []Entry) []Entry {
	start := f.final
	if f.bytes > f.most/2 && !f.state.on {
		start, f.state.on = 0, true // the state is followed from the start of the log
	}
	s := stretch{out: make([]Entry, start, len(all)+len(all)/foldShare)}
	copy(s.out, all)
	s.mostSnapshot = f.most / (2 * foldShare)
	if f.state.on {
		s.state = &f.state
	}
	for i := start; i < len(all); i++ {
		f.bytes -= all[i].size()
		s.put(all[i])
	}
	f.final = s.end()
	out := s.out
	f.settled = f.pack(out)
	f.open = 0
	for i := start; i < len(out); i++ {
		f.bytes += out[i].size()
		if i >= f.final {
			f.open += len(out[i].Event)
		}
	}
	f.state.pack(s.mostSnapshot)
	f.loose, f.looseBytes = 0, 0
	if cap(out) > 2*len(out) { // folded well
		out = append(make([]Entry, 0, len(out)+len(out)/foldShare), out...)
	}
	return out
}

// pack gives the small events among the new entries segments of their own, which are as large as
// what lies in them: a few that are left of many would keep all segments of the log. It returns the
// offset of the last entry.
func (f *folder) pack(entries []Entry) (through uint64) {
	if len(entries) == 0 {
		return f.settled
	}
	i := len(entries)
	for i > 0 && entries[i-1].Through > f.settled {
		i--
	}
	for i < len(entries) {
		end, n := i, 0
		for end < len(entries) && (end == i || n+len(entries[end].Event) <= foldSegment) {
			n += len(entries[end].Event)
			end++
		}
		if n > foldSegment { // one that lies alone already
			i++
			continue
		}
		segment := make([]byte, 0, n)
		for ; i < end; i++ {
			from := len(segment)
			segment = append(segment, entries[i].Event...)
			entries[i].Event = segment[from:len(segment):len(segment)]
		}
	}
	return entries[len(entries)-1].Through
}

// rest is the entry that stands for after+1 to e.Through, or false where that is nothing. e is not
// changed, and what is returned may share its bytes.
//
// Of a fold of deltas it is a fold of the pieces behind that offset. Another event that stands for
// several offsets is returned whole: it has the last of them, and the others were STATE events whose
// effect is undone by a snapshot that follows or is this event, so that who has applied some of them
// and who has not end up with the same.
func (e Entry) rest(after uint64) (Entry, bool) {
	switch {
	case after >= e.Through:
		return Entry{}, false
	case after < e.First:
		return e, true
	case e.Pieces == nil:
		e.First = after + 1
		return e, true
	}
	n, cut := int(after-e.First)+1, 0
	if n >= len(e.Pieces) {
		return Entry{}, false
	}
	for _, piece := range e.Pieces[:n] {
		cut += int(piece)
	}
	ev := scanFold(e.Event)
	if !ev.kind.isDelta() || cut > len(ev.delta) {
		return Entry{}, false // no folder wrote it
	}
	ev.delta = ev.delta[cut:]
	return Entry{Event: ev.append(nil), First: after + 1, Through: e.Through, Pieces: e.Pieces[n:]}, true
}

// EntriesAfter returns what follows an offset in the entries of a log, which have no gap: entries
// that share the bytes of those given, the first perhaps the rest of a fold. They have at most so
// many bytes of events, but there is at least one where any follows.
func EntriesAfter(entries []Entry, after uint64, most int) []Entry {
	low, high := 0, len(entries)
	for low < high { // the first entry that reaches beyond the offset
		if middle := int(uint(low+high) / 2); entries[middle].Through <= after {
			low = middle + 1
		} else {
			high = middle
		}
	}
	entries = entries[low:]
	if len(entries) == 0 {
		return nil
	}
	first, ok := entries[0].rest(after)
	if !ok {
		return nil
	}
	n, bytes := 1, len(first.Event)
	for n < len(entries) && bytes+len(entries[n].Event) <= most {
		bytes += len(entries[n].Event)
		n++
	}
	if first.First == entries[0].First {
		return entries[:n:n]
	}
	return append([]Entry{first}, entries[1:n]...)
}
