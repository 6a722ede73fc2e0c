package agloop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/run"
)

// eventsOfAllKinds are events of a run that says, calls, thinks and has a state.
func eventsOfAllKinds() []agui.Event {
	return []agui.Event{
		&agui.StepStarted{StepName: "s"},
		&agui.TextMessageStart{MessageID: "m", Role: agui.RoleAssistant},
		&agui.TextMessageContent{MessageID: "m", Delta: "<&> \u2028 é"},
		&agui.TextMessageContent{MessageID: "m", Delta: "\U0001F600"},
		&agui.TextMessageContent{MessageID: "m", Delta: "\"\\\n"},
		&agui.TextMessageEnd{MessageID: "m"},
		&agui.ToolCallStart{ToolCallID: "c", ToolCallName: "f"},
		&agui.ToolCallArgs{ToolCallID: "c", Delta: `{"a":`},
		&agui.ToolCallArgs{ToolCallID: "c", Delta: ` 1e400}`},
		&agui.ToolCallEnd{ToolCallID: "c"},
		&agui.StateSnapshot{Snapshot: json.RawMessage(`{"n": 1.0, "a":[]}`)},
		&agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchAdd, Path: "/a/-", Value: []byte("9007199254740993")}}},
		&agui.Custom{Name: "", Value: json.RawMessage(`[ null ]`)},
		&agui.Raw{Event: json.RawMessage(`{"x":"\ud83d"}`)},
		&agui.StepFinished{StepName: "s"},
	}
}

// TestR10ReconnectInWindow: whatever event a connection ends behind, the next one gets the same bytes
// under the same offsets, while the run goes on and when it has ended.
func TestR10ReconnectInWindow(t *testing.T) {
	p, srv, addr := servePuppets(t, agloop.ServerConfig{})
	first := newViewer(t, addr, "ann")
	first.start("1", namedInput("t", "r"))
	p.emit("r", eventsOfAllKinds()...)
	whole := first.events(1 + len(eventsOfAllKinds()))
	epoch := first.attachments[1].cursor().Epoch
	for _, ended := range []bool{false, true} {
		if ended {
			p.end("r")
			whole = append(whole, first.events(1)...)
			endsThere(t, srv, "t", "r")
		}
		for k := 1; k < len(whole); k++ {
			next := newViewer(t, addr, "ann")
			next.attachAt("1", "t", "r", run.Cursor{Epoch: epoch, Offset: uint64(k)})
			for i, got := range next.events(len(whole) - k) {
				if want := whole[k+i]; !bytes.Equal(got, want) {
					t.Errorf("ended %v, behind %d: offset %d is\n%s, want\n%s", ended, k, k+i+1, got, want)
				}
			}
			if a := next.attachments[1]; a.Offset != uint64(k)+1 || a.received != uint64(len(whole)) {
				t.Errorf("ended %v, behind %d: offsets %d to %d", ended, k, a.Offset, a.received)
			}
			next.Reset()
		}
	}
}

// answer is what the server says first to a principal who asks for what is behind a cursor of a run, by
// an attach or by a follow. The run's thread has its name.
func answer(t *testing.T, addr, key, id string, at run.Cursor, follow bool) string {
	t.Helper()
	v := newViewer(t, addr, key)
	defer v.Reset()
	if follow {
		v.ask(control.NameFollow, &control.Follow{Ref: "1", ThreadID: id, After: &control.After{
			RunID: id, Epoch: run.FormatEpoch(at.Epoch), Offset: at.Offset,
		}})
	} else {
		v.attachAt("1", id, id, at)
	}
	f, err := v.read()
	if err != nil {
		t.Fatal(err)
	}
	var told struct{ Reason, Code, Field string }
	if v.into(f, &told); f.name == control.NameRun {
		return fmt.Sprint("from ", v.attachments[1].Offset)
	}
	return strings.Join(strings.Fields(strings.Join([]string{f.name, told.Reason, told.Code, told.Field}, " ")), " ")
}

// TestR10CursorBoundaries: what is asked for at and beyond both ends of a log, of one that is whole and
// of one whose start is gone, while it goes on and behind its end.
func TestR10CursorBoundaries(t *testing.T) {
	p, srv, addr := servePuppets(t, agloop.ServerConfig{
		Runs: agloop.RunsConfig{WindowEvents: 8, WindowBytes: 4 << 10, FoldedBytes: 8 << 10},
	})
	for id, last := range map[string]uint64{"whole": 5, "trimmed": 400} {
		v := newViewer(t, addr, "ann")
		v.start("1", namedInput(id, id))
		p.count(id, 2, last, 50)
		v.events(int(last))
		epoch := v.attachments[1].cursor().Epoch
		v.Reset()
		b := boundaries{last: last, ask: func(offset uint64, follow bool) string {
			return answer(t, addr, "ann", id, run.Cursor{Epoch: epoch, Offset: offset}, follow)
		}}
		b.check(t, id+", live")
		p.end(id)
		endsThere(t, srv, id, id)
		b.last, b.ended = last+1, true
		if first := b.check(t, id+", ended"); (first > 1) != (id == "trimmed") {
			t.Errorf("%s begins at %d", id, first)
		}
	}
}

// boundaries are those of one log.
type boundaries struct {
	last  uint64 // offset of its last event
	ended bool
	ask   func(offset uint64, follow bool) string
}

// first is the offset of the first event that is there.
func (b *boundaries) first() uint64 {
	from, to := uint64(1), b.last
	for from < to {
		middle := (from + to) / 2
		if b.ask(middle-1, false) == fmt.Sprint("from ", middle) {
			to = middle
		} else {
			from = middle + 1
		}
	}
	return from
}

// check asks for all of them. Who has written much a moment ago is still trimming, so it asks again
// until the log has begun at the same offset all the time.
func (b *boundaries) check(t *testing.T, what string) (first uint64) {
	t.Helper()
	for {
		first = b.first()
		wrong := b.wrong(first)
		if b.first() != first {
			continue
		}
		if len(wrong) > 0 {
			t.Errorf("%s, from %d to %d:\n%s", what, first, b.last, strings.Join(wrong, "\n"))
		}
		return first
	}
}

// wrong is what is answered otherwise than it must be of a log that begins at an offset.
func (b *boundaries) wrong(first uint64) (wrong []string) {
	for _, follow := range []bool{false, true} {
		want := map[uint64]string{
			first - 1: fmt.Sprint("from ", first), first: fmt.Sprint("from ", first+1),
			b.last: fmt.Sprint("from ", b.last+1), b.last + 1: "gone future", 1<<53 - 1: "gone future",
			1 << 53: "rejected malformed offset", 1 << 63: "rejected malformed offset",
		}
		if first > 1 {
			want[0], want[first-2] = "gone trimmed", "gone trimmed"
		}
		if b.ended {
			want[b.last] = "gone ended"
		}
		if follow {
			want[1<<53], want[1<<63] = "rejected malformed after", "rejected malformed after"
			if b.ended { // who has all of a run goes on with the next one
				want[b.last] = "idle"
			}
		}
		for offset, says := range want {
			if got := b.ask(offset, follow); got != says {
				wrong = append(wrong, fmt.Sprintf("behind %d, follow %v: %s, want %s", offset, follow, got, says))
			}
		}
	}
	return wrong
}

// TestR40CursorIsOfNoFilter: elsewhere (aegra #435) a cursor counted what its filter had let through, so that
// under another filter events were skipped. Here it is the same however a run is seen: by who started it,
// by a follow, behind a prelude, in folds, between other runs; and what one has leads on in each other way.
func TestR40CursorIsOfNoFilter(t *testing.T) {
	const pieces = 300
	p, srv, addr := servePuppets(t, agloop.ServerConfig{Runs: agloop.RunsConfig{WindowEvents: 8}})
	state := func(id string) string {
		return fmt.Sprintf(`{"threadId":"t","runId":%q,"messages":[{"id":"u","role":"user","content":"Hi"}],"state":{"n":1}}`, id)
	}
	starter, follower := newViewer(t, addr, "ann"), newViewer(t, addr, "ann")
	follower.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t"})
	starter.start("before", state("before"))
	p.end("before")
	starter.start("r", state("r"))
	starter.start("x", namedInput("u", "x"))
	p.say("r")
	p.say("x")
	for i := range pieces {
		p.add("r", fmt.Sprint(i+3, " "))
		p.add("x", fmt.Sprint(i+3, " "))
	}
	// behind is what comes first behind a cursor: the offset, which the piece says too.
	behind := func(v *viewer) uint64 {
		f := v.next()
		for f.name != "TEXT_MESSAGE_CONTENT" || f.of.RunID != "r" {
			f = v.next()
		}
		v.wantNumbers(f)
		return f.first
	}
	ways := map[string]func(at run.Cursor) *viewer{
		"attach": func(at run.Cursor) *viewer {
			v := newViewer(t, addr, "ann")
			v.attachAt("1", "t", "r", at)
			return v
		},
		"follow": func(at run.Cursor) *viewer {
			v := newViewer(t, addr, "ann")
			v.ask(control.NameFollow, &control.Follow{Ref: "f", ThreadID: "t", After: &control.After{
				RunID: "r", Epoch: run.FormatEpoch(at.Epoch), Offset: at.Offset,
			}})
			return v
		},
		"between others": func(at run.Cursor) *viewer {
			v := newViewer(t, addr, "ann")
			v.attachAt("x", "u", "x", run.Cursor{})
			v.attachAt("1", "t", "r", at)
			v.attachAt("before", "t", "before", run.Cursor{})
			return v
		},
	}
	seen := map[string]*viewer{
		"started": starter, "followed": follower, "joined": ways["attach"](run.Cursor{}),
		"joined between others": ways["between others"](run.Cursor{}),
	}
	for how, v := range seen {
		for n := 0; n < pieces; {
			f := v.next()
			if f.of == nil {
				continue
			}
			if v.wantNumbers(f); f.of.RunID != "r" || f.name != "TEXT_MESSAGE_CONTENT" {
				continue
			}
			if n += int(f.through - f.first + 1); n%50 != 1 && f.first == f.through || f.through == pieces+2 {
				continue
			}
			for on, way := range ways {
				next := way(f.of.cursor())
				if got := behind(next); got != f.through+1 {
					t.Errorf("%s up to %d, and on by %s comes %d", how, f.through, on, got)
				}
				next.Reset()
			}
		}
		v.Reset()
	}
	for _, id := range []string{"x", "r"} {
		p.closes(id)
		p.end(id)
	}
	endsThere(t, srv, "t", "r")
}
