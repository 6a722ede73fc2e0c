package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestR40KilledAgainAndAgain: several runs at once, over connections that end at any byte and in any
// way. Every event comes once and in order, and no agent is called twice.
func TestR40KilledAgainAndAgain(t *testing.T) {
	const runs, kills = 5, 25
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newTeller(8, 20)
			_, addr := serveEach(t, agloop.ServerConfig{Agent: s, Runs: folding(), Logger: quiet})
			r := newBreaker(t, addr)
			s.sweep(t, r)
			c := r.client(t, nil)
			r.killing(seed, kills, 3000, cutClosed, cutReset, cutSilent)
			r.cutAll(cutReset)
			var loops sync.WaitGroup
			for i := range runs {
				loops.Go(func() { s.runWhole(t, c, fmt.Sprint("t", i), fmt.Sprint("r", i)) })
			}
			loops.Wait()
			for i := 0; ; i++ { // the client is of use, whatever else is ended
				s.runWhole(t, c, "later", fmt.Sprint(i))
				r.mu.Lock()
				cuts := r.cuts
				r.mu.Unlock()
				if cuts == kills || t.Failed() {
					break
				}
			}
		})
	}
}

// oneWrite is the state of an application, stored with the cursor.
type oneWrite struct {
	state  *chronicle // of the loop
	stored []stored
}

type stored struct {
	at    agloop.Cursor
	state chronicle
}

func (o *oneWrite) Load(string, string) (agloop.Cursor, error) { return agloop.Cursor{}, nil }

func (o *oneWrite) Save(_, _ string, at agloop.Cursor) error {
	o.stored = append(o.stored, stored{at, o.state.clone()})
	return nil
}

// tellInto reads a sequence into a state that somebody else may store.
func (s *teller) tellInto(tale *tale, state *chronicle, seq func(func(agui.Event, error) bool)) (err error) {
	for ev, e := range seq {
		if err = e; e == nil {
			state.hear(ev)
			tale.advance(state.units)
		}
	}
	return err
}

// TestR10AttachAtEveryCursor: a state that was stored with its cursor, in one write, comes to the
// same as that of who heard the whole run; also where the cursor lies inside a fold.
func TestR10AttachAtEveryCursor(t *testing.T) {
	s := newTeller(4, 1) // each event comes by itself
	_, addr := serve(t, agloop.ServerConfig{Agent: s, Runs: folding(), Logger: quiet})
	r := newBreaker(t, addr)
	file := &oneWrite{state: new(chronicle)}
	c := r.client(t, func(cfg *agloop.ClientConfig) { cfg.Cursors = file })
	if err := s.tellInto(s.of("t", "r"), file.state, c.Run(t.Context(), inThread("t", "r"))); err != nil {
		t.Fatal(err)
	}
	whole := s.whole("t", "r")
	file.state.same(t, "the run itself", whole)
	cursors := file.stored
	if last := cursors[len(cursors)-1].at.Offset; int(last) != len(cursors) {
		t.Fatalf("%d cursors, the last is %d", len(cursors), last)
	}
	r.killing(1, 40, 2000, cutClosed, cutReset)
	r.cutAll(cutClosed)
	secret := c.Secret()
	for i, from := range cursors[:len(cursors)-1] {
		next := &oneWrite{state: new(from.state.clone())}
		other := c
		if i%8 == 0 { // another process of the application
			other = newBreaker(t, addr).client(t, func(cfg *agloop.ClientConfig) { cfg.Resume.Secret = secret })
		}
		err := s.tellInto(s.of("t", "r"), next.state, other.Attach(t.Context(), "t", "r", from.at))
		if err != nil {
			t.Errorf("from %v: %v", from.at, err)
		}
		next.state.same(t, fmt.Sprint("from ", from.at), whole)
	}
	folded := 0
	for _, err := range c.Attach(t.Context(), "t", "r", agloop.Cursor{}) {
		if folded++; err != nil {
			t.Error(err)
		}
	}
	if folded >= len(cursors)/2 {
		t.Errorf("from the start %d events of %d came: nothing was folded", folded, len(cursors))
	}
	_, err := s.hear("t", "r", c.Attach(t.Context(), "t", "r", cursors[len(cursors)-1].at))
	if gone, ok := errors.AsType[*agloop.GoneError](err); !ok || gone.Reason != "ended" {
		t.Errorf("behind the end: %v", err)
	}
}

// TestR20FollowAcrossKills: runs start while who follows them is cut off. Each comes once, in the
// order of their start, and none of the client's own.
func TestR20FollowAcrossKills(t *testing.T) {
	const runs = 12
	s := newTeller(3, 0)
	_, addr := serveEach(t, agloop.ServerConfig{Agent: s, Runs: folding(), Logger: quiet})
	near, far := newBreaker(t, addr), newBreaker(t, addr)
	starter := near.client(t, nil)
	viewer := far.client(t, nil)
	type heard struct {
		runID string
		of    chronicle
	}
	follow := func(c *agloop.Client, ended chan heard) {
		var h heard
		for ev, err := range c.Follow(t.Context(), "t") {
			if err != nil {
				if t.Context().Err() == nil && !errors.Is(err, agloop.ErrClientClosed) {
					t.Errorf("a follow got %v", err)
				}
				return
			}
			if e, ok := ev.(*agui.RunStarted); ok {
				h = heard{runID: e.RunID}
			}
			h.of.hear(ev)
			if _, ok := ev.(*agui.RunFinished); ok {
				ended <- h
			}
		}
	}
	seen, own := make(chan heard, 100), make(chan heard, 100)
	var follows sync.WaitGroup
	defer follows.Wait()
	defer starter.Close()
	defer viewer.Close()
	follows.Go(func() { follow(viewer, seen) })
	follows.Go(func() { follow(starter, own) })
	far.killing(7, 30, 2500, cutClosed, cutReset)
	far.cutAll(cutReset)
	near.killing(8, 6, 4000, cutClosed, cutReset)
	want := func(ended chan heard, runID string) {
		t.Helper()
		h := testkit.Receive(t, "a run that is followed", ended)
		if h.runID != runID {
			t.Fatalf("run %s comes, want %s", h.runID, runID)
		}
		h.of.same(t, "followed run "+runID, s.whole("t", runID))
	}
	for i := range runs {
		s.runWhole(t, starter, "t", fmt.Sprint(i))
		if i%3 == 2 {
			near.cutAll(cutReset)
		}
	}
	for i := range runs {
		want(seen, fmt.Sprint(i))
	}
	s.runWhole(t, newBreaker(t, addr).client(t, nil), "t", "last")
	want(seen, "last")
	want(own, "last")
}

// TestR18CancelWhileDown: a client that is cut off stops its run over the next connection.
func TestR18CancelWhileDown(t *testing.T) {
	s := newTeller(8, 10)
	_, addr := serveEach(t, agloop.ServerConfig{Agent: s, Runs: folding(), Logger: quiet})
	r := newBreaker(t, addr)
	c := r.client(t, nil)
	for i := range 5 {
		id := fmt.Sprint(i)
		results := make(chan error, 1)
		var got chronicle
		go func() {
			var err error
			tale := s.of("t", id)
			for ev, e := range c.Run(t.Context(), inThread("t", id)) {
				if err = e; e == nil {
					got.hear(ev)
					tale.advance(min(got.units, 30))
				}
			}
			results <- err
		}()
		testkit.Await(t, "the run goes on", func() bool { return s.of("t", id).heard.Load() >= 30 })
		r.down()
		told := make(chan error, 1)
		testkit.Await(t, "the client knows", func() bool { return c.State().Phase == agloop.ConnReconnecting })
		go func() { told <- c.Cancel(t.Context(), "t", id) }()
		r.up()
		if err := testkit.Receive(t, "the server is told", told); err != nil {
			t.Error(err)
		}
		err := testkit.Receive(t, "the end", results)
		s.wantWhole(t, "t", id, got, err)
		if !strings.Contains(got.lines[len(got.lines)-1], "cancelled") {
			t.Errorf("the run ended with %s", got.lines[len(got.lines)-1])
		}
	}
}

// TestR22SteerWhileDown: what is said to a run while the client is cut off, or whose answer is lost,
// comes to the agent once, and to who hears the run once.
func TestR22SteerWhileDown(t *testing.T) {
	began, taken, finish := make(chan struct{}), make(chan string, 10), make(chan struct{})
	_, addr := serveEach(t, agloop.ServerConfig{Logger: quiet, Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
		steering := r.Steering()
		close(began)
		for {
			select {
			case <-steering:
				text, _, err := r.TakeSteer()
				if err != nil {
					return err
				}
				taken <- text
			case <-finish:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})})
	r := newBreaker(t, addr)
	c := r.client(t, nil)
	var got chronicle
	ended := make(chan error, 1)
	go func() {
		var err error
		for ev, e := range c.Run(t.Context(), inputFor("r")) {
			if err = e; e == nil {
				got.hear(ev)
			}
		}
		ended <- err
	}()
	testkit.Receive(t, "the agent", began)
	answers := make(chan string, 1)
	say := func(text string) {
		go func() {
			ok, err := c.Steer(t.Context(), "t", "r", text)
			answers <- fmt.Sprint(text, ": ", ok, " ", err)
		}()
	}
	want := func(text string) {
		t.Helper()
		if answer := testkit.Receive(t, "the answer", answers); answer != text+": true <nil>" {
			t.Errorf("got %s", answer)
		}
	}
	r.down()
	testkit.Await(t, "the client knows", func() bool { return c.State().Phase == agloop.ConnReconnecting })
	say("while down")
	r.up()
	want("while down")
	r.deafen()
	say("answer lost")
	for range 2 {
		testkit.Receive(t, "the agent takes it", taken)
	}
	r.cutAll(cutReset)
	want("answer lost")
	say("as ever")
	want("as ever")
	close(finish)
	if err := testkit.Receive(t, "the end", ended); err != nil {
		t.Error(err)
	}
	got.same(t, "the run", []string{
		"started t r", "steered while down", "steered answer lost", "steered as ever",
		`{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`,
	})
}

// TestR45SlowLoops: some loops do not keep up at all, others do, on one connection that is killed
// besides. Nothing is lost, and who is quick waits for nobody.
func TestR45SlowLoops(t *testing.T) {
	const slow, quick = 3, 3
	s := newTeller(30, 0)
	_, addr := serveEach(t, agloop.ServerConfig{Agent: s, Runs: agloop.RunsConfig{WindowEvents: 64}, Logger: quiet})
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newBreaker(t, addr)
			c := r.client(t, func(cfg *agloop.ClientConfig) { cfg.MaxPending = 6 << 10 })
			r.killing(seed, 6, 20000, cutClosed, cutReset)
			r.cutAll(cutReset)
			goOn := make(chan struct{})
			begun := make(chan struct{}, slow)
			var late, early sync.WaitGroup
			for i := range slow {
				late.Go(func() {
					thread, id := fmt.Sprint("slow", seed, i), "r"
					var got chronicle
					var err error
					for ev, e := range c.Run(t.Context(), inThread(thread, id)) {
						if len(got.lines) == 0 {
							begun <- struct{}{}
							<-goOn
						}
						if err = e; e == nil {
							got.hear(ev)
						}
					}
					s.wantWhole(t, thread, id, got, err)
				})
			}
			for range slow {
				testkit.Receive(t, "a slow loop", begun)
			}
			for i := range quick {
				early.Go(func() { s.runWhole(t, c, fmt.Sprint("quick", seed, i), "r") })
			}
			early.Wait()
			close(goOn)
			late.Wait()
		})
	}
}

// TestR12LeftInTheMiddle: by break, by ctx and by Close. The run goes on, and its rest is to be had.
func TestR12LeftInTheMiddle(t *testing.T) {
	s := newTeller(6, 10)
	_, addr := serve(t, agloop.ServerConfig{Agent: s, Runs: folding(), Logger: quiet})
	r := newBreaker(t, addr)
	c := r.client(t, nil)
	secret := c.Secret()
	const units = 25
	for i, leave := range []func(context.CancelFunc, *agloop.Client){
		nil,
		func(cancel context.CancelFunc, _ *agloop.Client) { cancel() },
		func(_ context.CancelFunc, c *agloop.Client) { c.Close() },
	} {
		id := fmt.Sprint(i)
		var got chronicle
		var end error
		ctx, cancel := context.WithCancel(t.Context())
		for ev, err := range c.Run(ctx, inThread("t", id)) {
			if end = err; err != nil {
				break
			}
			got.hear(ev)
			s.of("t", id).advance(got.units)
			if got.units == units {
				if leave == nil {
					break
				}
				leave(cancel, c)
			}
		}
		cancel()
		switch {
		case i == 1 && !errors.Is(end, context.Canceled), i == 2 && !errors.Is(end, agloop.ErrClientClosed), i == 0 && end != nil:
			t.Errorf("run %d ended with %v", i, end)
		}
		other := r.client(t, func(cfg *agloop.ClientConfig) { cfg.Resume.Secret = secret })
		from := c.Cursor("t", id)
		if i != 0 {
			units := len(got.lines)
			if from.Offset == 0 || units == 0 {
				t.Errorf("run %d was left at %v", i, from)
			}
			rest, err := s.goOn("t", id, got, other.Attach(t.Context(), "t", id, from))
			s.wantWhole(t, "t", id, rest, err)
			continue
		}
		// The event that the loop has left at was not applied: it comes again.
		rest, err := s.hear("t", id, other.Attach(t.Context(), "t", id, agloop.Cursor{}))
		s.wantWhole(t, "t", id, rest, err)
		s.runWhole(t, c, "t", "after a break")
	}
}
