package main

import (
	"fmt"
	"strings"

	"github.com/agloop/agloop/bench/page"
	"github.com/agloop/agloop/bench/result"
)

const (
	met         = "met"
	missed      = "missed"
	notMeasured = "not measured"
)

// finding is the result of a run for a target.
type finding struct {
	got  result.Spread
	who  string // it is compared with, or where it was found
	lack string // what is not in it, and why
}

// target is a performance target of the project.
type target struct {
	text string
	most float64
	find func(run *result.Run) finding
	why  string // it is missed, once somebody knows
}

const (
	echo1  = "echo/size=128/inflight=1"
	echo32 = "echo/size=128/inflight=32"
)

var (
	uws        = []string{"uws", "uWebSockets"}
	goroutines = []string{"gorilla", "coder", "gws", "gobwas"} // used as documented
	libraries  = []string{"gorilla", "coder", "gws", "nbio", "gobwas"}
	tlsRivals  = []string{"gorilla", "gws"}

	noUWS = "uWebSockets is C++ and in no registry of Go or Debian; name it with RIVAL='uws=COMMAND'"
)

// targets are in the order in which a report has them. CPU and memory are ratios of one run:
// agloop's figure divided by the other's.
var targets = []target{
	{
		text: "echo, 32 in flight: no more CPU per message than uWebSockets", most: 1,
		find: absent(noUWS, against(echo32, perMsg.Key, uws)),
		why: "time in the kernel is equal; of the rest most is the lock that lets any goroutine send, two locked instructions " +
			"a message, and the way through gnet's callbacks, where uWebSockets has one inlined loop",
	},
	{
		text: "echo, 32 in flight: at most 1/15 of the CPU per message of the best rival with a goroutine for each connection", most: 1.0 / 15,
		find: against(echo32, perMsg.Key, goroutines),
	},
	{
		text: "echo, 1 in flight: at most 1.1 of the CPU per message of uWebSockets", most: 1.1,
		find: absent(noUWS, against(echo1, perMsg.Key, uws)),
		why:  "nine tenths are the two system calls, equal for both; gnet's read goes by way of the Go scheduler",
	},
	{
		text: "echo, 1 in flight: less CPU per message than every Go library (bare gnet is the floor and no library of WebSocket)", most: 1,
		find: against(echo1, perMsg.Key, libraries),
	},
	{
		text: "idle connections: at most half of the RSS of nbio, for each connection", most: 0.5,
		find: against("idle/conns=", perIdle.Key, []string{"nbio"}),
		why: "of some 560 B live, gnet and the net package keep 430 (conn 240, two addresses 96, socket address 32, map 36, callback 16), " +
			"our Conn is 128; the rest is what the garbage of accepting leaves between them. Bare gnet misses the half as well",
	},
	{
		text: "idle connections: at most half of the RSS of nbio, the whole process", most: 0.5,
		find: against("idle/conns=", "rss_after", []string{"nbio"}),
		why:  "before its first connection agloop holds 11 MB more than nbio: sonic, its compiled decoders and their code",
	},
	{
		text: "token streams, bursts of 4 and more: at least 3 times the events per CPU second of gorilla, which is 1/3 of the CPU per event", most: 1.0 / 3,
		find: worst("agloop", perEvent.Key, []string{"gorilla"}, "stream/", "/burst=4", "/burst=8"),
		why: "one write a burst is left, as much work for the kernel as all else together, and gorilla's further writes of a burst " +
			"are cheaper than its first",
	},
	{
		text: "token streams, bursts of 1: no more CPU per event than gorilla", most: 1,
		find: worst("agloop", perEvent.Key, []string{"gorilla"}, "stream/", "/burst=1"),
	},
	{
		text: "token streams of runs with a log, bursts of 8: at most 1.6 times the CPU per event of runs without", most: 1.6,
		find: worst(loggedStream, perEvent.Key, []string{"agloop"}, "stream/", "/burst=8"),
	},
	{
		text: "idle connections over TLS that have carried nothing: at most 9,216 B of RSS each", most: 9 << 10,
		find: own("tls-idle/", perIdle.Key),
	},
	{
		text: "idle connections over TLS that have carried nothing: at most half of the RSS of nbio, for each connection", most: 0.5,
		find: against("tls-idle/", perIdle.Key, []string{"nbio"}),
	},
	{
		text: "echo over TLS, 1 in flight: no more CPU per message than gorilla and gws", most: 1,
		find: against("tls-"+echo1, perMsg.Key, tlsRivals),
	},
	{
		text: "echo over TLS, 32 in flight: at most 1/3 of the CPU per message of gorilla and gws", most: 1.0 / 3,
		find: against("tls-"+echo32, perMsg.Key, tlsRivals),
	},
	{
		text: "token streams over TLS: no more CPU per event than gorilla and gws", most: 1,
		find: worst("agloop", perEvent.Key, tlsRivals, "tls-stream/", "/burst=1", "/burst=4", "/burst=8"),
	},
	{
		text: "compressed token streams: at most 0.27 of the bytes on the wire", most: 0.27,
		find: own("deflate-stream/", wireShare.Key),
	},
	{
		text: "compressed token streams: less than half of the CPU per event of every rival", most: 0.5,
		find: worst("agloop", perEvent.Key, deflateRivals, "deflate-stream/", "/burst=1", "/burst=4"),
	},
	{
		text: "compressed token streams: no more bytes on the wire than any rival", most: 1,
		find: worst("agloop", wirePerEvent.Key, deflateRivals, "deflate-stream/", "/burst=1", "/burst=4"),
	},
	{
		text: "compressed token streams: a tenth of the RSS per connection of rivals with takeover", most: 0.1,
		find: worst("agloop", perStream.Key, deflateTakeover, "deflate-stream/", "/burst=1", "/burst=4"),
	},
	{text: "half load, echo: p99 below 1 ms, in µs", most: 1000, find: own("halfload/echo", p99.Key)},
	{
		text: "half load, token streams: p99 below 1 ms, in µs, counted from when the agent should have spoken", most: 1000,
		find: own("halfload/stream", p99.Key),
		why: "Go wakes an idle process for its timers at whole milliseconds, so the agents themselves speak up to 1 ms late, gorilla's " +
			"too; and on one core the threads of the runtime wait for each other",
	},
}

// outcomes are those of all targets.
func outcomes(run *result.Run, alloc allocated) []result.Target {
	var out []result.Target
	for _, t := range targets {
		out = append(out, t.outcome(run))
	}
	out = append(out, alloc.outcome())
	return append(out, tagOutcome(run, "poll_opt"), tagOutcome(run, "gc_opt"))
}

// reconsidered are the outcomes of a saved run by the present targets. Outcomes that do not come
// from its figures, such as those of tests, stay.
func reconsidered(run *result.Run) []result.Target {
	now := outcomes(run, allocated{})
	for i := range now {
		for _, old := range run.Targets {
			if now[i].Outcome == notMeasured && old.Text == now[i].Text {
				now[i] = old
			}
		}
	}
	return now
}

func (t target) outcome(run *result.Run) result.Target {
	f := t.find(run)
	out := result.Target{Text: t.text, Most: t.most, Got: f.got.Median, Outcome: met}
	var why []string
	switch {
	case f.got.N == 0:
		out.Outcome = notMeasured
	case f.got.Median > t.most:
		out.Outcome = missed
		if t.why != "" {
			why = append(why, t.why)
		}
	}
	if f.got.N > 0 {
		out.Spread = between(f.got)
		if f.who != "" {
			why = append([]string{f.who}, why...)
		}
	}
	if f.lack != "" {
		why = append(why, f.lack)
	}
	out.Why = strings.Join(why, "; ")
	return out
}

func between(s result.Spread) string { return page.Number(s.Min) + "–" + page.Number(s.Max) }

// find is the first case whose name begins like this, or nil.
func find(run *result.Run, name string) *result.Case {
	for i := range run.Cases {
		if strings.HasPrefix(run.Cases[i].Name, name) {
			return &run.Cases[i]
		}
	}
	return nil
}

// refusal is the first reason why a server has no figures.
func refusal(s *result.Server) string {
	for _, r := range s.Rounds {
		if r.Refused != "" {
			return r.Refused
		}
	}
	return "not measured"
}

// against divides agloop's figure by that of the best of some rivals.
func against(name, key string, rivals []string) func(*result.Run) finding {
	return ratio("agloop", name, key, rivals)
}

// ratio divides a server's figure by that of the best of some rivals.
func ratio(who, name, key string, rivals []string) func(*result.Run) finding {
	return func(run *result.Run) (f finding) {
		c := find(run, name)
		if c == nil {
			f.lack = "no case " + name
			return f
		}
		var best *result.Server
		var lacking []string
		for _, rival := range rivals {
			s := c.Server(rival)
			switch {
			case s == nil:
			case s.Spread(key).N == 0:
				lacking = append(lacking, "without "+rival+": "+refusal(s))
			case best == nil || s.Spread(key).Median < best.Spread(key).Median:
				best = s
			}
		}
		switch one := c.Server(who); {
		case one == nil:
			lacking = append(lacking, who+" took no part")
		case one.Spread(key).N == 0:
			lacking = append(lacking, who+": "+refusal(one))
		case best != nil:
			f.got, f.who = one.Ratio(best, key), "against "+best.Name
			if f.got.N == 0 {
				lacking = append(lacking, "no round has figures of both "+who+" and "+best.Name)
			}
		}
		f.lack = strings.Join(lacking, "; ")
		return f
	}
}

// absent says why, where no rival of a finding took part.
func absent(why string, find func(*result.Run) finding) func(*result.Run) finding {
	return func(run *result.Run) finding {
		f := find(run)
		if f.got.N == 0 && f.lack == "" {
			f.lack = why
		}
		return f
	}
}

// worst is the largest ratio of a server's figure to that of the best of some rivals among the cases whose names begin and end
// like this.
func worst(who, key string, rivals []string, begin string, ends ...string) func(*result.Run) finding {
	return func(run *result.Run) (f finding) {
		var lacking []string
		found := false
		for _, c := range run.Cases {
			for _, end := range ends {
				if !strings.HasPrefix(c.Name, begin) || !strings.HasSuffix(c.Name, end) {
					continue
				}
				found = true
				one := ratio(who, c.Name, key, rivals)(run)
				if one.got.N == 0 {
					lacking = append(lacking, "without "+c.Name+": "+one.lack)
				} else if f.got.N == 0 || one.got.Median > f.got.Median {
					f.got, f.who = one.got, "the worst is "+c.Name
					if len(rivals) > 1 {
						f.who += ", " + one.who
					}
				}
			}
		}
		if !found {
			lacking = append(lacking, "no such case")
		}
		f.lack = strings.Join(lacking, "; ")
		return f
	}
}

// own is agloop's figure itself.
func own(name, key string) func(*result.Run) finding {
	return func(run *result.Run) (f finding) {
		c := find(run, name)
		if c == nil {
			f.lack = "no case " + name
		} else if f.got = c.Servers[0].Spread(key); f.got.N == 0 {
			f.lack = refusal(&c.Servers[0])
		}
		return f
	}
}

func (a allocated) outcome() result.Target {
	t := result.Target{Text: "no allocation per message in, per event out, and per event with a log and 1 or 10 viewers, tests that fail", Got: float64(a.failed), Outcome: met}
	switch {
	case a.failed > 0:
		t.Outcome = missed
	case a.err != nil:
		t.Outcome, t.Why = notMeasured, oneLine(a.err)
	case a.passed == 0:
		t.Outcome, t.Why = notMeasured, "no such test ran"
	default:
		t.Why = fmt.Sprintf("%d tests of the library hold it", a.passed)
	}
	return t
}

// What a build tag must bring, and may cost elsewhere.
const (
	worthIt = 0.97
	atMost  = 1.02
)

// tagOutcome recommends a build tag or not. The target is met when that is known; Got is its best
// effect.
func tagOutcome(run *result.Run, tag string) result.Target {
	t := result.Target{
		Text: "build tag " + tag + ": measured, and recommended if it saves 3 % of the CPU of an echo and costs nothing elsewhere",
		Most: worthIt, Outcome: met,
	}
	var best, most result.Spread
	var parts, lacking []string
	for _, m := range []struct{ name, key, what string }{
		{"tags/" + echo1, perMsg.Key, "CPU at 1 in flight"},
		{"tags/" + echo32, perMsg.Key, "CPU at 32 in flight"},
		{"tags/idle/", "rss_after", "RSS of idle connections"},
	} {
		f := against(m.name, m.key, []string{"agloop+" + tag})(run)
		if f.got.N == 0 {
			lacking = append(lacking, m.what+": "+f.lack)
			continue
		}
		s := f.got // agloop's by the tag's, to be turned around
		s.Median, s.Min, s.Max = 1/s.Median, 1/s.Max, 1/s.Min
		parts = append(parts, fmt.Sprintf("%s ×%.2f (%.2f–%.2f)", m.what, s.Median, s.Min, s.Max))
		if m.key == perMsg.Key && (best.N == 0 || s.Median < best.Median) {
			best = s
		}
		if s.Median > most.Median {
			most = s
		}
	}
	if len(lacking) > 0 {
		t.Outcome, t.Why = notMeasured, strings.Join(lacking, "; ")
		return t
	}
	t.Got, t.Spread = best.Median, between(best)
	t.Why = "not recommended: " + strings.Join(parts, ", ")
	if best.Median <= worthIt && most.Median <= atMost {
		t.Why = strings.TrimPrefix(t.Why, "not ")
	}
	return t
}
