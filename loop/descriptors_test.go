package loop_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

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
	defer func() {
		in.Close()
		child.Wait()
	}()
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
	echoes := func(nc net.Conn) {
		t.Helper()
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		nc.Write(clientFrame(frame.Text, []byte("alive")))
		if _, p, err := readFrame(nc); err != nil || string(p) != "alive" {
			t.Fatalf("echo %q %v", p, err)
		}
	}
	var old []*net.TCPConn
	for range 10 {
		old = append(old, h.socket(t, 0))
	}
	say("exhaust")
	var waiting []net.Conn
	for range 30 {
		nc, err := net.Dial("tcp", h.addr) // the kernel completes it from the backlog
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
		waiting = append(waiting, nc)
	}
	if n := say("errors"); n == "0" {
		t.Error("no failed accept was counted")
	}
	for _, nc := range old {
		echoes(nc)
	}
	say("free")
	for i, nc := range waiting {
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		r := bufio.NewReader(nc)
		status, err := r.ReadString('\n')
		if err != nil || !strings.Contains(status, "101") {
			t.Fatalf("connection %d of the backlog: %q %v", i, status, err)
		}
	}
	for _, nc := range old {
		echoes(nc)
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
		Handler: funcs{message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) }},
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
			for h.door.Counters.AcceptErrs.Load() == 0 {
				time.Sleep(time.Millisecond) // the accept loop tells nobody but its counter
			}
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
	eng, err := loop.NewEngine(1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Stop(context.Background())
	var log bytes.Buffer
	door, err := eng.NewDoorWithDefaults(loop.DoorConfig{
		Log: slog.New(slog.NewTextHandler(&log, nil)), Path: loop.AnyPath, Handler: loop.NopHandler{},
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	errs := []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPROTO, syscall.EPERM}
	done := make(chan error, 1)
	go func() { done <- door.Accept(&errListener{ln, errs}) }()
	h := &house{eng, door, ln.Addr().String()}
	nc := h.socket(t, 0) // served after all of them
	if n := door.Counters.AcceptErrs.Load(); n != uint64(len(errs)) {
		t.Errorf("%d failed accepts counted, want %d", n, len(errs))
	}
	nc.Close()
	ln.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returned %v", err)
	}
	if !strings.Contains(log.String(), "cannot accept") {
		t.Error("nothing was logged")
	}
}
