package main

import (
	"fmt"
	"strconv"
)

// server is one program to measure: which binary, and how to start it.
type server struct {
	name  string
	bin   string
	args  []string
	loops bool // takes --loops
}

var (
	agloopEcho    = server{"agloop", "agloop", []string{"echo"}, true}
	agloopStream  = server{"agloop", "agloop", []string{"stream"}, true}
	gnetEcho      = server{"gnet", "rivals", []string{"gnet"}, true}
	gorillaServer = server{"gorilla", "rivals", []string{"gorilla"}, false}
	coderEcho     = server{"coder", "rivals", []string{"coder"}, false}
)

// bench is one thing measured. The first server is the one that the others are compared with.
type bench struct {
	name    string
	title   string
	path    string
	load    []string // mode and flags
	servers []server
	measure string // the key of load's report that counts; smaller is better
	unit    string
	beside  []string          // keys printed in the second table
	hold    map[string]target // by server; "" is for the measure itself
}

// target is the most that agloop's median, or its ratio to a rival's, may be.
type target struct {
	most float64
	text string
}

// selected lists the cases that the settings ask for.
func (s settings) selected() []bench {
	var out []bench
	for _, c := range s.cases() {
		if s.only.MatchString(c.name) {
			out = append(out, c)
		}
	}
	return out
}

func (s settings) cases() []bench {
	cases := []bench{{
		name:  "idle",
		title: fmt.Sprintf("memory per idle connection, %d connections", s.conns),
		path:  "/", load: []string{
			"idle", "--conns", strconv.Itoa(s.conns), "--settle", s.settle.String(), "--hold", s.settle.String(),
		},
		servers: []server{agloopEcho, gnetEcho, gorillaServer},
		measure: "bytes_per_conn", unit: "B",
		beside: []string{"anon_per_conn", "rss_before", "rss_after", "server_us_per_open", "idle_server_cores"},
		hold:   map[string]target{"": {700, "≤ 700 B"}},
	}}
	echoServers := []server{agloopEcho, gnetEcho}
	if s.all {
		cases[0].servers = append(cases[0].servers, coderEcho)
		echoServers = append(echoServers, gorillaServer, coderEcho)
	}
	for _, inflight := range []int{1, 32} {
		cases = append(cases, bench{
			name:  fmt.Sprintf("echo-%d", inflight),
			title: fmt.Sprintf("server CPU per echo, %d B, %d connections, %d in flight", s.size, s.echoConns, inflight),
			path:  "/", load: []string{
				"echo", "--conns", strconv.Itoa(s.echoConns), "--inflight", strconv.Itoa(inflight), "--size", strconv.Itoa(s.size),
				"--seconds", strconv.FormatFloat(s.seconds, 'f', -1, 64), "--warm", s.warm.String(),
			},
			servers: echoServers, measure: "server_us_per_msg", unit: "µs",
			beside: []string{"msgs_per_s", "server_cores", "load_us_per_msg", "load_cores", "frames_per_read", "p50_us", "p99_us", "max_us"},
		})
	}
	targets := map[int]target{1: {1, "≤ 1"}, 4: {1.0 / 3, "≤ 1/3"}, 8: {1.0 / 5, "≤ 1/5"}}
	for _, burst := range []int{1, 4, 8} {
		cases = append(cases, bench{
			name:  fmt.Sprintf("stream-%d", burst),
			title: fmt.Sprintf("server CPU per token event, %d runs, 10 bursts/s of %d", s.runs, burst),
			path:  "/ws", load: []string{
				"stream", "--runs", strconv.Itoa(s.runs), "--rate", "10", "--burst", strconv.Itoa(burst),
				"--seconds", strconv.Itoa(s.streamSeconds), "--warm", s.warm.String(),
			},
			servers: []server{agloopStream, gorillaServer}, measure: "server_us_per_event", unit: "µs",
			beside: []string{"events_per_s", "kept", "server_cores", "load_us_per_event", "load_cores", "frames_per_read", "last_finish_s"},
			hold:   map[string]target{"gorilla": targets[burst]},
		})
	}
	return cases
}
