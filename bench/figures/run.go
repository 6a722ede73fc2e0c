//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const module = "github.com/agloop/agloop/bench"

// build makes the three programs in dir and returns the root of the source tree.
func build(ctx context.Context, dir string) (root string, err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("not inside module %s: %w", module, err)
	}
	root = filepath.Dir(strings.TrimSpace(string(out)))
	for _, b := range []struct{ name, from, pkg string }{
		{"agloop", root, "./cmd/agloop"},
		{"load", filepath.Join(root, "bench"), "./load"},
		{"rivals", filepath.Join(root, "bench", "rivals"), "."},
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

// measure runs one server and one load against it, and returns the load's JSON.
func measure(ctx context.Context, dir string, s settings, c bench, srv server) ([]byte, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := append([]string{filepath.Join(dir, srv.bin)}, srv.args...)
	args = append(args, "--addr", addr)
	if srv.loops {
		args = append(args, "--loops", strconv.Itoa(s.loops))
	}
	if s.pin {
		args = append([]string{"taskset", "-c", strconv.Itoa(s.serverCPU)}, args...)
	}
	p, err := start(args)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := p.ready(ctx, addr); err != nil {
		return nil, err
	}

	// taskset becomes the server by exec, so the process id is the server's own.
	args = append([]string{}, c.load...)
	args = append(args, "--url", "ws://"+addr+c.path, "--pid", strconv.Itoa(p.cmd.Process.Pid), "--json")
	if s.pin {
		args = append(args, "--cpu", strconv.Itoa(s.loadCPU))
	}
	load := exec.CommandContext(ctx, filepath.Join(dir, "load"), args...)
	load.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stdout, stderr bytes.Buffer
	load.Stdout, load.Stderr = &stdout, &stderr
	if err := load.Run(); err != nil {
		return nil, fmt.Errorf("load: %w: %s%s", err, bytes.TrimSpace(stderr.Bytes()), p.lastWords())
	}
	if err := p.alive(); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(stdout.Bytes()), nil
}

// freeAddr asks the kernel for a port that nobody listens on.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// process is a server that this program started, and the only kind of process it ever ends.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer // read only after done
	done   chan struct{}
}

func start(args []string) (*process, error) {
	p := &process{cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	// Should this program be killed, its servers must not stay behind.
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

// ready waits until the server accepts connections, and then until its start has settled.
func (p *process) ready(ctx context.Context, addr string) error {
	limit := time.After(10 * time.Second)
	for {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
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
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(500 * time.Millisecond):
		return nil
	}
}

func (p *process) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("server: ended by itself: %v%s", p.cmd.ProcessState, p.lastWords())
	default:
		return nil
	}
}

// lastWords is the end of what a server that has ended printed.
func (p *process) lastWords() string {
	select {
	case <-p.done:
		b := bytes.TrimSpace(p.output.Bytes())
		return "\n" + string(b[max(0, len(b)-2000):])
	default:
		return ""
	}
}

// stop ends the server and gives the kernel a moment to bury its connections.
func (p *process) stop() {
	p.cmd.Process.Kill()
	<-p.done
	time.Sleep(500 * time.Millisecond)
}
