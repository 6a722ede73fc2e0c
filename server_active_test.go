package agloop_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// TestRunsDoNotNeedTheServersLock: a loop must not wait for who holds it, such as a Serve that
// starts the engine.
func TestRunsDoNotNeedTheServersLock(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Agent: hello})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	done := make(chan string, 1)
	srv.WithLock(func() {
		go func() { done <- types(t, c, "r") }()
		select {
		case got := <-done:
			if got != helloTypes {
				t.Errorf("got %s", got)
			}
		case <-time.After(testkit.Patience):
			t.Error("a run waits for the server's lock")
		}
	})
	testkit.Await(t, "the run has ended", func() bool { return srv.Stats().Runs == 0 })
}

// TestWaitingInputsGoBeforeTheRun: what waits on a connection that is gone is given back at once,
// also while an agent goes on that heeds no context.
func TestWaitingInputsGoBeforeTheRun(t *testing.T) {
	goOn := make(chan struct{})
	srv, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(context.Context, *agloop.Run) error {
		<-goOn
		return nil
	})})
	defer close(goOn)
	w := newWire(t, srv, addr)
	w.send(inputOf("0", 0))
	w.await("RUN_STARTED")
	for i := range 5 {
		w.send(inputOf(strconv.Itoa(i+1), 1000))
	}
	testkit.Await(t, "inputs wait", func() bool { return srv.Held() >= 5*1000 })
	w.Close()
	testkit.Await(t, "nothing is held", func() bool { return srv.Held() == 0 })
	if st := srv.Stats(); st.Runs != 1 {
		t.Errorf("%d runs", st.Runs)
	}
}
