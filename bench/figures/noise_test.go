package main

import (
	"strings"
	"testing"

	"github.com/agloop/agloop/bench/result"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		values map[string]float64
		begins string
		again  bool
	}{
		{map[string]float64{"other_cores": 0.15, "steal_share": 0.05, "load_cores": 0.8}, "", false},
		{map[string]float64{"other_cores": 0.16}, "machine too noisy: others used 0.16", true},
		{map[string]float64{"steal_share": 0.06}, "machine too noisy: the hypervisor", true},
		{map[string]float64{"load_saturated": 1, "load_cores": 0.97}, "load saturated: it used 0.97", false},
		{map[string]float64{"load_saturated": 1, "other_cores": 0.5}, "machine too noisy", true},
	} {
		why, again := judge(c.values)
		if again != c.again || !strings.HasPrefix(why, c.begins) || (why == "") != (c.begins == "") {
			t.Errorf("%v: %q, again %v", c.values, why, again)
		}
	}
}

// rounds makes a server whose rounds have these figures under one key.
func rounds(name, key string, figures ...float64) result.Server {
	s := result.Server{Name: name}
	for _, v := range figures {
		s.Rounds = append(s.Rounds, result.Round{Values: map[string]float64{key: v}})
	}
	return s
}

func TestUnsteadyCaseIsRefusedWhole(t *testing.T) {
	c := result.Case{Servers: []result.Server{rounds("agloop", "k", 10, 14, 15), rounds("gnet", "k", 1, 9, 2)}}
	if why := unsteady(&c, "k"); why != "" {
		t.Errorf("50 %% apart: %s", why)
	}
	c.Servers[0].Rounds[2].Values["k"] = 15.1
	c.Servers[1].Rounds[0] = result.Round{Refused: "load saturated"}
	why := unsteady(&c, "k")
	if !strings.Contains(why, "51 %") {
		t.Fatalf("51 %% apart: %q", why)
	}
	refuse(&c, why)
	run := result.Run{Cases: []result.Case{c}}
	n, refused, failed := tally(&run)
	if n != 6 || refused != 6 || failed != 0 {
		t.Errorf("%d of %d refused, %d failed", refused, n, failed)
	}
	if c.Servers[0].Spread("k").N != 0 || c.Servers[1].Rounds[0].Refused != "load saturated" || c.Servers[1].Rounds[1].Refused != why {
		t.Errorf("%+v", c.Servers)
	}
}

func TestTallyCountsFailures(t *testing.T) {
	s := rounds("agloop", "k", 1, 2)
	s.Rounds = append(s.Rounds, result.Round{Refused: failedRound + "lost"}, result.Round{Refused: "load saturated"})
	if n, refused, failed := tally(&result.Run{Cases: []result.Case{{Servers: []result.Server{s}}}}); n != 4 || refused != 2 || failed != 1 {
		t.Errorf("%d rounds, %d refused, %d failed", n, refused, failed)
	}
}
