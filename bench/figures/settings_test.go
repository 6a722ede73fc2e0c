package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/bench/result"
)

func settingsOf(t *testing.T, env map[string]string) settings {
	t.Helper()
	s, err := readSettings(func(key string) string { return env[key] }, 2)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSettings(t *testing.T) {
	s := settingsOf(t, nil)
	if s.rounds != 5 || s.conns != 15000 || !s.pin || s.settle != 5*time.Second || !s.whole || s.runs != 5000 {
		t.Errorf("%+v", s)
	}
	quick := settingsOf(t, map[string]string{"QUICK": "1"})
	if quick.seconds >= s.seconds || len(quick.cases()) >= len(s.cases()) || quick.rounds != 5 {
		t.Errorf("QUICK: %+v", quick)
	}
	for _, key := range []string{"ROUNDS", "SETTLE", "PIN", "ECHO_SECONDS", "CASES", "RIVAL", "QUICK"} {
		_, err := readSettings(func(k string) string { return map[string]string{key: "*"}[k] }, 2)
		if err == nil || !strings.HasPrefix(err.Error(), key+"=") {
			t.Errorf("%s=*: error %v", key, err)
		}
	}
	one, err := readSettings(func(string) string { return "" }, 1)
	if err != nil || one.pin {
		t.Errorf("one core: pin %v, error %v", one.pin, err)
	}
	if _, err := readSettings(func(k string) string { return map[string]string{"LOAD_CPU": "2"}[k] }, 2); err == nil {
		t.Error("a core that is not there: no error")
	}
}

func TestHooks(t *testing.T) {
	hooks, err := parseHooks(" uws=/opt/echo --port {port} --host {host};; other=serve {addr} ;")
	if err != nil || len(hooks) != 2 || hooks[1].name != "other" {
		t.Fatalf("%+v, error %v", hooks, err)
	}
	argv := hooks[0].argv("/tmp", "127.0.0.1:81", 1)
	if !slices.Equal(argv, []string{"sh", "-c", "exec /opt/echo --port 81 --host 127.0.0.1"}) {
		t.Errorf("%q", argv)
	}
	for _, bad := range []string{"uws", "uws=", "=x {addr}", "gnet=x {addr}", "a=x {addr};a=y {addr}", "a b=x {addr}", "a=x"} {
		if _, err := parseHooks(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestCases(t *testing.T) {
	s := settingsOf(t, map[string]string{"RIVAL": "uws=echo {port}"})
	legal := regexp.MustCompile(`^[a-z0-9=/-]+$`)
	seen := map[string]workload{}
	for _, w := range s.cases() {
		if _, double := seen[w.name]; double || !legal.MatchString(w.name) {
			t.Errorf("name %q", w.name)
		}
		seen[w.name] = w
		if !strings.HasPrefix(w.servers[0].name, "agloop") {
			t.Errorf("%s: first is %s", w.name, w.servers[0].name)
		}
		if w.title == "" || w.measure.Key == "" || w.group == "" || len(w.load) == 0 {
			t.Errorf("%+v", w)
		}
	}
	// What targets, half loads and traces speak of must be there.
	names := []string{echo1, echo32, "tags/" + echo1, "tags/" + echo32, "stream/rate=20/burst=1", "stream/rate=100/burst=8"}
	for _, w := range s.cases() {
		if w.half != nil {
			names = append(names, w.half.from)
		}
	}
	for _, tr := range s.traced() {
		names = append(names, tr.name)
	}
	for _, name := range names {
		if _, ok := seen[name]; !ok {
			t.Errorf("no case %s", name)
		}
	}
	if !slices.ContainsFunc(seen[echo32].servers, func(srv server) bool { return srv.name == "uws" }) {
		t.Error("the hook takes no part in echo")
	}
	only := settingsOf(t, map[string]string{"CASES": "^" + echo32 + "$"})
	if len(only.selected()) != 1 || len(only.traced()) != 0 || only.whole {
		t.Errorf("CASES selects %d cases, %d traces", len(only.selected()), len(only.traced()))
	}
}

// Every row of the cases of runs with a log has its own load.
func TestCasesOfRunsWithALog(t *testing.T) {
	viewers := []string{"viewers/conns=1000/viewers=1", "viewers/conns=1000/viewers=10", "viewers/conns=1000/viewers=100"}
	for env, others := range map[string][]string{
		"0": {"live/runs=1000/events=1000", "resume/clients=2000"},
		"1": {"live/runs=200/events=1000", "resume/clients=500"},
	} {
		names := slices.Concat(viewers, others)
		s := settingsOf(t, map[string]string{"QUICK": env, "CASES": "^(viewers|live|resume)/"})
		var found []string
		for _, w := range s.selected() {
			found = append(found, w.name)
			loads := map[string]bool{}
			for _, srv := range w.servers {
				load := strings.Join(append(srv.argv("", "", 1), append(w.load, srv.load...)...), " ")
				if loads[load] {
					t.Errorf("%s: %s has the load of another", w.name, srv.name)
				}
				loads[load] = true
			}
		}
		if !slices.Equal(found, names) {
			t.Errorf("QUICK=%s: %q, want %q", env, found, names)
		}
	}
}

// Server and load agree on TLS and on compression, and every target finds its cases, also in a short run.
func TestCasesOfTLSAndDeflate(t *testing.T) {
	var counts []int
	for _, quick := range []string{"0", "1"} {
		s := settingsOf(t, map[string]string{"QUICK": quick, "CASES": "^(tls|deflate)-", "RIVAL": "uws=echo {port}"})
		all := s.selected()
		counts = append(counts, len(all))
		run := &result.Run{}
		for _, w := range all {
			c := result.Case{Name: w.name, Measure: w.measure}
			for _, srv := range w.servers {
				argv, load := srv.argv("", "127.0.0.1:1", 1), slices.Concat(w.load, srv.load)
				serves := slices.Contains(argv, "--tls") || slices.Contains(argv, "--tls-self-signed")
				if tls := strings.HasPrefix(w.name, "tls-"); tls != serves || tls != slices.Contains(load, "--tls") {
					t.Errorf("%s: %s is %q, its load %q", w.name, srv.name, argv, load)
				}
				if slices.Contains(argv, "--deflate") != slices.Contains(load, "--deflate") {
					t.Errorf("%s: %s is %q, its load %q", w.name, srv.name, argv, load)
				}
				one := result.Server{Name: srv.name, Rounds: []result.Round{{Values: map[string]float64{}}}}
				for _, m := range append(w.beside, w.measure) {
					one.Rounds[0].Values[m.Key] = 1
				}
				c.Servers = append(c.Servers, one)
			}
			run.Cases = append(run.Cases, c)
		}
		for _, target := range outcomes(run, allocated{}) {
			of := strings.Contains(target.Text, "over TLS") || strings.HasPrefix(target.Text, "compressed")
			if of != (target.Outcome != notMeasured) {
				t.Errorf("%s: %s, %s", target.Text, target.Outcome, target.Why)
			}
		}
	}
	if counts[0] != 11 || counts[1] != 9 {
		t.Errorf("%d cases, in a short run %d", counts[0], counts[1])
	}
}

func TestRatesOfStreams(t *testing.T) {
	s := settingsOf(t, nil)
	for burst, want := range map[int]string{1: "20", 4: "5", 8: "3"} {
		if w := s.stream(20, burst); w.load[len(w.load)-1] != want {
			t.Errorf("bursts of %d: %s a second", burst, w.load[len(w.load)-1])
		}
		if burst == 8 && !strings.Contains(s.stream(20, 8).title, "24 events/s") {
			t.Errorf("it says %q", s.stream(20, 8).title)
		}
	}
	for _, w := range s.halfLoads() {
		if flags := w.half.flags(1000); len(flags) != 2 || flags[0] != "--rate" || flags[1] == "0" {
			t.Errorf("%s: %q", w.name, flags)
		}
	}
}
