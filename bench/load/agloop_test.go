//go:build linux

package main

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startAgloop starts agloop stream and returns what a load needs to know of it.
func startAgloop(t *testing.T, program string, flags ...string) common {
	t.Helper()
	return startMode(t, program, "stream", "/ws", flags...)
}

func startMode(t *testing.T, program, mode, path string, flags ...string) common {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	cmd := exec.Command(program, append([]string{mode, "--addr", addr, "--loops", "1"}, flags...)...)
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	var line [100]byte // says that it listens
	if n, err := said.Read(line[:]); err != nil || !strings.Contains(string(line[:n]), addr) {
		t.Fatalf("agloop %s says %q, %v", mode, line[:n], err)
	}
	return common{
		url: "ws://" + addr + path, pid: cmd.Process.Pid, cpu: -1, bound: 16, protocol: protocolV1,
		limit: 20 * time.Second, drain: 5 * time.Second,
	}
}

// TestAgloop puts the loads that speak agloop.v1 on agloop itself.
func TestAgloop(t *testing.T) {
	program := filepath.Join(t.TempDir(), "agloop")
	build := exec.Command("go", "build", "-o", program, "./cmd/agloop")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	t.Run("stream over HTTP", func(t *testing.T) {
		t.Parallel()
		c := startMode(t, program, "stream", "/agui")
		c.url, c.protocol = "http"+strings.TrimPrefix(c.url, "ws"), ""
		m := &streamMode{rate: 20, burst: 2, delta: 48, length: 2, exact: true}
		r, err := streamRun(&c, m, 30, 200*time.Millisecond, 20*time.Second)
		check(t, err, "")
		if err == nil && (value[int](t, r, "finished") != 30 || value[uint64](t, r, "content_events") != 30*80) {
			t.Errorf("report %s", r.text())
		}
	})
	for _, tt := range []struct {
		name          string
		viewers       int
		protocol      string
		conns, frames int
	}{
		{"no viewer", 0, protocolV1, 2, 70},
		{"one viewer", 1, protocolV1, 2, 70},
		{"three viewers", 3, protocolV1, 6, 210},
		{"without a log", 1, "", 70, 70},
	} {
		t.Run("runs, "+tt.name, func(t *testing.T) {
			t.Parallel()
			c := startAgloop(t, program)
			c.protocol = tt.protocol
			m := &runsMode{runs: 70, events: 100, rate: 50, burst: 10}
			r, err := runsRun(&c, m, tt.viewers, 128, 10*time.Millisecond)
			check(t, err, "")
			if err != nil {
				return
			}
			// What a log takes lies between its events and, room for more included, twice that.
			conns, checked := value[int](t, r, "conns"), value[uint64](t, r, "checked")
			events, ledger := value[float64](t, r, "event_bytes_per_run"), value[float64](t, r, "ledger_per_run")
			if conns != tt.conns || checked != uint64(tt.frames*102) || events < 100*128 || events > 100*128+300 {
				t.Errorf("report %s", r.text())
			}
			if logged := tt.protocol != ""; logged != (ledger > events) || ledger > 2*events {
				t.Errorf("%g bytes in the ledger, of events that have %g", ledger, events)
			}
		})
	}

	for name, protocol := range map[string]string{"with a log": protocolV1, "without a log": ""} {
		t.Run("stream, "+name, func(t *testing.T) {
			t.Parallel()
			c := startAgloop(t, program)
			c.protocol = protocol
			m := &streamMode{rate: 10, burst: 4, delta: 24, length: 1, exact: true}
			r, err := streamRun(&c, m, 20, 10*time.Millisecond, 20*time.Second)
			check(t, err, "")
			if err == nil && value[uint64](t, r, "content_events") != 20*40 {
				t.Errorf("report %s", r.text())
			}
		})
	}

	for _, flags := range [][]string{{"--tls-self-signed"}, {"--tls-self-signed", "--tls-trim"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			t.Parallel()
			c := startMode(t, program, "echo", "/", flags...)
			c.tls, c.protocol = true, ""
			_, err := echoRun(&c, echoSettings{conns: 8, inflight: 4, size: 128, seconds: 0.2})
			check(t, err, "")
			_, err = idleRun(&c, 50, 64<<10, 10*time.Millisecond, 10*time.Millisecond)
			check(t, err, "")
			_, err = churnRun(&c, newChurnMode(0), 4, 0.2, 0)
			check(t, err, "")
			c.resume = true
			m := newChurnMode(0)
			m.bare = true
			_, err = churnRun(&c, m, 1, 0.3, 0)
			check(t, err, "")
			if m.cycles < 2 || m.resumed != m.cycles-1 {
				t.Errorf("%d of %d handshakes resumed a session", m.resumed, m.cycles)
			}
		})
	}
	t.Run("stream over TLS", func(t *testing.T) {
		t.Parallel()
		c := startAgloop(t, program, "--tls-self-signed")
		c.tls = true
		m := &streamMode{rate: 10, burst: 4, delta: 24, length: 1, exact: true}
		r, err := streamRun(&c, m, 20, 10*time.Millisecond, 20*time.Second)
		check(t, err, "")
		if err == nil && value[uint64](t, r, "content_events") != 20*40 {
			t.Errorf("report %s", r.text())
		}
		// Its figures come over TLS too.
		runs := &runsMode{runs: 10, events: 100, rate: 50, burst: 10}
		_, err = runsRun(&c, runs, 1, 128, 10*time.Millisecond)
		check(t, err, "")
	})

	t.Run("viewers", func(t *testing.T) {
		t.Parallel()
		c := startAgloop(t, program)
		r, err := viewersRun(&c, 12, 4, 20, 128, 0.5, 100*time.Millisecond)
		check(t, err, "")
		if err != nil {
			return
		}
		has(t, r, "server_us_per_msg", "kept", "p99_us")
		if runs, contents := value[int](t, r, "runs"), value[uint64](t, r, "content_events"); runs != 3 || contents != 12*20 {
			t.Errorf("report %s", r.text())
		}
		_, err = viewersRun(&c, 12, 5, 20, 128, 0.5, 0)
		check(t, err, "multiple of --viewers")
	})

	t.Run("resume", func(t *testing.T) {
		t.Parallel()
		c := startAgloop(t, program)
		m := &resumeMode{rate: 10, delta: 40, length: 1, returns: 2}
		r, err := resumeRun(&c, m, 100, 100*time.Millisecond, 200*time.Millisecond)
		check(t, err, "")
		if err == nil && (value[int](t, r, "finished") != 100 || value[uint64](t, r, "checked") != 100*14) {
			t.Errorf("report %s", r.text())
		}
	})
}
