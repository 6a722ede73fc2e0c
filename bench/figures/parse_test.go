package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/agloop/agloop/bench/result"
)

func TestParseCalls(t *testing.T) {
	const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.20    0.123456          12     10000           write
 38.00    0.076543           3     20000      1500 read
  0.80    0.001600         160        10         2 epoll_pwait
  0.00    0.000000           0         1           total
------ ----------- ----------- --------- --------- ----------------
100.00    0.201599           6     30010      1502 total
`
	want := map[string]float64{"write": 10000, "read": 20000, "epoll_pwait": 10}
	if got := parseCalls(table); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPerMessageTakesConnectionsOff(t *testing.T) {
	all := map[string]float64{"write": 10064, "read": 20064, "accept4": 64, "futex": 5, "close": 64}
	opened := map[string]float64{"write": 64, "read": 64, "accept4": 64, "close": 70}
	got := perMessage(all, opened, 10000)
	want := []result.PerCall{{Name: "read", Per: 2}, {Name: "write", Per: 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestParseHot(t *testing.T) {
	const report = `# To display the perf.data header info, please use --header/--header-only options.
#
# Samples: 1K of event 'cpu-clock'
# Overhead  Symbol
# ........  ..............................

    31.25%  [k] tcp_sendmsg_locked
     8.50%  [.] github.com/agloop/agloop/loop.(*Conn).onFrame
    12.75%  [.] runtime.mapaccess2_fast64 [inlined]
     0.10%  [.] 0x00000000000648c4

# (Tip: something)
`
	want := []result.Symbol{
		{Name: "tcp_sendmsg_locked", Kernel: true, Share: 0.3125},
		{Name: "runtime.mapaccess2_fast64 [inlined]", Share: 0.1275},
		{Name: "github.com/agloop/agloop/loop.(*Conn).onFrame", Share: 0.085},
	}
	if got := parseHot(report, 3); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := parseHot("perf: no samples\n", 3); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestParseMicro(t *testing.T) {
	const output = `goos: linux
pkg: github.com/agloop/agloop/codec/event
BenchmarkEvents/encode/RUN_STARTED/by=agloop-2         	 1000	       120.5 ns/op	  64.5 MB/s	       0 B/op	       0 allocs/op
BenchmarkEvents/encode/RUN_STARTED/by=agloop-2         	 1000	       130 ns/op	  64.5 MB/s	       8 B/op	       1 allocs/op
BenchmarkEvents/decode/RUN_STARTED/by=encoding-json-2  	 1000	      1200 ns/op	     512 B/op	      11 allocs/op
BenchmarkSlots-2                                       	 1000	        40 ns/op	       0 B/op	       0 allocs/op
BenchmarkGetRelease/size=64-2                          	 1000	        20 ns/op	       0 B/op	       0 allocs/op
BenchmarkOther-2                                       	 1000	        20 ns/op	       0 B/op	       0 allocs/op
BenchmarkEvents/malformed-2                            	 1000	        20 ns/op	       0 B/op	       0 allocs/op
PASS
ok  	github.com/agloop/agloop/codec/event	1.2s
`
	want := []result.Micro{
		{Group: "encode", Name: "RUN_STARTED", By: "agloop", NsOp: []float64{120.5, 130}, BOp: 8, Alloc: 1},
		{Group: "decode", Name: "RUN_STARTED", By: "encoding/json", NsOp: []float64{1200}, BOp: 512, Alloc: 11},
		{Group: "slots", Name: "Slots", By: "agloop", NsOp: []float64{40}},
		{Group: "pool", Name: "GetRelease/size=64", By: "agloop", NsOp: []float64{20}},
	}
	if got := parseMicro(output, 2); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	// With one processor names end in what they end in.
	got := parseMicro("BenchmarkQueue/burst-2 10 5 ns/op 0 B/op 0 allocs/op\n", 1)
	if len(got) != 1 || got[0].Name != "Queue/burst-2" || got[0].Group != "batch" {
		t.Errorf("one processor: %+v", got)
	}
}

func TestBusyTicks(t *testing.T) {
	const stat = "cpu  100 5 50 9000 400 3 2 7 60 0\ncpu0 50 0 25 4500 200 1 1 3 30 0\n"
	if got := busyTicks(stat); got != 100+5+50+3+2+7 {
		t.Errorf("%v ticks", got)
	}
	if got := busyTicks(""); got != 0 {
		t.Errorf("%v ticks of nothing", got)
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine(errors.New("load: exit status 1:\n\tlost\n")); got != "load: exit status 1: lost" {
		t.Errorf("%q", got)
	}
	if got := oneLine(errors.New(strings.Repeat("µ", 300))); !utf8.ValidString(got) || len(got) > 410 {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestParseValues(t *testing.T) {
	v, err := parseValues([]byte(`{"mode":"echo","p50_us":1.5,"load_saturated":true,"other":false}`))
	want := map[string]float64{"p50_us": 1.5, "load_saturated": 1, "other": 0}
	if err != nil || !reflect.DeepEqual(v, want) {
		t.Errorf("%v, error %v", v, err)
	}
	if _, err := parseValues([]byte("no")); err == nil {
		t.Error("no error")
	}
}

func TestMerge(t *testing.T) {
	got := merge([]map[string]float64{
		{"bytes_per_conn": 600, "rss_after": 10e6, "other_cores": 1, "conns_per_s": 5, "idle_server_cores": 0.25},
		{"bytes_per_conn": 700, "rss_after": 12e6, "other_cores": 1, "conns_per_s": 6, "idle_server_cores": 0.5},
	})
	want := map[string]float64{"bytes_per_conn": 650, "rss_after": 22e6, "conns_per_s": 11, "idle_server_cores": 0.75}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
