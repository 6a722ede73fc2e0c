//go:build linux

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// message is what a load says on a line of its stdout. Done names the word that it has carried out,
// or is empty.
type message struct {
	Done    string  `json:"done"`
	Opened  int     `json:"opened"`
	Seconds float64 `json:"seconds"`
	Runs    int     `json:"runs"`
	Events  uint64  `json:"events"`
	Latency string  `json:"latency"` // an encoded HDR histogram of nanoseconds
	Pongs   int     `json:"pongs"`
	Pinged  uint64  `json:"pinged"`
}

// child is a process that this program has started. It ends no other processes.
type child struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
	err   error        // of its end; read only after done
	words bytes.Buffer // the beginning of its stderr; read only after done
}

// Write takes what the child writes on stderr.
func (c *child) Write(p []byte) (int, error) {
	if c.words.Len() < 4<<10 {
		c.words.Write(p)
	}
	return len(p), nil
}

// start runs a program. line is called with each line of its stdout, and when there are no more the
// child is done.
func start(name string, args []string, line func([]byte)) (*child, error) {
	c := &child{name: name, cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	c.cmd.Stderr = c
	// When this program is killed, its children must end, too. Ctrl-C at the terminal is only for
	// this program, which then ends them in order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line(lines.Bytes())
		}
		_, _ = io.Copy(io.Discard, stdout) // after a line that is too long
		err := c.cmd.Wait()                // nothing writes into words any more
		c.err = fmt.Errorf("%s ended too soon: %w: %s", name, cmp.Or(err, errNoReason), bytes.TrimSpace(c.words.Bytes()))
		close(c.done)
	}()
	return c, nil
}

var errNoReason = errors.New("exit status 0")

// stop asks the child to end, and ends it after a while.
func (c *child) stop(ask func(), grace time.Duration) {
	ask()
	select {
	case <-c.done:
	case <-time.After(grace):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// fleet is servers that share one port, and as many loads that hold the connections.
type fleet struct {
	servers, loads []*child
	heard          chan loadMessage
	ended          chan *child
}

// loadMessage is a message with the number of the load that has sent it.
type loadMessage struct {
	load int
	message
	err error
}

// launch starts servers and loads, and returns when all are ready.
func launch(ctx context.Context, p plan) (f *fleet, err error) {
	f = &fleet{heard: make(chan loadMessage, p.pairs), ended: make(chan *child, 2*p.pairs)}
	defer func() {
		if err != nil {
			f.stop(false)
		}
	}()
	ready := make(chan struct{}, p.pairs)
	for i := range p.pairs {
		var once sync.Once
		c, err := start(fmt.Sprintf("server %d", i+1), p.server(), func([]byte) { once.Do(func() { ready <- struct{}{} }) })
		if err != nil {
			return f, err
		}
		f.servers = append(f.servers, c)
		go f.watch(c)
	}
	for range f.servers {
		select {
		case <-ready:
		case c := <-f.ended:
			return f, c.err
		case <-ctx.Done():
			return f, ctx.Err()
		}
	}
	for i := range p.pairs {
		c, err := start(fmt.Sprintf("load %d", i+1), p.load(i), func(line []byte) {
			h := loadMessage{load: i}
			if err := json.Unmarshal(line, &h.message); err != nil {
				h.err = fmt.Errorf("load %d says %q: %w", i+1, line, err)
			}
			f.heard <- h
		})
		if err != nil {
			return f, err
		}
		f.loads = append(f.loads, c)
		go f.watch(c)
	}
	_, err = f.wait(ctx, "ready", func(loadMessage) {})
	return f, err
}

func (f *fleet) watch(c *child) {
	<-c.done
	f.ended <- c
}

// command sends a word to all loads and waits until all have carried it out. along is called with
// their messages meanwhile.
func (f *fleet) command(ctx context.Context, word string, along func(loadMessage)) ([]message, error) {
	for _, c := range f.loads {
		if _, err := io.WriteString(c.stdin, word+"\n"); err != nil {
			return nil, fmt.Errorf("tell %s to %s: %w", c.name, word, err)
		}
	}
	return f.wait(ctx, word, along)
}

func (f *fleet) wait(ctx context.Context, word string, along func(loadMessage)) ([]message, error) {
	list := make([]message, len(f.loads))
	for left := len(list); left > 0; {
		select {
		case h := <-f.heard:
			if h.err != nil {
				return nil, h.err
			}
			along(h)
			if h.Done == word {
				list[h.load] = h.message
				left--
			}
		case c := <-f.ended:
			return nil, c.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return list, nil
}

// pause waits for d with open connections, and returns an error when a process ends meanwhile.
func (f *fleet) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case c := <-f.ended:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends the loads, which reset their connections, and then the servers.
func (f *fleet) stop(inOrder bool) {
	grace := 2 * time.Second
	if inOrder {
		grace = time.Minute
	}
	go func() { // a load must not block on sending a message
		for range f.heard {
		}
	}()
	all(f.loads, func(c *child) { c.stop(func() { _ = c.stdin.Close() }, grace) })
	all(f.servers, func(c *child) { c.stop(func() { _ = c.cmd.Process.Signal(syscall.SIGTERM) }, grace) })
	close(f.heard)
}

func all(list []*child, do func(*child)) {
	var wg sync.WaitGroup
	for _, c := range list {
		wg.Go(func() { do(c) })
	}
	wg.Wait()
}
