//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"time"
)

// freeAddr asks the kernel for a port that nobody listens on.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// process is a server that this program has started. It ends no other processes.
type process struct {
	cmd    *exec.Cmd
	addr   string
	output bytes.Buffer // read only after done
	done   chan struct{}
}

func start(dir, addr string, args []string) (*process, error) {
	p := &process{cmd: exec.Command(args[0], args[1:]...), addr: addr, done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.output, &p.output
	// When this program is killed, its servers must end, too.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// waitReady waits until the server accepts connections, and then for a moment until it has started
// fully.
func (p *process) waitReady(ctx context.Context) error {
	limit := time.After(10 * time.Second)
	for {
		if c, err := net.DialTimeout("tcp", p.addr, time.Second); err == nil {
			c.Close()
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return p.alive()
		case <-limit:
			return errors.New("server: does not listen after 10 s")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return pause(ctx, 300*time.Millisecond)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (p *process) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("server: ended by itself: %v%s", p.cmd.ProcessState, p.outputTail())
	default:
		return nil
	}
}

// outputTail is the end of the output of a server that has ended.
func (p *process) outputTail() string {
	select {
	case <-p.done:
		b := bytes.TrimSpace(p.output.Bytes())
		return "\n" + string(b[max(0, len(b)-2000):])
	default:
		return ""
	}
}

// stop ends the server and waits a moment until the kernel has closed its connections.
func (p *process) stop() {
	p.cmd.Process.Kill()
	<-p.done
	time.Sleep(200 * time.Millisecond)
}
