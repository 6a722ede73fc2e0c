package agloop_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// emitter is a run whose events a benchmark emits, and the client that receives them.
type emitter struct {
	srv     *agloop.Server
	run     *agloop.Run
	event   agui.Event
	got     atomic.Int64  // messages that arrived
	arrived chan struct{} // a token after each change of got
}

// newEmitter opens a connection with a run that goes on as long as the benchmark.
func newEmitter(b *testing.B) *emitter {
	b.Helper()
	e := &emitter{arrived: make(chan struct{}, 1)}
	runs := make(chan *agloop.Run)
	var addr string
	e.srv, addr = serve(b, agloop.ServerConfig{
		Performance: performance(), Logger: slog.New(slog.DiscardHandler),
		Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
			msg, err := run.TextMessage()
			if err != nil {
				return err
			}
			e.event = &agui.TextMessageContent{MessageID: msg.ID(), Delta: "twenty-four bytes of text"}
			runs <- run
			<-ctx.Done()
			return ctx.Err()
		}),
	})
	nc := testkit.Dial(b, addr)
	go func() {
		for {
			if _, _, err := nc.Message(); err != nil {
				return
			}
			e.got.Add(1)
			select {
			case e.arrived <- struct{}{}:
			default:
			}
		}
	}()
	if _, err := nc.Write(testkit.Text(`{"threadId":"t","runId":"r","messages":[],"tools":[],"context":[]}`)); err != nil {
		b.Fatal(err)
	}
	e.run = <-runs
	e.await(2) // the starts of the run and of its message
	return e
}

// await returns when so many messages have arrived.
func (e *emitter) await(n int64) {
	for e.got.Load() < n {
		<-e.arrived
	}
}

// BenchmarkPerformance is an event from Emit to the client, in each profile. A lone event is
// emitted when the last one has arrived, so that an operation is what one waits; a flood is emitted
// as fast as it is taken.
func BenchmarkPerformance(b *testing.B) {
	for _, profile := range []agloop.Profile{agloop.ProfileLatency, agloop.ProfileBalanced, agloop.ProfileThroughput} {
		for _, load := range []string{"lone", "flood"} {
			b.Run(string(profile)+"/"+load, func(b *testing.B) {
				e := newEmitter(b)
				if err := e.srv.GetPerformanceManager().SetProfile(profile); err != nil {
					b.Fatal(err)
				}
				sent := e.got.Load()
				before := e.srv.Stats().Writes
				b.ReportAllocs()
				for b.Loop() {
					if err := e.run.Emit(e.event); err != nil {
						b.Fatal(err)
					}
					if sent++; load == "lone" {
						e.await(sent)
					}
				}
				e.await(sent)
				b.ReportMetric(float64(e.srv.Stats().Writes-before)/float64(b.N), "writes/event")
			})
		}
	}
}

// BenchmarkBufferPoolPerformance borrows a buffer and gives it back.
func BenchmarkBufferPoolPerformance(b *testing.B) {
	e := newEmitter(b)
	pool := e.srv.GetPerformanceManager().GetBufferPool()
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			pool.Get(4096).Release()
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				pool.Get(4096).Release()
			}
		})
	})
}
