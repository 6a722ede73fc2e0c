package agloop_test

import (
	"context"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestPerformanceMemoryProfileQueuesLess: what slow readers may hold is what the memory profile
// turns down: an eighth of what the default lets them hold, beside what the kernel and gnet take of
// each.
func TestPerformanceMemoryProfileQueuesLess(t *testing.T) {
	const readers = 20
	held := func(p agloop.Profile) (bytes int) {
		srv, addr := serve(t, agloop.ServerConfig{
			Limits: agloop.Limits{WriteTimeout: -1},
			Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
				msg, err := run.TextMessage()
				if err != nil {
					return err
				}
				ev := &agui.TextMessageContent{MessageID: msg.ID(), Delta: string(make([]byte, 1000))}
				for { // until Emit is stopped, by backpressure and then by the end
					if err := run.Emit(ev); err != nil {
						return err
					}
				}
			}),
		})
		first := testkit.Dial(t, addr) // the manager is there once one is
		if err := srv.GetPerformanceManager().SetProfile(p); err != nil {
			t.Fatal(err)
		}
		input := testkit.Text(`{"threadId":"t","runId":"r","messages":[]}`)
		first.Write(input)
		for range readers - 1 {
			testkit.Dial(t, addr).Write(input) // and never reads
		}
		// Half of what may wait for each is what a machine that stands still cannot be mistaken
		// for.
		soft := int64(srv.GetPerformanceManager().Tuning().SoftLimit)
		testkit.Await(t, "much waits for each", func() bool { return srv.Held() >= readers*soft/2 })
		// All agents stand still when the bytes written stop growing.
		last, since := uint64(0), time.Now()
		testkit.Await(t, "all agents stand still", func() bool {
			st := srv.Stats()
			bytes = int(st.Memory.Buffers)
			if st.BytesOut != last || st.Runs != readers {
				last, since = st.BytesOut, time.Now()
			}
			return time.Since(since) > 200*time.Millisecond
		})
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		return bytes
	}
	balanced, memory := held(agloop.ProfileBalanced), held(agloop.ProfileMemory)
	t.Logf("%d slow readers hold %d KiB by default, %d KiB by the memory profile", readers, balanced>>10, memory>>10)
	if memory*2 > balanced {
		t.Errorf("the memory profile holds %d bytes for slow readers, the default %d: want less than half", memory, balanced)
	}
}
