package agloop_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// logged is a log that a test can look at.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) has(all ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range all {
		if !strings.Contains(l.b.String(), s) {
			return false
		}
	}
	return true
}

// count is how often s stands in the log.
func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// TestPanicOutsideTheAgent: it ends the one connection, after the input's terminal event.
func TestPanicOutsideTheAgent(t *testing.T) {
	for name, hook := range map[string]func(raw []byte, decode func()){
		"decoding": func([]byte, func()) { panic("boom") },
		"session":  func([]byte, func()) {}, // there is no input then, and no error
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var log logged
			waits, goOn := make(chan struct{}), make(chan struct{})
			srv := agloop.NewServer(agloop.ServerConfig{Agent: hello, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			srv.OnDecode(func(raw []byte, decode func()) {
				if !bytes.Contains(raw, []byte("bad")) {
					decode()
					return
				}
				close(waits)
				<-goOn
				hook(raw, decode)
			})
			_, addr := serveOn(t, ln, srv)
			w := newWire(t, srv, addr)
			w.send(inputOf("bad", 0), inputOf("1", 0))
			<-waits
			close(goOn)
			if got := w.ends(2); got != "internal_error closed:1011" {
				t.Errorf("ends %s", got)
			}
			testkit.Await(t, "the run is over and nothing is held", func() bool { return srv.Stats().Runs == 0 && srv.Held() == 0 })
			if st := srv.Stats(); st.Panics != 1 || !log.has("panic", "session_decode.go") {
				t.Errorf("%d panics, log %q", st.Panics, log.b.String())
			}
			w = newWire(t, srv, addr)
			w.send(inputOf("2", 0))
			if got := w.ends(1); got != "2" {
				t.Errorf("another connection: %s", got)
			}
		})
	}
}

// TestGoexit: an agent that ends its goroutine, as FailNow of its test does, ends its run alone.
// Inputs that wait go on.
func TestGoexit(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{}, 10)
	srv := agloop.NewServer(agloop.ServerConfig{Agent: agloop.AgentFunc(func(_ context.Context, run *agloop.Run) error {
		<-gate
		if run.Input.RunID == "exits" {
			runtime.Goexit()
		}
		return nil
	})})
	srv.OnDecode(func(raw []byte, decode func()) {
		if bytes.Contains(raw, []byte("early")) {
			runtime.Goexit()
		}
		decode()
	})
	_, addr := serveOn(t, ln, srv)
	w := newWire(t, srv, addr)
	w.send(inputOf("exits", 0))
	w.await("RUN_STARTED")
	w.send(inputOf("1", 0), inputOf("early", 0), inputOf("2", 0), inputOf("exits", 0))
	pass(gate, 4)
	if got, want := w.ends(5), "agent_error 1 internal_error 2 agent_error"; got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
	testkit.Await(t, "the runs are over", func() bool { return srv.Stats().Runs == 0 })
	pass(gate, 1)
	w.send(inputOf("3", 0))
	if got := w.ends(1); got != "3" || srv.Stats().Panics != 0 {
		t.Errorf("then %s, and %d panics", got, srv.Stats().Panics)
	}
}
