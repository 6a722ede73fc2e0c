//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func TestSlabs(t *testing.T) {
	text := "slabinfo - version: 2.1\n" +
		"TCP                   79    143   2368   13    8 : tunables    0    0    0 : slabdata     11     11      0\n" +
		"TCPv6                 26     26   2496   13    8 : tunables    0    0    0 : slabdata      2      2      0\n"
	got := slabs(text)
	if len(got) != 1 || got["TCP"] != uint64(8*11*os.Getpagesize()) {
		t.Errorf("%v", got)
	}
}

func TestKilobytes(t *testing.T) {
	text := "Slab:             259716 kB\nSReclaimable:     227304 kB\nHugePages_Total:       0\n"
	if n := kilobytes(text, "Slab"); n != 259716<<10 {
		t.Errorf("Slab is %d", n)
	}
	if n := kilobytes(text, "Reclaimable"); n != 0 {
		t.Errorf("an absent key is %d", n)
	}
}

// The percentile of two loads is that of all their latencies, not the mean of theirs.
func TestLatenciesAreMerged(t *testing.T) {
	load := func(n int, ns int64) message {
		h := hdrhistogram.New(100, 60_000_000_000, 3)
		if err := h.RecordValues(ns, int64(n)); err != nil {
			t.Fatal(err)
		}
		text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			t.Fatal(err)
		}
		return message{Runs: 1, Events: uint64(n), Seconds: 2, Latency: string(text)}
	}
	var r report
	if err := r.runs([]message{load(985, 1_000_000), load(15, 50_000_000)}); err != nil {
		t.Fatal(err)
	}
	near := func(got, want float64) bool { return got > want*0.998 && got < want*1.002 }
	if !near(r.P50, 1000) || !near(r.P99, 50_000) || r.Runs != 2 || r.Events != 1000 || r.EventRate != 500 {
		t.Errorf("%+v", r)
	}
	if err := new(report).runs([]message{{Latency: "no"}}); err == nil {
		t.Error("no error for a histogram that is none")
	}
}

func TestReport(t *testing.T) {
	r := report{
		Asked: 1_000_000, Conns: 262_000, Alive: 262_000, Bound: "conntrack", AcceptRate: 25_000, P99: 13_500,
		Bounds: []bound{{"conntrack", "262,144 entries", 262_000, "sysctl -w x=1"}, {"memory", "much", 2_000_000, "a machine"}},
	}
	a := reading{servers: 1 << 20, slab: 1 << 20, free: 1 << 34, caches: map[string]uint64{"TCP": 0}}
	b := reading{
		servers: 1<<20 + 262_000*600, slab: 1<<20 + 262_000*9000, free: 1<<34 - 262_000*10_000,
		caches: map[string]uint64{"TCP": 262_000 * 5000},
	}
	r.memory(&a, &b)
	dir := t.TempDir()
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "million.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# 262,000 live connections", "| the smallest limit is conntrack, at | 262,000 |",
		"| 25,000 |", "| user memory of the servers, all of it, a connection | 604 B |",
		"| … come since the first connection | 600 B |", "| kernel memory of both ends, a connection | 9000 B |",
		"| … of the server's end, about half | 4500 B |", "a connection and both ends | 10000 B |", "| p99 | 13.5 ms |",
		"| TCP | 5000 |",
		"| conntrack | 262,144 entries | 262,000 | sysctl -w x=1 |", "| memory | much | 2,000,000 |  |",
		"conntrack allows 262,000 of the 1,000,000 connections asked for.",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "million.json"))
	var back report
	if err != nil || json.Unmarshal(data, &back) != nil || back.Conns != r.Conns || back.KernelBytes != 9000 {
		t.Errorf("JSON %s, error %v", data, err)
	}
}

func TestSettings(t *testing.T) {
	s, err := readSettings(func(string) string { return "" })
	if err != nil || s.conns != 1_000_000 || s.seconds != 10 {
		t.Errorf("%+v, error %v", s, err)
	}
	for _, key := range []string{"CONNS", "RUN_SECONDS", "SETTLE"} {
		if _, err := readSettings(func(k string) string { return map[string]string{key: "-1"}[k] }); err == nil {
			t.Errorf("%s=-1 is taken", key)
		}
	}
}
