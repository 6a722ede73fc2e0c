//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/agloop/agloop/bench"

// sourceRoot is the root of the library's source tree.
func sourceRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("not inside module %s: %w", module, err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// tools are the programs that a measurement needs, and how to start them.
type tools struct {
	root, dir string
	s         settings
	bins      []string
	absent    map[string]string // programs that cannot be built here, and why
}

// newRig builds the load and the servers in dir.
func newRig(ctx context.Context, root, dir string, s settings, servers []server) (*tools, error) {
	g := &tools{root: root, dir: dir, s: s, bins: []string{"agloop", "load"}, absent: map[string]string{}}
	for _, srv := range servers {
		if srv.command == "" && !slices.Contains(g.bins, srv.bin) {
			g.bins = append(g.bins, srv.bin)
		}
	}
	for _, bin := range g.bins {
		fmt.Fprintf(os.Stderr, "building %s\n", bin)
		err := g.build(ctx, bin)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil && bin == epollc.bin {
			g.absent[bin] = err.Error() // without a C compiler only the C server is missing
		} else if err != nil {
			return nil, fmt.Errorf("build %s: %w", bin, err)
		}
	}
	return g, nil
}

func (g *tools) build(ctx context.Context, bin string) error {
	out := filepath.Join(g.dir, bin)
	bench := filepath.Join(g.root, "bench")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", out)
	switch name, tag, _ := strings.Cut(bin, "+"); name {
	case "agloop":
		cmd.Dir = g.root
		cmd.Args = append(cmd.Args, "-tags", tag, "./cmd/agloop")
	case "rivals":
		cmd.Dir = filepath.Join(bench, "rivals")
	case epollc.bin:
		cmd = exec.CommandContext(ctx, "cc", "-O2", "-o", out, filepath.Join(bench, "rivals", "epollc", "epoll.c"))
	default:
		cmd.Dir = bench
		cmd.Args = append(cmd.Args, "./"+name)
	}
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(b))
	}
	return nil
}

// key says what was measured and how. A run continues only a run with the same key.
func (g *tools) key() (string, error) {
	h := sha256.New()
	for _, bin := range g.bins {
		b, err := os.ReadFile(filepath.Join(g.dir, bin))
		if err != nil && g.absent[bin] == "" {
			return "", err
		}
		h.Write(b)
	}
	fmt.Fprint(h, g.s.words())
	return fmt.Sprintf("%x", h.Sum(nil)[:16]), nil
}
