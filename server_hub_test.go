package agloop_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestR14LogsOfAScopeKeepToTheirShare: a quarter of what all logs may take, also when that is changed. What
// goes is counted, and other scopes keep theirs.
func TestR14LogsOfAScopeKeepToTheirShare(t *testing.T) {
	cfg := performance()
	cfg.MaxMemoryUsage = 64 << 20 // 16 MiB of logs, 4 of them for a scope
	value := []byte(`"` + strings.Repeat("x", 50<<10) + `"`)
	srv, _ := serve(t, agloop.ServerConfig{Performance: cfg, Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
		for range 10 {
			if err := r.Emit(&agui.Custom{Name: "n", Value: value}); err != nil {
				return err
			}
		}
		return nil
	})})
	bob := agloop.RunKey{Scope: "bob", Thread: "t", Run: "r"}
	if _, err := srv.StartRun(t.Context(), bob, nil); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "bob's run has ended", func() bool { return srv.Run(bob) == nil })
	started := 0
	check := func(runs, most int) {
		t.Helper()
		for range runs {
			id := fmt.Sprint(started)
			startThere(t, srv, id, id)
			endsThere(t, srv, id, id)
			started++
		}
		kept := 0
		for range srv.Runs("ann") {
			kept++
		}
		if n := kept * 10 * len(value); n > most || n < most/2 {
			t.Errorf("%d logs are kept, of %d bytes; %d are the most", kept, n, most)
		}
		if s := srv.Stats().Logged; s.Shed != uint64(started-kept) || s.Retained != kept+1 {
			t.Errorf("%d of %d are kept: %+v", kept, started, s)
		}
	}
	check(20, 4<<20)
	cfg.MaxMemoryUsage = 16 << 20
	if err := srv.GetPerformanceManager().SetConfig(cfg); err != nil {
		t.Fatal(err)
	}
	check(2, 1<<20)
}
