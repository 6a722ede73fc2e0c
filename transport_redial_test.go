package agloop_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// TestTransportBackoffBounds: full jitter reaches both ends of its range, which doubles up to the
// limit; Retry-After comes before it, capped.
func TestTransportBackoffBounds(t *testing.T) {
	const least, most = 100 * time.Millisecond, 30 * time.Second
	lowest := func(int64) int64 { return 0 }
	highest := func(n int64) int64 { return n - 1 }
	for failures, bound := range []time.Duration{
		100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
		1600 * time.Millisecond, 3200 * time.Millisecond, 6400 * time.Millisecond, 12800 * time.Millisecond,
		25600 * time.Millisecond, most, most, 100: most, 1 << 20: most,
	} {
		if bound == 0 {
			continue
		}
		if d := agloop.BackoffDelay(least, most, lowest, failures, 0); d != 0 {
			t.Errorf("%d failures: at least %v", failures, d)
		}
		if d := agloop.BackoffDelay(least, most, highest, failures, 0); d != bound {
			t.Errorf("%d failures: at most %v, want %v", failures, d, bound)
		}
	}
	for asked, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Hour: 5 * time.Minute} {
		if d := agloop.BackoffDelay(least, most, lowest, 0, asked); d != want {
			t.Errorf("Retry-After %v: at least %v, want %v", asked, d, want)
		}
		if d := agloop.BackoffDelay(least, most, highest, 0, asked); d != want+least {
			t.Errorf("Retry-After %v: at most %v, want %v", asked, d, want+least)
		}
	}
}

// lentLoops makes loops for transports inside a bubble of synctest: their waiting for the kernel
// there would stop the clock.
func lentLoops(t *testing.T) *loop.Engine {
	t.Helper()
	engine, err := loop.NewEngine(1, nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return engine
}

// TestTransportPauses holds the moments of dialling against the back-off: refused connections, and
// what a server's Retry-After asks for.
func TestTransportPauses(t *testing.T) {
	for _, tc := range []struct {
		name     string
		response string        // "" hangs up
		extra    time.Duration // behind every attempt
		failures agloop.DialFailures
	}{
		{"hangs up", "", 0, agloop.DialFailures{Network: 6}},
		{"busy", "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n\r\n", 7 * time.Second, agloop.DialFailures{Refused: 6}},
		{"busy for ever", "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 999999\r\n\r\n", 5 * time.Minute, agloop.DialFailures{Refused: 6}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			engine := lentLoops(t)
			synctest.Test(t, func(t *testing.T) {
				var moments []time.Duration
				start := time.Now()
				config := agloop.TransportConfig{URLs: []string{"ws://a/"}, ReconnectMax: time.Second}
				config.Client.Logger = quiet
				config.Client.Dial = func(context.Context, string, string) (net.Conn, error) {
					moments = append(moments, time.Since(start))
					ours, theirs := net.Pipe()
					go func() {
						defer theirs.Close()
						if _, err := http.ReadRequest(bufio.NewReader(theirs)); err != nil {
							t.Error(err)
						}
						io.WriteString(theirs, tc.response)
					}()
					return ours, nil
				}
				tr, err := agloop.NewTransport(config)
				if err != nil {
					t.Fatal(err)
				}
				tr.LendLoops(engine)
				tr.SetRandom(func(n int64) int64 { return n - 1 })
				var want []time.Duration
				at := time.Duration(0)
				for _, bound := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
					want = append(want, at)
					at += bound*time.Millisecond + tc.extra
				}
				ctx, cancel := context.WithTimeout(t.Context(), at-time.Nanosecond)
				defer cancel()
				err = tr.Start(ctx)
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "ws://a/") {
					t.Errorf("Start: %v", err)
				}
				if de, ok := errors.AsType[*agloop.DialError](err); ok != (tc.response != "") || ok && de.Status != 503 {
					t.Errorf("Start: %v", err)
				}
				if !slices.Equal(moments, want) {
					t.Errorf("dialled at %v\n     want %v", moments, want)
				}
				st := tr.Stats()
				if st.DialFailures != tc.failures || st.Dials != 6 || st.Redials != 5 || st.Dialling != 0 || st.LastError == nil {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// TestTransportServerReturns: a server that goes and comes back is found again, with as many
// connections as before.
func TestTransportServerReturns(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	begin := func() (*agloop.Server, chan error) {
		srv, served := agloop.NewServer(agloop.ServerConfig{Agent: hello}), make(chan error, 1)
		go func() { served <- srv.ServeListener(ln) }()
		return srv, served
	}
	srv, served := begin()
	tr := startTransport(t, agloop.TransportConfig{
		URLs: []string{wsURL(addr)}, ConnectionsPerURL: 3, ReconnectMin: time.Millisecond, ReconnectMax: 4 * time.Millisecond,
	})
	for round := range 3 {
		if round == 1 { // one with goodbye, one without
			err = srv.Shutdown(t.Context())
		} else {
			err = srv.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		<-served
		testkit.Await(t, "all three dial again", func() bool { st := tr.Stats(); return st.Up == 0 && st.Dialling == 3 })
		if tr.IsConnected() {
			t.Error("still connected")
		}
		got, failed := make(chan string, 1), make(chan error, 1)
		go func() { // waits for the server
			types, err := transportRun(t.Context(), tr, "r")
			got <- types
			failed <- err
		}()
		testkit.Await(t, "a run waits", func() bool { return tr.Stats().Waiting == 1 })
		if ln, err = net.Listen("tcp", addr); err != nil {
			t.Fatal(err)
		}
		srv, served = begin()
		if types, err := <-got, <-failed; types != helloTypes || err != nil {
			t.Errorf("round %d: %s %v", round, types, err)
		}
		testkit.Await(t, "all three are up", func() bool { return tr.Stats().Up == 3 })
	}
	if st := tr.Stats(); st.Lost != 9 || st.Redials < 9 || st.Runs != 3 || st.RunsFailed != 0 {
		t.Errorf("%+v", st)
	}
	if err := tr.Stop(); err != nil {
		t.Error(err)
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	<-served
}

// TestTransportLeftRunCostsItsConnection: and only that one; it is dialled again.
func TestTransportLeftRunCostsItsConnection(t *testing.T) {
	_, addr := serveBare(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
		<-ctx.Done()
		return nil
	})})
	tr := startTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}, ConnectionsPerURL: 2, ReconnectMin: time.Millisecond})
	in := &agui.RunAgentInput{ThreadID: "t", RunID: "r"}
	for range tr.Run(t.Context(), in) {
		break
	}
	testkit.Await(t, "the lost connection is replaced", func() bool { st := tr.Stats(); return st.Lost == 1 && st.Up == 2 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range tr.Run(ctx, in) {
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	testkit.Await(t, "the second lost connection is replaced", func() bool { st := tr.Stats(); return st.Lost == 2 && st.Up == 2 })
	func() {
		defer func() { _ = recover() }()
		for range tr.Run(t.Context(), in) {
			panic("in the caller's loop")
		}
	}()
	testkit.Await(t, "the third lost connection is replaced", func() bool { st := tr.Stats(); return st.Lost == 3 && st.Up == 2 })
	if st := tr.Stats(); st.Runs != 3 || st.RunsFailed != 1 || st.Busy != 0 || st.Redials != 3 {
		t.Errorf("%+v", st)
	}
}

// TestTransportDialTimeout: an attempt that nobody answers ends, and is counted as such.
func TestTransportDialTimeout(t *testing.T) {
	engine := lentLoops(t)
	synctest.Test(t, func(t *testing.T) {
		config := agloop.TransportConfig{URLs: []string{"ws://a/"}, DialTimeout: 3 * time.Second}
		config.Client.Logger = quiet
		config.Client.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		tr, err := agloop.NewTransport(config)
		if err != nil {
			t.Fatal(err)
		}
		tr.LendLoops(engine)
		start := time.Now()
		if err := tr.Start(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("Start: %v after %v", err, time.Since(start))
		}
		if f := tr.Stats().DialFailures; f != (agloop.DialFailures{Timeout: 1}) {
			t.Errorf("%+v", f)
		}
	})
}

// TestTransportConnectionsThatComeAndGo: what is upgraded and closed at once is lost, not a failed
// dial, and its slot backs off.
func TestTransportConnectionsThatComeAndGo(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: hangUp{}})
	var mu sync.Mutex
	var bounds []int64
	tr := newTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}, ReconnectMin: time.Millisecond, ReconnectMax: 16 * time.Millisecond})
	tr.SetRandom(func(n int64) int64 {
		mu.Lock()
		defer mu.Unlock()
		bounds = append(bounds, n-1)
		return 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	started := make(chan error, 1)
	go func() { started <- tr.Start(ctx) }() // may not see one that is up
	defer func() {
		cancel()
		<-started
	}()
	testkit.Await(t, "six pauses", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(bounds) >= 6
	})
	mu.Lock()
	defer mu.Unlock()
	want := []int64{1e6, 2e6, 4e6, 8e6, 16e6, 16e6}
	if !slices.Equal(bounds[:6], want) {
		t.Errorf("bounds %v, want %v", bounds[:6], want)
	}
	if f := tr.Stats().DialFailures; f != (agloop.DialFailures{}) {
		t.Errorf("%+v", f)
	}
}

// hangUp closes every connection with 1013.
type hangUp struct{ agloop.NopHandler }

func (hangUp) OnOpen(c *agloop.Conn) { c.Close(agloop.CloseTryLater, "not now") }
