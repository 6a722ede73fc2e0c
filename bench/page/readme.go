package page

import (
	"slices"
	"strings"

	"github.com/agloop/agloop/bench/result"
)

// columns of the README's table, as far as the run has them.
var columns = []struct{ title, server string }{
	{"agloop", ours},
	{"floor (C, epoll)", "epollc"},
	{"gnet", "gnet"},
	{"uWebSockets", "uwebsockets"},
	{"uWebSockets", "uws"},
	{"gorilla", "gorilla"},
	{"gws", "gws"},
	{"nbio", "nbio"},
	{"coder", "coder"},
	{"gobwas", "gobwas"},
}

// Readme is the table of the main measures, medians alone.
func Readme(run *result.Run) []byte {
	cases := mainCases(run)
	head := []string{"median"}
	align := "l"
	var used []string
	for _, col := range columns {
		if slices.ContainsFunc(cases, func(c *result.Case) bool { return named(c, col.server) != nil }) {
			head, align, used = append(head, col.title), align+"r", append(used, col.server)
		}
	}
	var rows [][]string
	for _, c := range cases {
		cells := []string{upper(c.Title) + ", " + c.Measure.Unit}
		for _, name := range used {
			cell := "–"
			if s := named(c, name); s != nil {
				cell = median(s.Spread(c.Measure.Key))
			}
			if name == ours {
				cell = "**" + cell + "**"
			}
			cells = append(cells, cell)
		}
		rows = append(rows, cells)
	}
	var b strings.Builder
	writeTable(&b, head, align, rows)
	return []byte(b.String())
}

func named(c *result.Case, name string) *result.Server {
	for i := range c.Servers {
		if strings.EqualFold(c.Servers[i].Name, name) {
			return &c.Servers[i]
		}
	}
	return nil
}

// mainCases are idle memory, echoes of 128 bytes with 1 and 32 in flight, bursts of 1, 4 and 8 at
// one rate, the most viewers of a run, the memory of live runs, coming back, the largest fan-out,
// churn, and the same over TLS.
func mainCases(run *result.Run) []*result.Case {
	var out []*result.Case
	pick := func(group string, want func(*result.Case) bool, most int) {
		for i := range run.Cases {
			if c := &run.Cases[i]; most > 0 && c.Group == group && want(c) {
				out = append(out, c)
				most--
			}
		}
	}
	any := func(*result.Case) bool { return true }
	oneOf := func(c *result.Case, key string, values ...string) bool {
		v := part(c.Name, key)
		return v == "" || slices.Contains(values, v)
	}
	pick("idle", any, 1)
	pick("echo", func(c *result.Case) bool { return oneOf(c, "size", "128") && oneOf(c, "inflight", "1", "32") }, 2)
	rate := ""
	pick("stream", func(c *result.Case) bool {
		if !oneOf(c, "burst", "1", "4", "8") {
			return false
		}
		if rate == "" {
			rate = part(c.Name, "rate")
		}
		return part(c.Name, "rate") == rate
	}, 3)
	pick("viewers", func(c *result.Case) bool { return c == largest(run, "viewers") }, 1)
	pick("live", any, 1)
	pick("resume", any, 1)
	pick("fanout", func(c *result.Case) bool { return c == largest(run, "fanout") }, 1)
	pick("churn", any, 1)
	pick("tls-idle", any, 2)
	pick("tls-echo", any, 2)
	pick("tls-stream", func(c *result.Case) bool { return oneOf(c, "burst", "4") }, 1)
	pick("tls-handshakes", any, 1)
	return out
}

// largest is the case with the largest x of the group's sweep, or the first without one.
func largest(run *result.Run, group string) *result.Case {
	var most *result.Case
	for i := range run.Cases {
		c := &run.Cases[i]
		if c.Group == group && (most == nil || c.Sweep != nil && most.Sweep != nil && c.Sweep.X > most.Sweep.X) {
			most = c
		}
	}
	return most
}
