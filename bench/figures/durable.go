package main

import (
	"fmt"
	"strconv"

	"github.com/agloop/agloop/bench/result"
)

// Cases of runs that have a log. No other server has one: what agloop costs without stands beside it.

// viewers are as many connections in each case, which so many by so many view one run. The plain
// fan-outs are given the same: as many connections, messages and bytes. They publish for all at once,
// and so have the least to do.
func (s settings) viewers(n int) workload {
	const conns, rate = 1000, 20
	watched := "1 viewer"
	if n > 1 {
		watched = fmt.Sprintf("%d viewers", n)
	}
	return workload{
		name: fmt.Sprintf("viewers/conns=%d/viewers=%d", conns, n), group: "viewers",
		title: fmt.Sprintf("server CPU per delivery, %s of each run, %d connections, %d events/s of 128 B", watched, conns, rate),
		path:  "/ws", load: fanoutLoad(conns, rate, 1.5*s.seconds),
		servers: []server{
			agloop("stream").as("agloop", withLog("--viewers", strconv.Itoa(n))...), agloop("fanout").as("agloop, plain fan-out"),
			gorilla.at("/fanout"),
		},
		measure: perMsg, beside: append(besides("msg", "deliveries"), kept),
		sweep: &result.Sweep{Plot: "viewers of a run", Axis: "viewers", X: float64(n)},
	}
}

// live is the memory of runs that have said everything and have not ended.
func (s settings) live() workload {
	runs := 1000
	if s.quick {
		runs = 200
	}
	const events = 1000
	stream := agloop("stream")
	return workload{
		name: fmt.Sprintf("live/runs=%d/events=%d", runs, events), group: "live",
		title: fmt.Sprintf("memory per live run with a log of %d events of 128 B, %d runs with one viewer each", events, runs),
		path:  "/ws",
		load: []string{
			"runs", "--runs", strconv.Itoa(runs), "--events", strconv.Itoa(events), "--size", "128", "--settle", s.settle.String(),
		},
		servers: []server{
			stream.as("agloop", withLog()...), stream.as("agloop, no viewer", withLog("--viewers", "0")...),
			// A quarter as fast, since it is ten times as much to send.
			stream.as("agloop, 10 viewers", withLog("--viewers", "10", "--rate", "5")...), stream.as("agloop, no log"),
		},
		measure: perRun, beside: besideLive,
	}
}

// reconnect is the return of all clients at one moment.
func (s settings) reconnect() workload {
	clients := 2000
	if s.quick {
		clients = 500
	}
	return workload{
		name: fmt.Sprintf("resume/clients=%d", clients), group: "resume",
		title: fmt.Sprintf("p99 from dialling to the first resumed event, %d clients with a live run each, all at once", clients),
		path:  "/ws",
		// One return is over in a fifth of a second, and says little.
		load:    []string{"resume", "--clients", strconv.Itoa(clients), "--returns", "5", "--seconds", "16"},
		servers: []server{agloop("stream")}, measure: p99, steady: perConn.Key,
		beside: append(besides("conn", "clients"), perConn),
	}
}
