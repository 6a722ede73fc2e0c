package run_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/run"
)

// oddStore is a store that a hub does not know to be in memory. A hook that is set is called before
// the store, in place of which its error is returned.
type oddStore struct {
	*run.MemoryStore
	open, append, close, bury, read, list func() error

	fold   func(through uint64) error
	opened func() // the log is there, and its opener does not know that yet
}

func newOddStore() *oddStore { return &oddStore{MemoryStore: run.NewMemoryStore(nil)} }

func ask(hook func() error) error {
	if hook == nil {
		return nil
	}
	return hook()
}

func (s *oddStore) Open(ctx context.Context, k run.RunKey, o run.Opening) (run.Log, error) {
	if err := ask(s.open); err != nil {
		return nil, err
	}
	l, err := s.MemoryStore.Open(ctx, k, o)
	if err != nil {
		return nil, err
	}
	if s.opened != nil {
		s.opened()
	}
	return &oddLog{l, s}, nil
}

func (s *oddStore) Bury(ctx context.Context, k run.RunKey, cancelled bool, keep time.Duration) error {
	if err := ask(s.bury); err != nil {
		return err
	}
	return s.MemoryStore.Bury(ctx, k, cancelled, keep)
}

func (s *oddStore) Read(ctx context.Context, k run.RunKey, after run.Cursor, most int) (run.Batch, error) {
	if err := ask(s.read); err != nil {
		return run.Batch{}, err
	}
	return s.MemoryStore.Read(ctx, k, after, most)
}

func (s *oddStore) List(ctx context.Context, scope string) iter.Seq2[run.Record, error] {
	if err := ask(s.list); err != nil {
		return func(yield func(run.Record, error) bool) { yield(run.Record{}, err) }
	}
	return s.MemoryStore.List(ctx, scope)
}

type oddLog struct {
	run.Log
	store *oddStore
}

func (l *oddLog) Append(ctx context.Context, first uint64, events [][]byte) error {
	if err := ask(l.store.append); err != nil {
		return err
	}
	return l.Log.Append(ctx, first, events)
}

func (l *oddLog) Fold(ctx context.Context, through uint64, entries []run.Entry) error {
	if l.store.fold != nil {
		if err := l.store.fold(through); err != nil {
			return err
		}
	}
	return l.Log.Fold(ctx, through, entries)
}

func (l *oddLog) Close(ctx context.Context, keep time.Duration) error {
	if err := ask(l.store.close); err != nil {
		return err
	}
	return l.Log.Close(ctx, keep)
}

// logLines counts what is logged.
type logLines struct{ n atomic.Int32 }

func (w *logLines) Write(b []byte) (int, error) {
	w.n.Add(1)
	return len(b), nil
}

// atRest waits until a hub has nothing, and says what is left where it has.
func atRest(t *testing.T, h *run.Hub) {
	t.Helper()
	await(t, "the hub has nothing", func() bool {
		runs, threads, lingering := h.Sizes()
		return runs+threads+lingering == 0 && h.Held() == 0 && h.Busy() == 0
	})
}

// TestStoreThatFails: a run goes on for its viewers, the log says it once, and the store does not
// claim an end that it does not have.
func TestStoreThatFails(t *testing.T) {
	for _, where := range []string{"append", "fold", "close"} {
		t.Run(where, func(t *testing.T) {
			store, lines := newOddStore(), &logLines{}
			defer store.MemoryStore.Close()
			var tries atomic.Int32
			fail := func() error { tries.Add(1); return errOdd }
			switch where {
			case "append":
				store.append = fail
			case "fold":
				store.fold = func(uint64) error { return fail() }
			case "close":
				store.close = fail
			}
			h := hubOf(t, run.HubConfig{
				Store: store, Limits: run.LogLimits{WindowEvents: 8}, Log: slog.New(slog.NewTextHandler(lines, nil)),
			})
			o := newOutlet(-1)
			s := startOf("t", "r", message(200, nil))
			mustStart(t, h, s, o)
			if <-o.over; o.why != nil || o.text() != pieces(0, 200) {
				t.Errorf("%v, %q", o.why, o.text())
			}
			atRest(t, h)
			if n := lines.n.Load(); n != 1 || tries.Load() == 0 {
				t.Errorf("%d lines in the log for %d failures", n, tries.Load())
			}
			late := newOutlet(-1)
			_, v, err := h.Attach(t.Context(), s.Key, run.Cursor{}, late)
			if where != "fold" {
				if !errors.Is(err, run.ErrGone) {
					t.Errorf("attached to what was not stored: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if pull(v); late.text() != pieces(0, 200) {
				t.Errorf("the store has %q", late.text())
			}
			atRest(t, h)
		})
	}
}

// TestR11StoreThatBlocks: who emits waits when the newest events are four windows, and memory is bounded
// so; viewers, other runs and a cancellation do not wait for the store.
func TestR11StoreThatBlocks(t *testing.T) {
	const window = 16
	store, gate := newOddStore(), make(chan struct{})
	defer store.MemoryStore.Close()
	store.append = func() error { <-gate; return nil }
	ledger := memmon.NewLedger()
	var most atomic.Int64
	h := hubOf(t, run.HubConfig{Store: store, Ledger: ledger, LogBytes: most.Load, Limits: run.LogLimits{WindowEvents: window}})
	endless := func(_ context.Context, r *run.Run) error {
		for {
			if err := r.Emit(&agui.Custom{Name: "n", Value: []byte(`"` + strings.Repeat("x", 1000) + `"`)}); err != nil {
				return err
			}
		}
	}
	o := newOutlet(-1)
	s := startOf("t", "r", endless)
	l, v := mustStart(t, h, s, o)
	await(t, "the producer waits for the store", func() bool { return o.last() == 4*window })
	if held := ledger.Total(); held > 4*window*1100+16<<10 {
		t.Errorf("%d bytes are held", held)
	}
	o2 := newOutlet(-1)
	if pull(mustAttach(t, h, s.Key, run.Cursor{}, o2)); o2.last() != 4*window {
		t.Errorf("another viewer is at %d", o2.last())
	}
	other := newOutlet(-1)
	mustStart(t, h, startOf("other", "r", message(3, nil)), other)
	if <-other.over; other.text() != pieces(0, 3) {
		t.Errorf("another run: %q", other.text())
	}
	next := newOutlet(-1)
	mustStart(t, h, startOf("t", "next", message(3, nil)), next)
	l.Cancel(nil)
	<-o.over
	<-o2.over
	if <-next.over; next.text() != pieces(0, 3) { // though the store has not taken the end of the first
		t.Errorf("the next run: %q", next.text())
	}
	late := newOutlet(-1)
	if mustAttach(t, h, s.Key, run.Cursor{}, late); late.last() != o.last() {
		t.Errorf("who attaches while the store blocks is at %d of %d", late.last(), o.last())
	}
	v.Leave()
	close(gate)
	atRest(t, h)
	if ledger.Total() != 0 {
		t.Errorf("%d bytes are held", ledger.Total())
	}
}

// TestR15StartsWhileTheStoreOpens: who starts a run that another start is opening does not share that
// one's failure.
func TestR15StartsWhileTheStoreOpens(t *testing.T) {
	for _, ended := range []bool{false, true} {
		t.Run(fmt.Sprint("ended ", ended), func(t *testing.T) {
			store := newOddStore()
			defer store.MemoryStore.Close()
			h := hubOf(t, run.HubConfig{Store: store})
			if ended {
				o := newOutlet(-1)
				mustStart(t, h, startOf("t", "r", message(2, nil)), o)
				<-o.over
				atRest(t, h)
			}
			opens, gate := make(chan struct{}, 2), make(chan error, 2)
			store.open = func() error { opens <- struct{}{}; return <-gate }
			outs := [2]*outlet{newOutlet(-1), newOutlet(-1)}
			var errs [2]error
			var starts sync.WaitGroup
			for i := range outs {
				starts.Go(func() {
					var v *run.Viewer
					if _, v, errs[i] = h.Start(t.Context(), startOf("t", "r", message(2, nil)), outs[i]); v != nil {
						pull(v)
					}
				})
				if i == 0 {
					<-opens
				}
			}
			if ended {
				gate <- nil
			} else {
				gate <- context.Canceled // the first has given up
			}
			gate <- nil
			starts.Wait()
			if errs[1] != nil || (errs[0] == nil) != ended {
				t.Fatalf("%v", errs)
			}
			if <-outs[1].over; outs[1].text() != pieces(0, 2) {
				t.Errorf("%q", outs[1].text())
			}
			atRest(t, h)
		})
	}
}

// TestR15KnownRunOfABusyThread: an ended run is attached to, whatever its thread does.
func TestR15KnownRunOfABusyThread(t *testing.T) {
	h := hubOf(t, run.HubConfig{OnBusy: run.BusyReject})
	gate := make(chan struct{})
	ended := newOutlet(-1)
	mustStart(t, h, startOf("t", "ended", message(2, nil)), ended)
	<-ended.over
	await(t, "the store has it", func() bool { runs, _, _ := h.Sizes(); return runs == 0 })
	busy := newOutlet(-1)
	mustStart(t, h, startOf("t", "busy", message(2, gate)), busy)
	again := newOutlet(-1)
	mustStart(t, h, startOf("t", "ended", message(2, nil)), again)
	if <-again.over; again.text() != pieces(0, 2) {
		t.Errorf("%q", again.text())
	}
	other := startOf("t", "ended", message(2, nil))
	other.Hash[0]++
	if _, _, err := h.Start(t.Context(), other, nil); err != run.ErrConflict {
		t.Errorf("another input: %v", err)
	}
	if _, _, err := h.Start(t.Context(), startOf("t", "unknown", message(2, nil)), nil); err != run.ErrThreadBusy {
		t.Errorf("an unknown one: %v", err)
	}
	close(gate)
	<-busy.over
	atRest(t, h)
}

// TestR15NothingIsLeftOfAStart: that joins, is refused, or panics.
func TestR15NothingIsLeftOfAStart(t *testing.T) {
	store, ledger := newOddStore(), memmon.NewLedger()
	defer store.MemoryStore.Close()
	h := hubOf(t, run.HubConfig{Store: store, Ledger: ledger, OnBusy: run.BusyReject})
	base := &countedContext{Context: context.Background(), done: make(chan struct{})}
	gate := make(chan struct{})
	start := func(thread, id string) *run.Start {
		input := &agui.RunAgentInput{ThreadID: thread, RunID: id, State: []byte(`"` + strings.Repeat("s", 1<<10) + `"`)}
		s := startInput(input, message(2, gate))
		s.BaseContext = base
		return s
	}
	o := newOutlet(-1)
	mustStart(t, h, start("t", "r"), o)
	await(t, "it waits", func() bool { return o.last() == 4 })
	held, children := ledger.Total(), base.children.Load()
	for range 10 {
		v := newOutlet(-1)
		_, viewer := mustStart(t, h, start("t", "r"), v)
		viewer.Leave()
		if _, _, err := h.Start(t.Context(), start("t", "other"), nil); err != run.ErrThreadBusy {
			t.Errorf("refused with %v", err)
		}
	}
	panics := start("panics", "r")
	panics.Encoder = encoderFunc(func([]byte, agui.Event) ([]byte, error) { panic("boom") })
	store.open = func() error { panic("boom") }
	for _, s := range []*run.Start{panics, start("panics", "r")} {
		released := 0
		s.Released = func() { released++ }
		func() {
			defer func() {
				if recover() == nil || released != 1 {
					t.Errorf("no panic, or %d times released", released)
				}
			}()
			_, _, _ = h.Start(t.Context(), s, nil)
		}()
	}
	store.open = nil
	if now := ledger.Total(); now != held || base.children.Load() != children {
		t.Errorf("%d bytes are held, then %d; %d contexts, then %d", held, now, children, base.children.Load())
	}
	close(gate)
	<-o.over
	after := newOutlet(-1)
	mustStart(t, h, start("panics", "r"), after) // the name and the thread are free
	<-after.over
	atRest(t, h)
	if ledger.Total() != 0 || base.children.Load() != 0 {
		t.Errorf("%d bytes and %d contexts are left", ledger.Total(), base.children.Load())
	}
}

// countedContext counts the contexts that descend from it.
type countedContext struct {
	context.Context
	done     chan struct{}
	children atomic.Int32
}

func (c *countedContext) Done() <-chan struct{} { return c.done }

func (c *countedContext) AfterFunc(func()) (stop func() bool) {
	c.children.Add(1)
	var once sync.Once
	return func() bool {
		once.Do(func() { c.children.Add(-1) })
		return true
	}
}

// TestR18CancelMeetsTheStart: whichever the store sees first, the run is cancelled.
func TestR18CancelMeetsTheStart(t *testing.T) {
	store := newOddStore()
	defer store.MemoryStore.Close()
	h := hubOf(t, run.HubConfig{Store: store})
	o := newOutlet(-1)
	s := startOf("t", "r", func(ctx context.Context, _ *run.Run) error { <-ctx.Done(); return nil })
	var l *run.Live
	store.bury = func() error { l, _ = mustStart(t, h, s, o); return nil }
	if err := h.Cancel(t.Context(), s.Key, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Wait(t.Context()); err != run.ErrCancelled {
		t.Errorf("it ended with %v", err)
	}
	<-o.over
	atRest(t, h)
}

// TestR19ThreadIsFreeAtTheEnd: who has the terminal event may start the next run, though the store
// does not have it yet.
func TestR19ThreadIsFreeAtTheEnd(t *testing.T) {
	for _, busy := range []run.Busy{run.BusyReject, run.BusyEnqueue} {
		store, gate := newOddStore(), make(chan struct{})
		store.close = func() error { <-gate; return nil }
		h := hubOf(t, run.HubConfig{Store: store, OnBusy: busy})
		for i := range 20 {
			o := newOutlet(-1)
			mustStart(t, h, startOf("t", fmt.Sprint(i), message(1, nil)), o)
			<-o.over
		}
		close(gate)
		atRest(t, h)
		store.MemoryStore.Close()
	}
}

// TestR21AnswerOfWhoHasJustSeenTheEnd: the viewers that are behind do not see what was answered, though
// the store is slow to take the end.
func TestR21AnswerOfWhoHasJustSeenTheEnd(t *testing.T) {
	store, gate := newOddStore(), make(chan struct{})
	defer store.MemoryStore.Close()
	store.close = func() error { <-gate; return nil }
	h := hubOf(t, run.HubConfig{Store: store})
	asks := startOf("t", "asks", func(_ context.Context, r *run.Run) error {
		return r.Emit(&agui.RunFinished{Outcome: &agui.Outcome{
			Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{{ID: "a", Reason: "x"}},
		}})
	})
	end := func(o *outlet) string { got := o.got(); return string(got[len(got)-1].Event) }
	answer := func(id string) {
		o := newOutlet(-1)
		mustStart(t, h, startInput(&agui.RunAgentInput{
			ThreadID: "t", RunID: id, Resume: []agui.ResumeEntry{{InterruptID: "a", Status: agui.ResumeResolved}},
		}, message(1, nil)), o)
		<-o.over
	}
	o, slow := newOutlet(-1), newOutlet(1)
	_, v := mustStart(t, h, asks, slow)
	mustAttach(t, h, asks.Key, run.Cursor{}, o)
	<-o.over
	answer("first")
	slow.give(-1)
	pull(v)
	if <-slow.over; strings.Contains(end(slow), "outcome") {
		t.Errorf("who was behind sees %s", end(slow))
	}
	close(gate)
	atRest(t, h)
}
