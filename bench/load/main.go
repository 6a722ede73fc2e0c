//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

const usage = "usage: load idle|echo|stream|fanout|churn|handshakes|runs|resume|hold [flags]; load MODE -h lists the flags"

// common are the flags every mode has.
type common struct {
	url   string
	pid   int
	cpu   int
	bound int
	limit time.Duration
	drain time.Duration // longest silence while waiting for the last replies
	json  bool
	tls   bool
	// resume has connections go on from the TLS session of an earlier one.
	resume bool

	source      string
	protocol    string // the subprotocol to offer; "": none
	deflate     string // what to offer of compression; "": nothing
	serverCores float64
}

func (c *common) register(fs *flag.FlagSet, url string) {
	fs.StringVar(&c.url, "url", url, "server to load")
	fs.IntVar(&c.pid, "pid", 0, "process id of the server, to measure its CPU and memory (0: neither)")
	fs.IntVar(&c.cpu, "cpu", -1, "core to run on (-1: any)")
	fs.IntVar(&c.bound, "handshakes", 128, "most handshakes in flight")
	fs.DurationVar(&c.limit, "open-limit", time.Minute, "longest time for opening all connections")
	fs.DurationVar(&c.drain, "drain", 5*time.Second, "longest silence while the last replies are awaited, after a window")
	fs.StringVar(&c.source, "source", "", "first `address` to leave from, one for 10,000 connections "+
		"(default 127.0.0.2 if they are more)")
	fs.Float64Var(&c.serverCores, "server-cores", 0, "cores the server may use, to tell whether it was the bottleneck "+
		"(0: as many as it is bound to)")
	fs.BoolVar(&c.tls, "tls", false, "speak TLS, as with wss:// in --url")
	fs.BoolVar(&c.resume, "resume-sessions", false, "over TLS: use the tickets that earlier connections got")
	fs.BoolVar(&c.json, "json", false, "print one JSON object on stdout, the key=value line on stderr")
}

// offerFlag is for modes that can speak agloop.v1.
func (c *common) offerFlag(fs *flag.FlagSet) {
	fs.StringVar(&c.protocol, "protocol", "", "subprotocol to offer: with "+protocolV1+" runs have a log")
}

// openAll opens every connection. Those of agloop.v1 are greeted before anything is sent.
func (c *common) openAll(e *engine) error {
	if err := e.openAll(c.limit); err != nil || c.protocol == "" {
		return err
	}
	n := 0
	all := func() bool {
		for n < len(e.conns) && e.conns[n].wire.greeted {
			n++
		}
		return n == len(e.conns)
	}
	if err := e.until(e.now()+int64(c.limit), all); err != nil {
		return err
	}
	if !all() {
		return fmt.Errorf("connection %d was not greeted within %v", n, c.limit)
	}
	return nil
}

// memoryLimit is when the collector runs after all.
const memoryLimit = 4 << 30

func main() {
	// One thread does everything and allocates nothing while it measures, so the collector would
	// only disturb.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)

	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	modes := map[string]func([]string) (*common, *report, error){
		"idle":       idleMain,
		"echo":       echoMain,
		"stream":     streamMain,
		"fanout":     fanoutMain,
		"churn":      churnMain,
		"handshakes": handshakesMain,
		"hold":       holdMain,
		"runs":       runsMain,
		"resume":     resumeMain,
	}
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
	if c.tls && t.tls == nil {
		t.secure()
	}
	if c.resume && t.tls == nil {
		return nil, errors.New("--resume-sessions needs TLS")
	}
	if c.resume {
		t.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	if t.tls != nil {
		// crypto/tls allocates. The collector is to stay away from the measured part all the same.
		debug.SetMemoryLimit(memoryLimit)
	}
	if c.deflate != "" && deflateOffers[c.deflate] == "" {
		return nil, fmt.Errorf("--deflate is %s or %s", takeover, noTakeover)
	}
	t.offer(c.protocol, deflateOffers[c.deflate])
	if c.cpu >= 0 {
		if err := pin(c.cpu); err != nil {
			return nil, err
		}
	}
	// The timers of a thread are up to 50 µs late unless its timer slack is reduced.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("timer slack: %w", err)
	}
	e, err := newEngine(t, conns, c.bound, m)
	if err != nil {
		return nil, err
	}
	e.serverCores, e.ownCore = c.serverCores, c.cpu >= 0
	e.from, err = sourcesFor(t, c.source, conns, e.life != nil)
	return e, err
}

// awaitReplies waits for the last replies until done, or until none has come for the time of
// --drain.
func (e *engine) awaitReplies(drain time.Duration, done func() bool) error {
	for !done() {
		before := e.frames
		if err := e.until(e.now()+int64(drain), done); err != nil {
			return err
		}
		if e.frames == before {
			return nil
		}
	}
	return nil
}
