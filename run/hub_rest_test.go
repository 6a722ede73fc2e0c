package run_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/run"
)

// TestR12EveryWayToHaveNoViewer: the outlet is gone at the first offer, the viewer leaves before it
// has pulled, and the run waits for its thread.
func TestR12EveryWayToHaveNoViewer(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	gate := make(chan struct{})
	busy := newOutlet(-1)
	mustStart(t, h, startOf("busy", "r", message(1, gate)), busy)
	for i, thread := range []string{"free", "busy"} {
		for j, leave := range []func(*run.Viewer){func(v *run.Viewer) { v.Pull() }, (*run.Viewer).Leave} {
			s := startOf(fmt.Sprint(thread, j*i), fmt.Sprint(thread, j), message(1, gate))
			s.Key.Thread, s.OnDisconnect = thread, run.DisconnectCancel
			l, v, err := h.Start(t.Context(), s, goneOutlet{})
			if err != nil {
				t.Fatal(err)
			}
			leave(v)
			if err := l.Wait(t.Context()); err != run.ErrAbandoned {
				t.Errorf("%s %d ended with %v", thread, j, err)
			}
		}
	}
	close(gate)
	<-busy.over
	atRest(t, h)
}

type goneOutlet struct{}

func (goneOutlet) Offer(*run.Frame) run.Offered { return run.OutletGone }
func (goneOutlet) Ended(error)                  {}

// TestR2ManyEmitters: the events of many goroutines have one order, which all viewers see, also when
// the agent ends its goroutine beside them.
func TestR2ManyEmitters(t *testing.T) {
	h := hubOf(t, run.HubConfig{Limits: run.LogLimits{WindowEvents: 64}})
	for i := range 20 {
		var emitters sync.WaitGroup
		s := startOf("t", fmt.Sprint(i), func(_ context.Context, r *run.Run) error {
			for range 8 {
				emitters.Go(func() {
					for range 100 {
						if r.Emit(&agui.Custom{Name: "n", Value: []byte("1")}) != nil {
							return
						}
					}
				})
			}
			if i%2 == 0 {
				runtime.Goexit()
			}
			emitters.Wait()
			return nil
		})
		outs := []*outlet{newOutlet(-1), newOutlet(-1)}
		mustStart(t, h, s, outs[0])
		mustAttach(t, h, s.Key, run.Cursor{}, outs[1])
		for _, o := range outs {
			<-o.over
			o.check(t, 0)
		}
		emitters.Wait()
		if n := outs[0].last(); i%2 == 1 && n != 802 || n != outs[1].last() {
			t.Errorf("%d and %d events", n, outs[1].last())
		}
	}
	atRest(t, h)
}

// TestHubIsEmptyAtRest: whatever many do with a few names at once, in the end there are no runs,
// threads and lingering ones, and what is counted is what the store has.
func TestHubIsEmptyAtRest(t *testing.T) {
	for _, odd := range []bool{false, true} {
		t.Run(fmt.Sprint("odd ", odd), func(t *testing.T) { hammer(t, odd) })
	}
}

func hammer(t *testing.T, odd bool) {
	ledger := memmon.NewLedger()
	inner := run.NewMemoryStore(ledger)
	var store run.Store = inner
	if odd {
		store = &oddStore{MemoryStore: inner, open: func() error {
			runtime.Gosched()
			if rand.IntN(20) == 0 {
				return errOdd
			}
			return nil
		}}
	}
	var most atomic.Int64
	h := hubOf(t, run.HubConfig{
		Store: store, Ledger: ledger, LogBytes: most.Load, Limits: run.LogLimits{WindowEvents: 8, FoldedBytes: 4 << 10},
	})
	var places atomic.Int64
	var users sync.WaitGroup
	for user := range 8 {
		users.Go(func() {
			r := rand.New(rand.NewPCG(uint64(user), 1))
			for i := range 300 {
				use(t, h, r, i, &places, &most)
			}
		})
	}
	users.Wait()
	most.Store(0)
	h.CancelAll(nil)
	atRest(t, h)
	await(t, "all places are given back", func() bool { return places.Load() == 0 })
	if counted, has := ledger.Total(), inner.Held(); counted != has {
		t.Errorf("%d bytes are counted, the store has %d", counted, has)
	}
	if err := inner.Close(); err != nil || ledger.Total() != 0 {
		t.Errorf("%v, %d bytes are counted", err, ledger.Total())
	}
}

// use does one thing to a hub.
func use(t *testing.T, h *run.Hub, r *rand.Rand, i int, places, most *atomic.Int64) {
	thread, id := fmt.Sprint(r.IntN(3)), fmt.Sprint(i/10*5+r.IntN(10))
	s := startOf(thread, id, message(40, nil))
	s.OnDisconnect = run.Disconnect(r.IntN(3))
	s.Released = func() { places.Add(-1) }
	o := newOutlet(r.IntN(40))
	var v *run.Viewer
	var err error
	switch r.IntN(8) {
	case 0:
		most.Store(int64(r.IntN(2) * 64 << 10))
	case 1, 2:
		err = h.Cancel(t.Context(), s.Key, nil)
	case 3, 4:
		_, v, err = h.Attach(t.Context(), s.Key, run.Cursor{}, o)
	default:
		places.Add(1)
		_, v, err = h.Start(t.Context(), s, o)
	}
	if err != nil && !errors.Is(err, run.ErrGone) && err != run.ErrThreadBusy && err != errOdd {
		t.Error(err)
	}
	if v == nil {
		return
	}
	if pull(v); r.IntN(2) == 0 {
		v.Away()
	}
	v.Leave()
	<-o.over
}

// TestR2ThousandViewersCostNoAllocation: an event to viewers that are level is offered to each and
// copied once.
func TestR2ThousandViewersCostNoAllocation(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates by itself")
	}
	h := hubOf(t, run.HubConfig{Limits: run.LogLimits{WindowEvents: 1 << 20, WindowBytes: 1 << 30}})
	var taken countingOutlet
	perEvent := make(chan float64, 1)
	attached := make(chan struct{})
	s := startOf("t", "r", func(_ context.Context, r *run.Run) error {
		<-attached
		ev := &agui.Custom{Name: "n", Value: []byte("1")}
		perEvent <- testing.AllocsPerRun(1000, func() {
			if err := r.Emit(ev); err != nil {
				t.Error(err)
			}
		})
		return nil
	})
	_, v, err := h.Start(t.Context(), s, &taken)
	if err != nil {
		t.Fatal(err)
	}
	pull(v)
	for range 999 {
		_, v, err := h.Attach(t.Context(), s.Key, run.Cursor{}, &taken)
		if err != nil {
			t.Fatal(err)
		}
		pull(v)
	}
	before := taken.n.Load()
	close(attached)
	if n := <-perEvent; n >= 1 { // a segment for some hundred events, and the list of them that grows
		t.Errorf("%v allocations for an event", n)
	}
	await(t, "all has come", func() bool { return taken.ends.Load() == 1000 })
	if n := taken.n.Load() - before; n != 1000*1002 {
		t.Errorf("%d offers", n)
	}
}

type countingOutlet struct{ n, ends atomic.Int64 }

func (o *countingOutlet) Offer(*run.Frame) run.Offered { o.n.Add(1); return run.OutletTook }
func (o *countingOutlet) Ended(error)                  { o.ends.Add(1) }

// hubBudgets are what runs with a log may cost, in bytes of heap and stacks: a third more than what was
// measured with go1.26 on linux/amd64, which stands beside it.
var hubBudgets = []struct {
	what string
	most float64
}{
	{"live run with a log", 21000},   // 15900, of which its goroutine has most
	{"ended run that is kept", 4800}, // 3550
}

// TestMemoryBudgetsOfLogs holds what a run costs that has a log, besides its server.
func TestMemoryBudgetsOfLogs(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector takes memory of its own")
	}
	const n = 1000
	h := hubOf(t, run.HubConfig{})
	gate := make(chan struct{})
	var waiting atomic.Int64
	agent := func(_ context.Context, r *run.Run) error {
		m, err := r.TextMessage()
		if err != nil {
			return err
		}
		waiting.Add(1)
		<-gate
		return m.Close()
	}
	var cost [2]float64
	lives := make([]*run.Live, n)
	before := heapAndStacks()
	for i := range lives {
		lives[i], _ = mustStart(t, h, startOf(fmt.Sprint(i), "r", agent), nil)
	}
	await(t, "all wait", func() bool { return waiting.Load() == n })
	cost[0] = (heapAndStacks() - before) / n
	close(gate)
	for i, l := range lives {
		if err := l.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		lives[i] = nil
	}
	atRest(t, h)
	cost[1] = (heapAndStacks() - before) / n
	for i, b := range hubBudgets {
		t.Logf("%s: %.0f bytes, budget %.0f", b.what, cost[i], b.most)
		if cost[i] > b.most {
			t.Errorf("%s: %.0f bytes, more than its budget of %.0f", b.what, cost[i], b.most)
		}
	}
}

// heapAndStacks is how many bytes are in use.
func heapAndStacks() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}
