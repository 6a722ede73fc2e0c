package agloop_test

import (
	"testing"
	"time"

	"github.com/agloop/agloop"
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
		case <-time.After(5 * time.Second):
			t.Error("a run waits for the server's lock")
		}
	})
	await(t, func() bool { return srv.Stats().Runs == 0 })
}
