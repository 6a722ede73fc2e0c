package main

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// settings are what the environment chose.
type settings struct {
	rounds, conns, echoConns, size, runs, streamSeconds, loops, serverCPU, loadCPU int
	seconds                                                                        float64
	warm, settle                                                                   time.Duration
	pin, all                                                                       bool
	only                                                                           *regexp.Regexp
	raw                                                                            string
}

func readSettings(getenv func(string) string) (s settings, err error) {
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
	span := func(key, zero string) time.Duration {
		v := get(key, zero)
		d, e := time.ParseDuration(v)
		keep(key, v, e)
		return d
	}
	flag := func(key, zero string) bool {
		v := get(key, zero)
		b, e := strconv.ParseBool(v)
		keep(key, v, e)
		return b
	}
	s = settings{
		rounds: whole("ROUNDS", "5", 1), conns: whole("CONNS", "15000", 1), echoConns: whole("ECHO_CONNS", "64", 1),
		size: whole("SIZE", "128", 8), runs: whole("RUNS", "2000", 1), streamSeconds: whole("STREAM_SECONDS", "10", 1),
		loops: whole("LOOPS", "1", 1), serverCPU: whole("SERVER_CPU", "0", 0), loadCPU: whole("LOAD_CPU", "1", 0),
		warm: span("WARM", "2s"), settle: span("SETTLE", "10s"),
		pin: flag("PIN", "1"), all: flag("ALL", "0"), raw: getenv("RAW"),
	}
	v := get("ECHO_SECONDS", "8")
	var e error
	s.seconds, e = strconv.ParseFloat(v, 64)
	keep("ECHO_SECONDS", v, e)
	v = get("CASES", ".")
	s.only, e = regexp.Compile(v)
	keep("CASES", v, e)
	return s, err
}
