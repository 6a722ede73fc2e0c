package main

import (
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	odd := spreadOf(map[int]float64{1: 9, 2: 1, 3: 4})
	if odd != (spread{3, 4, 1, 9}) {
		t.Errorf("odd: %+v", odd)
	}
	even := spreadOf(map[int]float64{1: 9, 2: 1, 3: 4, 4: 6})
	if even != (spread{4, 5, 1, 9}) {
		t.Errorf("even: %+v", even)
	}
	if none := spreadOf(nil); none.String() != "– | –" {
		t.Errorf("none: %s", none)
	}
}

func TestRatiosPairRounds(t *testing.T) {
	got := ratios(map[int]float64{1: 1, 2: 3, 3: 5}, map[int]float64{1: 2, 3: 10})
	if len(got) != 2 || got[1] != 0.5 || got[3] != 0.5 {
		t.Errorf("%v", got)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0.2247: "0.225", 5.2143: "5.21", 17.36: "17.4", 626.1: "626", 4395928: "4395928", 0: "0.000"} {
		if got := number(v); got != want {
			t.Errorf("%g prints as %s, want %s", v, got, want)
		}
	}
}

func TestMainTable(t *testing.T) {
	s, err := readSettings(func(key string) string { return map[string]string{"CASES": "stream-4", "RUNS": "10"}[key] })
	if err != nil {
		t.Fatal(err)
	}
	cases := s.selected()
	if len(cases) != 1 {
		t.Fatalf("%d cases", len(cases))
	}
	var results []result
	for round, pair := range [][2]float64{{2, 8}, {2.5, 8}, {3, 8}} {
		results = append(results,
			result{cases[0], "agloop", round, false, map[string]float64{"server_us_per_event": pair[0], "kept": 1}},
			result{cases[0], "gorilla", round, false, map[string]float64{"server_us_per_event": pair[1], "kept": 0.8}})
	}
	results = append(results, result{c: cases[0], server: "gorilla", round: 3, failed: true})
	want := []string{
		"| server CPU per token event, 10 runs, 10 bursts/s of 4, µs | agloop | 2.50 | 2.00–3.00 |  |  |  |  |",
		"|  | gorilla | 8.00 | 8.00–8.00 | 0.312 | 0.250–0.375 | ≤ 1/3: held | **failed** in 1; rate not kept in 3 |",
	}
	got := mainTable(cases, results)
	if !strings.HasSuffix(got, strings.Join(want, "\n")+"\n") {
		t.Errorf("table:\n%s\nwant at its end:\n%s", got, strings.Join(want, "\n"))
	}
}

func TestSettings(t *testing.T) {
	s, err := readSettings(func(string) string { return "" })
	if err != nil || s.rounds != 5 || s.conns != 15000 || !s.pin || s.settle != 10*time.Second || len(s.selected()) != 6 {
		t.Errorf("%+v, error %v", s, err)
	}
	for _, key := range []string{"ROUNDS", "SETTLE", "PIN", "ECHO_SECONDS", "CASES"} {
		_, err := readSettings(func(k string) string { return map[string]string{key: "*"}[k] })
		if err == nil || !strings.HasPrefix(err.Error(), key+"=") {
			t.Errorf("%s=*: error %v", key, err)
		}
	}
}

func TestParseValues(t *testing.T) {
	v, err := parseValues([]byte(`{"mode":"echo","p50_us":1.5,"load_saturated":true}`))
	if err != nil || v["p50_us"] != 1.5 || v["load_saturated"] != 1 || len(v) != 2 {
		t.Errorf("%v, error %v", v, err)
	}
	if _, err := parseValues([]byte("no")); err == nil {
		t.Error("no error")
	}
}
