package main

import (
	"slices"
	"strconv"
)

// traced is a case for strace and perf: slower for the one, and long enough for the other.
type traced struct {
	name, path string
	load       []string // under strace
	open       []string // the connections alone; nil where they are what is measured
	total      string   // load's key that counts the messages of a whole run
	hot        []string // under perf
	servers    []server
}

// traced lists what the settings ask for.
func (s settings) traced() []traced {
	rests := func(conns int) []string {
		return []string{"idle", "--conns", strconv.Itoa(conns), "--settle", "100ms", "--hold", "100ms"}
	}
	slow := func(load []string) []string { return append(load, "--warm", "0s") } // later flags win
	echo := func(inflight int) traced {
		return traced{
			name: s.echo(128, inflight).name, path: "/", load: slow(echoLoad(64, inflight, 128, 1.5)), open: rests(64), total: "checked",
			hot: echoLoad(64, inflight, 128, 4), servers: s.with(allEchoes),
		}
	}
	stream, fanout, churn := s.stream(20, 4), s.fanout(), s.churn()
	all := []traced{
		echo(1), echo(32),
		{
			name: stream.name, path: stream.path, servers: stream.servers, total: "content_events", open: rests(1000),
			load: slow(append(streamLoad(1000, 4, 3), "--rate", "5")), hot: stream.load,
		},
		{
			name: fanout.name, path: fanout.path, servers: fanout.servers, total: "checked", open: rests(1000),
			load: slow(fanoutLoad(1000, 10, 2)), hot: fanoutLoad(10000, 5, 4),
		},
		{
			name: churn.name, path: churn.path, servers: churn.servers, total: "conns",
			load: slow(churnLoad(1.5)), hot: churnLoad(4),
		},
	}
	return slices.DeleteFunc(all, func(t traced) bool {
		return !s.only.MatchString("calls/"+t.name) && !s.only.MatchString("hot/"+t.name)
	})
}
