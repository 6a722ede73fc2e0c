package run_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/run"
)

// TestR13Retention: a log lives two minutes after its end, and ten while it has viewers.
func TestR13Retention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hubOf(t, run.HubConfig{})
		o, slow := newOutlet(-1), newOutlet(1)
		s := startOf("t", "r", message(3, nil))
		mustStart(t, h, s, o)
		sv := mustAttach(t, h, s.Key, run.Cursor{}, slow)
		<-o.over
		synctest.Wait()
		epoch := o.got()[0].Epoch
		at := run.Cursor{Epoch: epoch, Offset: 2}
		time.Sleep(2*time.Minute - time.Second)
		late := newOutlet(-1)
		mustAttach(t, h, s.Key, at, late)
		if <-late.over; late.text() != pieces(0, 3) {
			t.Errorf("within two minutes: %q", late.text())
		}
		time.Sleep(2 * time.Second)
		for range 2 { // also after a day and more, when the tombstone is gone
			if _, _, err := h.Attach(t.Context(), s.Key, at, newOutlet(-1)); !errors.Is(err, run.ErrGone) {
				t.Errorf("afterwards: %v", err)
			}
			if _, _, err := h.Start(t.Context(), s, newOutlet(-1)); err != run.ErrBuried {
				t.Errorf("R16: started again: %v", err)
			}
		}
		time.Sleep(5 * time.Minute)
		slow.give(2) // who was attached reads on
		if sv.Pull(); slow.last() != 3 {
			t.Errorf("the slow viewer is at %d", slow.last())
		}
		time.Sleep(3 * time.Minute)
		if <-slow.over; slow.why != run.ErrBuried {
			t.Errorf("the slow viewer ended with %v", slow.why)
		}
		time.Sleep(48 * time.Hour)
	})
}

// TestR14Budget: ended logs go first, then what is older of who is longest without a viewer; runs go
// on.
func TestR14Budget(t *testing.T) {
	ledger := memmon.NewLedger()
	store := run.NewMemoryStore(ledger)
	defer store.Close()
	var most atomic.Int64
	h := hubOf(t, run.HubConfig{
		Ledger: ledger, Store: store, LogBytes: most.Load,
		Limits: run.LogLimits{WindowEvents: 16, WindowBytes: 16 << 10}, Grace: -1,
	})
	gate := make(chan struct{})
	big := func(n int) run.AgentFunc {
		return func(ctx context.Context, r *run.Run) error {
			for range n {
				if err := r.Emit(&agui.Custom{Name: "n", Value: []byte(`"` + strings.Repeat("x", 1000) + `"`)}); err != nil {
					return err
				}
			}
			if r.Input.RunID[0] == 'l' {
				<-gate
			}
			return nil
		}
	}
	for i := range 4 {
		o := newOutlet(-1)
		mustStart(t, h, startOf(fmt.Sprint(i), fmt.Sprint("ended", i), big(200)), o)
		<-o.over
	}
	var live []*run.Live
	for i := range 3 {
		o := newOutlet(-1)
		l, v := mustStart(t, h, startOf(fmt.Sprint("l", i), fmt.Sprint("l", i), big(200)), o)
		await(t, "it is emitted", func() bool { return o.last() == 201 })
		if i < 2 {
			v.Leave()
		}
		live = append(live, l)
	}
	before := ledger.Total()
	most.Store(before / 3)
	await(t, "there is room", func() bool {
		o := newOutlet(-1)
		_, v, err := h.Start(t.Context(), startOf("more", fmt.Sprint("more", time.Now().UnixNano()), big(20)), o)
		if err != nil {
			t.Fatal(err)
		}
		pull(v)
		<-o.over
		return ledger.Total() <= before/3+64<<10
	})
	if n := store.Stats().Shed; n < 4 {
		t.Errorf("%d ended logs went", n)
	}
	if h.Find(live[0].Info().RunKey) == nil || h.Find(live[2].Info().RunKey) == nil {
		t.Error("a live run went")
	}
	close(gate)
	for _, l := range live {
		if err := l.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestR14ABlockedStoreHoldsUpNoShedding: what one run's store does not drop is no matter of others.
func TestR14ABlockedStoreHoldsUpNoShedding(t *testing.T) {
	store, gate := newOddStore(), make(chan struct{})
	defer store.MemoryStore.Close()
	var most atomic.Int64
	var blocks atomic.Bool
	var folded atomic.Int32
	store.fold = func(through uint64) error {
		if through >= 200+1-15 { // the others are fewer than a window
			folded.Add(1)
		}
		if blocks.Load() {
			<-gate
		}
		return nil
	}
	h := hubOf(t, run.HubConfig{Store: store, LogBytes: most.Load, Limits: run.LogLimits{WindowEvents: 16}, Grace: -1})
	goOn := make(chan struct{})
	background := func(n int) run.AgentFunc {
		return func(ctx context.Context, r *run.Run) error {
			for range n {
				if err := r.Emit(&agui.Custom{Name: "n", Value: []byte(`"` + strings.Repeat("x", 1000) + `"`)}); err != nil {
					return err
				}
			}
			<-goOn
			return nil
		}
	}
	for i := range 3 { // that nobody ever viewed
		mustStart(t, h, startOf(fmt.Sprint(i), "r", background(200)), nil)
	}
	await(t, "all is emitted and folded", func() bool { return folded.Load() == 3 })
	blocks.Store(true)
	most.Store(1)
	o := newOutlet(-1)
	mustStart(t, h, startOf("more", "r", background(1)), o) // which has it shed
	await(t, "all three were shed and counted", func() bool { return h.Held() < 3*40*1100 && shedCount(h) >= 3 })
	if n := shedCount(h); n != 3 {
		t.Errorf("%d were shed", n)
	}
	blocks.Store(false)
	close(gate)
	close(goOn)
	<-o.over
	atRest(t, h)
}

// TestR14ViewersKeepTheirs: shedding trims no log that somebody views, and does not count what it did
// not free, nor try again for every event.
func TestR14ViewersKeepTheirs(t *testing.T) {
	const n = 400
	var asked atomic.Int64
	var most atomic.Int64
	h := hubOf(t, run.HubConfig{Limits: run.LogLimits{WindowEvents: 16}, LogBytes: func() int64 {
		asked.Add(1)
		return most.Load()
	}})
	first, second := make(chan struct{}), make(chan struct{})
	agent := func(ctx context.Context, r *run.Run) error {
		for i := range 2 * n {
			if i == n {
				<-first
			}
			if err := r.Emit(&agui.Custom{Name: "n", Value: []byte(`"` + strings.Repeat("x", 1000) + `"`)}); err != nil {
				return err
			}
		}
		<-second
		return nil
	}
	s := startOf("t", "r", agent)
	o := newOutlet(-1)
	mustStart(t, h, s, o)
	slow := newOutlet(3)
	sv := mustAttach(t, h, s.Key, run.Cursor{}, slow)
	await(t, "half is emitted", func() bool { return o.last() == n+1 })
	most.Store(1)
	asked.Store(0)
	close(first)
	await(t, "all is emitted", func() bool { return o.last() == 2*n+1 })
	if times := asked.Load(); times > n/2 {
		t.Errorf("the bound was asked for %d times", times)
	}
	slow.give(-1)
	if pull(sv); slow.last() != 2*n+1 {
		t.Errorf("the slow viewer is at %d, %v", slow.last(), slow.why)
	}
	slow.check(t, 0)
	close(second)
	<-o.over
	if logs := shedCount(h); logs > 1 { // the ended log
		t.Errorf("%d were shed", logs)
	}
}

// TestR13LogsFromAStoreAreGivenBack: also those that cannot be attached to.
func TestR13LogsFromAStoreAreGivenBack(t *testing.T) {
	store, ledger := newOddStore(), memmon.NewLedger()
	defer store.MemoryStore.Close()
	h := hubOf(t, run.HubConfig{Store: store, Ledger: ledger})
	o := newOutlet(-1)
	s := startOf("t", "r", message(100, nil))
	mustStart(t, h, s, o)
	<-o.over
	atRest(t, h)
	epoch := o.got()[0].Epoch
	late := newOutlet(5)
	v := mustAttach(t, h, s.Key, run.Cursor{}, late)
	if _, _, err := h.Attach(t.Context(), s.Key, run.Cursor{Epoch: epoch, Offset: o.last()}, newOutlet(-1)); err != run.ErrBuried {
		t.Errorf("behind the end: %v", err)
	}
	if _, _, n := h.Sizes(); n != 1 || ledger.Total() == 0 {
		t.Errorf("%d linger, %d bytes are counted", n, ledger.Total())
	}
	v.Leave()
	atRest(t, h)
	if ledger.Total() != 0 {
		t.Errorf("%d bytes are still held", ledger.Total())
	}
}
