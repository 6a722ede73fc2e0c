package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long any single thing may take.
const patience = 10 * time.Second

// The servers cannot be stopped, so each runs in a process of its own: this test binary, told to be the command.
const beRivals = "BE_RIVALS"

func TestMain(m *testing.M) {
	if os.Getenv(beRivals) != "" {
		main()
	}
	os.Exit(m.Run())
}

// startRival runs one of the servers and returns its address.
func startRival(t *testing.T, name string, more ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, self, append([]string{name}, more...)...)
}

// start runs a server until the end of the test and returns its address, once it accepts there.
func start(t *testing.T, command string, args ...string) string {
	t.Helper()
	addr := freeAddr(t)
	cmd := exec.Command(command, append(args, "--addr", addr)...)
	cmd.Env = append(os.Environ(), beRivals+"=1")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("server said: %s", &said)
		}
	})
	late := time.After(patience)
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return addr
		}
		select {
		case <-ended:
			t.Fatalf("server ended: %v", cmd.ProcessState)
		case <-late:
			t.Fatalf("server does not accept: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// taken are the addresses that were given out.
var taken sync.Map

// freeAddr is an address of this process alone: on 127.0.0.1 a client of anybody could have the port before the server does.
func freeAddr(t *testing.T) string {
	t.Helper()
	pid := os.Getpid()
	host := net.IPv4(127, byte(64+pid>>16), byte(pid>>8), byte(pid)).String()
	for {
		ln, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		addr := ln.Addr().String()
		ln.Close()
		if _, before := taken.LoadOrStore(addr, true); !before {
			return addr
		}
	}
}

func TestVersions(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "versions")
	cmd.Env = append(os.Environ(), beRivals+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !regexp.MustCompile(`^v\d+\.\d+\.\d+`).MatchString(version) {
			t.Errorf("%s has version %q", name, version)
		}
		names = append(names, name)
	}
	if want := []string{"gnet", "nbio", "gobwas", "gobwas-corked", "gws", "gorilla", "coder"}; !slices.Equal(names, want) {
		t.Errorf("versions of %q, want %q", names, want)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"nobody"},
		{"gws", "--loops", "0"},
		{"gws", "more"},
		{"gws", "--port", "1"},
		{"gnet", "--tls"},
		{"gorilla", "--deflate", "takeover"},
		{"nbio", "--deflate", "none"},
	} {
		var out, said bytes.Buffer
		if code := run(args, &out, &said); code != 2 || said.Len() == 0 || out.Len() > 0 {
			t.Errorf("rivals %q: status %d, said %q and %q; want 2 and words on stderr", args, code, &out, &said)
		}
	}
	var out, said bytes.Buffer
	if code := run([]string{"gobwas", "--addr", "127.0.0.1:nowhere"}, &out, &said); code != 1 || said.Len() == 0 {
		t.Errorf("an address that cannot be: status %d, said %q; want 1 and the reason", code, &said)
	}
}
