package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
)

// chronicle is the events of a run, a line for each; the pieces of a text are one line as long as
// they follow each other, since a server may join them.
type chronicle struct {
	lines []string
	piece string // what the last line is a text of; "" for another event
	units int    // events, a joined one counts for all
}

func (c *chronicle) add(ev agui.Event) {
	switch e := ev.(type) {
	case *agui.TextMessageContent:
		c.addPiece("text "+e.MessageID+": ", e.Delta)
	case *agui.ToolCallArgs:
		c.addPiece("args "+e.ToolCallID+": ", e.Delta)
	case *agui.RunStarted: // its input depends on who asks
		c.addLine("started " + e.ThreadID + " " + e.RunID)
	default:
		line, err := event.Append(nil, ev)
		if err != nil {
			line = []byte(err.Error())
		}
		c.addLine(string(line))
	}
}

func (c *chronicle) addLine(line string) {
	c.lines, c.piece = append(c.lines, line), ""
	c.units++
}

// addPiece adds a piece, whose words end with a space each.
func (c *chronicle) addPiece(of, delta string) {
	if c.piece == of {
		c.lines[len(c.lines)-1] += delta
	} else {
		c.lines, c.piece = append(c.lines, of+delta), of
	}
	c.units += strings.Count(delta, " ")
}

// clone is a copy that may be added to.
func (c *chronicle) clone() chronicle {
	return chronicle{slices.Clone(c.lines), c.piece, c.units}
}

// same compares what was heard of a run with what there was.
func (c *chronicle) same(t testing.TB, what string, want []string) {
	t.Helper()
	if slices.Equal(c.lines, want) {
		return
	}
	for i := range max(len(c.lines), len(want)) {
		got, wanted := "nothing", "nothing"
		if i < len(c.lines) {
			got = c.lines[i]
		}
		if i < len(want) {
			wanted = want[i]
		}
		if got != wanted {
			t.Errorf("%s: line %d of %d, %d wanted, is\n%s\nwant\n%s", what, i, len(c.lines), len(want), got, wanted)
			return
		}
	}
}

// teller is an agent whose runs tell tales, and which knows what each has told.
type teller struct {
	rounds int // messages of a run
	lag    int // how many units a run is ahead of who hears it; 0 is any number

	// Any goroutine.
	running atomic.Int64
	waiting atomic.Int64 // of running, those that are far enough ahead

	// Any goroutine, under mu.
	mu    sync.Mutex
	tales map[string]*tale
}

// tale is one run of a teller.
type tale struct {
	// Immutable.
	thread, run string
	heard       atomic.Int64
	more        chan struct{} // holds a token when heard has changed
	began       chan struct{} // closed at the agent's first call

	// Any goroutine, under the teller's mu.
	calls   int
	told    chronicle
	closing string // line of what is open, "" for nothing
	ended   error  // what the agent returned
	steered []string
}

func newTeller(rounds, lag int) *teller {
	return &teller{rounds: rounds, lag: lag, tales: make(map[string]*tale)}
}

// of is the tale of a run.
func (s *teller) of(thread, run string) *tale {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := thread + "/" + run
	if s.tales[k] == nil {
		s.tales[k] = &tale{thread: thread, run: run, more: make(chan struct{}, 1), began: make(chan struct{})}
	}
	return s.tales[k]
}

// Run implements agloop.Agent.
func (s *teller) Run(ctx context.Context, r *agloop.Run) (err error) {
	t := s.of(r.Input.ThreadID, r.Input.RunID)
	s.running.Add(1)
	defer s.running.Add(-1)
	s.mu.Lock()
	if t.calls++; t.calls == 1 {
		close(t.began)
	}
	s.mu.Unlock()
	err = s.tell(ctx, r, t)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.ended = err
	return err
}

func (s *teller) tell(ctx context.Context, r *agloop.Run, t *tale) error {
	steering := r.Steering()
	for i := range s.rounds {
		id := fmt.Sprintf("%s-%d", t.run, i)
		if err := s.item(ctx, r, t, &agui.TextMessageStart{MessageID: id, Role: agui.RoleAssistant}, &agui.TextMessageEnd{MessageID: id}, 12,
			func(word string) agui.Event { return &agui.TextMessageContent{MessageID: id, Delta: word} }); err != nil {
			return err
		}
		if i%2 == 0 {
			if err := s.item(ctx, r, t, &agui.ToolCallStart{ToolCallID: id, ToolCallName: "f"}, &agui.ToolCallEnd{ToolCallID: id}, 5,
				func(word string) agui.Event { return &agui.ToolCallArgs{ToolCallID: id, Delta: word} }); err != nil {
				return err
			}
		}
		patch := []agui.PatchOp{{Op: agui.PatchAdd, Path: "/" + id, Value: []byte("1")}}
		if err := s.emit(ctx, r, t, &agui.StateDelta{Delta: patch}, ""); err != nil {
			return err
		}
		select {
		case <-steering:
			if err := s.take(r, t); err != nil {
				return err
			}
		default:
		}
	}
	return nil
}

// take takes what was said to the run.
func (s *teller) take(r *agloop.Run, t *tale) error {
	text, ok, err := r.TakeSteer()
	if !ok {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.steered = append(t.steered, text)
	t.told.addLine("steered " + text)
	return nil
}

// item tells something that has a begin, pieces and an end.
func (s *teller) item(ctx context.Context, r *agloop.Run, t *tale, begin, end agui.Event, pieces int, piece func(string) agui.Event) error {
	line, err := event.Append(nil, end)
	if err != nil {
		return err
	}
	if err := s.emit(ctx, r, t, begin, string(line)); err != nil {
		return err
	}
	for i := range pieces {
		if err := s.emit(ctx, r, t, piece(fmt.Sprint(i, " ")), string(line)); err != nil {
			return err
		}
	}
	return s.emit(ctx, r, t, end, "")
}

// emit emits an event and notes it, when who hears the run is not too far behind.
func (s *teller) emit(ctx context.Context, r *agloop.Run, t *tale, ev agui.Event, closing string) error {
	if err := s.await(ctx, t); err != nil {
		return err
	}
	if err := r.Emit(ev); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.told.add(ev)
	t.closing = closing
	return nil
}

func (s *teller) await(ctx context.Context, t *tale) error {
	s.mu.Lock()
	units := t.told.units + 1 // RUN_STARTED
	s.mu.Unlock()
	if s.lag == 0 || units < int(t.heard.Load())+s.lag {
		return ctx.Err()
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	for units >= int(t.heard.Load())+s.lag {
		select {
		case <-t.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// whole is what there is to hear of a run that has ended.
func (s *teller) whole(thread, run string) []string {
	t := s.of(thread, run)
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := append([]string{"started " + thread + " " + run}, t.told.lines...)
	end := &agui.RunFinished{ThreadID: thread, RunID: run}
	if errors.Is(t.ended, context.Canceled) {
		if t.closing != "" {
			lines = append(lines, t.closing)
		}
		end.Outcome = &agui.Outcome{Type: agui.OutcomeCancelled}
	}
	line, _ := event.Append(nil, end)
	return append(lines, string(line))
}

// calls is how often the agent was called for a run.
func (s *teller) calls(thread, run string) int {
	t := s.of(thread, run)
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.calls
}

// hear reads a sequence to its end, and lets its run go on as it does.
func (s *teller) hear(thread, run string, seq iter.Seq2[agui.Event, error]) (got chronicle, err error) {
	return s.goOn(thread, run, chronicle{}, seq)
}

// goOn is hear behind what was heard before.
func (s *teller) goOn(thread, run string, got chronicle, seq iter.Seq2[agui.Event, error]) (_ chronicle, err error) {
	t := s.of(thread, run)
	for ev, e := range seq {
		if err = e; e == nil {
			got.hear(ev)
			t.advance(got.units)
		}
	}
	return got, err
}

// hear is add of an event that came, in which the message of a steer is one line.
func (c *chronicle) hear(ev agui.Event) {
	switch e := ev.(type) {
	case *agui.TextMessageStart:
		if e.Role == agui.RoleUser {
			return
		}
	case *agui.TextMessageContent:
		if strings.HasPrefix(e.MessageID, "steer-") {
			c.addLine("steered " + e.Delta)
			return
		}
	case *agui.TextMessageEnd:
		if strings.HasPrefix(e.MessageID, "steer-") {
			return
		}
	}
	c.add(ev)
}

// advance lets a run go on to so many units, and what it may be ahead.
func (t *tale) advance(units int) {
	t.heard.Store(int64(units))
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// inThread is the input of a run.
func inThread(thread, run string) *agui.RunAgentInput {
	return &agui.RunAgentInput{ThreadID: thread, RunID: run}
}

// runWhole makes a run and compares what it hears.
func (s *teller) runWhole(t testing.TB, c *agloop.Client, thread, run string) {
	t.Helper()
	got, err := s.hear(thread, run, c.Run(t.Context(), inThread(thread, run)))
	s.wantWhole(t, thread, run, got, err)
}

// wantWhole fails unless a run was heard from its first event to its last, once, and its agent was
// called once.
func (s *teller) wantWhole(t testing.TB, thread, run string, got chronicle, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("run %s ended with %v", run, err)
		return
	}
	got.same(t, "run "+run, s.whole(thread, run))
	if n := s.calls(thread, run); n != 1 {
		t.Errorf("the agent was called %d times for run %s", n, run)
	}
}

// folding keeps few events as they are, so that most are folded.
func folding() agloop.RunsConfig { return agloop.RunsConfig{WindowEvents: 8} }
