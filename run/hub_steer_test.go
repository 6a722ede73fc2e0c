package run_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

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
