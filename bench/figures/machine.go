//go:build linux

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/agloop/agloop/bench/result"
)

// describe says what is measured, and on what.
func describe(ctx context.Context, g *tools) result.Machine {
	return result.Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: memory(),
		Kernel: strings.TrimSpace(file("/proc/sys/kernel/osrelease")), Go: runtime.Version(),
		Commit: commit(ctx, g.root), Versions: versions(ctx, g), Settings: g.s.words(),
	}
}

func file(name string) string {
	b, _ := os.ReadFile(name)
	return string(b)
}

// field is the first value of a "key : value" file.
func field(name, key string) string {
	for line := range strings.Lines(file(name)) {
		k, v, _ := strings.Cut(line, ":")
		if strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown " + key
}

// memory is what the machine has, in GiB.
func memory() float64 {
	kb, _, _ := strings.Cut(field("/proc/meminfo", "MemTotal"), " ")
	n, _ := strconv.ParseFloat(kb, 64)
	return n / (1 << 20)
}

func loadAverage() string {
	f := strings.Fields(file("/proc/loadavg"))
	return strings.Join(f[:min(len(f), 3)], " ")
}

// busyCores is what all programs together use for a while in which this one uses nothing.
func busyCores(ctx context.Context, d time.Duration) (float64, error) {
	before, began := busyTicks(file("/proc/stat")), time.Now()
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	after := busyTicks(file("/proc/stat"))
	if before == 0 || after < before {
		return 0, errors.New("/proc/stat: no line about the CPU")
	}
	const hertz = 100 // the unit of /proc/stat on every port of Linux that has epoll
	return (after - before) / hertz / time.Since(began).Seconds(), nil
}

func commit(ctx context.Context, root string) string {
	git := func(args ...string) []byte {
		out, _ := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output()
		return bytes.TrimSpace(out)
	}
	id := string(git("rev-parse", "--short=12", "HEAD"))
	if id == "" {
		return "unknown"
	}
	if len(git("status", "--porcelain")) > 0 {
		id += " with changes"
	}
	return id
}

// versions are those of the rivals, as they were really linked.
func versions(ctx context.Context, g *tools) []result.Version {
	var out []result.Version
	if info, err := buildinfo.ReadFile(filepath.Join(g.dir, "rivals")); err == nil {
		for _, d := range info.Deps {
			for _, name := range []string{
				"panjf2000/gnet", "gorilla/websocket", "coder/websocket", "lxzan/gws", "lesismal/nbio", "gobwas/ws",
			} {
				if d.Path == "github.com/"+name || strings.HasPrefix(d.Path, "github.com/"+name+"/v") {
					out = append(out, result.Version{Name: name, Version: d.Version})
				}
			}
		}
	}
	if cc, err := exec.CommandContext(ctx, "cc", "--version").Output(); err == nil && g.absent[epollc.bin] == "" {
		out = append(out, result.Version{Name: "epollc", Version: firstLine(string(cc)) + ", -O2"})
	}
	for _, h := range g.s.hooks {
		out = append(out, result.Version{Name: h.name, Version: "as given: " + h.shown()})
	}
	return out
}
