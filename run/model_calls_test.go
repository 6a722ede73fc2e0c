package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// policies are what may become of a run when its last viewer is gone.
var policies = []struct {
	onDisconnect run.Disconnect
	keep         bool
}{{run.DisconnectContinue, false}, {run.DisconnectCancel, false}, {run.DisconnectDefault, false}, {run.DisconnectCancel, true}}

// inputOf is the input of a start.
func inputOf(n, how int) *agui.RunAgentInput {
	k := keyOf(n)
	in := &agui.RunAgentInput{ThreadID: k.Thread, RunID: k.Run}
	in.Messages = []agui.Message{{ID: "u", Role: agui.RoleUser, Content: agui.TextContent(fmt.Sprint("input ", how&startOther))}}
	for i, bit := range []int{startAnswer, 2 * startAnswer} {
		if how&bit != 0 {
			in.Resume = append(in.Resume, agui.ResumeEntry{InterruptID: fmt.Sprint("i", i+1), Status: agui.ResumeResolved})
		}
	}
	if how&startState != 0 {
		in.State = json.RawMessage(`{"k0":0,"of":"input"}`)
	}
	return in
}

// preludeOf is what who joins from the start sees first (R9).
func preludeOf(in *agui.RunAgentInput) []string {
	started := &agui.RunStarted{ThreadID: in.ThreadID, RunID: in.RunID, ProtocolVersion: new(agui.ProtocolVersion)}
	started.Input = &agui.RunAgentInput{ThreadID: in.ThreadID, RunID: in.RunID, Messages: in.Messages}
	b, _ := encodeHalves(started)
	list := []string{string(b)}
	if len(in.State) > 0 {
		b, _ = encodeHalves(&agui.StateSnapshot{Snapshot: in.State})
		list = append(list, string(b))
	}
	return list
}

// newLife is what a start is that begins a run.
func (g *game) newLife(n, how int, agent *puppet) *life {
	l := &life{
		n: n, key: keyOf(n), input: inputOf(n, how), hash: byte(how & startOther), policy: how / startAlone % 4, agent: agent,
	}
	started := &agui.RunStarted{ThreadID: l.key.Thread, RunID: l.key.Run, ProtocolVersion: new(agui.ProtocolVersion)}
	b, err := encodeHalves(started)
	if err != nil || l.order.Check(started) != nil {
		g.fail("%v", err)
	}
	l.add(string(b))
	l.prelude = preludeOf(l.input)
	l.size += len(l.input.State)
	return l
}

// start starts a run, which may be there (R15, R16, R18, R19).
func (g *game) start(s step) {
	n, how := abs(s.arg(0))%modelRuns, abs(s.arg(2))
	agent := newPuppet()
	agent.onCall = func(context.Context) { g.called.Add(1) }
	begin := agent.start(inputOf(n, how), keyOf(n).Scope, byte(how&startOther))
	begin.OnDisconnect, begin.Keep = policies[how/startAlone%4].onDisconnect, policies[how/startAlone%4].keep
	var out run.Outlet
	var seat *seat
	if s.arg(1) != 0 {
		seat = g.newSeat(s.arg(1))
		out = seat.outlet
	}
	l, what, want := g.startable(n, byte(how&startOther), seat != nil)
	live, viewer, err := g.hub.Start(g.t.Context(), begin, out)
	switch {
	case what == "has ended" && err == run.ErrThreadBusy && g.isFull(n) && g.mayBeTrimmed(l, 0):
		return // the store gives no record of what is trimmed
	case what == "joins" && seat == nil && err == nil && want == nil:
	case !g.sameError(l, 0, err, want):
		g.fail("starting run %d (%s): %v, want %v", n, what, err, want)
	}
	g.saw("start %s: %v", what, err)
	if err == run.ErrConflict {
		g.total.Conflicts++
	}
	released := 0
	agent.locked(func() { released = agent.released })
	if began := what == "begins" && err == nil; began != (released == 0) {
		g.fail("starting run %d (%s) has given back its place %d times", n, what, released)
	}
	if err != nil {
		return
	}
	if what == "begins" || what == "was cancelled" {
		l = g.newLife(n, how, agent)
		l.live, l.apart = live, what != "begins"
		g.begin(l)
	}
	if (viewer != nil) != (seat != nil) {
		g.fail("starting run %d (%s) has viewer %v", n, what, viewer != nil)
	}
	if seat != nil {
		g.sit(seat, l, viewer, 0, l.phase == phaseKept)
		if how&startUnseen == 0 {
			seat.pull()
		}
	}
}

// startable is what becomes of a start.
func (g *game) startable(n int, hash byte, viewed bool) (l *life, what string, err error) {
	l = g.names[n]
	conflict := func(what string) (*life, string, error) {
		if l.hash != hash {
			return l, what, run.ErrConflict
		}
		return l, what, nil
	}
	full := g.isFull(n)
	switch {
	case l != nil && l.isLive():
		return conflict("joins")
	case g.closed:
		return l, "of a closed hub", run.ErrShutdown
	case full && (l == nil || l.phase != phaseKept || g.failing == "read"):
		return l, "of a busy thread", run.ErrThreadBusy
	case !full && g.failing == "open":
		return l, "of a store that fails", errOdd
	case l == nil:
		return nil, "begins", nil
	case l.phase == phaseBanned:
		return l, "was cancelled", nil
	case l.phase == phaseBuried:
		return l, "of a tombstone", run.ErrBuried
	}
	switch _, what, err = conflict("has ended"); {
	case err != nil:
	case viewed:
		err = g.loadable("read", "list")
	default:
		err = g.loadable("read")
	}
	return l, what, err
}

// isFull reports whether the thread of a run takes no other one.
func (g *game) isFull(n int) bool {
	t := &g.threads[n%modelThreads]
	return t.active != nil && (g.cfg.OnBusy == run.BusyReject || g.cfg.OnBusy == run.BusyEnqueue && len(t.queue) == 8)
}

// loadable is the error of a store that is asked for those things.
func (g *game) loadable(what ...string) error {
	if g.failing != "" && slices.Contains(what, g.failing) {
		return errOdd
	}
	return nil
}

// begin has a run be there that was started.
func (g *game) begin(l *life) {
	g.lives = append(g.lives, l)
	if l.apart {
		l.cancelled, l.since = run.ErrCancelled, g.steps
		return
	}
	g.names[l.n] = l
	b, err := g.memory.Read(g.t.Context(), l.key, run.Cursor{}, 1)
	if err != nil {
		g.fail("run %d is not in the store: %v", l.n, err)
	}
	l.epoch = b.Record.Epoch
	t := g.threadOf(l)
	if t.active == nil {
		t.active = l
	} else {
		g.saw("R19: waits for its thread")
		if g.cfg.OnBusy == run.BusyCancelPrevious {
			for _, other := range slices.Concat([]*life{t.active}, t.queue) {
				other.cancel(g, run.ErrCancelled)
			}
		}
		t.queue = append(t.queue, l)
	}
	for _, other := range g.lives {
		if other == l || other.key.Thread != l.key.Thread || other.apart {
			continue
		}
		other.answerers = append(other.answerers, l)
		if !other.isLive() {
			l.answer(other.answered)
		}
	}
	for _, s := range g.seats {
		if s.loaded && s.life.key.Thread == l.key.Thread {
			l.answer(s.answered)
		}
	}
	for _, f := range g.follows {
		if f.thread == l.n%modelThreads {
			f.want = append(f.want, l)
		}
	}
}

// answer notes the interrupts that the input of a run answers.
func (l *life) answer(answered map[string]bool) {
	for _, r := range l.input.Resume {
		answered[r.InterruptID] = true
	}
}

// ofRun is the run that a step is for, if it is live or its agent has not returned.
func (g *game) ofRun(s step) *life {
	l := g.names[abs(s.arg(0))%modelRuns]
	if l == nil || !l.isLive() && !l.hanging {
		return nil
	}
	return l
}

// tell has the agent do something.
func (l *life) tell(t task) {
	l.tasks = append(l.tasks, t)
	l.agent.tell(t)
}

func (g *game) emit(s step) {
	l := g.ofRun(s)
	if l == nil || len(l.tasks) > 1000 {
		return
	}
	for _, ev := range eventsOf(abs(s.arg(1))%100, abs(s.arg(2))) {
		l.tell(task{verb: "emit", ev: ev})
	}
}

func (g *game) task(s step) {
	if l := g.ofRun(s); l != nil {
		l.tell(task{verb: s.verb, how: abs(s.arg(1)) % (endFinishedAndError + 1)})
	}
}

// cancel cancels a run, whatever there is of it (R18).
func (g *game) cancel(s step) {
	n := abs(s.arg(0)) % modelRuns
	l := g.names[n]
	var want error
	if l == nil || !l.isLive() {
		want = g.loadable("bury")
	}
	if err := g.hub.Cancel(g.t.Context(), keyOf(n), nil); err != want {
		g.fail("cancelling run %d: %v, want %v", n, err, want)
	}
	switch {
	case l != nil && l.isLive():
		g.saw("cancel: live")
		l.cancel(g, run.ErrCancelled)
	case want != nil:
		g.saw("cancel: a store that fails")
	case l == nil:
		g.saw("cancel: unknown")
		l = g.newLife(n, 0, newPuppet())
		l.phase, l.until = phaseBanned, time.Now().Add(24*time.Hour)
		g.names[n], g.lives = l, append(g.lives, l)
		l.answered = make(map[string]bool)
	default:
		g.saw("cancel: ended")
	}
}

func (g *game) close() {
	g.real.Close()
	g.closed = true
	for _, l := range g.lives {
		if l.phase == phaseWaits && g.threadOf(l).active != l {
			l.cancel(g, run.ErrShutdown)
		}
	}
}

// said is one call of Say, with the answers that came. It is to have one when the model has.
type said struct {
	mu   sync.Mutex
	got  []bool
	want []bool
}

func (s *said) answer(ok bool) { s.want = append(s.want, ok) }

// say says something to a run, whatever there is of it (R22).
func (g *game) say(s step) {
	n, id, often := abs(s.arg(0))%modelRuns, fmt.Sprint("k", abs(s.arg(1))), abs(s.arg(2))%5
	if abs(s.arg(1)) == 4 {
		id = "m" // which the agent's own message has
	}
	for i := range max(1, often) {
		if often < 4 {
			g.sayOnce(n, id, strings.Repeat("é", abs(s.arg(1))*1700))
			continue
		}
		for j := range 17 {
			g.sayOnce(n, fmt.Sprintf("%s-%d-%d", id, i, j), "x")
		}
	}
}

func (g *game) sayOnce(n int, id, words string) {
	l, one := g.names[n], &said{}
	g.said = append(g.said, one)
	err := g.hub.Say(g.t.Context(), keyOf(n), id, words, func(ok bool) {
		one.mu.Lock()
		defer one.mu.Unlock()
		one.got = append(one.got, ok)
	})
	var want error
	switch {
	case l != nil && (l.isLive() || l.answers != nil):
		l.say(g, one, id, words)
	case g.loadable("read") != nil:
		want = errOdd
		g.saw("say: a store that fails")
	case l == nil:
		want = run.ErrGone
		g.saw("say: unknown")
	case l.phase >= phaseBuried:
		want = run.ErrBuried
		g.saw("say: a tombstone")
	default:
		one.answer(false)
		g.saw("say: ended")
	}
	if err != want {
		g.fail("R22: saying something to run %d: %v, want %v", n, err, want)
	}
}

// say is what becomes of a text.
func (l *life) say(g *game, one *said, id, words string) {
	ok, answered := l.answers[id]
	i := slices.IndexFunc(l.waiting, func(t *spoken) bool { return t.id == id })
	switch {
	case answered:
		g.saw("say: the answer %v again", ok)
		one.answer(ok)
	case i >= 0:
		g.saw("say: again while it waits")
		l.waiting[i].told = append(l.waiting[i].told, one)
	case l.taking != nil && l.taking.id == id:
		g.saw("say: again while it is taken")
		l.taking.told = append(l.taking.told, one)
	case !l.isLive() || !l.listening || len(l.waiting) == 64:
		g.saw("say: live %v, listens %v", l.isLive(), l.listening)
		one.answer(false)
	default:
		l.waiting = append(l.waiting, &spoken{id: id, text: words, told: []*said{one}})
	}
}

// sameError reports whether an answer about a cursor is as it should be. What is trimmed depends on how
// events are folded: it is at most what may be, and no less later on.
func (g *game) sameError(l *life, offset uint64, err, want error) bool {
	trimmedFirst := want == errOdd && g.failing == "list" && err == run.ErrTrimmed // it is read before that is asked
	if l == nil || want != nil && !trimmedFirst || l.phase >= phaseBuried {
		return err == want || want == run.ErrGone && errors.Is(err, run.ErrGone)
	}
	gone := g.isTrimmed(l, offset)
	switch {
	case err == nil:
		return !gone && offset >= l.trimmed
	case l.isLive() && !gone:
		return false
	case err != run.ErrTrimmed || !g.mayBeTrimmed(l, offset):
		return false
	}
	g.saw("R9: trimmed")
	l.trimmed = max(l.trimmed, offset+1)
	return true
}

// isTrimmed reports whether the store has nothing for a cursor any more. What it has of a live log has the same
// start as the hub's.
func (g *game) isTrimmed(l *life, offset uint64) bool {
	_, err := g.memory.Read(g.t.Context(), l.key, run.Cursor{Epoch: l.epoch, Offset: offset}, 1)
	return err == run.ErrTrimmed
}

// mayBeTrimmed reports whether a log may have nothing for a cursor any more: it has more bytes than are kept, or was
// dropped for the budget, and the newest are there (R4).
func (g *game) mayBeTrimmed(l *life, offset uint64) bool {
	return g.mayOutgrow(l, offset) || l.shed && offset < g.newestOf(l)
}

// mayOutgrow is mayBeTrimmed of a log that is not dropped, as one is that has a viewer (R14).
func (g *game) mayOutgrow(l *life, offset uint64) bool {
	most := g.cfg.Limits.FoldedBytes
	return most > 0 && l.size > most && offset < g.newestOf(l)
}

// newestOf is the offset behind which the newest events are, which stay as they are.
func (g *game) newestOf(l *life) uint64 {
	n := uint64(g.cfg.Limits.WindowEvents * 3 / 4)
	if g.cfg.Limits.WindowBytes > 0 || l.size > 256<<10*3/4 {
		n = 1
	}
	return max(l.last(), n) - n
}
