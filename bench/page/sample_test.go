package page

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/agloop/agloop/bench/result"
)

// cost is what a message, a KiB and an idle connection cost a made-up server.
type cost struct {
	name         string
	message, kib float64 // µs
	idle         float64 // B
}

var costs = []cost{
	{"agloop", 0.24, 0.16, 560},
	{"epollc", 0.15, 0.14, 24},
	{"gnet", 0.21, 0.18, 410},
	{"uWebSockets", 0.26, 0.15, 690},
	{"gorilla", 6.4, 0.5, 9800},
	{"gws", 5.8, 0.4, 8900},
	{"nbio", 3.1, 0.6, 2300},
	{"coder", 9.2, 1.9, 14100},
	{"gobwas", 7.1, 1.1, 4900},
	{"libwebsockets", 1.4, 0.3, 3100},
}

const rounds = 5

// sample is a run with everything that a report can have: ten servers, sweeps, refused rounds,
// missed targets.
func sample() *result.Run {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := func(v float64) float64 { return v * math.Exp(0.04*rnd.NormFloat64()) }
	run := &result.Run{
		Began: time.Date(2026, 5, 4, 9, 30, 0, 0, time.UTC), Seconds: 2210,
		Machine: result.Machine{
			CPU: "AMD EPYC 7B13", Cores: 2, Memory: 7.8, Kernel: "6.12.8", Go: "go1.26.0", Commit: "a1b2c3d4e5f6",
			Versions: []result.Version{
				{Name: "gnet", Version: "v2.9.7"},
				{Name: "gorilla/websocket", Version: "v1.5.3"},
				{Name: "gws", Version: "v1.8.9"},
				{Name: "nbio", Version: "v1.6.8"},
				{Name: "coder/websocket", Version: "v1.8.14"},
				{Name: "gobwas/ws", Version: "v1.4.0"},
				{Name: "uWebSockets", Version: "v20.74.0"},
			},
			Settings: []string{"5 rounds, servers in turn, a fresh process each", "1 event loop", "server on core 0, load on core 1"},
			Load:     [2]string{"0.21 0.30 0.44", "1.02 1.10 0.98"},
		},
		Notes: []string{
			"perf of coder: the kernel denied it (perf_event_paranoid 4)", "uWebSockets serves no AG-UI streams, so it is not among them",
		},
	}
	perMsg := result.Measure{Key: "server_us_per_msg", Name: "server CPU per message", Unit: "µs"}
	perIdle := result.Measure{Key: "bytes_per_conn", Name: "memory per connection", Unit: "B"}
	p99 := result.Measure{Key: "p99_us", Name: "p99", Unit: "µs"}
	beside := []result.Measure{
		{Key: "msgs_per_s", Name: "messages", Unit: "1/s", More: true},
		{Key: "server_cores", Name: "server cores"},
		{Key: "frames_per_read", Name: "frames per read"},
		{Key: "p50_us", Name: "p50", Unit: "µs"},
		{Key: "p99_us", Name: "p99", Unit: "µs"},
	}
	add := func(name, group, title string, m result.Measure, beside []result.Measure, sweep *result.Sweep,
		value func(cost) float64,
	) *result.Case {
		c := result.Case{Name: name, Group: group, Title: title, Measure: m, Beside: beside, Sweep: sweep}
		for _, k := range costs {
			s := result.Server{Name: k.name}
			for range rounds {
				v := noise(value(k))
				p50 := 20 * math.Sqrt(v)
				s.Rounds = append(s.Rounds, result.Round{Values: map[string]float64{
					m.Key: v, "msgs_per_s": 1e6 / v, "server_cores": 1, "frames_per_read": 8, "p50_us": p50,
					"p90_us": 1.6 * p50, "p99_us": noise(4 * p50), "p999_us": noise(15 * p50), "max_us": noise(90 * p50), "rss": 2e7,
				}})
			}
			c.Servers = append(c.Servers, s)
		}
		run.Cases = append(run.Cases, c)
		return &run.Cases[len(run.Cases)-1]
	}
	refuse := func(c *result.Case, server, why string, rounds int) {
		for i := range rounds {
			c.Server(server).Rounds[i] = result.Round{Refused: why}
		}
	}

	add("idle/conns=15000", "idle", "memory per idle connection, 15,000 connections",
		perIdle, []result.Measure{{Key: "rss", Name: "RSS", Unit: "B"}}, nil, func(k cost) float64 { return k.idle })
	many := add("idle/conns=45000/processes=3", "idle", "memory per idle connection, 45,000 connections of 3 processes",
		perIdle, nil, nil, func(k cost) float64 { return k.idle })
	many.Servers = []result.Server{*many.Server("agloop"), *many.Server("nbio")}
	for _, inflight := range []int{1, 32} {
		for _, size := range []int{64, 128, 1024, 16384, 65536} {
			c := add(fmt.Sprintf("echo/size=%d/inflight=%d", size, inflight), "echo",
				fmt.Sprintf("server CPU per echo, %d B, %d in flight on each of 64 connections", size, inflight), perMsg, beside,
				&result.Sweep{Plot: fmt.Sprintf("message size, %d in flight", inflight), Axis: "payload, bytes", X: float64(size)},
				func(k cost) float64 { return 4/float64(inflight) + k.message + k.kib*float64(size)/1024 })
			if size != 128 {
				c.Servers = append(slices.Clone(c.Servers[:7]), c.Servers[8])
			}
			if size >= 16384 {
				refuse(c, "gobwas", "failed: load: connection reset by peer\ngoroutine 1 [running]:", rounds)
			}
			if size == 128 && inflight == 32 {
				refuse(c, "nbio", "machine too noisy: other programs used 0.31 cores", 1)
			}
			if size == 128 && inflight == 1 {
				refuse(c, "coder", "load saturated", 2)
			}
		}
	}
	for _, rate := range []int{20, 100} {
		for _, burst := range []int{1, 2, 4, 8} {
			c := add(fmt.Sprintf("stream/rate=%d/burst=%d", rate, burst), "stream",
				fmt.Sprintf("server CPU per token event, 2000 runs of %d events/s, bursts of %d", rate, burst),
				result.Measure{Key: "server_us_per_event", Name: "server CPU per event", Unit: "µs"}, nil,
				&result.Sweep{Plot: fmt.Sprintf("burst, %d events/s a run", rate), Axis: "events in a burst", X: float64(burst)},
				func(k cost) float64 { return 0.6 + 4*k.message/float64(burst) })
			c.Servers = []result.Server{c.Servers[0], c.Servers[4]}
		}
	}
	for _, n := range []int{1, 10, 100} {
		c := add(fmt.Sprintf("viewers/conns=1000/viewers=%d", n), "viewers", fmt.Sprintf("server CPU per delivery, %d viewers of each run", n),
			perMsg, beside, &result.Sweep{Plot: "viewers of a run", Axis: "viewers", X: float64(n)},
			func(k cost) float64 { return 6 + k.message/2 + 4/float64(n) })
		c.Servers = []result.Server{c.Servers[0], c.Servers[2], c.Servers[4]}
		c.Servers[1].Name = "agloop, plain fan-out"
	}
	live := add("live/runs=1000/events=1000", "live", "memory per live run of 1000 events, one viewer each",
		result.Measure{Key: "bytes_per_run", Name: "RSS per run", Unit: "B"}, nil, nil, func(k cost) float64 { return 1e5 + 1e3*k.idle })
	live.Servers = live.Servers[:3]
	live.Servers[1].Name, live.Servers[2].Name = "agloop, no log", "agloop, 10 viewers"
	resume := add("resume/clients=2000", "resume", "p99 from dialling to the first resumed event, 2000 clients", p99, beside, nil,
		func(cost) float64 { return 3e5 })
	resume.Servers = resume.Servers[:1]
	add("halfload/echo", "halfload", "p99 of an echo, 128 B, 64 connections, open loop at half of the server's own closed-loop rate",
		p99, beside, nil, func(k cost) float64 { return 80 * math.Sqrt(k.message) })
	streamed := add("halfload/stream", "halfload",
		"p99 of a token event, 2000 runs, bursts of 4, at the rate that takes the server half a core",
		p99, beside, nil, func(k cost) float64 { return 300 * math.Sqrt(k.message) })
	streamed.Servers = []result.Server{*streamed.Server("agloop"), *streamed.Server("gorilla")}
	for _, n := range []int{10, 100, 1000} {
		refuse(add(fmt.Sprintf("fanout/conns=%d", n), "fanout", fmt.Sprintf("server CPU per delivery, %d connections", n), perMsg, nil,
			&result.Sweep{Plot: "connections, 128 B", Axis: "connections", X: float64(n)},
			func(k cost) float64 { return 1.1 + k.message/2 }), "libwebsockets", "failed: no fan-out", rounds)
	}
	churn := add("churn/conns=64", "churn", "server CPU per connection, 64 at a time",
		result.Measure{Key: "server_us_per_conn", Name: "server CPU per connection", Unit: "µs"}, nil, nil,
		func(k cost) float64 { return 55 + 9*k.message })
	refuse(churn, "coder", "failed: server: ended by itself: exit status 2 after too many open files", rounds)
	secure := []result.Server{}
	for _, after := range []string{"", "-after"} {
		name, title := "tls-idle"+after+"/conns=5000", "memory per connection over TLS"
		if after != "" {
			name, title = name+"/message=65536", title+", behind a message"
		}
		c := add(name, "tls-idle", title, perIdle, nil, nil, func(k cost) float64 { return 9000 + k.idle })
		secure = append(secure[:0], c.Servers[0], c.Servers[1], c.Servers[4])
		secure[1].Name = "agloop, TLS trimmed"
		c.Servers = slices.Clone(secure)
	}
	for _, burst := range []int{1, 4} {
		c := add(fmt.Sprintf("deflate-stream/rate=20/burst=%d", burst), "deflate-stream", fmt.Sprintf("server CPU, compressed, bursts of %d", burst),
			result.Measure{Key: "server_us_per_event", Name: "server CPU per event", Unit: "µs"}, nil,
			&result.Sweep{Plot: "burst", Axis: "events in a burst", X: float64(burst)},
			func(k cost) float64 { return 2 + k.message })
		c.Servers = []result.Server{c.Servers[0], c.Servers[4], c.Servers[5], c.Servers[7]}
		c.Servers[1].Name, c.Servers[2].Name, c.Servers[3].Name = "gorilla, no takeover", "gws, takeover", "coder, takeover"
	}
	tags := add("tags/poll_opt", "tags", "server CPU per echo, 128 B, 32 in flight, by build tag", perMsg, nil, nil,
		func(k cost) float64 { return k.message })
	tags.Servers = tags.Servers[:3]
	tags.Servers[1].Name, tags.Servers[2].Name = "agloop+poll_opt", "agloop+gc_opt"

	types := []string{"TEXT_MESSAGE_CONTENT", "TOOL_CALL_ARGS", "STATE_SNAPSHOT", "REASONING_ENCRYPTED_VALUE", "RUN_STARTED"}
	for i := range 31 {
		name := fmt.Sprintf("%s_%d", types[i%len(types)], i)
		for _, group := range []string{"encode", "decode"} {
			base := 60 + 40*float64(i%7) + 500*float64(i/25)
			for _, by := range []string{"agloop", "encoding/json"} {
				factor := 1.0
				if by != "agloop" {
					factor = 2 + float64(i%9)
				}
				run.Micro = append(run.Micro, result.Micro{
					Group: group, Name: name, By: by, NsOp: []float64{noise(base * factor), noise(base * factor), noise(base * factor)},
					BOp: 64 * (factor - 1), Alloc: 2 * (factor - 1),
				})
			}
		}
	}
	for _, name := range []string{"get and put of 4 KiB", "get and put, 2 goroutines", "get of 1 MiB"} {
		ns := []float64{noise(24), noise(24), noise(24)}
		run.Micro = append(run.Micro, result.Micro{Group: "pool", Name: name, By: "agloop", NsOp: ns})
	}
	ns := []float64{noise(90), noise(90)}
	run.Micro = append(run.Micro, result.Micro{Group: "timer", Name: "set and cancel", By: "agloop", NsOp: ns})
	for i, k := range costs[:6] {
		run.Calls = append(run.Calls, result.Calls{Case: "echo/size=128/inflight=32", Server: k.name, Calls: []result.PerCall{
			{Name: "read", Per: 0.0313 * (1 + k.message)},
			{Name: "writev", Per: 0.031 * (1 + k.message)},
			{Name: "epoll_wait", Per: 0.002 * float64(i+1)},
		}})
		run.Hot = append(run.Hot, result.Hot{Case: "echo/size=128/inflight=32", Server: k.name, Spots: []result.Symbol{
			{Name: "copy_user_generic_string", Kernel: true, Share: 0.181},
			{Name: "github.com/agloop/agloop/loop.(*Conn).readFrames", Share: 0.142},
			{Name: "tcp_sendmsg_locked", Kernel: true, Share: 0.09},
			{Name: "github.com/agloop/agloop/internal/mask.xorWords[go.shape.[]uint8]", Share: 0.07},
			{Name: "runtime.memmove", Share: 0.05},
			{Name: "do_syscall_64", Kernel: true, Share: 0.04},
			{Name: "epoll_wait", Kernel: true, Share: 0.02},
		}})
	}
	run.Targets = []result.Target{
		{Text: "idle connection: at most 700 B", Most: 700, Got: 561, Spread: "548–570", Outcome: "met"},
		{
			Text: "echo with 32 in flight: no more CPU per message than uWebSockets", Most: 1, Got: 0.93, Spread: "0.88–0.97",
			Outcome: "met", Why: "against uWebSockets",
		},
		{
			Text: "tokens in bursts of 4: a third of gorilla's CPU", Most: 1.0 / 3, Got: 0.41, Spread: "0.38–0.44", Outcome: "missed",
			Why: "half of the time is the agent's own, which both servers pay",
		},
		{Text: "p99 at half load: below 1 ms", Most: 1000, Got: 41, Spread: "39–44", Outcome: "met"},
		{Text: "churn: no more than gobwas", Most: 1, Outcome: "not measured", Why: "gobwas did not start"},
	}
	return run
}
