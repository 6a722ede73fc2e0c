package run_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/metrics"
	"github.com/agloop/agloop/run"
)

// ledgerHub is a hub whose logs are counted, and the heap as it was before it.
type ledgerHub struct {
	*run.Hub
	store  *run.MemoryStore
	ledger *memmon.Ledger
	heap   int64
}

func newLedgerHub(t *testing.T, cfg run.HubConfig) *ledgerHub {
	cfg.Ledger = memmon.NewLedger()
	store := run.NewMemoryStore(cfg.Ledger)
	t.Cleanup(func() { store.Close() })
	cfg.Store = store
	return &ledgerHub{hubOf(t, cfg), store, cfg.Ledger, heap()}
}

// heap is what is reachable.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC() // what pools hold goes with the second collection
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// exact checks, while nothing goes on, that the ledger has what the logs hold.
func (h *ledgerHub) exact(t *testing.T, when string) {
	t.Helper()
	synctest.Wait()
	bytes, wrong := h.Count()
	for _, w := range wrong {
		t.Errorf("%s: %s", when, w)
	}
	if total := h.ledger.Total(); total != bytes || h.Held()+h.store.Held() != bytes {
		t.Errorf("%s: the logs hold %d bytes, the ledger has %d, hub and store have %d and %d", when, bytes, total, h.Held(), h.store.Held())
	}
}

// real checks that the logs take not much more than the ledger has, and so many bytes beside.
func (h *ledgerHub) real(t *testing.T, when string, beside int64) {
	t.Helper()
	took, total := heap()-h.heap, h.ledger.Total()
	t.Logf("%s: the heap has grown by %d, the ledger has %d: %.2f", when, took, total, float64(took)/float64(total))
	if !testkit.Race && took > total+total/4+beside {
		t.Errorf("%s: the heap has grown by %d bytes, the ledger has %d", when, took, total)
	}
}

// gone checks that nothing is held any more.
func (h *ledgerHub) gone(t *testing.T) {
	t.Helper()
	h.exact(t, "in the end")
	if n := h.ledger.Total(); n != 0 {
		t.Errorf("in the end the ledger has %d bytes", n)
	}
}

// tellInput is an input with a message of so many bytes.
func tellInput(thread, id string, bytes int) *agui.RunAgentInput {
	return &agui.RunAgentInput{ThreadID: thread, RunID: id, State: []byte(`{"a":1}`), Messages: []agui.Message{
		{ID: "u", Role: agui.RoleUser, Content: agui.TextContent(strings.Repeat("x", bytes))},
	}}
}

// TestR3LedgerOfEndedLogs: 10,000 runs of 100 scopes that are kept, then their tombstones, then nothing.
func TestR3LedgerOfEndedLogs(t *testing.T) {
	runs := 10_000
	if testkit.Race {
		runs = 1000
	}
	synctest.Test(t, func(t *testing.T) {
		h := newLedgerHub(t, run.HubConfig{})
		for i := range runs {
			s := startInput(tellInput(fmt.Sprint("thread", i), fmt.Sprint("run", i), 200), message(97, nil)) // 100 events and the end
			s.Key.Scope = fmt.Sprint("scope", i%100)
			mustStart(t, h.Hub, s, nil)
			if i%100 == 99 {
				synctest.Wait()
			}
			if i == runs/2 {
				h.exact(t, "half")
			}
		}
		h.exact(t, "all have ended")
		h.real(t, "all have ended", 0)
		var viewers []*run.Viewer
		for i := range runs / 10 {
			k := run.RunKey{Scope: fmt.Sprint("scope", i%100), Thread: fmt.Sprint("thread", i), Run: fmt.Sprint("run", i)}
			viewers = append(viewers, mustAttach(t, h.Hub, k, run.Cursor{}, newOutlet(1)))
		}
		h.exact(t, "some are viewed")
		h.real(t, "some are viewed", int64(runs)/10*2<<10)
		for _, v := range viewers {
			v.Leave()
		}
		if st := h.store.Stats(); st.Ended != runs || h.Held() != 0 {
			t.Errorf("%+v, and the hub holds %d bytes", st, h.Held())
		}
		time.Sleep(2*time.Minute + time.Second)
		h.exact(t, "all are tombstones")
		h.real(t, "all are tombstones", 0)
		if st := h.store.Stats(); st.Tombstones != runs || st.Expired != int64(runs) {
			t.Errorf("%+v", st)
		}
		time.Sleep(24 * time.Hour)
		h.gone(t)
	})
}

// TestR3LedgerOfDetachedRuns: 1,000 runs that nobody views any more and whose agents go on. Each takes no
// more than its windows and what may be folded, however long it goes on.
func TestR3LedgerOfDetachedRuns(t *testing.T) {
	runs, turns := 1000, 8
	if testkit.Race {
		runs = 200
	}
	limits := run.LogLimits{WindowEvents: 64, WindowBytes: 8 << 10, FoldedBytes: 24 << 10}
	const most = 24<<10*9/8 + 4*(16<<10) // a segment may be larger than such a window
	synctest.Test(t, func(t *testing.T) {
		h := newLedgerHub(t, run.HubConfig{Limits: limits})
		turn := make([]chan struct{}, turns)
		for i := range turn {
			turn[i] = make(chan struct{})
		}
		for i := range runs {
			s := startInput(tellInput(fmt.Sprint("thread", i), fmt.Sprint("run", i), 2000), talk(i, turn))
			s.Key.Scope = fmt.Sprint("scope", i%100)
			_, v := mustStart(t, h.Hub, s, newOutlet(-1))
			v.Leave()
		}
		h.exact(t, "all have begun")
		half := int64(0)
		for i := range turn {
			close(turn[i])
			for range 10 { // while they are at it
				if _, wrong := h.Count(); len(wrong) > 0 {
					t.Fatal(wrong[0])
				}
			}
			h.exact(t, fmt.Sprint("turn ", i))
			if i == turns/2-1 {
				half = h.ledger.Total()
			}
		}
		h.real(t, "all go on", int64(runs)*12<<10) // its input as it was decoded, its order, contexts
		if n := h.ledger.Total(); n > half+half/10 || n > int64(runs)*most {
			t.Errorf("%d bytes after twice as many events as had %d", n, half)
		}
		time.Sleep(2 * time.Minute)
		h.exact(t, "nobody has come back")
		if st := h.store.Stats(); st.Live != 0 || st.Ended != runs {
			t.Errorf("%+v", st)
		}
		h.real(t, "nobody has come back", int64(runs)*4<<10) // with so small a bound much of a segment may be unused
		time.Sleep(25 * time.Hour)
		h.gone(t)
	})
}

// talk is an agent that emits 100 events at each turn, of a kind of its own, and goes on for ever.
func talk(kind int, turn []chan struct{}) run.AgentFunc {
	return func(ctx context.Context, r *run.Run) error {
		m, err := r.TextMessage()
		if err != nil {
			return err
		}
		for _, next := range turn {
			<-next
			for i := range 100 {
				switch {
				case kind%3 == 0 || kind%3 == 1 && i%10 > 0:
					err = m.Write("some words ")
				case kind%3 == 1:
					err = r.Emit(&agui.Custom{Name: "n", Value: []byte(`"some value"`)})
				default:
					op := agui.PatchOp{Op: agui.PatchAdd, Path: fmt.Sprint("/a", i%7), Value: []byte(`"some value"`)}
					err = r.Emit(&agui.StateDelta{Delta: []agui.PatchOp{op}})
				}
				if err != nil {
					return err
				}
			}
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

// TestR3AHandleKeepsNoEvents: a host may keep runs for long that have ended.
func TestR3AHandleKeepsNoEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const runs = 20
		h := newLedgerHub(t, run.HubConfig{})
		handles := make([]*run.Live, runs)
		for i := range handles {
			handles[i], _ = mustStart(t, h.Hub, startOf("t", fmt.Sprint("run", i), hoard(200)), newOutlet(-1))
			synctest.Wait()
		}
		time.Sleep(3 * time.Minute)
		h.exact(t, "all are tombstones")
		h.real(t, "all are tombstones", runs*16<<10)
		runtime.KeepAlive(handles)
	})
}

// TestR5FoldingTakesTurns: not all logs are folded at once, which takes memory for each. A log whose turn has
// not come grows by four windows, and then its agent waits.
func TestR5FoldingTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLedgerHub(t, run.HubConfig{Limits: run.LogLimits{WindowEvents: 16}, Grace: -1})
		goOn := h.HoldFolding()
		const runs = 5
		for i := range runs {
			mustStart(t, h.Hub, startOf(fmt.Sprint(i), "r", message(500, nil)), nil)
		}
		h.exact(t, "none is folded")
		if st, r := h.store.Stats(), h.figures(); r.Folds != 0 || st.Live != runs {
			t.Errorf("%+v, %+v", st, r)
		}
		goOn()
		h.exact(t, "all have ended")
		if st, r := h.store.Stats(), h.figures(); r.Folds < runs*500/64 || st.Ended != runs {
			t.Errorf("%+v, %+v", st, r)
		}
	})
}

// TestR14TheEndKeepsToTheBound: a store may count more of a log than the hub did before its end, and no event
// need follow.
func TestR14TheEndKeepsToTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most atomic.Int64
		h := newLedgerHub(t, run.HubConfig{LogBytes: most.Load})
		gate := make(chan struct{})
		mustStart(t, h.Hub, startOf("t", "r", message(1000, gate)), nil)
		h.exact(t, "it goes on")
		most.Store(h.ledger.Total())
		close(gate)
		h.exact(t, "it has ended")
		if n := h.ledger.Total(); n > most.Load() || h.store.Stats().Shed != 1 {
			t.Errorf("%d bytes of %d, %+v", n, most.Load(), h.store.Stats())
		}
	})
}

// TestR14Hoarder: one scope whose runs have too many bytes by far loses logs of its own, and no others do.
// What went is buried and counted.
func TestR14Hoarder(t *testing.T) {
	const most, others, size = 8 << 20, 20, 40 // KiB a run
	for name, share := range map[string]int64{"all logs are bounded": 0, "its share is bounded": most / 4} {
		t.Run(name, func(t *testing.T) {
			runs := 3000
			if testkit.Race {
				runs = 1500
			}
			synctest.Test(t, func(t *testing.T) {
				h := newLedgerHub(t, run.HubConfig{LogBytes: func() int64 { return most }})
				h.store.LimitScope(share)
				start := func(scope string, i int) (*run.Start, error) {
					s := startOf(fmt.Sprint("thread", i), fmt.Sprint("run", i), hoard(size))
					s.Key.Scope = scope
					_, _, err := h.Start(t.Context(), s, nil)
					synctest.Wait()
					return s, err
				}
				for i := range others * 3 {
					if _, err := start(fmt.Sprint("scope", i%others), i); err != nil {
						t.Fatal(err)
					}
				}
				watched := h.watched(t, size)
				for i := range runs {
					if _, err := start("hoarder", i); err != nil {
						t.Fatal(err)
					}
					if n := h.ledger.Total(); n > most {
						t.Fatalf("%d bytes after %d runs", n, i)
					}
				}
				h.exact(t, "all have ended")
				h.othersHaveTheirs(t, others, size)
				kept := h.shed(t, runs, others*3)
				if n := int64(kept) * size << 10; share > 0 && (n > share || n < share/2) || share == 0 && n < most/4 {
					t.Errorf("%d logs of the hoarder are left", kept)
				}
				before := h.figures().Started
				for i := runs - kept - 1024; i < runs-kept; i++ {
					s, err := start("hoarder", i)
					if err != run.ErrBuried {
						t.Fatalf("run %d starts again: %v", i, err)
					}
					if _, _, err := h.Attach(t.Context(), s.Key, run.Cursor{}, newOutlet(-1)); err != run.ErrBuried {
						t.Fatalf("run %d: %v", i, err)
					}
				}
				if n := h.figures().Started; n != before {
					t.Errorf("%d runs began again", n-before)
				}
				watched(t)
				time.Sleep(25 * time.Hour)
				h.gone(t)
			})
		})
	}
}

// hoard is an agent whose log has so many KiB.
func hoard(size int) run.AgentFunc {
	value := []byte(`"` + strings.Repeat("x", 4096-250) + `"`)
	return func(_ context.Context, r *run.Run) error {
		for range size / 4 {
			if err := r.Emit(&agui.Custom{Name: "n", Value: value}); err != nil {
				return err
			}
		}
		return nil
	}
}

// watched starts a run of the hoarder that goes on and has a slow viewer, and returns what checks that this
// viewer gets all of it in the end.
func (h *ledgerHub) watched(t *testing.T, size int) func(*testing.T) {
	goOn := make(chan struct{})
	end := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(end)
	s := startOf("watched", "watched", func(ctx context.Context, r *run.Run) error {
		err := hoard(size)(ctx, r)
		<-goOn
		return err
	})
	s.Key.Scope = "hoarder"
	o := newOutlet(2)
	_, v := mustStart(t, h.Hub, s, o)
	synctest.Wait()
	return func(t *testing.T) {
		o.give(-1)
		pull(v)
		end()
		<-o.over
		if o.check(t, 0); o.why != nil || o.last() != uint64(size/4)+2 {
			t.Errorf("the viewer of a hoarder's run is at %d, %v", o.last(), o.why)
		}
	}
}

// othersHaveTheirs checks that all logs but the hoarder's are there from their start.
func (h *ledgerHub) othersHaveTheirs(t *testing.T, scopes, size int) {
	t.Helper()
	for i := range scopes * 3 {
		o := newOutlet(-1)
		k := run.RunKey{Scope: fmt.Sprint("scope", i%scopes), Thread: fmt.Sprint("thread", i), Run: fmt.Sprint("run", i)}
		mustAttach(t, h.Hub, k, run.Cursor{}, o)
		<-o.over
		if o.check(t, 0); o.why != nil || o.last() != uint64(size/4)+2 {
			t.Errorf("%v is there up to %d, %v", k, o.last(), o.why)
		}
	}
}

// shed checks the counters of what was shed: all runs of the hoarder but those that are kept, whose number it
// returns.
func (h *ledgerHub) shed(t *testing.T, runs, others int) (kept int) {
	t.Helper()
	st, r := h.store.Stats(), h.figures()
	kept = st.Ended - others
	if went := runs - kept; st.Shed != int64(went) || r.Shed != uint64(went) || st.Tombstones != min(went, 1024) || r.Tombstones != st.Tombstones {
		t.Errorf("%d went: %+v, %+v", went, st, r)
	}
	return kept
}

func (h *ledgerHub) figures() (r metrics.Runs) {
	h.Figures(&r, nil)
	return r
}
