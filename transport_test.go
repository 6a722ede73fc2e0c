package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// quiet drops the warnings of connections that a test ends.
var quiet = slog.New(slog.DiscardHandler)

// newTransport makes a transport that is stopped with the test.
func newTransport(t testing.TB, config agloop.TransportConfig) *agloop.Transport {
	t.Helper()
	config.Client.Logger = quiet
	tr, err := agloop.NewTransport(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Stop(); err != nil {
			t.Error(err)
		}
		if st := tr.Stats(); st.Up != 0 || st.Dialling != 0 || st.Busy != 0 || st.Waiting != 0 {
			t.Errorf("after Stop: %+v", st)
		}
	})
	return tr
}

// startTransport makes one that has all its connections.
func startTransport(t testing.TB, config agloop.TransportConfig) *agloop.Transport {
	t.Helper()
	tr := newTransport(t, config)
	if err := tr.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "all connections are up", func() bool { st := tr.Stats(); return st.Up == st.Wanted })
	return tr
}

// transportRun runs once and returns the types of the events.
func transportRun(ctx context.Context, tr *agloop.Transport, runID string) (string, error) {
	var got []string
	for ev, err := range tr.Run(ctx, &agui.RunAgentInput{ThreadID: "t", RunID: runID}) {
		if err != nil {
			return strings.Join(got, " "), err
		}
		got = append(got, string(ev.Type()))
	}
	return strings.Join(got, " "), nil
}

const helloTypes = "RUN_STARTED TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END RUN_FINISHED"

func TestTransportConfigErrorsNameTheField(t *testing.T) {
	for _, tc := range []struct {
		field string
		edit  func(*agloop.TransportConfig)
	}{
		{"URLs", func(c *agloop.TransportConfig) { c.URLs = nil }},
		{"URLs[1]", func(c *agloop.TransportConfig) { c.URLs = []string{"ws://a", "http://b"} }},
		{"URLs[0]", func(c *agloop.TransportConfig) { c.URLs = []string{"ws://a b"} }},
		{"URLs[0]", func(c *agloop.TransportConfig) { c.URLs = []string{"ws:///path"} }},
		{"ConnectionsPerURL", func(c *agloop.TransportConfig) { c.ConnectionsPerURL = -1 }},
		{"ConnectionsPerURL", func(c *agloop.TransportConfig) {
			c.URLs, c.ConnectionsPerURL = []string{"ws://a", "ws://b"}, 2
			c.PerformanceConfig.MaxConcurrentConnections = 3
		}},
		{"PerformanceConfig.MaxConcurrentConnections", func(c *agloop.TransportConfig) { c.PerformanceConfig.MaxConcurrentConnections = -1 }},
		{"DialTimeout", func(c *agloop.TransportConfig) { c.DialTimeout = -1 }},
		{"ReconnectMin", func(c *agloop.TransportConfig) { c.ReconnectMin = -1 }},
		{"ReconnectMax", func(c *agloop.TransportConfig) { c.ReconnectMax = time.Millisecond }},
		{"Client.Handler", func(c *agloop.TransportConfig) { c.Client.Handler = agloop.NopHandler{} }},
		{"Client.MaxPending", func(c *agloop.TransportConfig) { c.Client.MaxPending = -1 }},
		{"Client", func(c *agloop.TransportConfig) { c.Client.Header = http.Header{"X": {"a\r\nb: c"}} }},
		{"Limits.SoftLimit", func(c *agloop.TransportConfig) { c.Client.Limits.SoftLimit = -1 }},
	} {
		config := agloop.DefaultTransportConfig()
		tc.edit(&config)
		_, err := agloop.NewTransport(config)
		ce, ok := errors.AsType[*agloop.ConfigError](err)
		if !ok || ce.Field != tc.field {
			t.Errorf("%s: %v", tc.field, err)
		}
	}
	if _, err := agloop.NewTransport(agloop.TransportConfig{URLs: []string{"ws://a"}, ReconnectMin: time.Minute}); err != nil {
		t.Errorf("zeros: %v", err)
	}
}

// TestTransportSpreads: as many runs as connections go on at once, evenly over two servers, and
// later ones take turns.
func TestTransportSpreads(t *testing.T) {
	const each = 3
	var open sync.WaitGroup
	open.Add(2 * each)
	var counts [2]atomic.Int64
	config := agloop.DefaultTransportConfig()
	config.URLs, config.ConnectionsPerURL = nil, each
	for i := range counts {
		_, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
			counts[i].Add(1)
			if run.Input.ThreadID == "together" {
				open.Done()
				open.Wait()
			}
			return nil
		})})
		config.URLs = append(config.URLs, wsURL(addr))
	}
	tr := startTransport(t, config)
	if !tr.IsConnected() {
		t.Error("not connected")
	}
	var done sync.WaitGroup
	for i := range 2 * each {
		done.Go(func() {
			for _, err := range tr.Run(t.Context(), &agui.RunAgentInput{ThreadID: "together", RunID: strconv.Itoa(i)}) {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	if a, b := counts[0].Load(), counts[1].Load(); a != each || b != each {
		t.Errorf("%d and %d at once, want %d each", a, b, each)
	}
	for i := range 20 {
		if _, err := transportRun(t.Context(), tr, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := counts[0].Load(), counts[1].Load(); a != each+10 || b != each+10 {
		t.Errorf("%d and %d, want %d each", a, b, each+10)
	}
	if st := tr.Stats(); st.Runs != 2*each+20 || st.RunsFailed != 0 || st.Dials != 2*each || st.Redials != 0 || st.Lost != 0 || st.LastError != nil {
		t.Errorf("%+v", st)
	}
}

// counting is an agent that counts to n, naming its run.
func counting(n int) agloop.Agent {
	return agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
		msg, err := run.TextMessage()
		if err != nil {
			return err
		}
		for i := range n {
			if err := msg.Write(fmt.Sprintf("%s/%d", run.Input.RunID, i)); err != nil {
				return err
			}
		}
		return msg.Close()
	})
}

// TestTransportOrder: 20 runs at once on 5 connections each see their own events, in order, and so
// do the handlers.
func TestTransportOrder(t *testing.T) {
	const runs, words = 20, 200
	_, addr := serve(t, agloop.ServerConfig{Agent: counting(words)})
	config := agloop.DefaultTransportConfig()
	config.URLs, config.ConnectionsPerURL = []string{wsURL(addr)}, 5
	tr := startTransport(t, config)

	var mu sync.Mutex
	handled := map[string]int{} // by run: words so far
	tr.AddEventHandler(func(ev agui.Event) {
		if e, ok := ev.(*agui.TextMessageContent); ok {
			id, n, _ := strings.Cut(e.Delta, "/")
			mu.Lock()
			defer mu.Unlock()
			if n != strconv.Itoa(handled[id]) {
				t.Errorf("handler got %q as number %d", e.Delta, handled[id])
			}
			handled[id]++
		}
	})
	var done sync.WaitGroup
	for i := range runs {
		done.Go(func() {
			id, next := "run-"+strconv.Itoa(i), 0
			for ev, err := range tr.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: id}) {
				if err != nil {
					t.Error(id, err)
					return
				}
				e, ok := ev.(*agui.TextMessageContent)
				if !ok {
					continue
				}
				if want := fmt.Sprintf("%s/%d", id, next); e.Delta != want {
					t.Errorf("got %q, want %q", e.Delta, want)
					return
				}
				next++
				mu.Lock()
				if handled[id] != next {
					t.Errorf("%s: %d words yielded, %d handled", id, next, handled[id])
				}
				mu.Unlock()
			}
			if next != words {
				t.Errorf("%s: %d words of %d", id, next, words)
			}
		})
	}
	done.Wait()
	if st := tr.Stats(); st.Runs != runs || st.EventsIn != runs*(words+4) || st.Up != 5 || st.Busy != 0 {
		t.Errorf("%+v", st)
	}
}

// TestTransportFirstComeFirstServed: runs that wait get the one connection in the order they came;
// one that gives up is skipped.
func TestTransportFirstComeFirstServed(t *testing.T) {
	var served []string // in the agent: one at a time
	release := make(chan struct{})
	_, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
		served = append(served, run.Input.RunID)
		if run.Input.RunID == "0" {
			<-release
		}
		return nil
	})})
	tr := startTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}})
	impatient, giveUp := context.WithCancel(t.Context())
	var done sync.WaitGroup
	for i := range 6 {
		ctx, want := t.Context(), error(nil)
		if i == 3 {
			ctx, want = impatient, context.Canceled
		}
		done.Go(func() {
			if _, err := transportRun(ctx, tr, strconv.Itoa(i)); !errors.Is(err, want) {
				t.Errorf("run %d: %v", i, err)
			}
		})
		testkit.Await(t, "the run waits or is served", func() bool { st := tr.Stats(); return st.Waiting+st.Busy == i+1 })
	}
	giveUp()
	testkit.Await(t, "who gave up waits no more", func() bool { return tr.Stats().Waiting == 4 })
	close(release)
	done.Wait()
	if want := []string{"0", "1", "2", "4", "5"}; !slices.Equal(served, want) {
		t.Errorf("served %v, want %v", served, want)
	}
}

func TestTransportHandlers(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	tr := startTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}})
	var log []string
	note := func(who string) func(agui.Event) {
		return func(ev agui.Event) { log = append(log, who+" "+string(ev.Type())) }
	}
	tr.AddEventHandler(note("first"))
	removePanic := tr.AddEventHandler(func(agui.Event) { panic("oh") })
	tr.AddEventHandler(note("second"))
	removed := tr.AddEventHandler(note("removed"))
	removed()
	removed() // twice is once
	for ev, err := range tr.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: "r"}) {
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, "yield "+string(ev.Type()))
	}
	var want []string
	for typ := range strings.FieldsSeq(helloTypes) {
		want = append(want, "first "+typ, "second "+typ, "yield "+typ)
	}
	if !slices.Equal(log, want) {
		t.Errorf("got  %v\nwant %v", log, want)
	}
	removePanic()
	if _, err := transportRun(t.Context(), tr, "r2"); err != nil {
		t.Error(err)
	}
	if st := tr.Stats(); st.HandlerPanics != 5 || st.Up != 1 || st.EventsIn != 10 {
		t.Errorf("%+v", st)
	}
}

// TestTransportBeforeAndAfter: what needs a running transport says so.
func TestTransportBeforeAndAfter(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	tr := newTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}})
	closed := func() {
		t.Helper()
		_, err := transportRun(t.Context(), tr, "r")
		if !errors.Is(err, agloop.ErrTransportClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
		if err := tr.SendEvent(t.Context(), &agui.StepStarted{StepName: "s"}); !errors.Is(err, agloop.ErrTransportClosed) {
			t.Errorf("SendEvent: %v", err)
		}
		if tr.IsConnected() {
			t.Error("connected")
		}
	}
	closed()
	if err := tr.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tr.Start(t.Context()); !errors.Is(err, agloop.ErrTransportStarted) {
		t.Errorf("second Start: %v", err)
	}
	for _, err := range tr.Run(t.Context(), nil) {
		if _, ok := errors.AsType[*agloop.FieldError](err); !ok || tr.Stats().Runs != 0 {
			t.Errorf("a run without an input: %v", err)
		}
	}
	for range 2 {
		if err := tr.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	closed()
	if err := tr.Start(t.Context()); !errors.Is(err, agloop.ErrTransportClosed) {
		t.Errorf("Start after Stop: %v", err)
	}
	if err := newTransport(t, agloop.DefaultTransportConfig()).Stop(); err != nil {
		t.Errorf("Stop without Start: %v", err)
	}
}

// TestTransportStopEndsRuns: active and waiting ones, and the server hears 1000.
func TestTransportStopEndsRuns(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	_, addr := serve(t, agloop.ServerConfig{Runs: agloop.RunsConfig{OnDisconnect: agloop.DisconnectCancel}, Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
		close(started)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil
	})})
	tr := startTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}})
	active, waiting := make(chan error, 1), make(chan error, 1)
	go func() { _, err := transportRun(t.Context(), tr, "active"); active <- err }()
	<-started
	go func() { _, err := transportRun(t.Context(), tr, "waiting"); waiting <- err }()
	testkit.Await(t, "a run waits", func() bool { return tr.Stats().Waiting == 1 })
	if err := tr.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := <-active; !errors.Is(err, agloop.ErrClientClosed) {
		t.Errorf("the active run: %v", err)
	}
	if err := <-waiting; !errors.Is(err, agloop.ErrTransportClosed) {
		t.Errorf("the waiting run: %v", err)
	}
	if err := <-ended; err != agloop.ErrAbandoned {
		t.Errorf("the run on the server ended with %v", err)
	}
}
