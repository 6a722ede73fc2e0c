package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
)

// held is an agent that has a message open until its context or gate ends.
type held struct {
	gate    chan struct{}
	started chan struct{}
}

func newHeld() held { return held{make(chan struct{}), make(chan struct{}, 16)} }

func (a held) Run(ctx context.Context, run *server.Run) error {
	msg, err := run.TextMessage()
	if err != nil {
		return err
	}
	a.started <- struct{}{}
	select {
	case <-a.gate:
		return msg.Close()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startServer is serve for tests that end the server themselves.
func startServer(t *testing.T, cfg server.Config) (srv *server.Server, addr string, served chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Logger, cfg.Loops = quiet(), 1
	srv = server.New(cfg)
	served = make(chan error, 1)
	go func() { served <- srv.ServeListener(ln) }()
	testkit.Await(t, "the server to run", func() bool { return srv.Addr() != nil })
	t.Cleanup(func() { srv.Close() })
	return srv, ln.Addr().String(), served
}

// wantGoodbye checks that the next thing is a close frame with 1001.
func wantGoodbye(t *testing.T, p peer) {
	t.Helper()
	_, b, err := p.receive()
	if code, _ := closedWith(err); code != 1001 {
		t.Errorf("got %q, %v, want close 1001", b, err)
	}
}

// TestShutdownCancelsRuns: an active run ends in order with outcome cancelled, and only then is the
// connection closed. Inputs that wait are not begun, but answered.
func TestShutdownCancelsRuns(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		agent := newHeld()
		srv, addr, served := startServer(t, server.Config{Agent: agent})
		busy, idle := dial(t, open, "ws://"+addr+"/ws"), dial(t, open, "ws://"+addr+"/ws")
		for range 2 {
			if err := busy.send(true, input("run")); err != nil {
				t.Fatal(err)
			}
		}
		<-agent.started
		testkit.Await(t, "the inputs to arrive", func() bool { return srv.Stats().MessagesIn == 2 })
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(within(t)) }()
		wantGoodbye(t, idle)
		types, last := events(t, busy)
		want := []string{"RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_END", "RUN_FINISHED"}
		if !slices.Equal(types, want) || last.Outcome.Type != "cancelled" {
			t.Errorf("got %q ending with %+v", types, last)
		}
		if ev := nextEvent(t, busy); ev.Type != "RUN_ERROR" || ev.Code != "shutting_down" {
			t.Errorf("the input that waited: %+v", ev)
		}
		wantGoodbye(t, busy)
		busy.drop()
		idle.drop()
		if err := errors.Join(<-down, wantClosed(<-served)); err != nil {
			t.Error(err)
		}
		if _, err := net.Dial("tcp", addr); err == nil {
			t.Error("somebody still listens")
		}
	})
}

func wantClosed(err error) error {
	if errors.Is(err, server.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("Serve returned %w", err)
}

// TestShutdownDrains: within DrainTimeout a run goes on to its own end.
func TestShutdownDrains(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		agent := newHeld()
		srv, addr, served := startServer(t, server.Config{Agent: agent, DrainTimeout: patience})
		busy, idle := dial(t, open, "ws://"+addr+"/ws"), dial(t, open, "ws://"+addr+"/ws")
		if err := busy.send(true, input("run")); err != nil {
			t.Fatal(err)
		}
		<-agent.started
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(within(t)) }()
		wantGoodbye(t, idle) // at once
		idle.drop()
		close(agent.gate)
		types, last := events(t, busy)
		if len(types) != 4 || last.Type != "RUN_FINISHED" || last.Outcome.Type != "" {
			t.Errorf("got %q ending with %+v", types, last)
		}
		wantGoodbye(t, busy)
		busy.drop()
		if err := errors.Join(<-down, wantClosed(<-served)); err != nil {
			t.Error(err)
		}
	})
}

// TestShutdownDrainEnds: a run that outlasts DrainTimeout is cancelled.
func TestShutdownDrainEnds(t *testing.T) {
	agent := newHeld()
	srv, addr, _ := startServer(t, server.Config{Agent: agent, DrainTimeout: 50 * time.Millisecond})
	p := dial(t, dialGorilla, "ws://"+addr+"/ws")
	if err := p.send(true, input("run")); err != nil {
		t.Fatal(err)
	}
	<-agent.started
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(within(t)) }()
	if _, last := events(t, p); last.Outcome.Type != "cancelled" {
		t.Errorf("the run ended with %+v", last)
	}
	wantGoodbye(t, p)
	p.drop()
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// TestShutdownCancelsSlowRun: the orderly end of a run reaches a client that reads slowly too,
// though the largest events wait for it already.
func TestShutdownCancelsSlowRun(t *testing.T) {
	large := &agui.Custom{Name: "large", Value: []byte(`"` + strings.Repeat("x", 1<<20-100) + `"`)}
	var emitted atomic.Int64
	srv, addr, _ := startServer(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		_, err := run.TextMessage()
		for ; err == nil; err = run.Emit(large) {
			emitted.Add(1)
		}
		return err
	})})
	p := dial(t, dialCoder, "ws://"+addr+"/ws")
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
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(within(t)) }()
	testkit.Await(t, "the run to be cancelled", func() bool { return srv.Stats().Runs == 0 })
	if types, last := events(t, p); last.Outcome.Type != "cancelled" {
		t.Errorf("got %d events ending with %s %+v", len(types), last.Type, last.Outcome)
	}
	wantGoodbye(t, p)
	p.drop()
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// TestShutdownGivesUp: an agent that ignores its context, and a client that does not answer, hold
// Shutdown no longer than its context.
func TestShutdownGivesUp(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	started := make(chan struct{}, 1)
	srv, addr, served := startServer(t, server.Config{Agent: agentFunc(func(context.Context, *server.Run) error {
		started <- struct{}{}
		<-release
		return nil
	})})
	deaf := dial(t, dialCoder, "ws://"+addr+"/ws")
	p := dial(t, dialCoder, "ws://"+addr+"/ws")
	if err := p.send(true, input("run")); err != nil {
		t.Fatal(err)
	}
	<-started
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := wantClosed(<-served); err != nil {
		t.Error(err)
	}
	for _, p := range []peer{deaf, p} {
		for err := error(nil); err == nil; {
			_, _, err = p.receive()
		}
		p.drop()
	}
}

// TestShutdownDuringHandshake: a connection whose opening handshake is not finished when Shutdown
// begins does not hold it up, whether the rest of it comes or not.
func TestShutdownDuringHandshake(t *testing.T) {
	head := testkit.Request()
	for _, rest := range [][]byte{nil, head[30:]} {
		t.Run(fmt.Sprintf("%d bytes follow", len(rest)), func(t *testing.T) {
			srv, addr, _ := startServer(t, server.Config{Handler: echo{}, Limits: server.Limits{HandshakeTimeout: time.Hour}})
			nc := testkit.Connect(t, addr, 0)
			nc.Put(head[:30])
			testkit.Await(t, "the bytes to arrive", func() bool { return srv.Stats().BytesIn == 30 })
			gone := dial(t, dialGorilla, "ws://"+addr+"/ws") // sees Shutdown begin
			down := make(chan error, 1)
			go func() { down <- srv.Shutdown(within(t)) }()
			wantGoodbye(t, gone)
			gone.drop()
			if _, err := nc.Write(rest); err != nil && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "pipe") {
				t.Fatal(err)
			}
			if err := <-down; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
}

// TestServerClose: Close ends everything at once.
func TestServerClose(t *testing.T) {
	agent := newHeld()
	srv, addr, served := startServer(t, server.Config{Agent: agent})
	p := dial(t, dialCoder, "ws://"+addr+"/ws")
	if err := p.send(true, input("run")); err != nil {
		t.Fatal(err)
	}
	<-agent.started
	for range 2 {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := wantClosed(<-served); err != nil {
		t.Error(err)
	}
	for err := error(nil); err == nil; {
		_, _, err = p.receive()
	}
	if err := srv.Shutdown(within(t)); err != nil {
		t.Errorf("Shutdown after Close: %v", err)
	}
	if st := srv.Stats(); st.Connections != 0 || st.Opened != st.Closed {
		t.Errorf("%+v", st)
	}
	testkit.Await(t, "the run to end", func() bool { return srv.Stats().Runs == 0 })
}
