//go:build linux

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// describe is the list that says what the tables were measured on.
func describe(ctx context.Context, root, dir string, s settings) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- %s, %d cores, %.1f GiB; Linux %s\n", field("/proc/cpuinfo", "model name"), runtime.NumCPU(),
		memory(), strings.TrimSpace(file("/proc/sys/kernel/osrelease")))
	fmt.Fprintf(&b, "- %s; commit %s; rivals %s\n", runtime.Version(), commit(ctx, root), rivals(filepath.Join(dir, "rivals")))
	cores := "neither bound to a core"
	if s.pin {
		cores = fmt.Sprintf("server on core %d, load on core %d", s.serverCPU, s.loadCPU)
	}
	fmt.Fprintf(&b, "- %d rounds, servers in turn, a fresh process each; event loops: %d; %s\n", s.rounds, s.loops, cores)
	fmt.Fprintf(&b, "- load average before %s\n", loadAverage())
	return b.String()
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

// rivals lists the measured libraries with the versions that were really linked.
func rivals(bin string) string {
	info, err := buildinfo.ReadFile(bin)
	if err != nil {
		return "unknown"
	}
	var out []string
	for _, d := range info.Deps {
		for _, name := range []string{"panjf2000/gnet", "gorilla/websocket", "coder/websocket", "gobwas/ws"} {
			if strings.HasPrefix(d.Path, "github.com/"+name) {
				out = append(out, name+" "+d.Version)
			}
		}
	}
	return strings.Join(out, ", ")
}
