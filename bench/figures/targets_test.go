package main

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/agloop/agloop/bench/result"
)

func echoCase(name string, servers ...result.Server) result.Case {
	return result.Case{Name: name, Measure: perMsg, Servers: servers}
}

// outcomeOf is the one whose text begins like this.
func outcomeOf(t *testing.T, run *result.Run, text string) result.Target {
	t.Helper()
	for _, o := range outcomes(run, allocated{passed: 2}) {
		if strings.HasPrefix(o.Text, text) {
			return o
		}
	}
	t.Fatalf("no target %q", text)
	return result.Target{}
}

func TestTargets(t *testing.T) {
	key := perMsg.Key
	refusedGWS := result.Server{Name: "gws", Rounds: []result.Round{{Refused: "load saturated: x"}}}
	run := &result.Run{Cases: []result.Case{
		echoCase(echo32, rounds("agloop", key, 1, 1.1, 1.2), rounds("gorilla", key, 20, 22, 24), rounds("coder", key, 50, 50, 50), refusedGWS),
		echoCase(echo1, rounds("agloop", key, 5, 5), rounds("uws", key, 4, 4), rounds("nbio", key, 10, 10), rounds("gorilla", key, 4.5, 4.5)),
		{Name: "idle/conns=15000", Servers: []result.Server{rounds("agloop", "rss_after", 20e6), rounds("nbio", "rss_after", 50e6)}},
		{Name: "stream/rate=20/burst=1", Servers: []result.Server{rounds("agloop", perEvent.Key, 3), rounds("gorilla", perEvent.Key, 6)}},
		{Name: "stream/rate=20/burst=4", Servers: []result.Server{rounds("agloop", perEvent.Key, 1), rounds("gorilla", perEvent.Key, 6)}},
		{Name: "stream/rate=100/burst=8", Servers: []result.Server{
			rounds("agloop", perEvent.Key, 2), rounds(loggedStream, perEvent.Key, 3.4), rounds("gorilla", perEvent.Key, 5),
		}},
		{Name: "tls-idle-after/conns=5000", Servers: []result.Server{rounds("agloop", perIdle.Key, 90000)}},
		{Name: "tls-idle/conns=5000", Servers: []result.Server{rounds("agloop", perIdle.Key, 9300), rounds("nbio", perIdle.Key, 18600)}},
		echoCase("tls-"+echo32, rounds("agloop", key, 1), rounds("gorilla", key, 5), rounds("gws", key, 4), rounds("nbio", key, 2)),
		{Name: "tls-stream/rate=20/burst=1", Servers: []result.Server{
			rounds("agloop", perEvent.Key, 6), rounds("gorilla", perEvent.Key, 8), rounds("gws", perEvent.Key, 5),
		}},
		{Name: "deflate-stream/rate=20/burst=1", Servers: []result.Server{
			rounds("agloop", perEvent.Key, 6), rounds("gws, takeover", perEvent.Key, 20), rounds("gorilla, no takeover", perEvent.Key, 15),
		}},
		{Name: "halfload/echo", Servers: []result.Server{rounds("agloop", p99.Key, 900, 700, 800)}},
		{Name: "halfload/stream", Servers: []result.Server{rounds("agloop", p99.Key, 1900)}},
	}}
	for _, c := range []struct {
		text, outcome string
		got           float64
		why           string
	}{
		{"echo, 32 in flight: no more", notMeasured, 0, "RIVAL="},
		{"echo, 32 in flight: at most 1/15", met, 0.05, "against gorilla; without gws: load saturated"},
		{"echo, 1 in flight: at most 1.1", missed, 1.25, "against uws"},
		{"echo, 1 in flight: less CPU", missed, 5 / 4.5, "against gorilla"},
		{"idle connections: at most half of the RSS of nbio, the whole", met, 0.4, "against nbio"},
		{"idle connections: at most half of the RSS of nbio, for each", notMeasured, 0, "agloop: not measured"},
		{"token streams, bursts of 4", missed, 0.4, "the worst is stream/rate=100/burst=8"},
		{"token streams, bursts of 1", met, 0.5, "the worst is stream/rate=20/burst=1"},
		{"token streams of runs with a log", missed, 1.7, "the worst is stream/rate=100/burst=8"},
		{"idle connections over TLS that have carried nothing: at most 9", missed, 9300, ""},
		{"idle connections over TLS that have carried nothing: at most half", met, 0.5, "against nbio"},
		{"echo over TLS, 1 in flight", notMeasured, 0, "no case tls-echo"},
		{"echo over TLS, 32 in flight", met, 0.25, "against gws"},
		{"token streams over TLS", missed, 1.2, "the worst is tls-stream/rate=20/burst=1, against gws"},
		{"compressed token streams: at most 0.27", notMeasured, 0, ""},
		{"compressed token streams: less than half", met, 0.4, "the worst is deflate-stream/rate=20/burst=1, against gorilla, no takeover"},
		{"half load, echo", met, 800, ""},
		{"half load, token", missed, 1900, ""},
		{"no allocation", met, 0, "2 tests"},
		{"build tag poll_opt", notMeasured, 0, "no case tags/"},
	} {
		o := outcomeOf(t, run, c.text)
		if o.Outcome != c.outcome || math.Abs(o.Got-c.got) > 1e-9 || !strings.Contains(o.Why, c.why) {
			t.Errorf("%s: %s, got %g, why %q", c.text, o.Outcome, o.Got, o.Why)
		}
	}
}

// A run that was saved before streams had a log says so, and nothing of them.
func TestTargetOfAServerThatTookNoPart(t *testing.T) {
	run := &result.Run{Cases: []result.Case{
		{Name: "stream/rate=20/burst=8", Servers: []result.Server{rounds("agloop", perEvent.Key, 1), rounds("gorilla", perEvent.Key, 6)}},
	}}
	o := outcomeOf(t, run, "token streams of runs with a log")
	if o.Outcome != notMeasured || !strings.Contains(o.Why, loggedStream+" took no part") {
		t.Errorf("%+v", o)
	}
}

func TestReasonOfAMissedTarget(t *testing.T) {
	run := &result.Run{Cases: []result.Case{{Name: "halfload/echo", Servers: []result.Server{rounds("agloop", p99.Key, 1500)}}}}
	slow := target{text: "x", most: 1000, find: own("halfload/echo", p99.Key), why: "the load shares a cache with the server"}
	if o := slow.outcome(run); o.Outcome != missed || o.Why != slow.why {
		t.Errorf("%+v", o)
	}
	slow.most = 2000
	if o := slow.outcome(run); o.Outcome != met || o.Why != "" {
		t.Errorf("%+v", o)
	}
}

func TestTagIsRecommendedWhenItSaves(t *testing.T) {
	key := perMsg.Key
	run := &result.Run{Cases: []result.Case{
		echoCase("tags/"+echo1, rounds("agloop", key, 5), rounds("agloop+poll_opt", key, 4.5), rounds("agloop+gc_opt", key, 4.5)),
		echoCase("tags/"+echo32, rounds("agloop", key, 1), rounds("agloop+poll_opt", key, 1.01), rounds("agloop+gc_opt", key, 1.2)),
		{Name: "tags/idle/conns=15000", Servers: []result.Server{
			rounds("agloop", "rss_after", 20), rounds("agloop+poll_opt", "rss_after", 20), rounds("agloop+gc_opt", "rss_after", 20),
		}},
	}}
	poll, gc := outcomeOf(t, run, "build tag poll_opt"), outcomeOf(t, run, "build tag gc_opt")
	if poll.Outcome != met || !strings.HasPrefix(poll.Why, "recommended: CPU at 1 in flight ×0.90") || math.Abs(poll.Got-0.9) > 1e-9 {
		t.Errorf("poll_opt: %+v", poll)
	}
	if gc.Outcome != met || !strings.HasPrefix(gc.Why, "not recommended: ") {
		t.Errorf("gc_opt: %+v", gc)
	}
}

func TestAllocations(t *testing.T) {
	for want, a := range map[string]allocated{
		met: {passed: 2}, missed: {passed: 1, failed: 1, err: errors.New("exit 1")}, notMeasured: {err: errors.New("does not compile")},
	} {
		if o := a.outcome(); o.Outcome != want || o.Outcome == notMeasured && o.Why == "" {
			t.Errorf("%+v: %+v", a, o)
		}
	}
	if o := (allocated{}).outcome(); o.Outcome != notMeasured {
		t.Errorf("no test: %+v", o)
	}
}
