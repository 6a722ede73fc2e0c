package agloop_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/memmon"
)

// attack opens so many connections, has each write p, and returns the most memory the process had
// mapped until the server had read what it was going to read: until only what w sends comes in.
func attack(t *testing.T, w *wire, addr string, conns int, p []byte) (peak int64) {
	t.Helper()
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		for sample := time.NewTicker(100 * time.Microsecond); ; {
			select {
			case <-sample.C:
				peak = max(peak, memmon.Read().Total)
			case <-stop:
				sample.Stop()
				most <- peak
				return
			}
		}
	}()
	defer func() {
		close(stop)
		peak = <-most
	}()
	var writers sync.WaitGroup
	for range conns {
		nc := testkit.Connect(t, addr, 0)
		writers.Go(func() {
			_, _ = nc.Write(testkit.Request())
			_, _ = nc.Write(p) // fails for those that are cut
		})
	}
	writers.Wait()
	testkit.Await(t, "somebody is cut", func() bool { return w.srv.GetPerformanceManager().TierActions().Cuts > 0 })
	ping := testkit.Message(frame.Ping, nil)
	for quiet := false; !quiet; {
		before := w.srv.Stats().BytesIn
		w.Put(ping)
		w.WantMessage(frame.Pong, "")
		quiet = w.srv.Stats().BytesIn == before+uint64(len(ping))
	}
	return 0
}

// TestInboundIsShed: with 256 MiB, what strangers have us hold stays within its share. Who holds
// most is cut, whether it is a message that never ends or inputs that wait for their turn, and
// others are served.
func TestInboundIsShed(t *testing.T) {
	if !alone(t, "GOMEMLIMIT=256MiB") {
		return
	}
	input := func(run string, size int) []byte {
		return testkit.Text(fmt.Sprintf(`{"threadId":"t","runId":%q,"messages":[{"id":"m","role":"user","content":%q}]}`,
			run, strings.Repeat("x", size)))
	}
	unfinished := input("r", 1<<20)
	for name, tt := range map[string]struct {
		conns int
		p     []byte
	}{
		"300 unfinished messages of 1 MiB":        {300, unfinished[:len(unfinished)-1]},
		"8 waiting inputs of 1 MiB on 50 of them": {50, append(input("stay", 0), []byte(strings.Repeat(string(unfinished), 8))...)},
	} {
		t.Run(name, func(t *testing.T) {
			srv, addr := serve(t, agloop.ServerConfig{Loops: 1, Rates: agloop.Rates{Control: -1}, Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
				if run.Input.RunID == "stay" {
					<-ctx.Done()
				}
				return nil
			})})
			w := newWire(t, srv, addr)
			w.send(inputOf("first", 0))
			if got := w.ends(1); got != "first" {
				t.Fatalf("the first client got %s", got)
			}
			peak := attack(t, w, addr, tt.conns, tt.p)
			share := memmon.Limit() / 4
			testkit.Await(t, "what is held is back within its share", func() bool { return srv.Held() <= share })
			if peak > memmon.Limit() {
				t.Errorf("up to %d MiB were mapped", peak>>20)
			}
			if n := srv.GetPerformanceManager().TierActions().Cuts; n == 0 {
				t.Error("nobody was cut")
			}
			w = newWire(t, srv, addr)
			w.send(inputOf("healthy", 0))
			if got := w.ends(1); got != "healthy" {
				t.Errorf("a new client got %s", got)
			}
			t.Logf("at most %d MiB mapped; %d connections left, holding %d MiB", peak>>20, srv.Stats().Connections, srv.Held()>>20)
		})
	}
}
