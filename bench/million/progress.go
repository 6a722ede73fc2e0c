//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress says on stderr how many connections are open: as a bar on a terminal, else a line a
// second.
type progress struct {
	total int
	bar   *progressbar.ProgressBar
	began time.Time
	told  time.Time
}

func newProgress(total int) *progress {
	p := &progress{total: total, began: time.Now(), told: time.Now()}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription("opening"),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond))
	}
	return p
}

func (p *progress) show(opened []int) {
	n := 0
	for _, o := range opened {
		n += o
	}
	if p.bar != nil {
		_ = p.bar.Set(n)
		return
	}
	if time.Since(p.told) >= time.Second {
		p.told = time.Now()
		fmt.Fprintf(os.Stderr, "%s of %s open, %.0f/s\n", thousands(uint64(n)), thousands(uint64(p.total)),
			float64(n)/time.Since(p.began).Seconds())
	}
}

func (p *progress) end() {
	if p.bar != nil {
		fmt.Fprintln(os.Stderr)
	}
}
