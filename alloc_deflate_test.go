package agloop_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// meeting tells whom its server meets.
type meeting struct {
	agloop.NopHandler
	met chan *agloop.Conn
}

func (m meeting) OnOpen(c *agloop.Conn) { m.met <- c }

// TestAllocationsOfCompressedEvents: an event costs one allocation when it is deflated, whoever gets it
// behind the same one before, and one more for each other message before it. What goes out of step for an
// event comes back to the others with the next.
func TestAllocationsOfCompressedEvents(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	const batches, each = 40, 100
	for _, tt := range []struct {
		receivers, strays int // strays get an event of their own before each batch
		most              float64
	}{{1, 0, 1}, {10, 0, 1}, {10, 5, 1 + 10./each}} {
		h := meeting{met: make(chan *agloop.Conn, tt.receivers)}
		srv, addr := serve(t, agloop.ServerConfig{
			Handler: h, Compression: agloop.Compression{Enabled: true}, Logger: quiet,
			Limits: agloop.Limits{MessageBatchTimeout: -1, IdleTimeout: -1, PingInterval: -1},
		})
		var to []*agloop.Conn
		for range tt.receivers {
			p := testkit.Dial(t, addr, browserOffers)
			to = append(to, <-h.met)
			go func() { _, _ = io.Copy(io.Discard, p.Conn) }()
		}
		n := 0
		send := func(c *agloop.Conn, p []byte) {
			if c.Send(agloop.Text, p) == agloop.Dropped {
				t.Fatal("dropped")
			}
			n++
		}
		round := func(batch int) (allocated uint64) {
			var events, strays [][]byte
			for i := range each {
				k := batch*each + i
				events = append(events, fmt.Appendf(nil, `{"type":"TEXT_MESSAGE_CONTENT","timestamp":%d,"messageId":"m-1","delta":"token %d"}`, 1_700_000_000_000+k*37, k))
			}
			for i := range tt.strays {
				strays = append(strays, fmt.Appendf(nil, `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m-%d","delta":"a stray of %d"}`, i, batch))
			}
			before := mallocs()
			for i, p := range strays {
				send(to[i], p)
			}
			for _, p := range events {
				for _, c := range to {
					send(c, p)
				}
			}
			allocated = mallocs() - before
			testkit.Await(t, "all of them to leave", func() bool { return int(srv.Stats().FramesOut) == n })
			return allocated
		}
		for batch := range batches {
			round(batch)
		}
		var allocated uint64
		for batch := range batches {
			allocated += round(batches + batch)
		}
		per := float64(allocated) / (batches * each)
		t.Logf("%d receivers, %d strays: %.3f allocations for an event", tt.receivers, tt.strays, per)
		if per > tt.most+0.05 {
			t.Errorf("%d receivers, %d strays: %.3f allocations for an event, want at most %.2f", tt.receivers, tt.strays, per, tt.most)
		}
		if per < 0.9 {
			t.Errorf("%d receivers: %.3f allocations: what is new was not deflated", tt.receivers, per)
		}
	}
}
