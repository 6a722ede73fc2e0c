package agloop_test

import (
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
)

// TestTransportTunesOpenConnections: a window that is closed lets go of what waits in it. The
// window would hold the event for a second, and the test for that second many times.
func TestTransportTunesOpenConnections(t *testing.T) {
	r := relay{got: make(chan relayed, 10)}
	_, addr := serve(t, agloop.ServerConfig{Handler: r})
	config := agloop.DefaultTransportConfig()
	config.URLs = []string{wsURL(addr)}
	tr := startTransport(t, config)
	b := tr.GetPerformanceManager().GetMessageBatcher()
	if b.BatchSize() != 10 || b.BatchTimeout() != 5*time.Millisecond {
		t.Errorf("window of %d messages, %v", b.BatchSize(), b.BatchTimeout())
	}
	const rounds = 10
	begun := time.Now()
	for range rounds {
		if err := b.SetBatch(100, time.Second); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second waits for the window
			if err := tr.SendEvent(t.Context(), &agui.StepStarted{StepName: "s"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.SetBatch(1, 0); err != nil {
			t.Fatal(err)
		}
		<-r.got
		<-r.got
	}
	if took := time.Since(begun); took > rounds*time.Second*9/10 {
		t.Errorf("%d windows of a second took %v: closing them had no effect", rounds, took)
	}
}
