package agloop_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// serverProcess is a server in a process of its own, which does what it is told on its standard
// input.
type serverProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	lines *bufio.Scanner
}

// isServer tells the named test that it is to be that server; started by itself it has nothing to
// do.
func isServer(t *testing.T) bool { return os.Getenv(serverMark) == t.Name() }

const serverMark = "AGLOOP_TEST_SERVER"

// startServer starts the server that the named test is. It ends when its peers have.
func startServer(t *testing.T, test string) *serverProcess {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), serverMark+"="+test)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return &serverProcess{t, cmd, in, bufio.NewScanner(out)}
}

// say sends a command and returns its answer.
func (p *serverProcess) say(command string) string {
	p.t.Helper()
	fmt.Fprintln(p.in, command)
	if !p.lines.Scan() {
		p.t.Fatalf("%s: the server is gone", command)
	}
	return p.lines.Text()
}

// memory is what is resident now and was at most, in bytes; 0 where there is no /proc.
func (p *serverProcess) memory(t *testing.T) (now, peak int64) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0, 0
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	field := func(name string) (kilobytes int64) {
		_, rest, _ := bytes.Cut(status, []byte(name+":"))
		if _, err := fmt.Sscan(string(rest), &kilobytes); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return kilobytes << 10
	}
	return field("VmRSS"), field("VmHWM")
}
