package agloop_test

import (
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
)

// TestSetBatchKeepsOtherChanges: a window that is set together with a whole config replaces nothing
// of it but the window.
func TestSetBatchKeepsOtherChanges(t *testing.T) {
	t.Cleanup(restorePool)
	manager := newTransport(t, agloop.DefaultTransportConfig()).GetPerformanceManager()
	for i := range 200 {
		cfg := agloop.DefaultPerformanceConfig()
		cfg.MetricsInterval = time.Second + time.Duration(i)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := manager.GetMessageBatcher().SetBatch(7, time.Millisecond); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := manager.SetConfig(cfg); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if got := manager.Config().MetricsInterval; got != cfg.MetricsInterval {
			t.Fatalf("change %d: interval %v, want %v", i, got, cfg.MetricsInterval)
		}
		agree(t, manager)
	}
}

// TestConfigsSetAtOnce: whichever comes last, all parts go by it.
func TestConfigsSetAtOnce(t *testing.T) {
	l := newLine(t, agloop.ServerConfig{Performance: performance()}, nil)
	for range 300 {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				cfg := performance()
				cfg.MessageBatchSize += i
				cfg.MessageBatchTimeout += time.Duration(i) * time.Millisecond
				cfg.BufferPoolSize += i
				cfg.MaxMemoryUsage += int64(i) << 20
				cfg.MetricsInterval += time.Duration(i) * time.Second
				cfg.EnableProfiling = i%2 == 0
				cfg.EnableMetrics = i%3 == 0
				if i%2 == 0 {
					cfg.MessageSerializerType = agloop.JSON
				}
				if err := l.manager.SetConfig(cfg); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(l.manager.OptimizeForLatency)
		wg.Wait()
		if err := l.manager.SetProfile(agloop.ProfileBalanced); err != nil {
			t.Fatal(err)
		}
		agree(t, l.manager)
	}
}

// agree compares the parts of m, whose profile is balanced, with its config.
func agree(t *testing.T, m *agloop.PerformanceManager) {
	t.Helper()
	cfg, tuning, collector := m.Config(), m.Tuning(), m.GetMetricsCollector()
	if tuning.MessageBatchSize != cfg.MessageBatchSize || tuning.MessageBatchTimeout != cfg.MessageBatchTimeout ||
		tuning.BufferPoolSize != cfg.BufferPoolSize {
		t.Fatalf("tuning %+v by the config %+v", tuning, cfg)
	}
	if budget := m.GetMemoryManager().Now().Budget; budget != cfg.MaxMemoryUsage {
		t.Fatalf("budget %d, want %d", budget, cfg.MaxMemoryUsage)
	}
	if collector.Interval() != cfg.MetricsInterval || collector.Profiling() != cfg.EnableProfiling {
		t.Fatalf("interval %v, profiling %v by the config %+v", collector.Interval(), collector.Profiling(), cfg)
	}
	if got := m.GetSerializerFactory().Type(); got != cfg.MessageSerializerType {
		t.Fatalf("serializer %v, want %v", got, cfg.MessageSerializerType)
	}
}
