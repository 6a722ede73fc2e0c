package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/agloop/agloop/bench/result"
)

// workload is a load and the servers that are measured under it. The first is agloop.
type workload struct {
	name, group, title string
	path               string
	load               []string // mode and flags
	servers            []server
	measure            result.Measure
	beside             []result.Measure
	steady             string // the figure whose spread is limited; empty: that of measure
	sweep              *result.Sweep
	half               *half
	pairs              int // servers and loads at once; 0 is 1
}

// half gives each server half of the load that it can serve at most.
type half struct {
	from  string // the case that measures the most
	key   string
	flags func(v float64) []string
}

// The measures beside a case's own figure. what is msg, event or conn, many their plural.
func besides(what, many string) []result.Measure {
	return []result.Measure{
		{Key: what + "s_per_s", Name: many, Unit: "1/s", More: true},
		{Key: "server_cores", Name: "server", Unit: "cores"},
		{Key: "server_user_us_per_" + what, Name: "of it user", Unit: "µs"},
		{Key: "server_sys_us_per_" + what, Name: "of it system", Unit: "µs"},
		{Key: "load_cores", Name: "load", Unit: "cores"},
		{Key: "p50_us", Name: "p50", Unit: "µs"},
		{Key: "p99_us", Name: "p99", Unit: "µs"},
		{Key: "p999_us", Name: "p99.9", Unit: "µs"},
		{Key: "max_us", Name: "max", Unit: "µs"},
		{Key: "frames_per_read", Name: "frames a read", More: true},
		{Key: "rss", Name: "RSS", Unit: "B"},
	}
}

var (
	perMsg   = result.Measure{Key: "server_us_per_msg", Name: "server CPU per message", Unit: "µs"}
	perEvent = result.Measure{Key: "server_us_per_event", Name: "server CPU per event", Unit: "µs"}
	perConn  = result.Measure{Key: "server_us_per_conn", Name: "server CPU per connection", Unit: "µs"}
	perRun   = result.Measure{Key: "bytes_per_run", Name: "RSS per run", Unit: "B"}
	perIdle  = result.Measure{Key: "bytes_per_conn", Name: "RSS per connection", Unit: "B"}
	p99      = result.Measure{Key: "p99_us", Name: "p99", Unit: "µs"}
	kept     = result.Measure{Key: "kept", Name: "rate kept", More: true}

	besideLive = []result.Measure{
		{Key: "event_bytes_per_run", Name: "its events", Unit: "B"},
		{Key: "times_events", Name: "RSS ÷ its events"},
		{Key: "ledger_per_run", Name: "in the ledger", Unit: "B"},
		{Key: "anon_per_run", Name: "anonymous per run", Unit: "B"},
		{Key: "conns", Name: "connections"},
		{Key: "rss_after", Name: "RSS", Unit: "B"},
		{Key: "rss_before", Name: "RSS before", Unit: "B"},
	}

	besideIdle = []result.Measure{
		{Key: "rss_after", Name: "RSS", Unit: "B"},
		{Key: "rss_before", Name: "RSS before", Unit: "B"},
		{Key: "anon_per_conn", Name: "anonymous per connection", Unit: "B"},
		{Key: "server_us_per_open", Name: "server CPU per opening", Unit: "µs"},
		{Key: "conns_per_s", Name: "opened", Unit: "1/s", More: true},
		{Key: "idle_server_cores", Name: "server while idle", Unit: "cores"},
	}
)

// selected lists the cases that the settings ask for.
func (s settings) selected() []workload {
	return slices.DeleteFunc(s.cases(), func(w workload) bool { return !s.only.MatchString(w.name) })
}

func (s settings) cases() []workload {
	all := s.idle()
	for _, size := range s.sizes() {
		all = append(all, s.echo(size, 1), s.echo(size, 32))
	}
	for _, events := range s.streamRates() {
		for _, burst := range s.bursts() {
			all = append(all, s.stream(events, burst))
		}
	}
	for _, n := range []int{1, 10, 100} {
		all = append(all, s.viewers(n))
	}
	all = append(all, s.sse()...)
	all = append(all, s.live(), s.reconnect(), s.fanout(), s.churn())
	all = append(all, s.tls()...)
	all = append(all, s.deflate()...)
	all = append(all, s.halfLoads()...)
	return append(all, s.tags()...)
}

func (s settings) sizes() []int {
	if s.quick {
		return []int{128, 16 << 10}
	}
	return []int{64, 128, 1 << 10, 16 << 10, 64 << 10}
}

func (s settings) streamRates() []int {
	if s.quick {
		return []int{20}
	}
	return []int{20, 100}
}

func (s settings) bursts() []int {
	if s.quick {
		return []int{1, 4}
	}
	return []int{1, 2, 4, 8}
}

// with adds the servers that the environment named.
func (s settings) with(servers []server) []server { return slices.Concat(servers, s.hooks) }

func (s settings) idle() []workload {
	load := []string{"idle", "--conns", strconv.Itoa(s.conns), "--settle", s.settle.String(), "--hold", s.settle.String()}
	one := workload{
		name: fmt.Sprintf("idle/conns=%d", s.conns), group: "idle",
		title: fmt.Sprintf("memory per idle connection, %d connections", s.conns),
		path:  "/", load: load, servers: s.with(allEchoes), measure: perIdle, beside: besideIdle,
	}
	if s.quick {
		return []workload{one}
	}
	const pairs = 3
	many := one
	many.name = fmt.Sprintf("idle/conns=%d/processes=%d", pairs*s.conns, pairs)
	many.title = fmt.Sprintf("memory per idle connection, %d connections of %d processes", pairs*s.conns, pairs)
	many.servers, many.pairs = []server{agloopEcho, nbio}, pairs
	return []workload{one, many}
}

func (s settings) echo(size, inflight int) workload {
	conns, seconds, servers := 64, s.seconds, s.with(allEchoes)
	if size != 128 {
		seconds, servers = 0.75*s.seconds, s.with(sweepEchoes)
	}
	if size >= 16<<10 && inflight > 1 {
		conns = 16 // so that the messages in flight fit into the sockets' buffers and the cache
	}
	return workload{
		name: fmt.Sprintf("echo/size=%d/inflight=%d", size, inflight), group: "echo",
		title: fmt.Sprintf("server CPU per echo, %d B, %d in flight on each of %d connections", size, inflight, conns),
		path:  "/", load: echoLoad(conns, inflight, size, seconds), servers: servers,
		measure: perMsg, beside: besides("msg", "echoes"),
		sweep: &result.Sweep{Plot: fmt.Sprintf("message size, %d in flight", inflight), Axis: "payload, bytes", X: float64(size)},
	}
}

func echoLoad(conns, inflight, size int, seconds float64) []string {
	return []string{
		"echo", "--conns", strconv.Itoa(conns), "--inflight", strconv.Itoa(inflight), "--size", strconv.Itoa(size),
		"--seconds", decimal(seconds), "--warm", "500ms",
	}
}

// stream is a case of runs that emit about so many events a second, in bursts whose number per
// second is rounded up to a whole one.
func (s settings) stream(events, burst int) workload {
	seconds := 6
	if events > 20 {
		seconds = 3 // a server that falls behind still has to send all of them
	}
	rate := (events + burst - 1) / burst
	return workload{
		name: fmt.Sprintf("stream/rate=%d/burst=%d", events, burst), group: "stream",
		title: fmt.Sprintf("server CPU per token event, %d runs of %d events/s, bursts of %d", s.runs, rate*burst, burst),
		path:  "/ws", load: append(streamLoad(s.runs, burst, seconds), "--rate", strconv.Itoa(rate)),
		servers: []server{agloop("stream"), logged(), gorilla},
		measure: perEvent, beside: append(besides("event", "events"), kept),
		sweep: &result.Sweep{Plot: fmt.Sprintf("burst, about %d events/s a run", events), Axis: "events in a burst", X: float64(burst)},
	}
}

func streamLoad(runs, burst, seconds int) []string {
	return []string{
		"stream", "--runs", strconv.Itoa(runs), "--burst", strconv.Itoa(burst),
		"--seconds", strconv.Itoa(seconds), "--warm", "1s", "--late", "1m",
	}
}

func (s settings) fanout() workload {
	const rate = 5
	conns := 10000
	if s.quick {
		conns = 1000
	}
	return workload{
		name: fmt.Sprintf("fanout/conns=%d", conns), group: "fanout",
		title: fmt.Sprintf("server CPU per delivery, one message to %d connections, %d/s, 128 B", conns, rate),
		path:  "/fanout", load: fanoutLoad(conns, rate, 1.5*s.seconds),
		servers: []server{agloop("fanout"), gnet, gorilla, coder, gws, nbio, gobwas},
		measure: perMsg, beside: append(besides("msg", "deliveries"), kept),
	}
}

func fanoutLoad(conns, rate int, seconds float64) []string {
	return []string{
		"fanout", "--conns", strconv.Itoa(conns), "--rate", strconv.Itoa(rate), "--size", "128",
		"--seconds", decimal(seconds), "--warm", "700ms",
	}
}

func (s settings) churn() workload {
	return workload{
		name: "churn/rate=8000", group: "churn",
		title: "server CPU per connection: opened, upgraded, one echo of 128 B, closed; 8,000 a second",
		path:  "/", load: churnLoad(s.seconds), servers: s.with(allEchoes),
		measure: perConn, beside: append(besides("conn", "connections"), kept),
	}
}

func churnLoad(seconds float64) []string {
	return []string{"churn", "--conns", "256", "--rate", "8000", "--seconds", decimal(seconds), "--warm", "500ms"}
}

// halfLoads measure latency at half of the load that each server can serve at most.
func (s settings) halfLoads() []workload {
	stream := s.stream(20, 1)
	return []workload{
		{
			name: "halfload/echo", group: "halfload",
			title: "p99 of an echo, 128 B, 64 connections, open loop at half of the server's own closed-loop rate",
			path:  "/", load: []string{"echo", "--conns", "64", "--size", "128", "--seconds", decimal(s.seconds), "--warm", "500ms"},
			servers: s.with(allEchoes), measure: p99, steady: perMsg.Key,
			beside: append(besides("msg", "echoes"), kept, perMsg),
			half: &half{"echo/size=128/inflight=1", "msgs_per_s", func(v float64) []string {
				return []string{"--rate", strconv.Itoa(int(v / 2))}
			}},
		}, {
			name: "halfload/stream", group: "halfload",
			title: fmt.Sprintf("p99 of a token event, %d runs, one at a time, at the rate that takes the server half a core", s.runs),
			path:  "/ws", load: streamLoad(s.runs, 1, 6), servers: stream.servers, measure: p99, steady: perEvent.Key,
			beside: append(besides("event", "events"), kept, perEvent),
			half: &half{stream.name, perEvent.Key, func(v float64) []string {
				return []string{"--rate", strconv.Itoa(max(1, int(0.5e6/v/float64(s.runs))))}
			}},
		},
	}
}

// tags are cases of echo again, for the library with build tags of gnet.
func (s settings) tags() []workload {
	var out []workload
	for _, w := range []workload{s.idle()[0], s.echo(128, 1), s.echo(128, 32)} {
		w.name, w.group, w.title = "tags/"+w.name, "tags", "build tags: "+w.title
		w.servers = []server{agloopEcho, tagged("poll_opt"), tagged("gc_opt")}
		w.sweep = nil
		out = append(out, w)
	}
	return out
}

// decimal is v in as few digits as it takes.
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
