package agloop_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/memmon"
)

// attack opens so many connections, has each write p, and returns the most memory the process had mapped until the server
// cut somebody and had read for half a second what it was going to read.
func attack(t *testing.T, srv *agloop.Server, addr string, conns int, p []byte) (peak int64) {
	t.Helper()
	var writers sync.WaitGroup
	for range conns {
		nc := testkit.Connect(t, addr, 0)
		writers.Go(func() {
			_, _ = nc.Write(testkit.Request())
			_, _ = nc.Write(p) // fails for those that are cut
		})
	}
	read, since := uint64(0), time.Now()
	testkit.Await(t, "somebody is cut, and then all has been read", func() bool {
		peak = max(peak, memmon.Read().Total)
		if now := srv.Stats().BytesIn; now != read {
			read, since = now, time.Now()
		}
		return srv.GetPerformanceManager().TierActions().Cuts > 0 && time.Since(since) > 500*time.Millisecond
	})
	writers.Wait()
	return peak
}

// TestInboundIsShed: with 256 MiB, what strangers have us hold stays within its share. Who holds most is cut, whether it
// is a message that never ends or inputs that wait for their turn, and others are served.
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
		"600 unfinished messages of 1 MiB":         {600, unfinished[:len(unfinished)-1]},
		"8 waiting inputs of 1 MiB on 100 of them": {100, append(input("stay", 0), []byte(strings.Repeat(string(unfinished), 8))...)},
	} {
		t.Run(name, func(t *testing.T) {
			srv, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
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
			peak := attack(t, srv, addr, tt.conns, tt.p)
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
