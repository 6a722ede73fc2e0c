package run_test

import (
	"slices"
	"strings"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

type phase uint8

const (
	phaseWaits phase = iota // for its thread
	phaseRuns
	phaseKept   // it has ended, and its log is kept
	phaseBuried // there is a tombstone
	phaseBanned // there is a tombstone of a run that was cancelled before it began
	phaseGone
)

func (p phase) String() string {
	return [...]string{"waits", "runs", "has ended", "is buried", "was cancelled before", "is gone"}[p]
}

// life is what the model knows of one run: above all its events, in a plain list.
type life struct {
	n       int
	key     run.RunKey
	input   *agui.RunAgentInput
	hash    byte
	policy  int // what becomes of it without viewers, see policies
	agent   *puppet
	live    *run.Live
	apart   bool // it was cancelled before it was started: the hub does not know it
	epoch   uint64
	prelude []string

	phase     phase
	events    []string
	shapes    []shape // of events, as far as anybody has asked
	order     agui.Order
	size      int  // bytes that the events may take in a log, at most
	shed      bool // the log may have been dropped for the budget
	trimmed   uint64
	cancelled error
	since     int // the step in which it was cancelled
	outcome   run.Outcome
	ended     int  // the step in which it ended
	uncalled  bool // it was cancelled before its agent was called
	hanging   bool

	// The agent.
	tasks   []task
	closing []closing
	ignores bool
	emitted int // of the events that were to be emitted, how many were
	before  int // and as of the last step

	// Whoever says something.
	listening bool
	waiting   []*spoken
	taking    *spoken
	texts     int // taken so far
	answers   map[string]bool

	viewers   int             // of the log itself
	answered  map[string]bool // interrupts that runs answer which began after its end
	answerers []*life         // runs of its thread that began after it

	// When something happens by itself; zero: never.
	vacantAt, giveUpAt, expireAt, until, answersUntil time.Time
}

// spoken is what was said to a run under an id.
type spoken struct {
	id, text string
	told     []*said
	begun    bool
	rest     string
}

// closing is an event that is expected at the end of a run: just this one, or a RUN_ERROR of a code.
type closing struct {
	ev     agui.Event
	code   string
	orElse []closing // where it is refused
}

func (l *life) last() uint64 { return uint64(len(l.events)) }

// isLive reports whether the hub has it.
func (l *life) isLive() bool { return l.phase <= phaseRuns }

// learn takes what the run has tried to send since it was asked last, and what follows from that.
func (l *life) learn(g *game) {
	if l.phase == phaseWaits && (l.apart || g.threadOf(l).active == l || l.cancelled != nil) {
		l.phase, l.uncalled = phaseRuns, l.apart || g.threadOf(l).active != l
	}
	var attempts []attempt
	l.agent.locked(func() { attempts, l.agent.attempts = l.agent.attempts, nil })
	for i := 0; l.phase == phaseRuns; i++ {
		l.pass(g, i == len(attempts))
		if i == len(attempts) {
			return
		}
		l.match(g, attempts[i])
		if l.phase != phaseRuns {
			attempts = attempts[i+1:]
		}
	}
	if len(attempts) > 0 && (l.phase == phaseWaits || l.phase == phaseRuns) {
		g.fail("run %d waits for its thread, and sends %s", l.n, attempts[0].text)
	} else if len(attempts) > 0 {
		g.fail("R4: run %d sends %.200s behind its end", l.n, attempts[0].text)
	}
	l.pass(g, true)
}

// pass takes those tasks off the list that send nothing. all says that nothing else was sent in this step.
func (l *life) pass(g *game, all bool) {
	deaf := all && l.ignores && l.cancelled != nil || !l.isLive()
	for len(l.tasks) > 0 && l.phase != phaseWaits {
		switch t := l.tasks[0]; {
		case t.verb == "listen":
			l.listening = true
		case t.verb == "ignore":
			l.ignores = true
			deaf = deaf || all && l.cancelled != nil
		case t.verb == "take" && l.taking == nil && len(l.waiting) == 0:
			l.listening = true
		case t.verb == "take" && l.taking == nil:
			l.listening = true
			l.taking, l.waiting = l.waiting[0], l.waiting[1:]
			l.taking.rest = l.taking.text
			continue
		case t.verb == "take" && deaf:
			l.took(g, false)
			continue
		case t.verb == "emit" && deaf:
		case t.verb == "end" && l.hanging:
			l.hanging = false
		default:
			return
		}
		l.tasks = l.tasks[1:]
	}
}

// match finds what an event that the run has tried to send is: the next one of the agent's, or one that closes
// the run.
func (l *life) match(g *game, a attempt) {
	free := l.cancelled == nil || l.since == g.steps // the agent may still have been ahead of its cancellation
	if len(l.closing) == 0 && len(l.tasks) > 0 {
		switch t := l.tasks[0]; {
		case free && t.verb == "emit" && a.is(t.ev):
			l.tasks = l.tasks[1:]
			l.accept(a, t.ev)
			l.emitted++
			return
		case free && t.verb == "take" && l.taking != nil && l.piece(g, a):
			return
		case t.verb == "end" && (free || t.how == endPanic):
			if list := l.endings(t.how); list[0].is(a) {
				l.closing = list
			}
		}
	}
	if i := slices.IndexFunc(l.tasks, func(t task) bool { return t.verb == "end" }); i > 0 && l.cancelled != nil && l.ignores &&
		l.tasks[i].how == endPanic && (&closing{code: run.CodePanic}).is(a) {
		l.tasks, l.closing = l.tasks[i:], l.endings(endPanic) // it could not emit what stands before
	}
	if l.cancelled != nil && (len(l.closing) == 0 || free && !l.closing[0].is(a)) {
		l.closing = nil
		for _, ev := range l.order.Open() {
			l.closing = append(l.closing, closing{ev: ev})
		}
		l.closing = append(l.closing, closing{ev: l.finished(&agui.Outcome{Type: agui.OutcomeCancelled})})
	}
	if len(l.closing) == 0 || !l.closing[0].is(a) {
		g.fail("run %d sends %.300s, and the model does not expect it", l.n, a.text)
	}
	c := l.closing[0]
	l.closing = l.closing[1:]
	if c.ev == nil {
		c.ev = decodedEvent(a.text)
	}
	if !l.accept(a, c.ev) {
		l.closing = c.orElse
	} else if isEnd(c.ev) {
		l.end(g, c.ev)
	}
}

func (l *life) finished(o *agui.Outcome) *agui.RunFinished {
	return &agui.RunFinished{ThreadID: l.key.Thread, RunID: l.key.Run, Outcome: o}
}

// endings is what is sent when the agent ends.
func (l *life) endings(how int) []closing {
	well := []closing{{ev: l.finished(nil), orElse: []closing{{code: run.CodeIncomplete}}}}
	switch how {
	case endNil:
		return well
	case endError, endGoexit:
		return []closing{{code: run.CodeAgent}}
	case endPublic:
		return []closing{{code: errPublic.Code}}
	case endPanic:
		return []closing{{code: run.CodePanic}}
	case endFinishedAndError:
		well[0].orElse = []closing{{code: run.CodeAgent}}
		return well
	}
	own := ending(how)
	if e, ok := own.(*agui.RunFinished); ok {
		own = l.finished(e.Outcome)
	}
	return []closing{{ev: own, orElse: well}}
}

func (c *closing) is(a attempt) bool {
	if c.ev != nil {
		return a.is(c.ev)
	}
	e, ok := decodedEvent(a.text).(*agui.RunError)
	return ok && e.Code != nil && *e.Code == c.code
}

func (a attempt) is(ev agui.Event) bool {
	b, err := encodeHalves(ev)
	return string(b) == a.text && (err != nil) == a.bad
}

func decodedEvent(text string) agui.Event {
	var dec event.Decoder
	ev, _, err := dec.DecodeEvent([]byte(text))
	if err != nil {
		return nil
	}
	return ev
}

func isEnd(ev agui.Event) bool {
	t := ev.Type()
	return t == agui.EventTypeRunFinished || t == agui.EventTypeRunError
}

// accept adds an event to the list, unless it is to be refused: then nothing has changed (R2). The order of
// events is judged by the same agui.Order as the run's, which has tests of its own.
func (l *life) accept(a attempt, ev agui.Event) bool {
	if a.bad || len(a.text) > modelEventMost || l.order.Check(ev) != nil {
		return false
	}
	l.add(a.text)
	return true
}

func (l *life) add(text string) {
	l.events = append(l.events, text)
	l.size += len(text) + 2*entryAbout
}

// entryAbout is about what an entry takes beside its event.
const entryAbout = 80

// piece takes an event of a text that the agent has taken, see TakeSteer (R22).
func (l *life) piece(g *game, a attempt) bool {
	t := l.taking
	switch ev := decodedEvent(a.text).(type) {
	case *agui.TextMessageStart:
		if t.begun || ev.MessageID != t.id || ev.Role != agui.RoleUser {
			return false
		}
		t.begun = true
		if !l.accept(a, ev) {
			l.took(g, false)
		}
	case *agui.TextMessageContent:
		if !t.begun || ev.MessageID != t.id || !strings.HasPrefix(t.rest, ev.Delta) || !l.accept(a, ev) {
			return false
		}
		t.rest = t.rest[len(ev.Delta):]
	case *agui.TextMessageEnd:
		if !t.begun || ev.MessageID != t.id || t.rest != "" || !l.accept(a, ev) {
			return false
		}
		ok := true
		if l.cancelled != nil { // what closes the message looks the same
			l.agent.locked(func() { ok = l.agent.took[l.texts] })
		}
		l.took(g, ok)
	default:
		return false
	}
	return true
}

func (l *life) took(g *game, ok bool) {
	l.tellTaken(g, l.taking, ok)
	l.taking, l.tasks = nil, l.tasks[1:]
	l.texts++
}

func (l *life) tellTaken(g *game, t *spoken, ok bool) {
	if l.answers == nil {
		l.answers = make(map[string]bool)
	}
	l.answers[t.id] = ok
	for _, s := range t.told {
		s.answer(ok)
	}
	g.saw("steer: %v", ok)
}

// cancel is what Live.Cancel does.
func (l *life) cancel(g *game, cause error) {
	if !l.isLive() || l.cancelled != nil {
		return
	}
	l.cancelled, l.since, l.giveUpAt = cause, g.steps, time.Now().Add(10*time.Second)
}

// end is what follows the terminal event: the next run of the thread may begin (R19), whoever waits for an answer has one
// (R22), and the log is kept for a while (R13).
func (l *life) end(g *game, ev agui.Event) {
	now := time.Now()
	l.phase, l.ended, l.outcome = phaseKept, g.steps, outcomeOf(ev)
	l.vacantAt, l.giveUpAt, l.answered = time.Time{}, time.Time{}, make(map[string]bool)
	for _, t := range append(l.waiting, l.taking) {
		if t != nil {
			l.tellTaken(g, t, false)
		}
	}
	l.waiting, l.taking = nil, nil
	l.agent.locked(func() { l.hanging = l.agent.called > 0 && !l.agent.returned })
	if l.apart {
		l.phase = phaseGone
		return
	}
	g.ends(l.outcome)
	if l.answers != nil {
		l.answersUntil = now.Add(modelRetention)
	}
	l.until, l.expireAt = now.Add(modelRetention), now.Add(10*time.Minute)
	t := g.threadOf(l)
	t.queue = slices.DeleteFunc(t.queue, func(other *life) bool { return other == l })
	if t.active == l {
		t.next()
	}
}

// outcomeOf is how a run ends by a terminal event.
func outcomeOf(ev agui.Event) run.Outcome {
	e, ok := ev.(*agui.RunFinished)
	switch {
	case !ok:
		return run.OutcomeError
	case e.Outcome == nil:
		return run.OutcomeSuccess
	case e.Outcome.Type == agui.OutcomeInterrupt:
		return run.OutcomeInterrupt
	}
	return run.OutcomeCancelled
}
