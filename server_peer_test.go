package agloop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestPublish: an event goes into each live run of one principal, and into no other.
func TestPublish(t *testing.T) {
	gate, agent := gated()
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agent})
	wires := map[string]*wire{}
	for _, name := range []string{"ann 1", "ann 2", "bob", ""} {
		key, _, _ := strings.Cut(name, " ")
		w := newWireOf(t, srv, addr, key)
		w.send(inputOnce("r"))
		w.await("RUN_STARTED")
		wires[name] = w
	}
	testkit.Await(t, "the agents of all who have a key are called", func() bool { return srv.Live() == 3 })
	for _, tc := range []struct {
		key  string
		runs int
	}{{"ann", 2}, {"bob", 1}, {"eve", 0}, {"", 0}} {
		runs, err := srv.Peer(tc.key).Publish(t.Context(), "news", map[string]any{"of": tc.key})
		if runs != tc.runs || err != nil {
			t.Errorf("%q: into %d runs, %v", tc.key, runs, err)
		}
	}
	pass(gate, 4)
	for name, w := range wires {
		var got []string
		for len(got) == 0 || got[len(got)-1] != "RUN_FINISHED" {
			_, p, err := w.Message()
			if err != nil {
				t.Fatal(err)
			}
			var ev struct {
				Type, Name string
				Value      struct{ Of string }
			}
			if err := json.Unmarshal(p, &ev); err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.TrimSpace(ev.Type+" "+ev.Name+" "+ev.Value.Of))
		}
		want := "RUN_FINISHED"
		if key, _, _ := strings.Cut(name, " "); key != "" {
			want = "CUSTOM news " + key + " RUN_FINISHED"
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%q got %s, want %s", name, got, want)
		}
	}
	testkit.Await(t, "no run is live", func() bool { return srv.Live() == 0 })
	if runs, err := srv.Peer("ann").Publish(t.Context(), "news", 1); runs != 0 || err != nil {
		t.Errorf("afterwards: into %d runs, %v", runs, err)
	}
}

// TestPublishedMistakes: what is no event goes nowhere.
func TestPublishedMistakes(t *testing.T) {
	gate, agent := gated()
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agent, Limits: agloop.Limits{MaxEvent: 4 << 10}})
	w := newWireOf(t, srv, addr, "ann")
	w.send(inputOnce("r"))
	w.await("RUN_STARTED")
	testkit.Await(t, "the agent is called", func() bool { return srv.Live() == 1 })
	for _, tc := range []struct {
		name  string
		value any
	}{
		{"n", make(chan int)},
		{"n", math.NaN()},
		{"n", json.RawMessage(`{"a":`)},
		{"n", strings.Repeat("x", 4<<10)},
		{"a\xff", 1},
	} {
		if runs, err := srv.Peer("ann").Publish(t.Context(), tc.name, tc.value); runs != 0 || err == nil {
			t.Errorf("%q, %.20v: into %d runs, %v", tc.name, tc.value, runs, err)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if runs, err := srv.Peer("ann").Publish(over, "n", 1); runs != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: into %d runs, %v", runs, err)
	}
	pass(gate, 1)
	if ev := w.next(); ev.Type != "RUN_FINISHED" {
		t.Errorf("got %+v", ev)
	}
	if runs, err := agloop.NewServer(agloop.ServerConfig{Agent: agent}).Peer("ann").Publish(t.Context(), "n", 1); runs != 0 || err != nil {
		t.Errorf("before Serve: into %d runs, %v", runs, err)
	}
}

// TestPublishPastASlowReader: it holds up nobody else, it is given up with the context, and its run
// goes on.
func TestPublishPastASlowReader(t *testing.T) {
	stop := make(chan struct{})
	srv, addr := serveEach(t, agloop.ServerConfig{
		Limits: agloop.Limits{SoftLimit: 4 << 10, WriteTimeout: -1},
		Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
			big := &agui.Custom{Name: "big", Value: fmt.Appendf(nil, "%q", strings.Repeat("x", 64<<10))}
			for strings.HasPrefix(run.Input.RunID, "slow") {
				select {
				case <-stop:
					return nil
				default:
				}
				if err := run.Emit(big); err != nil {
					return err
				}
			}
			<-stop
			return nil
		}),
	})
	slow := testkit.Connect(t, addr, 4<<10)
	slow.Upgrade("Authorization: ann")
	slow.Put(testkit.Text(inputOnce("slow")))
	fast := newWireOf(t, srv, addr, "ann")
	fast.send(inputOnce("fast"))
	fast.await("RUN_STARTED")
	testkit.Await(t, "both agents are called", func() bool { return srv.Live() == 2 })

	type result struct {
		runs int
		err  error
	}
	passed := 0 // into the slow run, until its reader's buffers are full
	for {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan result, 1)
		go func() {
			runs, err := srv.Peer("ann").Publish(ctx, "news", 1)
			done <- result{runs, err}
		}()
		fast.await("CUSTOM")
		cancel()
		r := testkit.Receive(t, "Publish gives up", done)
		if r.runs == 1 && errors.Is(r.err, context.Canceled) {
			break
		}
		if passed++; r.runs != 2 || r.err != nil {
			t.Fatalf("into %d runs, %v", r.runs, r.err)
		}
	}
	close(stop)
	if got := fast.ends(1); !strings.HasPrefix(got, "fast") {
		t.Errorf("ends %s", got)
	}
	got, last := 0, ""
	for last != "RUN_FINISHED" {
		_, p, err := slow.Message()
		if err != nil {
			t.Fatal(err)
		}
		var ev struct{ Type, Name string }
		if err := json.Unmarshal(p, &ev); err != nil {
			t.Fatal(err)
		}
		if last = ev.Type; ev.Name == "news" {
			got++
		}
	}
	if got != passed {
		t.Errorf("the slow reader got %d events, %d went in", got, passed)
	}
}

// TestPublishWhileTheRunEnds: an event comes before the terminal one, or is told to have gone
// nowhere.
func TestPublishWhileTheRunEnds(t *testing.T) {
	gate := make(chan struct{}, 1)
	srv, addr := serveEach(t, agloop.ServerConfig{
		Logger: slog.New(slog.DiscardHandler),
		Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
			<-gate
			switch id, _, _ := strings.Cut(run.Input.RunID, "-"); id {
			case "own":
				return run.Emit(&agui.RunFinished{})
			case "error":
				return errors.New("boom")
			}
			return nil
		}),
	})
	w := newWireOf(t, srv, addr, "ann")
	for i := range 300 {
		w.send(inputOnce([]string{"well", "own", "error"}[i%3]))
		if ev := w.next(); ev.Type != "RUN_STARTED" {
			t.Fatalf("got %+v", ev)
		}
		testkit.Await(t, "the agent is called", func() bool { return srv.Live() == 1 })
		var went atomic.Int32
		var publishers sync.WaitGroup
		for range 3 {
			publishers.Go(func() {
				for {
					runs, err := srv.Peer("ann").Publish(t.Context(), "news", 1)
					if err != nil {
						t.Error(err)
					}
					if went.Add(int32(runs)); runs == 0 {
						return
					}
				}
			})
		}
		gate <- struct{}{}
		got := int32(0)
		for ev := w.next(); ev.Type == "CUSTOM"; ev = w.next() {
			got++
		}
		publishers.Wait()
		if n := went.Load(); got != n {
			t.Fatalf("%d events came before the terminal one, %d went in", got, n)
		}
	}
}

// TestPublishBesideAnAgent: what both emit at once stays in order, and all of it comes.
func TestPublishBesideAnAgent(t *testing.T) {
	const each = 300
	called, published := make(chan struct{}), make(chan struct{})
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
		close(called)
		for range each {
			if err := hello(t.Context(), run); err != nil {
				return err
			}
		}
		<-published
		return nil
	})})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{Header: http.Header{"Authorization": {"ann"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		defer close(published)
		<-called
		var publishers sync.WaitGroup
		for range 2 {
			publishers.Go(func() {
				for i := range each {
					if runs, err := srv.Peer("ann").Publish(t.Context(), "news", i); runs != 1 || err != nil {
						t.Errorf("into %d runs, %v", runs, err)
						return
					}
				}
			})
		}
		publishers.Wait()
	}()
	got := types(t, c, "r") // the client checks the order
	if n := strings.Count(got, "CUSTOM"); n != 2*each {
		t.Errorf("%d events of %d", n, 2*each)
	}
	if n := strings.Count(got, "TEXT_MESSAGE_END"); n != each {
		t.Errorf("%d messages of %d", n, each)
	}
}

// TestPublishThatPanics: a mistake of agloop's own is an error, and no end of the process.
func TestPublishThatPanics(t *testing.T) {
	gate, agent := gated()
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agent})
	w := newWireOf(t, srv, addr, "ann")
	w.send(inputOnce("r"))
	w.await("RUN_STARTED")
	testkit.Await(t, "the agent is called", func() bool { return srv.Live() == 1 })
	mend := srv.AddBrokenRun("ann")
	runs, err := srv.Peer("ann").Publish(t.Context(), "news", 1)
	if _, ok := errors.AsType[*agloop.PanicError](err); !ok || runs != 1 || srv.Stats().Panics != 1 {
		t.Errorf("into %d runs, %v, %d panics", runs, err, srv.Stats().Panics)
	}
	mend()
	pass(gate, 1)
	if got := w.ends(1); !strings.HasPrefix(got, "r-") {
		t.Errorf("ends %s", got)
	}
}
