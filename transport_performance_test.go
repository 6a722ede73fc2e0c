package agloop_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestTransportKnobs: what the manager is told holds for the next connection, before Start and
// after, and its figures are those of the transport.
func TestTransportKnobs(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	config := agloop.DefaultTransportConfig()
	config.URLs = []string{wsURL(addr)}
	config.PerformanceConfig.MessageBatchSize = 7
	tr := newTransport(t, config)
	size := func(want int) {
		t.Helper()
		if got := tr.Tuned().MessageBatchSize; got != want {
			t.Errorf("batches of %d, want %d", got, want)
		}
	}
	tr.OptimizeForLatency()
	if err := tr.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	size(1)
	tr.OptimizeForThroughput()
	size(64)
	manager := tr.GetPerformanceManager()
	if err := manager.SetProfile(agloop.ProfileBalanced); err != nil {
		t.Fatal(err)
	}
	size(7)
	if err := manager.GetMessageBatcher().SetBatch(3, 0); err != nil {
		t.Fatal(err)
	}
	size(3)
	if d := tr.Tuned().MessageBatchTimeout; d >= 0 {
		t.Errorf("a window of %v, want none", d)
	}
	if types, err := transportRun(t.Context(), tr, "r"); types != helloTypes || err != nil {
		t.Error(types, err)
	}
	if m := tr.GetPerformanceMetrics(); m == nil || m.ActiveConnections != 1 {
		t.Errorf("%+v", m)
	}
	if tr.GetMemoryUsage() <= 0 || manager.GetMemoryManager().GetMonitoringInterval() <= 0 {
		t.Error("memory is not watched")
	}
	off := manager.Config()
	off.EnableMetrics = false
	if err := manager.SetConfig(off); err != nil || tr.GetPerformanceMetrics() != nil {
		t.Errorf("metrics are still on: %v", err)
	}
}

// TestTransportCutLargest closes the connection for which much waits, once: what it still holds
// until that has left is not looked for elsewhere.
func TestTransportCutLargest(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: agloop.NopHandler{}})
	pipe := newStall()
	config := agloop.TransportConfig{URLs: []string{wsURL(addr)}, ConnectionsPerURL: 2}
	config.Client.Dial = pipe.dial
	config.Client.Limits.SoftLimit = 64 << 10
	config.Client.Limits.WriteTimeout = -1
	tr := startTransport(t, config)
	if conns, _ := tr.CutLargest(1 << 30); conns != 0 {
		t.Fatalf("%d closed with nothing waiting", conns)
	}
	big := &agui.StepStarted{StepName: strings.Repeat("x", 32<<10)}
	held := tr.GetPerformanceManager().Held
	for err := error(nil); !errors.Is(err, context.DeadlineExceeded) || held() < 64<<10; { // until there is no room
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err = tr.SendEvent(ctx, big)
		cancel()
	}
	if conns, freed := tr.CutLargest(1); conns != 1 || freed < 64<<10 {
		t.Errorf("%d closed for %d bytes", conns, freed)
	}
	if conns, _ := tr.CutLargest(1); conns != 0 {
		t.Errorf("%d more closed for the same bytes", conns)
	}
	pipe.flow()
	testkit.Await(t, "the connection is lost", func() bool { return tr.Stats().Lost == 1 })
}

// TestTransportHoldsWhatWaits: events that wait for a slow caller are held by their connection, and
// given back with the run.
func TestTransportHoldsWhatWaits(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
		m, err := run.TextMessage()
		for range 100 {
			err = errors.Join(err, m.Write(strings.Repeat("x", 1000)))
		}
		return errors.Join(err, m.Close())
	})})
	config := agloop.DefaultTransportConfig()
	config.URLs = []string{wsURL(addr)}
	tr := newTransport(t, config)
	if err := tr.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	manager := tr.GetPerformanceManager()
	for ev, err := range tr.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: "r"}) {
		if err != nil {
			t.Fatal(err)
		}
		if _, first := ev.(*agui.RunStarted); first {
			testkit.Await(t, "the events wait", func() bool { return manager.Held() >= 100*1000 })
		}
	}
	testkit.Await(t, "nothing is held after the run", func() bool { return manager.Held() == 0 })
}
