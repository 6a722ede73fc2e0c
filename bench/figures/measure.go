//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// longest is the time limit of one round.
const longest = 3 * time.Minute

// serve starts a server and waits until it is ready.
func (g *tools) serve(ctx context.Context, srv server) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := srv.argv(g.dir, addr, g.s.loops)
	if g.s.pin {
		// taskset becomes the server by exec, so the process id is the server's own.
		args = append([]string{"taskset", "-c", strconv.Itoa(g.s.serverCPU)}, args...)
	}
	p, err := start(g.root, addr, args)
	if err != nil {
		return nil, err
	}
	if err := p.waitReady(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// loading is a running load.
type loading struct {
	cmd            *exec.Cmd
	server         *process
	stdout, stderr bytes.Buffer
}

func (g *tools) load(ctx context.Context, p *process, path string, args []string) (*loading, error) {
	args = append([]string{}, args...)
	scheme := "ws://"
	if path == ssePath {
		scheme = "http://"
	}
	args = append(args, "--url", scheme+p.addr+path, "--pid", strconv.Itoa(p.pid()), "--json")
	if g.s.pin {
		args = append(args, "--cpu", strconv.Itoa(g.s.loadCPU))
	}
	l := &loading{cmd: exec.CommandContext(ctx, filepath.Join(g.dir, "load"), args...), server: p}
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	l.cmd.Stdout, l.cmd.Stderr = &l.stdout, &l.stderr
	return l, l.cmd.Start()
}

// finish waits for the load's report.
func (l *loading) finish() (map[string]float64, error) {
	if err := l.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("load: %w: %s%s", err, bytes.TrimSpace(l.stderr.Bytes()), l.server.outputTail())
	}
	if err := l.server.alive(); err != nil {
		return nil, err
	}
	return parseValues(bytes.TrimSpace(l.stdout.Bytes()))
}

// round is one measurement: fresh servers, and a load on each.
func (g *tools) round(ctx context.Context, srv server, path string, args []string, pairs int) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	var loads []*loading
	for range max(1, pairs) {
		p, err := g.serve(ctx, srv)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		loads = append(loads, &loading{server: p})
	}
	for i, l := range loads {
		started, err := g.load(ctx, l.server, cmp.Or(srv.path, path), slices.Concat(args, srv.load))
		if err != nil {
			return nil, err
		}
		loads[i] = started
	}
	var all []map[string]float64
	var failed error
	for _, l := range loads {
		values, err := l.finish()
		if err != nil && failed == nil {
			failed = err
			cancel()
		}
		all = append(all, values)
	}
	if failed != nil {
		return nil, failed
	}
	return merge(all), nil
}
