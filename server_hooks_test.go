package agloop_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/internal/testkit"
)

// hookLog is what hooks were told, in order.
type hookLog struct {
	mu    sync.Mutex
	began []agloop.RunInfo
	ended []agloop.RunEnd
	order []string
}

func (l *hookLog) hooks() agloop.Hooks {
	return agloop.Hooks{
		RunStarted: func(info agloop.RunInfo) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.began = append(l.began, info)
			l.order = append(l.order, "+"+info.Run)
		},
		RunEnded: func(end agloop.RunEnd) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.ended = append(l.ended, end)
			l.order = append(l.order, "-"+end.Run)
		},
	}
}

func (l *hookLog) counts() (began, ended int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.began), len(l.ended)
}

// TestHooksOfRuns: one end for each start, in order, whatever the agent does; what is refused is no
// run.
func TestHooksOfRuns(t *testing.T) {
	var log hookLog
	boom := errors.New("boom")
	srv, addr := serveEach(t, agloop.ServerConfig{
		Hooks:  log.hooks(),
		Logger: slog.New(slog.DiscardHandler),
		Runs: agloop.RunsConfig{FilterInput: func(_ context.Context, _ auth.Principal, in *agui.RunAgentInput) error {
			if in.RunID == "refused" {
				return &auth.RefusedError{}
			}
			return nil
		}},
		Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
			if b, _ := log.counts(); b == 0 {
				t.Error("the agent was called before the hook")
			}
			switch run.Input.RunID {
			case "error":
				return boom
			case "Goexit":
				runtime.Goexit()
			case "hangs":
				<-ctx.Done()
			case "panic":
				panic("boom")
			}
			return nil
		}),
	})
	w := newWireOf(t, srv, addr, "ann")
	w.send(inputOf("well", 0), inputOf("error", 0), inputOf("refused", 0), inputOf("Goexit", 0), `{}`, inputOf("panic", 0))
	w.ends(6)
	w = newWireOf(t, srv, addr, "bob")
	w.send(inputOf("hangs", 0))
	w.await("RUN_STARTED")
	w.Reset()
	testkit.Await(t, "all runs are over", func() bool { _, ended := log.counts(); return ended == 5 })
	// The end of a run is told when its agent has returned, and the next one may have begun by then.
	names := []string{"well", "error", "Goexit", "panic", "hangs"}
	began := slices.DeleteFunc(slices.Clone(log.order), func(s string) bool { return s[0] == '-' })
	if got, want := strings.Join(began, " "), "+"+strings.Join(names, " +"); got != want || len(log.order) != 2*len(names) {
		t.Errorf("told %s, want %s and their ends", log.order, want)
	}
	for _, info := range log.began {
		scope := "ann"
		if info.Run == "hangs" {
			scope = "bob"
		}
		if slices.Index(log.order, "-"+info.Run) < slices.Index(log.order, "+"+info.Run) {
			t.Errorf("%s: told %s", info.Run, log.order)
		}
		i := slices.IndexFunc(log.ended, func(e agloop.RunEnd) bool { return e.Run == info.Run })
		if i < 0 {
			t.Fatalf("%s has no end", info.Run)
		}
		end := log.ended[i]
		if end.RunInfo != info || info.RunKey != (agloop.RunKey{Scope: scope, Thread: "t", Run: info.Run}) ||
			info.Principal.Key != scope || info.Principal.Value != strings.ToUpper(scope) || info.Started.IsZero() {
			t.Errorf("began %+v, ended %+v", info, end)
		}
		var ok bool
		switch info.Run {
		case "well":
			ok = end.Err == nil
		case "error":
			ok = end.Err == boom
		case "panic":
			_, ok = errors.AsType[*agloop.PanicError](end.Err)
		case "hangs":
			ok = errors.Is(end.Err, agloop.ErrAbandoned)
		default:
			ok = end.Err != nil
		}
		if !ok {
			t.Errorf("%s ended with %v", info.Run, end.Err)
		}
	}
}

// TestHookThatPanics: it is logged and counted, and neither the run nor the connection is worse for
// it.
func TestHookThatPanics(t *testing.T) {
	var log logged
	var ended sync.WaitGroup
	ended.Add(2)
	srv, addr := serve(t, agloop.ServerConfig{
		Agent:  hello,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Hooks: agloop.Hooks{
			RunStarted: func(agloop.RunInfo) { panic("started") },
			RunEnded:   func(agloop.RunEnd) { defer ended.Done(); panic("ended") },
		},
	})
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 0), inputOf("1", 0))
	if got := w.ends(2); got != "0 1" {
		t.Errorf("ends %s", got)
	}
	ended.Wait()
	testkit.Await(t, "the runs are over", func() bool { return srv.Stats().Runs == 0 })
	if n := srv.Stats().Panics; n != 4 || log.count("panic in a hook") != 4 || !log.has("server_hooks_test.go") {
		t.Errorf("%d panics, log %s", n, log.b.String())
	}
}

// TestHookThatEndsItsGoroutine: it ends the run alone, which has its terminal event and its end.
func TestHookThatEndsItsGoroutine(t *testing.T) {
	var log logged
	ends := make(chan agloop.RunEnd, 10)
	srv, addr := serve(t, agloop.ServerConfig{
		Agent:  hello,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Hooks: agloop.Hooks{
			RunStarted: func(info agloop.RunInfo) {
				if info.Run == "0" {
					runtime.Goexit()
				}
			},
			RunEnded: func(end agloop.RunEnd) {
				if ends <- end; end.Run == "1" {
					runtime.Goexit()
				}
			},
		},
	})
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 0), inputOf("1", 0), inputOf("2", 0))
	if got := w.ends(3); got != "internal_error 1 2" {
		t.Errorf("ends %s", got)
	}
	for _, run := range []string{"0", "1", "2"} {
		if end := testkit.Receive(t, "the end of "+run, ends); end.Run != run || (end.Err == nil) == (run == "0") {
			t.Errorf("%s ended with %+v", run, end)
		}
	}
	testkit.Await(t, "the runs are over", func() bool { return srv.Stats().Runs == 0 })
	if srv.Stats().Panics != 0 || srv.RunsTaken() != 0 || log.count("a hook ended its goroutine") != 2 {
		t.Errorf("%+v, log %s", srv.Stats(), log.b.String())
	}
}

// TestHookThatEndsAPanickedRun: a run that panicked ends its connection, also when the hook that is
// told of it ends the goroutine.
func TestHookThatEndsAPanickedRun(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{
		Agent:  agloop.AgentFunc(func(context.Context, *agloop.Run) error { panic("boom") }),
		Logger: slog.New(slog.DiscardHandler),
		Limits: agloop.Limits{IdleTimeout: 100 * time.Millisecond}, // ends a connection that goes on, with 1001
		Hooks:  agloop.Hooks{RunEnded: func(agloop.RunEnd) { runtime.Goexit() }},
	})
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 0))
	if got := w.ends(2); got != "agent_panic closed:1011" {
		t.Errorf("ends %s", got)
	}
	if n := srv.Stats().Panics; n != 1 {
		t.Errorf("%d panics", n)
	}
}
