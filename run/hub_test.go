package run_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/run"
)

// TestR2RefusedEventChangesNothing: what is out of order or malformed has no offset.
func TestR2RefusedEventChangesNothing(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	o := newOutlet(-1)
	mustStart(t, h, startOf("t", "r", func(_ context.Context, r *run.Run) error {
		if err := r.Emit(&agui.TextMessageEnd{MessageID: "m"}); err == nil {
			t.Error("an end without a start was taken")
		}
		if err := r.Emit(&agui.Custom{Name: "a\xff"}); err == nil {
			t.Error("a malformed event was taken")
		}
		return r.Emit(&agui.StepStarted{StepName: "s"})
	}), o)
	<-o.over
	o.check(t, 0)
	if got := o.last(); got != 3 { // RUN_STARTED, STEP_STARTED, RUN_ERROR: the step is open
		t.Errorf("the log has %d events", got)
	}
}

// TestR3LedgerCountsCapacity: an event of 80 bytes takes not much more, and in the end nothing is
// held.
func TestR3LedgerCountsCapacity(t *testing.T) {
	ledger := memmon.NewLedger()
	store := run.NewMemoryStore(ledger)
	h := hubOf(t, run.HubConfig{Ledger: ledger, Store: store})
	gate := make(chan struct{})
	const n = 900 // fewer than are folded
	l, _ := mustStart(t, h, startOf("t", "r", func(ctx context.Context, r *run.Run) error {
		for range n {
			if err := r.Emit(&agui.Custom{Name: "n", Value: []byte(`"` + strings.Repeat("x", 41) + `"`)}); err != nil {
				return err
			}
		}
		<-gate
		return nil
	}), nil)
	k := l.Info().RunKey
	o := newOutlet(-1)
	mustAttach(t, h, k, run.Cursor{}, o)
	await(t, "the events are there", func() bool { return o.last() == n+1 })
	size := len(o.got()[5].Event)
	if held := ledger.Total(); size != 80 || held < n*80 || held > n*80*2+8<<10 {
		t.Errorf("%d events of %d bytes hold %d", n, size, held)
	}
	close(gate)
	<-o.over
	await(t, "the log is the store's alone", func() bool { return ledger.Total() == store.Held() })
	if err := store.Close(); err != nil || ledger.Total() != 0 {
		t.Errorf("%v, %d bytes are still held", err, ledger.Total())
	}
}

// TestR4OneTerminalEvent: whoever ends a run first, its log has one end, and nothing behind it.
func TestR4OneTerminalEvent(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	for i := range 200 {
		o := newOutlet(-1)
		var began sync.WaitGroup
		began.Add(1)
		s := startOf("t", "r"+string(rune('a'+i%26))+string(rune('a'+i/26)), func(_ context.Context, r *run.Run) error {
			began.Done()
			switch i % 3 {
			case 0:
				return r.Emit(&agui.RunFinished{})
			case 1:
				return errors.New("boom")
			}
			return nil
		})
		l, _ := mustStart(t, h, s, o)
		began.Wait()
		l.Cancel(nil)
		<-o.over
		ends := 0
		for _, f := range o.got() {
			if bytes.Contains(f.Event, []byte("RUN_FINISHED")) || bytes.Contains(f.Event, []byte("RUN_ERROR")) {
				if ends++; !f.Terminal || f.Through != f.Last {
					t.Fatalf("the end is %+v", f)
				}
			} else if f.Terminal {
				t.Fatalf("%s is terminal", f.Event)
			}
		}
		if ends != 1 {
			t.Fatalf("%d ends", ends)
		}
	}
}

// TestR4NewestStayAsTheyAre, and R5, R7, R10: whatever cursor a viewer has, it gets the rest once.
func TestR4NewestStayAsTheyAre(t *testing.T) {
	const n = 20_000
	h := hubOf(t, run.HubConfig{})
	gate := make(chan struct{})
	l, _ := mustStart(t, h, startOf("t", "r", message(n, gate)), nil)
	k := l.Info().RunKey
	all := newOutlet(-1)
	mustAttach(t, h, k, run.Cursor{}, all)
	await(t, "all is emitted", func() bool { return all.last() == n+2 })
	epoch := all.got()[0].Epoch
	var fresh *outlet
	plain := 0
	await(t, "what is older is folded", func() bool {
		fresh, plain = newOutlet(-1), 0
		mustAttach(t, h, k, run.Cursor{}, fresh).Leave()
		for _, f := range fresh.got() {
			if f.First == f.Through {
				plain++
			}
		}
		return plain <= 1024+2
	})
	if frames := len(fresh.got()); fresh.text() != pieces(0, n) || plain < 700 || frames > 1024+200 {
		t.Errorf("%d frames, %d of them plain", frames, plain)
	}
	fresh.check(t, 0)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		at := random.Uint64N(n + 2)
		o := newOutlet(-1)
		mustAttach(t, h, k, run.Cursor{Epoch: epoch, Offset: at}, o)
		o.check(t, at)
		if at < 2 {
			continue
		}
		if got := o.text(); got != pieces(int(at)-2, n) {
			t.Fatalf("behind %d: %d bytes of text", at, len(got))
		}
	}
	close(gate)
	<-all.over
	for _, at := range []uint64{0, 1, 2, 3, 1000, n, n + 2, n + 3} {
		o := newOutlet(-1)
		mustAttach(t, h, k, run.Cursor{Epoch: epoch, Offset: at}, o)
		<-o.over
		if o.check(t, at); o.why != nil || o.last() != n+4 {
			t.Errorf("ended, behind %d: up to %d, %v", at, o.last(), o.why)
		}
	}
}

// TestR10Cursors: what cannot be given is gone, and says why.
func TestR10Cursors(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	gate := make(chan struct{})
	o := newOutlet(-1)
	l, _ := mustStart(t, h, startOf("t", "r", message(3, gate)), o)
	await(t, "it is emitted", func() bool { return o.last() == 5 })
	k, epoch := l.Info().RunKey, o.got()[0].Epoch
	for _, ended := range []bool{false, true} {
		if ended {
			close(gate)
			<-o.over
		}
		for _, tc := range []struct {
			at   run.Cursor
			want error
		}{
			{run.Cursor{Epoch: epoch + 1, Offset: 1}, run.ErrOtherEpoch},
			{run.Cursor{Epoch: 0, Offset: 1}, run.ErrOtherEpoch},
			{run.Cursor{Epoch: epoch, Offset: 8}, run.ErrFuture},
			{run.Cursor{Epoch: epoch, Offset: run.MaxOffset}, run.ErrFuture},
			{run.Cursor{Epoch: epoch, Offset: 5}, nil},
			{run.Cursor{Epoch: epoch}, nil},
		} {
			_, v, err := h.Attach(t.Context(), k, tc.at, newOutlet(-1))
			if err != tc.want {
				t.Errorf("ended %v, %v: %v, want %v", ended, tc.at, err, tc.want)
			}
			if v != nil {
				v.Leave()
			}
		}
		if _, _, err := h.Attach(t.Context(), run.RunKey{Scope: "other", Thread: "t", Run: "r"}, run.Cursor{}, newOutlet(-1)); !errors.Is(err, run.ErrGone) {
			t.Errorf("another scope: %v", err)
		}
	}
	if _, _, err := h.Attach(t.Context(), k, run.Cursor{Epoch: epoch, Offset: 7}, newOutlet(-1)); err != run.ErrBuried {
		t.Errorf("behind the end: %v", err)
	}
}

// TestR11ProducerWaits: while it is a window ahead of its most advanced viewer, until that goes on,
// leaves, or the run is cancelled; without a viewer it does not.
func TestR11ProducerWaits(t *testing.T) {
	for _, end := range []string{"room", "leaves", "cancel", "joins", "away"} {
		t.Run(end, func(t *testing.T) {
			h := hubOf(t, run.HubConfig{Limits: run.LogLimits{WindowEvents: 10}})
			var emitted atomic.Int64
			s := startOf("t", "r", func(_ context.Context, r *run.Run) error {
				for range 100 {
					if err := r.Emit(&agui.Custom{Name: "n", Value: []byte("1")}); err != nil {
						return err
					}
					emitted.Add(1)
				}
				return nil
			})
			o := newOutlet(4)
			l, v := mustStart(t, h, s, o)
			await(t, "the producer is a window ahead", func() bool { return emitted.Load() == 13 })
			other := newOutlet(-1)
			switch end {
			case "room":
				o.give(-1)
				pull(v)
			case "leaves":
				v.Leave()
			case "cancel":
				l.Cancel(nil)
			case "joins":
				mustAttach(t, h, l.Info().RunKey, run.Cursor{}, other)
			case "away": // it counts where it stands
				v.Away()
				mustAttach(t, h, l.Info().RunKey, run.Cursor{}, other)
				v.Leave()
			}
			if err := l.Wait(t.Context()); end == "cancel" != errors.Is(err, run.ErrCancelled) {
				t.Errorf("it ended with %v", err)
			}
			if n := emitted.Load(); n != 100 && end != "cancel" {
				t.Errorf("%d were emitted", n)
			}
		})
	}
	t.Run("bytes", func(t *testing.T) {
		h := hubOf(t, run.HubConfig{Limits: run.LogLimits{WindowBytes: 10 << 10}})
		var emitted atomic.Int64
		_, v := mustStart(t, h, startOf("t", "r", func(_ context.Context, r *run.Run) error {
			for range 30 {
				if err := r.Emit(&agui.Custom{Name: "n", Value: []byte(`"` + strings.Repeat("x", 1000) + `"`)}); err != nil {
					return err
				}
				emitted.Add(1)
			}
			return nil
		}), newOutlet(0))
		await(t, "the producer is a window ahead", func() bool { return emitted.Load() == 10 })
		v.Leave()
	})
}

// TestR12OnDisconnect: what becomes of a run whose last viewer is gone, by how it was started.
func TestR12OnDisconnect(t *testing.T) {
	for _, tc := range []struct {
		name   string
		policy run.Disconnect
		grace  time.Duration
		keep   bool
		after  time.Duration // when it is cancelled; 0: never
	}{
		{"cancel", run.DisconnectCancel, 0, false, 1},
		{"continue", run.DisconnectContinue, 0, false, 120 * time.Second},
		{"continue for a while", run.DisconnectContinue, time.Second, false, time.Second},
		{"to its end", run.DisconnectContinue, -1, false, 0},
		{"of the host", run.DisconnectCancel, time.Second, true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := hubOf(t, run.HubConfig{Grace: tc.grace})
				gate := make(chan struct{})
				s := startOf("t", "r", message(1, gate))
				s.OnDisconnect, s.Keep = tc.policy, tc.keep
				l, first := mustStart(t, h, s, newOutlet(-1))
				second := mustAttach(t, h, s.Key, run.Cursor{}, newOutlet(-1))
				first.Leave()
				synctest.Wait()
				time.Sleep(time.Hour) // one is still there
				if n := l.Viewers(); n != 1 || h.Find(s.Key) == nil {
					t.Fatalf("%d viewers, live: %v", n, h.Find(s.Key) != nil)
				}
				second.Leave()
				if tc.after > 1 { // somebody comes in time
					time.Sleep(tc.after - 1)
					third := mustAttach(t, h, s.Key, run.Cursor{}, newOutlet(-1))
					time.Sleep(time.Hour)
					if h.Find(s.Key) == nil {
						t.Fatal("it was abandoned though it had a viewer")
					}
					third.Leave()
					time.Sleep(tc.after - 1)
					if h.Find(s.Key) == nil {
						t.Fatal("it was abandoned too soon")
					}
					time.Sleep(time.Nanosecond)
				}
				synctest.Wait()
				if tc.after == 0 {
					time.Sleep(24 * time.Hour)
					if h.Find(s.Key) == nil {
						t.Error("it was abandoned")
					}
					close(gate)
				}
				if err := l.Wait(t.Context()); errors.Is(err, run.ErrAbandoned) != (tc.after > 0) {
					t.Errorf("it ended with %v", err)
				}
				time.Sleep(48 * time.Hour) // timers
			})
		})
	}
}
