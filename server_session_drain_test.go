package agloop_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// shutDown begins to shut srv down, and returns when it takes nobody in any more.
func shutDown(t *testing.T, srv *agloop.Server) (down chan error) {
	t.Helper()
	addr := srv.Addr().String()
	down = make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	t.Cleanup(cancel)
	go func() { down <- srv.Shutdown(ctx) }()
	testkit.Await(t, "nobody is let in any more", func() bool {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	return down
}

// TestDrainTakesNoNewRuns: the active run goes on, what waits and what comes is refused.
func TestDrainTakesNoNewRuns(t *testing.T) {
	var runs atomic.Int32
	gate := make(chan struct{}, 10)
	srv, addr := serve(t, agloop.ServerConfig{
		DrainTimeout: time.Minute,
		Agent: agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
			runs.Add(1)
			<-gate
			return nil
		}),
	})
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 0))
	w.await("RUN_STARTED")
	w.send(inputOf("1", 0), inputOf("2", 0), inputOf("3", 0))
	down := shutDown(t, srv)
	w.send(inputOf("4", 0))
	pass(gate, 5)
	if got, want := w.ends(6), "0"+strings.Repeat(" shutting_down", 4)+" closed:1001"; got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
	w.Close()
	if err := <-down; err != nil || runs.Load() != 1 {
		t.Errorf("%d runs, Shutdown returned %v", runs.Load(), err)
	}
}

// TestCancelledRunsLeaveNoInputUnanswered: without a time to drain the runs are cancelled, and what
// waited, for its turn or to be decoded, is refused.
func TestCancelledRunsLeaveNoInputUnanswered(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, agent := gated()
	decoding, goOn := make(chan struct{}), make(chan struct{})
	srv := agloop.NewServer(agloop.ServerConfig{Agent: agent})
	srv.SetDecodeBudget(func() int64 { return 1 })
	srv.OnDecode(func(raw []byte, decode func()) {
		if strings.Contains(string(raw), "slow") {
			close(decoding)
			<-goOn
		}
		decode()
	})
	_, addr := serveOn(t, ln, srv)
	running := newWire(t, srv, addr)
	running.send(inputOf("0", 0))
	running.await("RUN_STARTED")
	for i := range 10 {
		running.send(inputOf(fmt.Sprint(i+1), 0))
	}
	slow := newWire(t, srv, addr)
	slow.send(inputOf("slow", 0))
	<-decoding
	blocked := newWire(t, srv, addr)
	blocked.send(inputOf("blocked", 0))
	down := shutDown(t, srv)
	if got, want := running.ends(12), "cancelled:0"+strings.Repeat(" shutting_down", 10)+" closed:1001"; got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
	if got, want := blocked.ends(2), "shutting_down closed:1001"; got != want {
		t.Errorf("an input that waits to be decoded: %s, want %s", got, want)
	}
	close(goOn)
	// It was taken before the drain, so it may run if it is decoded before runs are cancelled.
	if got := slow.ends(2); got != "shutting_down closed:1001" && got != "cancelled:slow closed:1001" {
		t.Errorf("an input that is being decoded: %s", got)
	}
	for _, w := range []*wire{running, slow, blocked} {
		w.Close()
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// TestShutdownWaitsForNoSlowReader: once runs are cancelled, refusals that find no room are
// dropped.
func TestShutdownWaitsForNoSlowReader(t *testing.T) {
	gate, agent := gated()
	srv, addr := serve(t, agloop.ServerConfig{Agent: agent, Limits: agloop.Limits{
		SoftLimit: 4 << 10, CloseTimeout: 200 * time.Millisecond, WriteTimeout: -1,
	}})
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 0))
	w.await("RUN_STARTED")
	inputs := make([]string, 100_000)
	for i := range inputs {
		inputs[i] = inputOf("n", 0)
	}
	w.send(inputs...)
	pass(gate, 9) // from now on refusals leave, until the client's buffers are full
	if err := <-shutDown(t, srv); err != nil {
		t.Error(err)
	}
}
