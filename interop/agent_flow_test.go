package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
)

// TestAgentWaitingInputs: eight inputs wait behind a run; the ninth is refused when its turn comes,
// and the connection stays.
func TestAgentWaitingInputs(t *testing.T) {
	gate := make(chan struct{})
	var atOnce, most atomic.Int64
	srv, url := serve(t, server.Config{Agent: agentFunc(func(ctx context.Context, _ *server.Run) error {
		most.Store(max(most.Load(), atOnce.Add(1)))
		defer atOnce.Add(-1)
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})})
	each(t, func(t *testing.T, open opener) {
		sendInputs := func(n int) peer {
			p, before := dial(t, open, url), srv.Stats().MessagesIn
			for i := range n {
				if err := p.send(true, input(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				if i == 0 { // it no longer waits
					if ev := nextEvent(t, p); ev.Type != "RUN_STARTED" {
						t.Fatalf("got %+v", ev)
					}
				}
			}
			testkit.Await(t, "the inputs to arrive", func() bool { return srv.Stats().MessagesIn == before+uint64(n) })
			return p
		}
		p := sendInputs(10)
		for i := range 9 {
			gate <- struct{}{}
			types, last := events(t, p)
			if last.RunID != fmt.Sprint(i) || last.Type != "RUN_FINISHED" || last.Outcome.Type != "" {
				t.Errorf("run %d: got %q ending with %+v", i, types, last)
			}
		}
		if ev := nextEvent(t, p); ev.Type != "RUN_ERROR" || ev.Code != "too_many_inputs" {
			t.Errorf("the tenth input: got %+v", ev)
		}
		if err := p.send(true, input("after")); err != nil {
			t.Fatal(err)
		}
		if ev := nextEvent(t, p); ev.RunID != "after" {
			t.Errorf("got %+v", ev)
		}
		p.drop()
		testkit.Await(t, "the run to be cancelled", func() bool { return atOnce.Load() == 0 })
	})
	if n := most.Load(); n != 1 {
		t.Errorf("%d runs at once on one connection", n)
	}
}

// TestAgentClientGone: the agent's context ends with the connection, and says why.
func TestAgentClientGone(t *testing.T) {
	causes := make(chan error, 1)
	srv, url := serve(t, server.Config{Agent: agentFunc(func(ctx context.Context, run *server.Run) error {
		<-ctx.Done()
		causes <- errors.Join(context.Cause(ctx), run.Emit(&agui.StepStarted{StepName: "late"}))
		return ctx.Err()
	})})
	each(t, func(t *testing.T, open opener) {
		for _, leave := range []func(peer) error{
			func(p peer) error { p.drop(); return nil },
			func(p peer) error { return p.close(1001, "") },
		} {
			p := dial(t, open, url)
			if err := p.send(true, input("run")); err != nil {
				t.Fatal(err)
			}
			nextEvent(t, p)
			if err := leave(p); err != nil {
				t.Error(err)
			}
			cause := <-causes
			if !errors.Is(cause, net.ErrClosed) || !errors.Is(cause, context.Canceled) {
				t.Errorf("the context ended with %v", cause)
			}
			if ce, ok := errors.AsType[*server.CloseError](cause); !ok || ce.Code != 1001 && ce.Code != 1006 {
				t.Errorf("the context ended with %v, want a CloseError", cause)
			}
			testkit.Await(t, "the run to be over", func() bool { return srv.Stats().Runs == 0 })
		}
	})
}

// TestAgentSlowReader: Emit waits for a client that does not read, and nothing is lost.
func TestAgentSlowReader(t *testing.T) {
	const total, size = 1000, 20_000
	var emitted atomic.Int64
	_, url := serve(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		filler := strings.Repeat("x", size)
		for i := range total {
			if err := run.Emit(&agui.Custom{Name: fmt.Sprint(i), Value: []byte(`"` + filler + `"`)}); err != nil {
				return err
			}
			emitted.Add(1)
		}
		return nil
	})})
	each(t, func(t *testing.T, open opener) {
		emitted.Store(0)
		p := dial(t, open, url)
		if err := p.send(true, input("run")); err != nil {
			t.Fatal(err)
		}
		stopped := int64(-1)
		testkit.Await(t, "Emit to wait", func() bool {
			before := stopped
			time.Sleep(100 * time.Millisecond) // the slow reader: nothing tells that nothing happens
			stopped = emitted.Load()
			return stopped > 0 && stopped == before
		})
		if stopped >= total*4/5 {
			t.Errorf("%d of %d events left without a reader", stopped, total)
		}
		for i := -1; i < total; i++ {
			ev := nextEvent(t, p)
			if i >= 0 && (ev.Name != fmt.Sprint(i) || len(ev.Value) != size+2) {
				t.Fatalf("event %d: got %s %q with %d bytes", i, ev.Type, ev.Name, len(ev.Value))
			}
		}
		if ev := nextEvent(t, p); ev.Type != "RUN_FINISHED" {
			t.Errorf("got %+v", ev)
		}
		p.drop()
	})
}

// TestAgentLargeEvent: a run may end right behind an event of the greatest size, which fills the
// connection's outbox by itself.
func TestAgentLargeEvent(t *testing.T) {
	large := &agui.Custom{Name: "large", Value: []byte(`""`)}
	frame, err := event.Append(nil, large)
	if err != nil {
		t.Fatal(err)
	}
	large.Value = []byte(`"` + strings.Repeat("x", 1<<20-len(frame)) + `"`)
	_, url := serve(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		return run.Emit(large)
	})})
	each(t, func(t *testing.T, open opener) {
		p := dial(t, open, url)
		for range 5 {
			if err := p.send(true, input("run")); err != nil {
				t.Fatal(err)
			}
			if types, last := events(t, p); len(types) != 3 || last.Type != "RUN_FINISHED" {
				t.Errorf("got %q ending with %+v", types, last)
			}
		}
		p.drop()
	})
}

// TestAgentLateEmit: what a goroutine emits after its agent returned is refused and does not reach
// the next run.
func TestAgentLateEmit(t *testing.T) {
	late := make(chan error, 1)
	over := make(chan struct{})
	_, url := serve(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		if run.Input.RunID == "first" {
			go func() {
				<-over
				late <- run.Emit(&agui.StepStarted{StepName: "late"})
			}()
		}
		return nil
	})})
	p := dial(t, dialCoder, url)
	for _, id := range []string{"first", "second"} {
		if err := p.send(true, input(id)); err != nil {
			t.Fatal(err)
		}
		if types, last := events(t, p); len(types) != 2 || last.RunID != id {
			t.Errorf("run %s: got %q of %s", id, types, last.RunID)
		}
		if id == "first" {
			close(over)
			if err := <-late; err == nil {
				t.Error("an event after the end was taken")
			}
		}
	}
	p.drop()
}

// TestAgentManyGoroutines: Emit may be called from any goroutine; every event arrives whole.
func TestAgentManyGoroutines(t *testing.T) {
	const senders, events = 8, 100
	_, url := serve(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		errs := make(chan error, senders)
		for i := range senders {
			go func() {
				var err error
				for j := range events {
					err = errors.Join(err, run.Emit(&agui.Custom{Name: fmt.Sprint(i), Value: fmt.Append(nil, j)}))
				}
				errs <- err
			}()
		}
		var all error
		for range senders {
			all = errors.Join(all, <-errs)
		}
		return all
	})})
	p := dial(t, dialCoder, url)
	if err := p.send(true, input("run")); err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for ev := nextEvent(t, p); ev.Type != "RUN_FINISHED"; ev = nextEvent(t, p) {
		if ev.Type == "CUSTOM" {
			if string(ev.Value) != fmt.Sprint(next[ev.Name]) {
				t.Fatalf("sender %s: event %s came where %d was due", ev.Name, ev.Value, next[ev.Name])
			}
			next[ev.Name]++
		}
	}
	for i := range senders {
		if n := next[fmt.Sprint(i)]; n != events {
			t.Errorf("sender %d: %d of %d events", i, n, events)
		}
	}
	p.drop()
}
