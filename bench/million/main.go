//go:build linux

// Command million holds as many live connections as the machine's limits allow, and says what each
// takes.
//
// Servers (agloop stream) share one port by SO_REUSEPORT, and as many loads (load hold) connect to
// it from source addresses of their own in 127.0.0.0/8. Probes of 10,000 connections measure first
// what one takes; with that every limit of the machine is turned into a number of connections, and
// the smallest is what is held. One connection in a hundred then has a run of 10 bursts a second,
// whose latencies are measured; the others are idle. At the end every one is pinged and must
// answer; one that does not ends the program with status 1.
//
// It prints Markdown and writes it to OUT/million.md, the figures to OUT/million.json; progress
// goes to stderr.
//
//	CONNS=1000000     connections, if the limits allow them
//	SETTLE=10s        time from the last connection until the memory is read, the servers' garbage being gone
//	RUN_SECONDS=10    length of the runs
//	OUT=bench/report  directory of the report
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	every      = 100 // one connection in so many has a run
	rate       = 10  // bursts per second of a run
	probes     = 3
	probeConns = 10_000
	probeRest  = 2 * time.Second
)

// Children die with the thread that started them (see start), so that must be the one thread that
// lives to the end.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := million(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "million: %v\n", err)
		os.Exit(1)
	}
}

type settings struct {
	conns   int
	settle  time.Duration
	seconds int
	out     string
}

func readSettings(env func(string) string) (s settings, err error) {
	s = settings{conns: 1_000_000, settle: 10 * time.Second, seconds: 10, out: env("OUT")}
	for _, n := range []struct {
		key string
		to  *int
	}{{"CONNS", &s.conns}, {"RUN_SECONDS", &s.seconds}} {
		if v := env(n.key); v != "" {
			if *n.to, err = strconv.Atoi(v); err != nil || *n.to < 1 {
				return s, fmt.Errorf("%s=%s is no positive number", n.key, v)
			}
		}
	}
	if v := env("SETTLE"); v != "" {
		if s.settle, err = time.ParseDuration(v); err != nil || s.settle < 0 {
			return s, fmt.Errorf("SETTLE=%s is no duration", v)
		}
	}
	return s, nil
}

func million(ctx context.Context) error {
	s, err := readSettings(os.Getenv)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "million-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, err := build(ctx, dir)
	if err != nil {
		return err
	}
	if s.out == "" {
		s.out = filepath.Join(root, "bench", "report")
	}
	r := report{Began: time.Now().UTC(), Machine: describe(ctx, root), Asked: s.conns, Settle: s.settle.Seconds()}

	f, err := readFacts()
	if err != nil {
		return err
	}
	each := perServer(f.filesHard)
	if each == 0 {
		return fmt.Errorf("%d descriptors a process are too few: %s", f.filesHard, raiseFiles(f.nrOpen))
	}
	if r.Probe, f.tracked, err = probe(ctx, dir, f, int(min(each, probeConns, f.ports()))); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	r.Bounds = bounds(f, r.Probe, uint64(s.conns))
	least := lowest(r.Bounds)
	r.Conns = int(min(uint64(s.conns), least.Conns))
	if r.Conns < s.conns {
		r.Bound = least.Name
	}
	os.Stderr.WriteString(r.limits())
	if r.Conns < 1 {
		return errors.New("the limits allow no connection at all")
	}

	pairs := (r.Conns + int(each) - 1) / int(each)
	p, err := newPlan(dir, r.Conns, max(pairs, runtime.NumCPU(), 2), int(handshakes(f.backlog)), s.seconds)
	if err != nil {
		return err
	}
	if err := measure(ctx, p, s, &r); err != nil {
		return err
	}
	r.Machine.Load[1] = loadAverage()
	r.Seconds = time.Since(r.Began).Round(time.Second).Seconds()
	return r.write(s.out)
}

// probe finds out what a connection takes, and whether the loopback is tracked. Of several it takes
// the middle one, for the kernel's memory is everybody's.
func probe(ctx context.Context, dir string, f facts, conns int) (c cost, tracked bool, err error) {
	fmt.Fprintf(os.Stderr, "%d probes of %s connections\n", probes, thousands(uint64(conns)))
	var list []cost
	for range probes {
		p, err := newPlan(dir, conns, 1, int(handshakes(f.backlog)), 1)
		if err != nil {
			return c, false, err
		}
		one, seen, err := probeOnce(ctx, p)
		if err != nil {
			return c, false, err
		}
		list, tracked = append(list, one), tracked || seen
	}
	slices.SortFunc(list, func(a, b cost) int { return cmp.Compare(a.each(), b.each()) })
	return list[len(list)/2], tracked, nil
}

func probeOnce(ctx context.Context, p plan) (c cost, tracked bool, err error) {
	fl, err := launch(ctx, p)
	if err != nil {
		return c, false, err
	}
	defer func() { fl.stop(err == nil) }()
	a, err := read(fl.servers, fl.loads)
	if err != nil {
		return c, false, err
	}
	entries := conntracked()
	if _, err = fl.command(ctx, "open", func(loadMessage) {}); err != nil {
		return c, false, err
	}
	tracked = conntracked() >= entries+uint64(p.conns)/2
	if err = fl.pause(ctx, probeRest); err != nil {
		return c, false, err
	}
	b, err := read(fl.servers, fl.loads)
	if err != nil {
		return c, false, err
	}
	grown := func(a, b uint64) float64 { return max(0, apart(a, b, p.conns)) }
	return cost{
		Server: grown(a.servers, b.servers), Load: grown(a.loads, b.loads),
		// The sum of all small objects is complete, unless other processes have freed some
		// meanwhile.
		Kernel:   max(grown(a.kernel(), b.kernel()), grown(sum(a.caches), sum(b.caches))),
		TCPPages: grown(a.tcpPages, b.tcpPages),
		Pair:     a.servers + a.loads,
		Threads:  threadsOf(fl.servers[0]) + threadsOf(fl.loads[0]),
	}, tracked, nil
}

// measure holds the connections and fills in the report.
func measure(ctx context.Context, p plan, s settings, r *report) (err error) {
	fmt.Fprintf(os.Stderr, "%s connections over %d servers and %d loads\n", thousands(uint64(p.conns)), p.pairs, p.pairs)
	fl, err := launch(ctx, p)
	if err != nil {
		return err
	}
	defer func() { fl.stop(err == nil) }()
	a, err := read(fl.servers, fl.loads)
	if err != nil {
		return err
	}

	began, bar := time.Now(), newProgress(p.conns)
	opened := make([]int, p.pairs)
	_, err = fl.command(ctx, "open", func(h loadMessage) {
		opened[h.load] = h.Opened
		bar.show(opened)
	})
	bar.end()
	if err != nil {
		return err
	}
	r.Servers = p.pairs
	r.OpenSeconds = round(time.Since(began).Seconds(), 2)
	r.AcceptRate = round(float64(p.conns)/time.Since(began).Seconds(), 0)

	fmt.Fprintf(os.Stderr, "all open; resting for %v\n", s.settle)
	cpu, at := cpuOf(fl.servers), time.Now()
	if err := fl.pause(ctx, s.settle); err != nil {
		return err
	}
	r.IdleCores = round((cpuOf(fl.servers)-cpu).Seconds()/time.Since(at).Seconds(), 2)
	b, err := read(fl.servers, fl.loads)
	if err != nil {
		return err
	}
	r.memory(&a, &b)

	fmt.Fprintf(os.Stderr, "runs of %d s\n", p.seconds)
	cpu, at = cpuOf(fl.servers), time.Now()
	load := cpuOf(fl.loads)
	runs, err := fl.command(ctx, "run", func(loadMessage) {})
	if err != nil {
		return err
	}
	took := time.Since(at).Seconds()
	r.RunCores = round((cpuOf(fl.servers)-cpu).Seconds()/took, 2)
	r.LoadCores = round((cpuOf(fl.loads)-load).Seconds()/took, 2)
	if err := r.runs(runs); err != nil {
		return err
	}

	fmt.Fprintln(os.Stderr, "pinging every connection")
	at = time.Now()
	pongs, err := fl.command(ctx, "ping", func(loadMessage) {})
	if err != nil {
		return err
	}
	r.PingSeconds = round(time.Since(at).Seconds(), 2)
	for _, m := range pongs {
		r.Alive += m.Pongs
		r.ServerPings += m.Pinged
	}
	if r.Alive != p.conns {
		return fmt.Errorf("%d of %d connections are alive", r.Alive, p.conns)
	}
	fmt.Fprintln(os.Stderr, "all alive; closing")
	return nil
}
