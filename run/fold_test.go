package run_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/run"
)

// plain are entries of one event each, from an offset on.
func plain(first uint64, events ...string) []run.Entry {
	list := make([]run.Entry, len(events))
	for i, e := range events {
		list[i] = run.Entry{Event: []byte(e), First: first + uint64(i), Through: first + uint64(i)}
	}
	return list
}

// fold folds events as one part, without a bound that counts.
func fold(events ...string) []run.Entry {
	folded, _ := run.NewFolder(nil, 0).Add(nil, plain(1, events...))
	return folded
}

// show is a log as text: ranges, events and pieces.
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

func text(id, delta string) string {
	return `{"type":"TEXT_MESSAGE_CONTENT","messageId":"` + id + `","delta":"` + delta + `"}`
}

func args(id, delta string) string {
	return `{"type":"TOOL_CALL_ARGS","toolCallId":"` + id + `","delta":"` + delta + `"}`
}

func reasoning(id, delta string) string {
	return `{"type":"REASONING_MESSAGE_CONTENT","messageId":"` + id + `","delta":"` + delta + `"}`
}

func snapshot(value string) string { return `{"type":"STATE_SNAPSHOT","snapshot":` + value + `}` }

func patch(ops string) string { return `{"type":"STATE_DELTA","delta":[` + ops + `]}` }

const barrier = `{"type":"STEP_STARTED","stepName":"s"}`

// want compares what a folder has made with lines of range, event and pieces.
func want(t *testing.T, got []run.Entry, lines ...string) {
	t.Helper()
	if text := strings.Join(lines, "\n") + "\n"; show(got) != text {
		t.Errorf("got\n%s\nwant\n%s", show(got), text)
	}
}

// TestR5NeighboursBecomeOne: of one type, item and tag, and in the order of their offsets.
func TestR5NeighboursBecomeOne(t *testing.T) {
	want(t, fold(text("m", "a"), text("m", ""), text("m", "bc"), args("m", "{"), args("m", "}"), reasoning("m", "x"),
		reasoning("m", "y"), text("m", "d"), text("n", "e"), text("m", "f")),
		"1-3 "+text("m", "abc")+" [1 0 2]",
		"4-5 "+args("m", "{}")+" [1 1]",
		"6-7 "+reasoning("m", "xy")+" [1 1]",
		"8-8 "+text("m", "d"),
		"9-9 "+text("n", "e"),
		"10-10 "+text("m", "f"),
	)
	want(t, fold(text("m", "a"), barrier, text("m", "b")),
		"1-1 "+text("m", "a"), "2-2 "+barrier, "3-3 "+text("m", "b"))
	want(t, fold(text("", ""), text("", "")), "1-2 "+text("", "")+" [0 0]")
}

// TestR5TagsAreKeptApart: none and "" are two.
func TestR5TagsAreKeptApart(t *testing.T) {
	tagged := func(tag, delta string) string {
		return `{"type":"TEXT_MESSAGE_CONTENT","subagentRunId":"` + tag + `","messageId":"m","delta":"` + delta + `"}`
	}
	want(t, fold(text("m", "a"), tagged("", "b"), tagged("s", "c"), tagged("s", "d"), tagged("t", "e"), text("m", "f")),
		"1-1 "+text("m", "a"), "2-2 "+tagged("", "b"), "3-4 "+tagged("s", "cd")+" [1 1]", "5-5 "+tagged("t", "e"),
		"6-6 "+text("m", "f"))
}

// TestR5TheLastTimestampStays: also where the last event has none.
func TestR5TheLastTimestampStays(t *testing.T) {
	timed := func(time, delta string) string {
		return `{"type":"TEXT_MESSAGE_CONTENT","timestamp":` + time + `,"messageId":"m","delta":"` + delta + `"}`
	}
	want(t, fold(timed("1", "a"), timed("-9007199254740991", "b"), text("m", "c")),
		"1-3 "+timed("-9007199254740991", "abc")+" [1 1 1]")
	want(t, fold(text("m", "a"), timed("5", "b")), "1-2 "+timed("5", "ab")+" [1 1]")
}

// TestR5HalvesSurvive: what a peer cut between two units is one character again, and a viewer in
// between gets the other half.
func TestR5HalvesSurvive(t *testing.T) {
	got := fold(text("m", `a\uD83D`), text("m", ""), text("m", `\uDE00\\`), text("m", `\ud83d`))
	want(t, got, "1-4 "+text("m", `a\uD83D\uDE00\\\ud83d`)+" [7 0 8 6]")
	rest, ok := got[0].Rest(1)
	if !ok {
		t.Fatal("no rest")
	}
	want(t, []run.Entry{rest}, "2-4 "+text("m", `\uDE00\\\ud83d`)+" [0 8 6]")
}

// TestR5AnyOrderOfMembers: as another encoder writes them.
func TestR5AnyOrderOfMembers(t *testing.T) {
	want(t, fold(`{"delta":"a","messageId":"m","type":"TEXT_MESSAGE_CONTENT","timestamp":1,"subagentRunId":"s"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"b","subagentRunId":"s"}`),
		`1-2 {"type":"TEXT_MESSAGE_CONTENT","timestamp":1,"subagentRunId":"s","messageId":"m","delta":"ab"} [1 1]`)
}

// TestR5FoldsAreBounded: 64 KiB, also where deltas are empty; a larger event stays.
func TestR5FoldsAreBounded(t *testing.T) {
	long, part := strings.Repeat("x", 60<<10), strings.Repeat("y", 1<<10)
	huge := strings.Repeat("z", 70<<10)
	events := []string{text("m", long)}
	for range 9 {
		events = append(events, text("m", part))
	}
	events = append(events, text("m", huge), text("m", "a"), text("m", "b"))
	got := fold(events...)
	var ranges []string
	for _, e := range got {
		ranges = append(ranges, fmt.Sprintf("%d-%d", e.First, e.Through))
		if len(e.Event) > 64<<10 && e.First != 11 {
			t.Errorf("%d bytes in a fold", len(e.Event))
		}
	}
	if s := strings.Join(ranges, " "); s != "1-4 5-10 11-11 12-13" {
		t.Error(s)
	}
	empty := fold(slices.Repeat([]string{text("m", "")}, 20_000)...)
	if len(empty) != 2 || empty[0].Through != 16<<10 {
		t.Errorf("%d entries, the first to %d", len(empty), empty[0].Through)
	}
}

// TestR6NeverFolded: between neighbours each of these stays, and keeps them apart.
func TestR6NeverFolded(t *testing.T) {
	for _, e := range []string{
		`{"type":"TEXT_MESSAGE_CONTENT","metadata":{},"messageId":"m","delta":"x"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","rawEvent":1,"messageId":"m","delta":"x"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"x","new":1}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"x","delta":"y"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","toolCallId":"m","delta":"x"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":1,"delta":"x"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":null}`,
		`{"type":"TEXT_MESSAGE_CONTENT","subagentRunId":null,"messageId":"m","delta":"x"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","timestamp":1.5,"messageId":"m","delta":"x"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","timestamp":01,"messageId":"m","delta":"x"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"\x"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"x"} `,
		`{"type":"TEXT_MESSAGE_CONTENT", "messageId":"m","delta":"x"}`,
		`{"type":"TEXT\u005fMESSAGE_CONTENT","messageId":"m","delta":"x"}`,
		"{\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m\",\"delta\":\"\xff\"}",
		`{"type":"TEXT_MESSAGE_CONTENT","delta":"x"}`,
		`{"type":"TOOL_CALL_ARGS","messageId":"m","delta":"x"}`,
		`{"type":"TEXT_MESSAGE_START","messageId":"m"}`,
		`{"type":"TEXT_MESSAGE_END","messageId":"m"}`,
		`{"type":"TEXT_MESSAGE_CHUNK","messageId":"m","delta":"x"}`,
		`{"type":"TOOL_CALL_CHUNK","toolCallId":"m","delta":"x"}`,
		`{"type":"REASONING_MESSAGE_CHUNK","messageId":"m","delta":"x"}`,
		`{"type":"TOOL_CALL_RESULT","messageId":"m","toolCallId":"c","content":"x"}`,
		`{"type":"STEP_FINISHED","stepName":"s"}`,
		`{"type":"SUBAGENT_STARTED","subagentRunId":"s","name":"n"}`,
		`{"type":"ACTIVITY_SNAPSHOT","messageId":"m","activityType":"a","content":{}}`,
		`{"type":"ACTIVITY_DELTA","messageId":"m","activityType":"a","patch":[]}`,
		`{"type":"MESSAGES_SNAPSHOT","messages":[]}`,
		`{"type":"REASONING_ENCRYPTED_VALUE","subtype":"message","entityId":"m","encryptedValue":"x"}`,
		`{"type":"CUSTOM","name":"n","value":1}`,
		`{"type":"RAW","event":1}`,
		`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`,
		`{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`,
		`{"type":"RUN_ERROR","message":"x"}`,
		`{"type":"STATE_SNAPSHOT","metadata":{},"snapshot":1}`,
		`{"type":"STATE_DELTA","rawEvent":1,"delta":[]}`,
		`{"type":"STATE_SNAPSHOT","snapshot":[}`,
		``, `{}`, `[]`, `{"type":1}`, `{`, `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"x"`,
	} {
		want(t, fold(text("m", "a"), e, text("m", "b"), e, e),
			"1-1 "+text("m", "a"), "2-2 "+e, "3-3 "+text("m", "b"), "4-4 "+e, "5-5 "+e)
		// Neither is a STATE event behind it or before it dropped.
		want(t, fold(patch(""), e, snapshot("1")), "1-1 "+patch(""), "2-2 "+e, "3-3 "+snapshot("1"))
	}
}

// TestR7RestOfAFold: for every cursor.
func TestR7RestOfAFold(t *testing.T) {
	e := fold(text("m", "a"), text("m", ""), text("m", `\"b`))[0]
	before := show([]run.Entry{e})
	for after, line := range []string{
		"1-3 " + text("m", `a\"b`) + " [1 0 3]",
		"2-3 " + text("m", `\"b`) + " [0 3]",
		"3-3 " + text("m", `\"b`) + " [3]",
		"",
		"",
	} {
		rest, ok := e.Rest(uint64(after))
		if ok != (line != "") {
			t.Errorf("after %d: %v", after, ok)
		} else if ok {
			want(t, []run.Entry{rest}, line)
		}
	}
	want(t, []run.Entry{e}, strings.TrimSuffix(before, "\n"))
}

// TestR7RestOfWhatNoFolderWrote is nothing, rather than wrong.
func TestR7RestOfWhatNoFolderWrote(t *testing.T) {
	for _, e := range []run.Entry{
		{Event: []byte(text("m", "a")), First: 1, Through: 3, Pieces: []uint32{2, 1, 1}},
		{Event: []byte(text("m", "a")), First: 1, Through: 3, Pieces: []uint32{1}},
		{Event: []byte(barrier), First: 1, Through: 3, Pieces: []uint32{0, 0, 0}},
	} {
		if rest, ok := e.Rest(1); ok {
			t.Errorf("%s", rest.Event)
		}
		if got := run.EntriesAfter([]run.Entry{e}, 1, 1); got != nil {
			t.Error(show(got))
		}
	}
}

// TestR7EntriesAfter: what a store gives behind a cursor.
func TestR7EntriesAfter(t *testing.T) {
	log := fold(barrier, text("m", "a"), text("m", "b"), barrier, snapshot("1"), snapshot("2"), barrier)
	for after, lines := range [][]string{
		{"1-1 " + barrier, "2-3 " + text("m", "ab") + " [1 1]", "4-4 " + barrier, "5-6 " + snapshot("2"), "7-7 " + barrier},
		{"2-3 " + text("m", "ab") + " [1 1]", "4-4 " + barrier, "5-6 " + snapshot("2"), "7-7 " + barrier},
		{"3-3 " + text("m", "b") + " [1]", "4-4 " + barrier, "5-6 " + snapshot("2"), "7-7 " + barrier},
		{"4-4 " + barrier, "5-6 " + snapshot("2"), "7-7 " + barrier},
		{"5-6 " + snapshot("2"), "7-7 " + barrier},
		{"6-6 " + snapshot("2"), "7-7 " + barrier},
		{"7-7 " + barrier},
	} {
		want(t, run.EntriesAfter(log, uint64(after), 1<<20), lines...)
		want(t, run.EntriesAfter(log, uint64(after), 1), lines[0])
		want(t, run.EntriesAfter(log, uint64(after), len(barrier)+len(text("m", "ab"))), lines[:min(2, len(lines))]...)
	}
	for _, after := range []uint64{7, 8, run.MaxOffset} {
		if got := run.EntriesAfter(log, after, 1<<20); got != nil {
			t.Errorf("after %d: %s", after, show(got))
		}
	}
}

// TestR9TheOldestGo: beyond the bound, and the capacity of what is left is within it.
func TestR9TheOldestGo(t *testing.T) {
	const most = 64 << 10
	f := run.NewFolder(nil, most)
	var older []run.Entry
	next, trimmed := uint64(1), uint64(0)
	for i := range 500 {
		moved := plain(next, text("m", strings.Repeat("x", i)), barrier, text("m", "y"), text("m", "z"), text("n", "z"))
		next += uint64(len(moved))
		var gone uint64
		older, gone = f.Add(older, moved)
		if gone != 0 {
			if gone <= trimmed {
				t.Fatalf("trimmed to %d after %d", gone, trimmed)
			}
			trimmed = gone
		}
		checkRange(t, older, trimmed+1, next-1)
		size := 0
		for _, e := range older {
			size += cap(e.Event) + 4*cap(e.Pieces)
		}
		if size > most {
			t.Fatalf("%d bytes", size)
		}
	}
	if trimmed == 0 {
		t.Error("nothing was trimmed")
	}
	older, gone := f.Add(older, plain(next, text("m", strings.Repeat("x", most))))
	if len(older) != 0 || gone != next {
		t.Errorf("%d entries beside an event of the bound, trimmed to %d", len(older), gone)
	}
}

// TestR9ALargeInput: the input's state takes no room from the log.
func TestR9ALargeInput(t *testing.T) {
	f := run.NewFolder(json.RawMessage(`"`+strings.Repeat("x", 1<<20)+`"`), 64<<10)
	folded, trimmed := f.Add(nil, plain(1, barrier, text("m", strings.Repeat("x", 40<<10)), patch(""), patch("")))
	if trimmed != 0 || len(folded) != 4 {
		t.Errorf("%d entries, trimmed to %d", len(folded), trimmed)
	}
}

// checkRange checks that entries stand for first to last without a gap.
func checkRange(t *testing.T, entries []run.Entry, first, last uint64) {
	t.Helper()
	for _, e := range entries {
		if e.First != first || e.Through < e.First || e.Pieces != nil && len(e.Pieces) != int(e.Through-e.First)+1 {
			t.Fatalf("%d-%d with %d pieces, want one from %d", e.First, e.Through, len(e.Pieces), first)
		}
		first = e.Through + 1
	}
	if first != last+1 {
		t.Fatalf("entries end at %d, want %d", first-1, last)
	}
}

// TestR3EntriesHaveSegmentsOfTheirOwn: what is left of a log's segments does not keep them.
func TestR3EntriesHaveSegmentsOfTheirOwn(t *testing.T) {
	segment := make([]byte, 0, 16<<10)
	var moved []run.Entry
	for i := range uint64(100) {
		from := len(segment)
		segment = append(segment, text("m", "x")...)
		if i == 50 {
			segment = append(segment[:from], barrier...)
		}
		moved = append(moved, run.Entry{Event: segment[from:], First: i + 1, Through: i + 1})
	}
	folded, _ := run.NewFolder(nil, 0).Add(nil, moved)
	before := show(folded)
	clear(segment)
	if len(folded) != 3 || show(folded) != before {
		t.Error(show(folded))
	}
	for _, e := range folded {
		if cap(e.Event) != len(e.Event) {
			t.Errorf("%d bytes of %d", len(e.Event), cap(e.Event))
		}
	}
}

// TestFoldWork: small parts do not cost much more than large ones, and time is as much as is written.
func TestFoldWork(t *testing.T) {
	const events = 20_000
	delta, other := []byte(text("m", "twenty-four bytes of txt")), []byte(barrier)
	for _, mixed := range []bool{false, true} {
		for _, part := range []int{1, 16, 500} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f := run.NewFolder(nil, 0)
			var older []run.Entry
			moved := make([]run.Entry, 0, part)
			for i := uint64(1); i <= events; i++ {
				moved = append(moved, run.Entry{Event: delta, First: i, Through: i})
				if mixed && i%2 == 0 {
					moved[len(moved)-1].Event = other
				}
				if len(moved) == part {
					older, _ = f.Add(older, moved)
					moved = moved[:0]
				}
			}
			runtime.ReadMemStats(&after)
			if n := (after.TotalAlloc - before.TotalAlloc) / events; n > 4096 {
				t.Errorf("parts of %d, mixed %v: %d bytes an event", part, mixed, n)
			}
		}
	}
}
