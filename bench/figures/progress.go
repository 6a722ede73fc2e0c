//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"
)

// progress shows how far a run is: as a bar to a person, as lines to a file.
type progress struct {
	total, done int
	began       time.Time
	bar         *progressbar.ProgressBar
}

func newProgress(total int) *progress {
	p := &progress{total: total, began: time.Now()}
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err == nil {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
	}
	return p
}

// begin names what is being done.
func (p *progress) begin(format string, args ...any) {
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf(format, args...))
		return
	}
	fmt.Fprintf(os.Stderr, "%d/%d "+format, append([]any{p.done + 1, p.total}, args...)...)
}

// end says how it went.
func (p *progress) end(how string) {
	p.done++
	if p.bar != nil {
		p.bar.Add(1)
		return
	}
	left := time.Since(p.began) / time.Duration(p.done) * time.Duration(p.total-p.done)
	fmt.Fprintf(os.Stderr, " %s; %s left\n", how, left.Round(time.Second))
}

// skip counts rounds that an earlier run has done.
func (p *progress) skip(n int) {
	p.total -= n
	if p.bar != nil {
		p.bar.ChangeMax(p.total)
	}
}

// say prints a line of its own.
func (p *progress) say(format string, args ...any) {
	var w io.Writer = os.Stderr
	if p.bar != nil {
		p.bar.Clear()
	}
	fmt.Fprintf(w, format+"\n", args...)
}
