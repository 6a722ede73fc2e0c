//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const module = "github.com/agloop/agloop/bench"

// build makes the two programs in dir and returns the root of the source tree.
func build(ctx context.Context, dir string) (root string, err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("not inside module %s: %w", module, err)
	}
	root = filepath.Dir(strings.TrimSpace(string(out)))
	for _, b := range []struct{ name, from, pkg string }{
		{"agloop", root, "./cmd/agloop"},
		{"load", filepath.Join(root, "bench"), "./load"},
	} {
		fmt.Fprintf(os.Stderr, "building %s\n", b.name)
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, b.name), b.pkg)
		cmd.Dir, cmd.Stderr = b.from, os.Stderr
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("build %s: %w", b.name, err)
		}
	}
	return root, nil
}

// plan is what is started: so many connections over so many pairs of a server and a load.
type plan struct {
	dir        string // of the programs
	addr       string
	conns      int
	pairs      int
	handshakes int // of one load
	seconds    int // of a run
}

// newPlan divides conns among the pairs. There are several however few the connections.
func newPlan(dir string, conns, pairs, handshakes, seconds int) (plan, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return plan{}, err
	}
	defer ln.Close()
	return plan{dir, ln.Addr().String(), conns, max(1, min(pairs, conns)), handshakes, seconds}, nil
}

// share is how many connections load i holds.
func (p *plan) share(i int) int { return (i+1)*p.conns/p.pairs - i*p.conns/p.pairs }

func (p *plan) server() []string {
	return []string{filepath.Join(p.dir, "agloop"), "stream", "--addr", p.addr, "--loops", "1", "--reuse-port"}
}

// load is the command of load i. Each has source addresses of its own, all of them in 127.0.0.0/8.
func (p *plan) load(i int) []string {
	each := (p.share(0) + perAddress) / perAddress // share differs by one at the most
	return []string{
		filepath.Join(p.dir, "load"), "hold", "--url", "ws://" + p.addr + "/ws",
		"--conns", strconv.Itoa(p.share(i)), "--source", source(i * each),
		"--handshakes", strconv.Itoa(p.handshakes), "--open-limit", "15m", "--drain", "1m",
		"--every", strconv.Itoa(every), "--rate", strconv.Itoa(rate), "--burst", "1", "--delta", "24",
		"--seconds", strconv.Itoa(p.seconds),
	}
}

// source is the nth source address.
func source(n int) string {
	return fmt.Sprintf("127.%d.%d.%d", 1+(n+1)>>16, (n+1)>>8&0xff, (n+1)&0xff)
}
