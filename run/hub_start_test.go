package run_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// TestR15SameNameSameInput: is one run, whoever starts it how often; another input is a conflict.
func TestR15SameNameSameInput(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	var calls atomic.Int32
	gate := make(chan struct{})
	agent := func(ctx context.Context, r *run.Run) error {
		calls.Add(1)
		return message(5, gate)(ctx, r)
	}
	const n = 20
	outs := make([]*outlet, n)
	var starts sync.WaitGroup
	released := new(atomic.Int32)
	for i := range outs {
		outs[i] = newOutlet(-1)
		starts.Go(func() {
			s := startOf("t", "r", agent)
			s.Released = func() { released.Add(1) }
			_, v, err := h.Start(t.Context(), s, outs[i])
			if err != nil {
				t.Error(err)
				return
			}
			pull(v)
		})
	}
	starts.Wait()
	other := startOf("t", "r", agent)
	other.Hash[0]++
	if _, _, err := h.Start(t.Context(), other, newOutlet(-1)); err != run.ErrConflict {
		t.Errorf("another input: %v", err)
	}
	close(gate)
	for _, o := range outs {
		if <-o.over; o.text() != pieces(0, 5) {
			t.Errorf("got %q", o.text())
		}
		o.check(t, 0)
	}
	if got := calls.Load(); got != 1 {
		t.Errorf("the agent was called %d times", got)
	}
	await(t, "every place is given back", func() bool { return released.Load() == n })
	again := newOutlet(-1)
	mustStart(t, h, startOf("t", "r", agent), again) // it has ended
	if <-again.over; again.text() != pieces(0, 5) || calls.Load() != 1 {
		t.Errorf("after its end: %q, %d calls", again.text(), calls.Load())
	}
	if _, _, err := h.Start(t.Context(), other, newOutlet(-1)); err != run.ErrConflict {
		t.Errorf("another input after its end: %v", err)
	}
}

// TestR18CancelBeforeTheStart: the run that comes ends at once, and its agent is not called.
func TestR18CancelBeforeTheStart(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	s := startOf("t", "r", func(context.Context, *run.Run) error {
		t.Error("the agent was called")
		return nil
	})
	for range 2 {
		if err := h.Cancel(t.Context(), s.Key, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		o := newOutlet(-1)
		mustStart(t, h, s, o)
		<-o.over
		got := o.got()
		if len(got) != 2 || !bytes.Contains(got[0].Event, []byte("RUN_STARTED")) || !bytes.Contains(got[1].Event, []byte(`"outcome":{"type":"cancelled"}`)) {
			t.Errorf("got %d events, %s", len(got), got[len(got)-1].Event)
		}
	}
}

// TestR18AgentThatIgnoresIt: the run ends after ten seconds without it, and it keeps its place.
func TestR18AgentThatIgnoresIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hubOf(t, run.HubConfig{})
		gate := make(chan struct{})
		s := startOf("t", "r", func(_ context.Context, r *run.Run) error {
			if err := r.Emit(&agui.StepStarted{StepName: "s"}); err != nil {
				t.Error(err)
			}
			<-gate
			if err := r.Emit(&agui.StepFinished{StepName: "s"}); err == nil {
				t.Error("something follows the end")
			}
			return nil
		})
		var released atomic.Bool
		s.Released = func() { released.Store(true) }
		o := newOutlet(-1)
		l, _ := mustStart(t, h, s, o)
		synctest.Wait()
		l.Cancel(nil)
		time.Sleep(10*time.Second - 1)
		if o.last() != 2 {
			t.Errorf("up to %d", o.last())
		}
		time.Sleep(time.Nanosecond)
		<-o.over
		synctest.Wait()
		got := o.got()
		if len(got) != 4 || !bytes.Contains(got[2].Event, []byte("STEP_FINISHED")) || !bytes.Contains(got[3].Event, []byte(`"cancelled"`)) {
			t.Errorf("%d events, the last is %s", len(got), got[len(got)-1].Event)
		}
		if err := l.Wait(t.Context()); err != run.ErrCancelled || released.Load() {
			t.Errorf("%v, given back: %v", err, released.Load())
		}
		next := newOutlet(-1) // the thread is free
		mustStart(t, h, startOf("t", "next", message(1, nil)), next)
		<-next.over
		close(gate)
		synctest.Wait()
		if !released.Load() {
			t.Error("the place is not given back")
		}
		time.Sleep(48 * time.Hour)
	})
}

// TestR19BusyThread: what becomes of a second run.
func TestR19BusyThread(t *testing.T) {
	start := func(t *testing.T, busy run.Busy, n int) (h *run.Hub, gate chan struct{}, outs []*outlet, errs []error) {
		h = hubOf(t, run.HubConfig{OnBusy: busy})
		gate = make(chan struct{}, 100)
		for i := range n {
			o := newOutlet(-1)
			_, v, err := h.Start(t.Context(), startOf("t", fmt.Sprint(i), message(1, gate)), o)
			if err == nil {
				pull(v)
			}
			outs, errs = append(outs, o), append(errs, err)
		}
		return h, gate, outs, errs
	}
	t.Run("enqueue", func(t *testing.T) {
		h, gate, outs, errs := start(t, run.BusyEnqueue, 10)
		for i, err := range errs {
			if want := i > 8; (err == run.ErrThreadBusy) != want {
				t.Errorf("%d: %v", i, err)
			}
		}
		// One that waits is cancelled where it stands.
		if err := h.Cancel(t.Context(), run.RunKey{Scope: "s", Thread: "t", Run: "3"}, nil); err != nil {
			t.Error(err)
		}
		if <-outs[3].over; outs[3].last() != 2 {
			t.Errorf("one that was cancelled while it waited has %d events", outs[3].last())
		}
		for i, o := range outs[:9] {
			if i == 3 {
				continue
			}
			await(t, "it is its turn", func() bool { return o.last() == 3 })
			for _, later := range outs[i+1 : 9] {
				if n := later.last(); n > 1 && later != outs[3] {
					t.Errorf("a later one is at %d", n)
				}
			}
			gate <- struct{}{}
			<-o.over
		}
	})
	t.Run("reject", func(t *testing.T) {
		_, gate, outs, errs := start(t, run.BusyReject, 2)
		if errs[0] != nil || errs[1] != run.ErrThreadBusy {
			t.Errorf("%v", errs)
		}
		gate <- struct{}{}
		<-outs[0].over
	})
	t.Run("cancel previous", func(t *testing.T) {
		_, gate, outs, errs := start(t, run.BusyCancelPrevious, 12)
		gate <- struct{}{}
		for i, o := range outs {
			<-o.over
			last := o.got()[len(o.got())-1]
			if errs[i] != nil || bytes.Contains(last.Event, []byte("cancelled")) != (i < 11) {
				t.Errorf("%d: %v, ended with %s", i, errs[i], last.Event)
			}
		}
	})
}

// TestR21AnsweredInterrupts: a later run that answers them takes them out of the end of an earlier
// one, for who sees that later.
func TestR21AnsweredInterrupts(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	asks := startOf("t", "asks", func(_ context.Context, r *run.Run) error {
		return r.Emit(&agui.RunFinished{Outcome: &agui.Outcome{
			Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{{ID: "a", Reason: "x"}, {ID: "b", Reason: "y"}},
		}})
	})
	o, slow := newOutlet(-1), newOutlet(1)
	mustStart(t, h, asks, o)
	sv := mustAttach(t, h, asks.Key, run.Cursor{}, slow)
	<-o.over
	end := func(o *outlet) string { got := o.got(); return string(got[len(got)-1].Event) }
	if got := end(o); !strings.Contains(got, `"a"`) || !strings.Contains(got, `"b"`) {
		t.Fatalf("ended with %s", got)
	}
	await(t, "it has ended", func() bool { return h.Find(asks.Key) == nil })
	for i, answers := range []string{"a", "b"} {
		input := &agui.RunAgentInput{ThreadID: "t", RunID: answers, Resume: []agui.ResumeEntry{{InterruptID: answers, Status: agui.ResumeResolved}}}
		next := newOutlet(-1)
		mustStart(t, h, startInput(input, message(1, nil)), next)
		<-next.over
		late := newOutlet(-1)
		mustAttach(t, h, asks.Key, run.Cursor{}, late)
		<-late.over
		got := end(late)
		if strings.Contains(got, `"a"`) || strings.Contains(got, `"b"`) == (i == 1) || strings.Contains(got, "outcome") == (i == 1) {
			t.Errorf("after %s it ended with %s", answers, got)
		}
	}
	slow.give(-1)
	pull(sv)
	if <-slow.over; strings.Contains(end(slow), "outcome") {
		t.Errorf("who was attached all the time sees %s", end(slow))
	}
}

// TestShutdownOfAHub: no run begins, those that wait end, and those that run are left to be
// cancelled.
func TestShutdownOfAHub(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	gate := make(chan struct{})
	first, second := newOutlet(-1), newOutlet(-1)
	l, _ := mustStart(t, h, startOf("t", "1", message(1, gate)), first)
	mustStart(t, h, startOf("t", "2", message(1, gate)), second)
	h.Close()
	if <-second.over; second.last() != 2 {
		t.Errorf("one that waited has %d events", second.last())
	}
	if _, _, err := h.Start(t.Context(), startOf("t", "3", message(1, gate)), nil); err != run.ErrShutdown {
		t.Errorf("started: %v", err)
	}
	await(t, "one goes on", func() bool { return h.Busy() == 1 })
	h.CancelAll(run.ErrShutdown)
	if err := l.Wait(t.Context()); err != run.ErrShutdown || !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	await(t, "nothing goes on", func() bool { return h.Busy() == 0 })
}
