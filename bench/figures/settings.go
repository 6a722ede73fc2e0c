package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// settings are what the environment chose.
type settings struct {
	rounds, conns, runs, loops, serverCPU, loadCPU int
	seconds                                        float64
	settle                                         time.Duration
	pin, quick, force, resume                      bool
	only                                           *regexp.Regexp
	whole                                          bool // nothing was left out by CASES
	out                                            string
	hooks                                          []server
}

func readSettings(getenv func(string) string, cores int) (s settings, err error) {
	get := func(key, zero string) string {
		if v := getenv(key); v != "" {
			return v
		}
		return zero
	}
	keep := func(key, v string, e error) {
		if e != nil && err == nil {
			err = fmt.Errorf("%s=%s: %w", key, v, e)
		}
	}
	whole := func(key, zero string, least int) int {
		v := get(key, zero)
		n, e := strconv.Atoi(v)
		if e == nil && n < least {
			e = fmt.Errorf("at least %d", least)
		}
		keep(key, v, e)
		return n
	}
	flag := func(key, zero string) bool {
		v := get(key, zero)
		b, e := strconv.ParseBool(v)
		keep(key, v, e)
		return b
	}
	quick := flag("QUICK", "0")
	short := func(long, short string) string {
		if quick {
			return short
		}
		return long
	}
	pin := "1"
	if cores < 2 {
		pin = "0"
	}
	s = settings{
		rounds: whole("ROUNDS", "5", 1), conns: whole("CONNS", short("15000", "5000"), 1), runs: whole("RUNS", short("5000", "1000"), 1),
		loops: whole("LOOPS", "1", 1), serverCPU: whole("SERVER_CPU", "0", 0), loadCPU: whole("LOAD_CPU", "1", 0),
		pin: flag("PIN", pin), quick: quick, force: flag("FORCE", "0"), resume: flag("RESUME", "0"),
		whole: getenv("CASES") == "", out: getenv("OUT"),
	}
	v := get("ECHO_SECONDS", short("2", "0.7"))
	var e error
	if s.seconds, e = strconv.ParseFloat(v, 64); e == nil && !(s.seconds >= 0.1) {
		e = fmt.Errorf("at least 0.1")
	}
	keep("ECHO_SECONDS", v, e)
	v = get("SETTLE", short("5s", "2s"))
	s.settle, e = time.ParseDuration(v)
	keep("SETTLE", v, e)
	v = get("CASES", ".")
	s.only, e = regexp.Compile(v)
	keep("CASES", v, e)
	v = getenv("RIVAL")
	s.hooks, e = parseHooks(v)
	keep("RIVAL", v, e)
	if s.pin && cores <= max(s.serverCPU, s.loadCPU) {
		keep("PIN", "1", fmt.Errorf("cores %d and %d are not both here; set PIN=0, SERVER_CPU or LOAD_CPU", s.serverCPU, s.loadCPU))
	}
	return s, err
}

// outIn is where the report goes, if the environment says so.
func (s settings) outIn(root string) string {
	if s.out == "" || filepath.IsAbs(s.out) {
		return s.out
	}
	return filepath.Join(root, s.out)
}

// parseHooks reads NAME=COMMAND; NAME=COMMAND; …
func parseHooks(v string) ([]server, error) {
	taken := map[string]bool{}
	for _, srv := range allEchoes {
		taken[srv.name] = true
	}
	var out []server
	for hook := range strings.SplitSeq(v, ";") {
		if strings.TrimSpace(hook) == "" {
			continue
		}
		name, command, found := strings.Cut(hook, "=")
		name, command = strings.TrimSpace(name), strings.TrimSpace(command)
		switch {
		case !found || command == "" || !regexp.MustCompile(`^[A-Za-z0-9._-]+$`).MatchString(name):
			return nil, fmt.Errorf("%q is not NAME=COMMAND", hook)
		case taken[name]:
			return nil, fmt.Errorf("there is a server %q already", name)
		case !strings.Contains(command, "{addr}") && !strings.Contains(command, "{port}"):
			return nil, fmt.Errorf("%s: its command says neither {addr} nor {port}, so it cannot know where to listen", name)
		}
		taken[name] = true
		out = append(out, server{name: name, command: command})
	}
	return out, nil
}

// words describe the settings in a report. A run continues another one only if these are equal.
func (s settings) words() []string {
	cores := "neither server nor load bound to a core"
	if s.pin {
		cores = fmt.Sprintf("server on core %d, load on core %d", s.serverCPU, s.loadCPU)
	}
	out := []string{
		fmt.Sprintf("%d rounds, servers in turn, a fresh process each", s.rounds),
		cores,
		fmt.Sprintf("event loops: %d", s.loops),
		fmt.Sprintf("echo windows of %g s; memory of idle connections read after %s", s.seconds, s.settle),
	}
	if s.quick {
		out = append(out, "QUICK: shorter windows, fewer sizes and rates")
	}
	if !s.whole {
		out = append(out, "cases "+s.only.String()+" alone")
	}
	for _, h := range s.hooks {
		out = append(out, h.name+": "+h.shown())
	}
	return out
}
