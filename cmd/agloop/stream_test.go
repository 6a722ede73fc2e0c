package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

func TestParseStreamProps(t *testing.T) {
	defaults := streamProps{Rate: 10, Burst: 4, Delta: 24, Seconds: 60}
	for _, tc := range []struct {
		raw  string
		want streamProps
	}{
		{``, defaults},
		{`{}`, defaults},
		{`{"unknown":true}`, defaults},
		{`{"rate":0.5,"burst":1,"delta":65536,"seconds":86400,"hold":86400}`, streamProps{0.5, 1, 65536, 86400, 86400}},
		{`{"rate":1000,"seconds":0.001}`, streamProps{1000, 4, 24, 0.001, 0}},
	} {
		got, err := parseStreamProps([]byte(tc.raw))
		if err != nil || got != tc.want {
			t.Errorf("%s: %+v, %v", tc.raw, got, err)
		}
	}
	for raw, about := range map[string]string{
		`{"rate":0}`:        "rate",
		`{"rate":1001}`:     "rate",
		`{"burst":0}`:       "burst",
		`{"burst":2.5}`:     "burst",
		`{"delta":0}`:       "delta",
		`{"delta":65537}`:   "delta",
		`{"seconds":0}`:     "seconds",
		`{"seconds":86401}`: "seconds",
		`{"seconds":"1"}`:   "seconds",
		`{"hold":-1}`:       "hold",
		`{"hold":86401}`:    "hold",
		`7`:                 "forwardedProps",
	} {
		if _, err := parseStreamProps([]byte(raw)); err == nil || !strings.Contains(err.Error(), about) {
			t.Errorf("%s: %v, want an error about %s", raw, err, about)
		}
	}
}

func TestStreamSchedule(t *testing.T) {
	p := streamProps{Rate: 10, Burst: 4, Delta: 24, Seconds: 60}
	if p.bursts() != 600 || p.interval() != 100*time.Millisecond {
		t.Errorf("%d bursts, one each %v", p.bursts(), p.interval())
	}
	p = streamProps{Rate: 0.01, Seconds: 0.1}
	if p.bursts() != 1 {
		t.Errorf("%d bursts, want one at least", p.bursts())
	}
}

func TestTokens(t *testing.T) {
	for _, n := range []int{1, 24, 35, 36, 64 << 10} {
		say := tokens(n)
		for i := range 2 * len(words) {
			switch got := say(i); {
			case len(got) != n:
				t.Fatalf("token %d of %d bytes has %d", i, n, len(got))
			case n >= 24 && got == say(i+1):
				t.Fatalf("two tokens of %d bytes say the same: %.40q", n, got)
			}
		}
		if say(0) != say(len(words)) {
			t.Errorf("tokens of %d bytes do not begin anew", n)
		}
	}
}

// discard takes events and counts them.
type discard struct{ events int }

func (d *discard) Send([]byte, run.Kind) bool           { d.events++; return true }
func (d *discard) AwaitDrain(ctx context.Context) error { return ctx.Err() }

// encoder keeps no state for encoding.
var encoder, _ = event.NewSerializer(event.OptimizedJSON)

func with(sink run.Sink) *run.Setup {
	return &run.Setup{Agent: run.AgentFunc(streamAgent), Encoder: encoder, Sink: sink, MaxEvent: 1 << 20}
}

func TestStreamAgent(t *testing.T) {
	input := &agui.RunAgentInput{
		ThreadID: "thread", RunID: "run",
		ForwardedProps: []byte(`{"rate":1000,"burst":1000,"delta":24,"seconds":0.01}`),
	}
	const tokens = 10_000
	var sink discard
	allocs := testing.AllocsPerRun(1, func() {
		sink.events = 0
		if err := run.Do(t.Context(), input, with(&sink)); err != nil {
			t.Fatal(err)
		}
	})
	// RUN_STARTED, TEXT_MESSAGE_START, the tokens, TEXT_MESSAGE_END, RUN_FINISHED
	if sink.events != tokens+4 {
		t.Errorf("%d events, want %d", sink.events, tokens+4)
	}
	if allocs > tokens/20 {
		t.Errorf("%.0f allocations for %d tokens", allocs, tokens)
	}
}

// TestStreamAgentHolds: a run that has said everything goes on for as long as it was asked to.
func TestStreamAgentHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := aguitest.Input()
		in.ForwardedProps = []byte(`{"rate":10,"burst":10,"seconds":1,"hold":3600}`)
		began := time.Now()
		got := aguitest.Run(t, run.AgentFunc(streamAgent), in)
		got.WantSuccess()
		if held := time.Since(began); len(got.Events) != 104 || held != time.Hour+time.Second {
			t.Errorf("%d events in %v, want 104 in an hour and a second", len(got.Events), held)
		}
	})
}

func TestStreamAgentStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := aguitest.Start(t, run.AgentFunc(streamAgent), aguitest.Input())
		time.Sleep(10*time.Second + time.Millisecond)
		s.Cancel(nil)
		got := s.Wait()
		got.WantCancelled()
		// Ten bursts a second, four tokens each.
		if want := 100*4 + 4; len(got.Events) != want {
			t.Errorf("%d events, want %d", len(got.Events), want)
		}
	})
}

func TestStreamAgentRefusesProps(t *testing.T) {
	in := aguitest.Input()
	in.ForwardedProps = []byte(`{"rate":0}`)
	if end := aguitest.Run(t, run.AgentFunc(streamAgent), in).WantError("bad_props"); !strings.Contains(end.Message, "rate") {
		t.Errorf("message %q", end.Message)
	}
}
