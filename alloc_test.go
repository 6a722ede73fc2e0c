package agloop_test

import (
	"bytes"
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
)

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// ceiling fails when n operations allocated more than the noise of the runtime: timers, the
// collector's own work, pools emptied by it.
func ceiling(t *testing.T, what string, n int, allocated uint64) {
	t.Helper()
	if per := float64(allocated) / float64(n); per > 0.05 {
		t.Errorf("%s: %.3f allocations each (%d for %d), want 0", what, per, allocated, n)
	}
}

type countingHandler struct {
	agloop.NopHandler
	n *atomic.Int64
}

func (h countingHandler) OnMessage(c *agloop.Conn, op agloop.Opcode, p []byte) { h.n.Add(1) }

// TestNoAllocationPerMessageIn: receiving costs no memory once it is warm.
func TestNoAllocationPerMessageIn(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	const batches, each = 500, 100
	var got atomic.Int64
	_, addr := serve(t, agloop.ServerConfig{Handler: countingHandler{n: &got}})
	nc := testkit.Dial(t, addr)
	batch := bytes.Repeat(testkit.Text("a message of some length, as tokens are"), each)
	send := func() {
		for range batches {
			if _, err := nc.Write(batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	await := func(n int64) {
		for got.Load() < n {
			runtime.Gosched()
		}
	}
	send()
	await(batches * each)
	before := mallocs()
	send()
	await(2 * batches * each)
	ceiling(t, "message in", batches*each, mallocs()-before)
}

// TestNoAllocationPerEventOut: neither a flood of events, nor one at a time, each of which wakes
// its loop.
func TestNoAllocationPerEventOut(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	const n = 20000
	arrived := make(chan struct{}, 1)
	results := make(chan [2]uint64, 1)
	limits := agloop.Limits{MessageBatchTimeout: -1} // nothing waits, so that every lone event is a wake
	_, addr := serve(t, agloop.ServerConfig{Limits: limits, Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
		msg, err := run.TextMessage()
		if err != nil {
			return err
		}
		ev := &agui.TextMessageContent{MessageID: msg.ID(), Delta: "twenty-four bytes of text"}
		ev.Timestamp = new(int64(1769904000123))
		flood := func() {
			for range n {
				if err = run.Emit(ev); err != nil {
					return
				}
			}
		}
		single := func() {
			for range n / 10 {
				select {
				case <-arrived:
				default:
				}
				if err = run.Emit(ev); err != nil {
					return
				}
				<-arrived
			}
		}
		var out [2]uint64
		flood()
		before := mallocs()
		flood()
		out[0] = mallocs() - before
		single()
		before = mallocs()
		single()
		out[1] = mallocs() - before
		results <- out
		if err != nil {
			return err
		}
		return msg.Close()
	})})
	nc := testkit.Dial(t, addr)
	go func() {
		buf := make([]byte, 64<<10)
		for {
			if _, err := nc.Read(buf); err != nil {
				close(arrived)
				return
			}
			select {
			case arrived <- struct{}{}:
			default:
			}
		}
	}()
	nc.Write(testkit.Text(`{"threadId":"t","runId":"r","messages":[],"tools":[],"context":[]}`))
	out := <-results
	ceiling(t, "event of a flood", n, out[0])
	ceiling(t, "event by itself", n/10, out[1])
}

// TestNoAllocationPerLoggedEvent: nor does a log with one viewer or ten. What it allocates, 0.03 an
// event, is the storage itself, a segment of 16 KiB for each hundred of these events or so, and some
// slices for each fold, which is off the emit path and takes a quarter of the window at once.
func TestNoAllocationPerLoggedEvent(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	const n = 20000
	for _, viewers := range []int{1, 10} {
		results, ready := make(chan uint64, 1), make(chan struct{})
		_, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
			msg, err := run.TextMessage()
			if err != nil {
				return err
			}
			ev := &agui.TextMessageContent{MessageID: msg.ID(), Delta: "twenty-four bytes of text"}
			ev.Timestamp = new(int64(1769904000123))
			flood := func() {
				for range n {
					if err = run.Emit(ev); err != nil {
						return
					}
				}
			}
			<-ready
			flood()
			before := mallocs()
			flood()
			results <- mallocs() - before
			if err != nil {
				return err
			}
			return msg.Close()
		})})
		first := newViewer(t, addr, "")
		first.start("1", namedInput("t", "r"))
		first.await("TEXT_MESSAGE_START") // an attach that came before the start would find no run
		peers := []*viewer{first}
		for len(peers) < viewers {
			v := newViewer(t, addr, "")
			v.ask(control.NameBind, &control.Bind{Ref: "b", Secret: first.hello.Secret})
			v.attachAt("a", "t", "r", agloop.Cursor{})
			v.await("TEXT_MESSAGE_START")
			peers = append(peers, v)
		}
		for _, v := range peers {
			go func() {
				buf := make([]byte, 64<<10)
				for {
					if _, err := v.Conn.Read(buf); err != nil {
						return
					}
				}
			}()
		}
		close(ready)
		got := <-results
		// Each event has 138 bytes: so many segments of the log are filled, and are no cost of an event.
		segments := uint64(n * 138 / (16 << 10))
		t.Logf("%d viewers: %d allocations for %d events", viewers, got, n)
		ceiling(t, "logged event", n, got-min(got, segments))
	}
}
