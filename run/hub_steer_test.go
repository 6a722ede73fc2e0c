package run_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// TestR22SameIDWhileItIsTaken: a text whose emitting waits for room is not taken a second time, and
// each who said it has one answer.
func TestR22SameIDWhileItIsTaken(t *testing.T) {
	for _, cancelled := range []bool{false, true} {
		h := hubOf(t, run.HubConfig{Limits: run.LogLimits{WindowEvents: 4}})
		said, taking := make(chan struct{}), make(chan struct{})
		l, v := mustStart(t, h, startOf("t", "r", func(_ context.Context, r *run.Run) error {
			r.Steering()
			<-said
			for range 3 { // RUN_STARTED and these are a window
				if err := r.Emit(&agui.Custom{Name: "n", Value: []byte("1")}); err != nil {
					return err
				}
			}
			close(taking)
			for {
				if _, ok, err := r.TakeSteer(); !ok || err != nil {
					return err
				}
			}
		}), newOutlet(0))
		all := newOutlet(-1)
		var yes, no atomic.Int32
		say := func() {
			l.Say("id", "text", func(ok bool) {
				if ok {
					yes.Add(1)
				} else {
					no.Add(1)
				}
			})
		}
		await(t, "it listens", func() bool { n := no.Load(); say(); return no.Load() == n })
		refused := no.Load()
		close(said)
		<-taking
		for range 100 { // some come while it is being emitted
			say()
		}
		if cancelled {
			l.Cancel(nil)
		}
		v.Leave()
		await(t, "all have an answer", func() bool { return yes.Load()+no.Load()-refused == 101 })
		if (yes.Load() == 0) != cancelled || yes.Load() != 0 && no.Load() != refused {
			t.Errorf("%d times taken, %d times not", yes.Load(), no.Load()-refused)
		}
		_ = l.Wait(t.Context())
		mustAttach(t, h, l.Info().RunKey, run.Cursor{}, all)
		<-all.over
		users := 0
		for _, f := range all.got() {
			users += bytes.Count(f.Event, []byte(`"role":"user"`))
		}
		if users > 1 || users == 0 != cancelled {
			t.Errorf("it was emitted %d times", users)
		}
	}
}

// TestR22TextLongerThanAnEvent: of any text that may be said, the message is whole.
func TestR22TextLongerThanAnEvent(t *testing.T) {
	const most = 4 << 10 // what Limits.MaxEvent is at least
	h := hubOf(t, run.HubConfig{})
	listens := make(chan struct{})
	s := startOf("t", "r", nil)
	s.Do = func(ctx context.Context, l *run.Live) error {
		return run.Do(ctx, s.Input, &run.Setup{
			Scope: "s", Encoder: plainEncoder{}, Live: l, MaxEvent: most, Log: slog.New(slog.DiscardHandler),
			Agent: run.AgentFunc(func(_ context.Context, r *run.Run) error {
				ready := r.Steering()
				close(listens)
				<-ready
				_, _, err := r.TakeSteer()
				return err
			}),
		})
	}
	o := newOutlet(-1)
	l, _ := mustStart(t, h, s, o)
	<-listens
	text := strings.Repeat("\x01é漢😀", run.MaxSteer/10)
	if !l.Steer(t.Context(), text) {
		t.Error("it was not taken")
	}
	<-o.over
	if o.text() != text {
		t.Errorf("%d bytes of %d came", len(o.text()), len(text))
	}
	for _, f := range o.got() {
		if len(f.Event) > most {
			t.Errorf("an event has %d bytes", len(f.Event))
		}
	}
}

// TestR22Steer: the agent takes what is said, every viewer sees it, and the same id has one answer.
func TestR22Steer(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	listens, end := make(chan struct{}), make(chan struct{})
	s := startOf("t", "r", func(ctx context.Context, r *run.Run) error {
		<-listens
		for ready := r.Steering(); ; {
			select {
			case <-ready:
				if _, ok, err := r.TakeSteer(); !ok || err != nil {
					t.Errorf("took %v, %v", ok, err)
				}
			case <-end:
				return nil
			}
		}
	})
	o := newOutlet(-1)
	l, _ := mustStart(t, h, s, o)
	if l.Steer(t.Context(), "too soon") {
		t.Error("taken by an agent that does not listen")
	}
	close(listens)
	await(t, "it listens and takes", func() bool { return l.Steer(t.Context(), "first") })
	answers := make(chan bool, 8)
	for range 3 {
		l.Say("id", "second", func(ok bool) { answers <- ok })
	}
	for range 3 {
		if !<-answers {
			t.Error("not taken")
		}
	}
	if l.Steer(t.Context(), strings.Repeat("x", run.MaxSteer+1)) {
		t.Error("a text beyond the limit was taken")
	}
	close(end)
	<-o.over
	l.Say("id", "second", func(ok bool) { answers <- ok })
	l.Say("late", "third", func(ok bool) { answers <- ok })
	if !<-answers || <-answers {
		t.Error("after the end the answers are others")
	}
	users := 0
	for _, f := range o.got() {
		if bytes.Contains(f.Event, []byte(`"role":"user"`)) {
			users++
		}
	}
	if text := o.text(); users != 2 || text != "firstsecond" {
		t.Errorf("%d messages, %q", users, text)
	}
}

// TestR22AnswerAfterTheEnd: who has missed an answer gets it while the run's log is kept.
func TestR22AnswerAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hubOf(t, run.HubConfig{})
		s := startOf("t", "r", func(_ context.Context, r *run.Run) error {
			<-r.Steering()
			_, _, err := r.TakeSteer()
			return err
		})
		o := newOutlet(-1)
		mustStart(t, h, s, o)
		synctest.Wait()
		var taken []bool
		told := func(ok bool) { taken = append(taken, ok) }
		if err := h.Say(t.Context(), s.Key, "id", "x", told); err != nil {
			t.Errorf("a run that goes on: %v", err)
		}
		<-o.over
		synctest.Wait()
		err := errors.Join(h.Say(t.Context(), s.Key, "id", "x", told), h.Say(t.Context(), s.Key, "other", "y", told))
		if err != nil || len(taken) != 3 || !taken[0] || !taken[1] || taken[2] {
			t.Errorf("answers %v, %v", taken, err)
		}
		time.Sleep(3 * time.Minute)
		if err := h.Say(t.Context(), s.Key, "id", "x", told); !errors.Is(err, run.ErrBuried) || len(taken) != 3 {
			t.Errorf("an answer is kept for ever: %v", err)
		}
	})
}

// TestR22SteersThatWait: at most 64 do, and all have an answer when the run ends.
func TestR22SteersThatWait(t *testing.T) {
	h := hubOf(t, run.HubConfig{})
	listens, end := make(chan struct{}), make(chan struct{})
	l, _ := mustStart(t, h, startOf("t", "r", func(_ context.Context, r *run.Run) error {
		r.Steering()
		close(listens)
		<-end
		return nil
	}), newOutlet(-1))
	<-listens
	var no atomic.Int32
	for i := range 70 {
		l.Say(fmt.Sprint(i), "x", func(ok bool) {
			if ok {
				t.Error("taken")
			}
			no.Add(1)
		})
	}
	if n := no.Load(); n != 6 {
		t.Errorf("%d were refused at once", n)
	}
	close(end)
	await(t, "all have an answer", func() bool { return no.Load() == 70 })
}
