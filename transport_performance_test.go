package agloop_test

import (
	"testing"

	"github.com/agloop/agloop"
)

// TestTransportKnobs: what the manager is told holds for the next connection, before
// Start and after, and its figures are those of the transport.
func TestTransportKnobs(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	config := agloop.DefaultTransportConfig()
	config.URLs = []string{wsURL(addr)}
	config.PerformanceConfig.MessageBatchSize = 7
	config.PerformanceConfig.MaxMemoryUsage = 0 // what other tests leave on the heap is no pressure
	tr := newTransport(t, config)
	size := func(want int) {
		t.Helper()
		if got := tr.DialLimits().MessageBatchSize; got != want {
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
	if d := tr.DialLimits().MessageBatchTimeout; d >= 0 {
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
