package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
)

// The programs that this one is besides, by their first argument.
const (
	clientCommand = "client-process"
	serverCommand = "server-process"
)

// dieWithParent ends a process whose parent does: that holds its standard input open.
func dieWithParent() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
}

// child is this program, started again.
type child struct {
	cmd   *exec.Cmd
	in    io.Closer
	lines chan string // that it prints; closed when it has ended
}

// startChild starts this program with other arguments. It ends with this process.
func startChild(args ...string) (*child, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(path, args...), lines: make(chan string, 16)}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.lines <- lines.Text()
		}
	}()
	return c, nil
}

// kill kills it, wherever it is, with SIGKILL.
func (c *child) kill() { _ = c.cmd.Process.Kill() }

// wait waits for its end. The error says that it has not ended by itself and well.
func (c *child) wait() error {
	for range c.lines {
	}
	return c.cmd.Wait()
}
