package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

var failureID = regexp.MustCompile(`\(id ([0-9a-f]{12})\)$`)

// TestWhatAClientReadsOfAFailure: what the agent says to it, or else an id by which the host finds
// the one record in its log.
func TestWhatAClientReadsOfAFailure(t *testing.T) {
	var log logged
	srv, addr := serve(t, agloop.ServerConfig{
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
			switch run.Input.RunID {
			case "public":
				return fmt.Errorf("for ann: %w", &agloop.PublicError{Code: "no_credit", Message: "buy some"})
			case "panic":
				panic("pq: password secret")
			}
			return errors.New("pq: password secret")
		}),
	})
	w := newWire(t, srv, addr)
	w.send(inputOf("public", 0))
	if ev := w.await("RUN_ERROR"); ev.Code != "no_credit" || ev.Message != "buy some" {
		t.Errorf("got %+v", ev)
	}
	for _, tc := range []struct{ run, code string }{{"error", "agent_error"}, {"panic", "agent_panic"}} {
		w.send(inputOf(tc.run, 0))
		ev := w.await("RUN_ERROR")
		id := failureID.FindStringSubmatch(ev.Message)
		if ev.Code != tc.code || id == nil || !strings.HasPrefix(ev.Message, "the agent failed (id ") {
			t.Fatalf("%s: got %+v", tc.run, ev)
		}
		testkit.Await(t, "it is logged", func() bool { return log.has("id="+id[1], "run="+tc.run) })
	}
	if got := w.ends(1); got != "closed:1011" {
		t.Errorf("after a panic: %s", got)
	}
	testkit.Await(t, "the runs are over", func() bool { return srv.Stats().Runs == 0 })
	if log.count("level=ERROR") != 3 || log.count("secret") != 2 || log.count("thread=t") != 3 || log.count("server_session_run_test.go") == 0 {
		t.Errorf("logged %s", log.b.String())
	}
	if n := srv.Stats().Panics; n != 1 {
		t.Errorf("%d panics", n)
	}
}

// TestWhoseRun: an agent learns who asked for the run, and what was granted.
func TestWhoseRun(t *testing.T) {
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
		p := run.Principal
		return run.Emit(&agui.RunError{Message: fmt.Sprint(p.Key, " ", p.Value, " ", run.Value("name"), " ", run.Value("age"))})
	})})
	for _, key := range []string{"ann", "bob"} {
		w := newWireOf(t, srv, addr, key)
		for range 2 {
			w.send(inputOf("r", 0))
			if ev, want := w.await("RUN_ERROR"), key+" "+strings.ToUpper(key)+" "+key+" <nil>"; ev.Message != want {
				t.Errorf("got %q, want %q", ev.Message, want)
			}
		}
	}
}

// TestBaseContext: runs have its values and end with it, and none begins any more.
func TestBaseContext(t *testing.T) {
	type key struct{}
	base, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	defer cancel(nil)
	values, ends := make(chan any, 10), make(chan error, 10)
	cause := errors.New("the host stops")
	srv, addr := serve(t, agloop.ServerConfig{
		BaseContext: base,
		Hooks:       agloop.Hooks{RunEnded: func(end agloop.RunEnd) { ends <- end.Err }},
		Agent: agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
			values <- ctx.Value(key{})
			<-ctx.Done()
			return nil
		}),
	})
	var wires []*wire
	for range 2 {
		w := newWire(t, srv, addr)
		w.send(inputOf("0", 0), inputOf("1", 0))
		w.await("RUN_STARTED")
		wires = append(wires, w)
		if got := testkit.Receive(t, "the run begins", values); got != "value" {
			t.Errorf("the context's value is %v", got)
		}
	}
	if err := srv.Ready(); err != nil {
		t.Error(err)
	}
	cancel(cause)
	if err := srv.Ready(); !errors.Is(err, cause) {
		t.Errorf("ready: %v", err)
	}
	for _, w := range wires {
		if got := w.ends(2); got != "cancelled:0 shutting_down" {
			t.Errorf("ends %s", got)
		}
		w.send(inputOf("2", 0))
		if got := w.ends(1); got != "shutting_down" {
			t.Errorf("afterwards %s", got)
		}
		if err := testkit.Receive(t, "the end of the run", ends); err != cause {
			t.Errorf("ended with %v", err)
		}
	}
	if len(values) != 0 {
		t.Error("a run began")
	}
}
