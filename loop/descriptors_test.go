package loop_test

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// TestOutOfDescriptors: when the process has no descriptor left, connections that are open live on,
// new ones wait in the backlog, and are served once some are free. The server is a process of its
// own, with few descriptors.
func TestOutOfDescriptors(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestServerWithFewDescriptors$")
	child.Env = append(os.Environ(), "AGLOOP_TEST_SERVER=1")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // its peers are closed by now
		in.Close()
		child.Wait()
	})
	lines := bufio.NewScanner(out)
	say := func(cmd string) string {
		t.Helper()
		fmt.Fprintln(in, cmd)
		if !lines.Scan() {
			t.Fatalf("%s: the server is gone", cmd)
		}
		return lines.Text()
	}

	h := &house{addr: say("addr")}
	var old []*peer
	for range 10 {
		old = append(old, h.dial(t))
	}
	say("exhaust")
	var waiting []*peer
	for range 30 {
		nc := h.connect(t) // the kernel completes it from the backlog
		nc.Put(request())
		waiting = append(waiting, nc)
	}
	if n := say("errors"); n == "0" {
		t.Error("no failed accept was counted")
	}
	for _, nc := range old {
		nc.echoes()
	}
	say("free")
	for _, nc := range waiting {
		nc.WantSwitch()
	}
	for _, nc := range old {
		nc.echoes()
	}
}

// TestServerWithFewDescriptors is the other process of TestOutOfDescriptors. Started by itself it
// has nothing to do.
func TestServerWithFewDescriptors(t *testing.T) {
	if os.Getenv("AGLOOP_TEST_SERVER") == "" {
		return
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 128, Max: 128}); err != nil {
		t.Fatal(err)
	}
	h := open(t, loop.DoorConfig{
		Log:     slog.New(slog.DiscardHandler),
		Handler: &handler{message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) }},
	})
	var hoard []*os.File
	for cmds := bufio.NewScanner(os.Stdin); cmds.Scan(); {
		switch cmds.Text() {
		case "addr":
			fmt.Println(h.addr)
		case "exhaust":
			for {
				f, err := os.Open(os.DevNull)
				if errors.Is(err, syscall.EMFILE) {
					break
				}
				hoard = append(hoard, f)
			}
			fmt.Println("ok")
		case "errors":
			await(t, "an accept fails", func() bool { return h.door.Counters.AcceptErrs.Load() > 0 })
			fmt.Println(h.door.Counters.AcceptErrs.Load())
		case "free":
			for _, f := range hoard {
				f.Close()
			}
			hoard = nil
			fmt.Println("ok")
		}
	}
}

// errListener fails with each of errs and then gives ln's connections.
type errListener struct {
	net.Listener
	errs []error
}

func (l *errListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return l.Listener.Accept()
}

// TestAcceptErrorsEndNothing: whatever accept fails with, it is tried again.
func TestAcceptErrorsEndNothing(t *testing.T) {
	var log logs
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	errs := []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPROTO, syscall.EPERM}
	cfg := loop.DoorConfig{Log: slog.New(slog.NewTextHandler(&log, nil)), Handler: &handler{}}
	h := openOn(t, &errListener{ln, errs}, 1, cfg, slog.New(slog.DiscardHandler))
	h.dial(t) // served after all of them
	if n := h.door.Counters.AcceptErrs.Load(); n != uint64(len(errs)) {
		t.Errorf("%d failed accepts counted, want %d", n, len(errs))
	}
	if !log.has("cannot accept") {
		t.Error("nothing was logged")
	}
}
