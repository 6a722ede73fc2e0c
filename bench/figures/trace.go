//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/agloop/agloop/bench/result"
)

// traceAll counts the system calls of every server and takes agloop's profile, in passes whose
// times are not used.
func (b *bench) traceAll(ctx context.Context) error {
	for _, t := range b.rig.s.traced() {
		if b.rig.s.only.MatchString("calls/" + t.name) {
			for _, srv := range b.present(t.servers) {
				if slices.ContainsFunc(b.run.Calls, func(c result.Calls) bool { return c.Case == t.name && c.Server == srv.name }) {
					continue
				}
				b.bar.say("system calls of %s in %s", srv.name, t.name)
				calls, err := b.rig.calls(ctx, t, srv)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					b.note("system calls of %s in %s: %v", srv.name, t.name, err)
					continue
				}
				b.run.Calls = append(b.run.Calls, result.Calls{Case: t.name, Server: srv.name, Calls: calls})
			}
		}
		if !b.rig.s.only.MatchString("hot/"+t.name) || slices.ContainsFunc(b.run.Hot, func(h result.Hot) bool { return h.Case == t.name }) {
			continue
		}
		b.bar.say("profile of agloop in %s", t.name)
		spots, err := b.rig.hot(ctx, t)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.note("profile of agloop in %s: %v", t.name, err)
			continue
		}
		b.run.Hot = append(b.run.Hot, result.Hot{Case: t.name, Server: "agloop", Spots: spots})
	}
	return b.keep()
}

func (b *bench) keep() error {
	if b.saved == "" {
		return nil
	}
	return writePartial(b.saved, b.key, b.run)
}

// calls counts a server's system calls over a whole load, and takes off those that its connections
// alone cost.
func (g *tools) calls(ctx context.Context, t traced, srv server) ([]result.PerCall, error) {
	all, values, err := g.strace(ctx, t, srv, t.load)
	if err != nil {
		return nil, err
	}
	connections := map[string]float64{}
	if t.open != nil {
		if connections, _, err = g.strace(ctx, t, srv, t.open); err != nil {
			return nil, err
		}
	}
	n := values[t.total]
	if n == 0 {
		return nil, errors.New("the load counted no message")
	}
	return perMessage(all, connections, n), nil
}

func (g *tools) strace(ctx context.Context, t traced, srv server, load []string) (map[string]float64, map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	p, err := g.serve(ctx, srv)
	if err != nil {
		return nil, nil, err
	}
	defer p.stop()
	table := filepath.Join(g.dir, "strace")
	cmd := exec.CommandContext(ctx, "strace", "-c", "-f", "-o", table, "-p", strconv.Itoa(p.pid()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	said := bufio.NewReader(stderr)
	if line, err := said.ReadString('\n'); err != nil || !strings.Contains(line, "attached") {
		cmd.Process.Kill()
		cmd.Wait()
		return nil, nil, fmt.Errorf("strace: %s", bytes.TrimSpace([]byte(line)))
	}
	go said.WriteTo(discard{}) // each new thread is a line
	l, err := g.load(ctx, p, t.path, load)
	var values map[string]float64
	if err == nil {
		values, err = l.finish()
	}
	cmd.Process.Signal(os.Interrupt) // it leaves the server alone and writes its table
	cmd.Wait()
	if err != nil {
		return nil, nil, err
	}
	b, err := os.ReadFile(table)
	return parseCalls(string(b)), values, err
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// hot samples agloop under load.
func (g *tools) hot(ctx context.Context, t traced) ([]result.Symbol, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	p, err := g.serve(ctx, t.servers[0])
	if err != nil {
		return nil, err
	}
	defer p.stop()
	l, err := g.load(ctx, p, t.path, t.hot)
	if err != nil {
		return nil, err
	}
	samples := filepath.Join(g.dir, "perf.data")
	err = pause(ctx, 2*time.Second) // connections are open then, and what starts has started
	if err == nil {
		out, e := exec.CommandContext(ctx, "perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "-o", samples,
			"-p", strconv.Itoa(p.pid()), "--", "sleep", "2").CombinedOutput()
		if e != nil {
			err = fmt.Errorf("perf record: %w %s", e, lastOf(out, 300))
		}
	}
	if _, e := l.finish(); err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "perf", "report", "-i", samples, "--stdio", "--no-children", "-F", "overhead,sym").Output()
	if err != nil {
		return nil, fmt.Errorf("perf report: %w", err)
	}
	spots := parseHot(string(out), 12)
	if len(spots) == 0 {
		return nil, errors.New("perf report named no symbol")
	}
	return spots, nil
}
