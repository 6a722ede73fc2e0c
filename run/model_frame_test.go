package run_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// upTo is the offset that a viewer needs next.
func (s *seat) upTo() uint64 {
	next := s.next
	for _, f := range s.out.frames[s.checked:] {
		next = max(next, f.Through+1)
	}
	return next
}

// compareSeat compares what a viewer has been sent since it was looked at last.
func (g *game) compareSeat(s *seat) {
	l := s.life
	if odd := s.out.odd.Load(); odd != nil {
		g.fail("an outlet of run %d %s", l.n, *odd)
	}
	for ; s.checked < len(s.out.frames); s.checked++ {
		g.compareFrame(s, &s.out.frames[s.checked])
	}
	if s.away && !s.left && len(s.out.frames) != s.frozen {
		g.fail("R45: a viewer of run %d is sent something while it is away", l.n)
	}
	all := s.next > l.last() && s.led == len(s.lead)
	switch {
	case s.left && s.out.why == nil && (!all || l.isLive()):
		g.fail("R4: a viewer of run %d has the end at %d of %d", l.n, s.next-1, l.last())
	case !s.left && !s.isBehind() && !all:
		g.fail("R10: a viewer of run %d that is level has %d of %d", l.n, s.next-1, l.last())
	case !s.left && all && !l.isLive() && s.pulled && !s.away:
		g.fail("a viewer of run %d has all, and is not told", l.n)
	case !s.left && s.expect != nil:
		g.fail("R13: a viewer of run %d is not sent away", l.n)
	}
	level := false
	s.viewer.WhenLevel(func(f *run.Frame) {
		level = true
		if want := (run.Frame{First: s.next, Through: s.next, Epoch: f.Epoch, Last: l.last()}); !reflect.DeepEqual(*f, want) {
			g.fail("R31: a viewer of run %d that is level stands at %+v, want %+v", l.n, *f, want)
		}
	})
	if !s.left && level == s.isBehind() {
		g.fail("a viewer of run %d is level: %v", l.n, level)
	}
	if s.left && s.folded {
		g.compareEffect(s)
	}
}

// compareFrame compares one frame. Frames have no gap between them, and each has what its offsets have in the
// list (R2, R7).
func (g *game) compareFrame(s *seat, f *run.Frame) {
	l, got := s.life, string(f.Event)
	if l.apart && l.epoch == 0 {
		l.epoch = f.Epoch
	}
	if f.Epoch != l.epoch || f.Last > l.last() {
		g.fail("a frame of run %d has epoch %x and last %d", l.n, f.Epoch, f.Last)
	}
	if s.led < len(s.lead) {
		through := s.next // the first stands for RUN_STARTED
		if s.led > 0 {
			through--
		}
		if got != s.lead[s.led] || f.First != s.next || f.Through != through || f.Terminal {
			g.fail("R9: frame %d of a viewer of run %d is %d to %d, %s", s.checked, l.n, f.First, f.Through, got)
		}
		g.saw("frame: prelude")
		s.led++
		s.next = through + 1
		return
	}
	if f.First != s.next || f.Through < f.First || f.Through > l.last() {
		g.fail("R7: a viewer of run %d gets %d to %d, behind %d of %d", l.n, f.First, f.Through, s.next-1, l.last())
	}
	if f.Terminal != (!l.isLive() && f.Through == l.last()) {
		g.fail("R4: frame %d of run %d is terminal: %v", f.Through, l.n, f.Terminal)
	}
	want := l.events[f.Through-1]
	switch {
	case f.Terminal:
		want = g.endFor(s)
		if got != want || f.First != f.Through {
			g.fail("R21: a viewer of run %d sees the end %s, want %s", l.n, got, want)
		}
	case f.First == f.Through && got == want:
	default:
		s.folded = true
		g.compareFold(l, f)
		if f.First == s.from+1 && s.from > 0 {
			g.saw("frame: of what a cursor lies in, or behind it")
		}
	}
	s.next = f.Through + 1
}

// endFor is the terminal event that a viewer is to see: without interrupts that were answered (R21).
func (g *game) endFor(s *seat) string {
	l := s.life
	text := l.events[l.last()-1]
	answered := l.answered
	if s.loaded {
		answered = s.answered
	}
	if l.outcome != run.OutcomeInterrupt || len(answered) == 0 {
		return text
	}
	end := ending(endInterrupts).(*agui.RunFinished)
	end.ThreadID, end.RunID = l.key.Thread, l.key.Run
	end.Outcome.Interrupts = slices.DeleteFunc(end.Outcome.Interrupts, func(i agui.Interrupt) bool { return answered[i.ID] })
	if len(end.Outcome.Interrupts) == 0 {
		end.Outcome = nil
	}
	b, _ := encodeHalves(end)
	g.saw("R21: the end without %d interrupts", len(answered))
	return string(b)
}

// shape is what folding sees of an event.
type shape struct {
	kind  string // "": it is never folded
	item  string
	tag   string
	delta string // as it is encoded
}

const (
	shapeDelta    = "delta"
	shapeSnapshot = "snapshot"
	shapePatch    = "patch"
)

// shapeOf reads an event. One with members that are not those of its type is never folded (R6).
func shapeOf(text string) (s shape) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) != nil {
		return shape{}
	}
	typ := strings.Trim(string(members["type"]), `"`)
	own := map[string]string{
		"TEXT_MESSAGE_CONTENT": "messageId delta", "REASONING_MESSAGE_CONTENT": "messageId delta",
		"TOOL_CALL_ARGS": "toolCallId delta", "STATE_SNAPSHOT": "snapshot", "STATE_DELTA": "delta",
	}[typ]
	allowed := append(strings.Fields(own), "type", "timestamp", "subagentRunId")
	for name := range members {
		if own == "" || !slices.Contains(allowed, name) {
			return shape{}
		}
	}
	s.tag = string(members["subagentRunId"])
	switch typ {
	case "STATE_SNAPSHOT":
		s.kind = shapeSnapshot
	case "STATE_DELTA":
		s.kind = shapePatch
	default:
		s.kind, s.item = shapeDelta, typ+string(members["messageId"])+string(members["toolCallId"])
		s.delta = strings.TrimSuffix(strings.TrimPrefix(string(members["delta"]), `"`), `"`)
	}
	return s
}

func (l *life) shape(offset uint64) shape {
	for len(l.shapes) < len(l.events) {
		l.shapes = append(l.shapes, shapeOf(l.events[len(l.shapes)]))
	}
	return l.shapes[offset-1]
}

// compareFold compares a frame that stands for a range, or is no event of the list: a fold is what its deltas
// add, one after another (R5), and STATE events are missing only where a snapshot undoes them (R8).
func (g *game) compareFold(l *life, f *run.Frame) {
	got := shapeOf(string(f.Event))
	bad := func(why string) {
		g.fail("%s: a viewer of run %d gets for %d to %d: %s", why, l.n, f.First, f.Through, f.Event)
	}
	if f.Through > g.newestOf(l) {
		bad("R4: the newest events do not stay as they are")
	}
	if len(f.Event) > 64<<10 {
		bad("R5")
	}
	joined := ""
	for at := f.First; at <= f.Through; at++ {
		switch want := l.shape(at); {
		case want.kind == shapeDelta && want.item == got.item && want.tag == got.tag:
			joined += want.delta
		case want.kind == shapePatch || want.kind == shapeSnapshot:
			last := at == f.Through
			if !last && !g.mayDrop(l, at) || last && got.kind != shapeSnapshot && string(f.Event) != l.events[at-1] {
				bad("R8")
			}
			if last && string(f.Event) != l.events[at-1] {
				g.saw("frame: computed snapshot")
				if !g.mayCompute(l) {
					bad("R8")
				}
			}
		default:
			bad("R6")
		}
	}
	if joined != got.delta && got.kind == shapeDelta || joined != "" && got.kind != shapeDelta {
		bad("R5")
	}
	g.saw("frame: fold of %s", got.kind)
}

// mayDrop reports whether a STATE event may be missing: a snapshot of the same tag follows with only such
// events and deltas between, or may be computed.
func (g *game) mayDrop(l *life, at uint64) bool {
	tag := l.shape(at).tag
	for next := at + 1; next <= l.last(); next++ {
		switch s := l.shape(next); {
		case s.kind == shapeDelta:
		case s.kind == "" || s.tag != tag:
			return g.mayCompute(l)
		case s.kind == shapeSnapshot:
			return true
		}
	}
	return g.mayCompute(l)
}

// mayCompute reports whether a log has so many bytes that snapshots are computed.
func (g *game) mayCompute(l *life) bool {
	most := g.cfg.Limits.FoldedBytes
	return most > 0 && l.size > most/2
}

// compareEffect checks that the frames of a viewer, behind what it had before, do what the plain events do: up to
// its last frame that is neither a delta nor a STATE event, or to the end.
func (g *game) compareEffect(s *seat) {
	l, frames := s.life, s.out.frames[s.led:]
	if s.led > 0 {
		frames = s.out.frames[s.led-1:] // in place of the prelude the event that it stands for, see below
	}
	if s.next <= l.last() {
		i := len(frames)
		for i > 0 && l.shape(frames[i-1].Through).kind != "" {
			i--
		}
		frames = frames[:i]
	}
	if len(frames) == 0 {
		return
	}
	start := []byte("{}")
	if len(l.input.State) > 0 {
		start = l.input.State
	}
	through := frames[len(frames)-1].Through
	got, want := reader{state: decode(g.t, start)}, reader{state: decode(g.t, start)}
	for i, text := range l.events[:through] {
		want.read(g.t, []byte(text))
		if uint64(i) < s.from {
			got.read(g.t, []byte(text))
		}
	}
	for i, f := range frames {
		switch {
		case s.led > 0 && i == 0:
			got.read(g.t, []byte(l.events[0]))
		case f.Terminal:
			got.read(g.t, []byte(l.events[through-1])) // which was compared
		default:
			got.read(g.t, f.Event)
		}
	}
	if a, b := got.result(g.t), want.result(g.t); a != b {
		g.fail("R7: a viewer of run %d behind %d has made\n%s\nof events that make\n%s", l.n, s.from, a, b)
	}
	g.saw("frames: folded, with the same effect")
}
