//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

const usage = "usage: load idle|echo|stream [flags]; load MODE -h lists the flags"

// common are the flags every mode has.
type common struct {
	url   string
	pid   int
	cpu   int
	bound int
	limit time.Duration
	drain time.Duration // longest wait for the last replies
	json  bool
}

func (c *common) register(fs *flag.FlagSet, url string) {
	fs.StringVar(&c.url, "url", url, "server to load")
	fs.IntVar(&c.pid, "pid", 0, "process id of the server, to measure its CPU and memory (0: neither)")
	fs.IntVar(&c.cpu, "cpu", -1, "core to run on (-1: any)")
	fs.IntVar(&c.bound, "handshakes", 128, "most handshakes in flight")
	fs.DurationVar(&c.limit, "open-limit", time.Minute, "longest time for opening all connections")
	fs.DurationVar(&c.drain, "drain", 5*time.Second, "longest time to wait for replies after an echo window")
	fs.BoolVar(&c.json, "json", false, "print one JSON object on stdout, the key=value line on stderr")
}

func main() {
	// One thread does everything, and nothing is allocated while it measures: a collection could only disturb.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)

	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	modes := map[string]func([]string) (*common, *report, error){"idle": idleMain, "echo": echoMain, "stream": streamMain}
	run := modes[os.Args[1]]
	if run == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	c, r, err := run(os.Args[2:])
	if err == nil && r != nil {
		err = r.print(c.json)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "load %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// start parses what was given, pins the process and readies an engine.
func (c *common) start(conns int, m mode) (*engine, error) {
	if conns < 1 || c.bound < 1 {
		return nil, fmt.Errorf("%d connections, %d handshakes at once: both must be positive", conns, c.bound)
	}
	t, err := parseTarget(c.url)
	if err != nil {
		return nil, err
	}
	if c.cpu >= 0 {
		if err := pin(c.cpu); err != nil {
			return nil, err
		}
	}
	return newEngine(t, conns, c.bound, m)
}

// meter is a reading of everything that a measured window is the difference of.
type meter struct {
	at     int64
	server time.Duration
	load   time.Duration
	reads  uint64
	frames uint64
}

func (e *engine) meter(pid int) (m meter, err error) {
	m = meter{at: e.now(), reads: e.reads, frames: e.frames}
	if pid != 0 {
		if m.server, err = cpuTime(pid); err != nil {
			return m, fmt.Errorf("CPU of the server: %w", err)
		}
	}
	m.load, err = cpuTime(0)
	return m, err
}

// saturated is the share of one core above which the load itself may be what limits the result.
const saturated = 0.9

// window reports what lies between two readings. what names a frame: msg or event.
func (r *report) window(a, b meter, pid int, what string) {
	seconds := float64(b.at-a.at) / 1e9
	frames := float64(b.frames - a.frames)
	per := func(d time.Duration) float64 { return ratio(float64(d)/1e3, frames) }
	cores := float64(b.load-a.load) / 1e9 / seconds
	r.add("seconds", round(seconds, 3))
	r.add(what+"s", b.frames-a.frames)
	r.add(what+"s_per_s", round(frames/seconds, 0))
	if pid != 0 {
		r.add("server_us_per_"+what, round(per(b.server-a.server), 4))
		r.add("server_cores", round(float64(b.server-a.server)/1e9/seconds, 3))
	}
	r.add("load_us_per_"+what, round(per(b.load-a.load), 4))
	r.add("load_cores", round(cores, 3))
	r.add("load_saturated", cores > saturated)
	r.add("frames_per_read", round(ratio(frames, float64(b.reads-a.reads)), 3))
}
