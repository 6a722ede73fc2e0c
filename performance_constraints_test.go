package agloop_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
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

// What TestPerformanceConstraints asks for.
const (
	constraintConnections = 1000
	constraintEvents      = 50 // of each run
	constraintPause       = 50 * time.Millisecond
	constraintLatency     = 50 * time.Millisecond // an aim: p99, from Emit to the client's read
	constraintMemory      = 80 << 20              // resident, of the server's process
	constraintMemoryAim   = 16 << 20
)

// TestPerformanceConstraints holds 1,000 connections to a server in a process of its own, each with
// a run: all open at once, every event in order, in little memory. How long events take is told and
// no verdict: it depends on what else the machine does.
func TestPerformanceConstraints(t *testing.T) {
	server := startServer(t, "TestServerOfPerformanceConstraints")
	addr := server.say("addr")
	alone, _ := server.memory(t)
	start := make(chan struct{})
	var opened, finished sync.WaitGroup
	results := make([]delivered, constraintConnections)
	for i := range results {
		p := testkit.Dial(t, addr)
		opened.Add(1)
		finished.Go(func() {
			opened.Done()
			<-start
			results[i] = takeRun(p, i)
		})
	}
	opened.Wait()
	if n := server.say("connections"); n != strconv.Itoa(constraintConnections) {
		t.Errorf("%s connections are open", n)
	}
	idle, _ := server.memory(t)
	close(start)
	if runs := server.say("runs"); runs != strconv.Itoa(constraintConnections) {
		t.Errorf("%s runs at once", runs)
	}
	busy, _ := server.memory(t)
	finished.Wait()
	_, peak := server.memory(t)

	var latencies []time.Duration
	failed := 0
	for i, r := range results {
		if r.err != nil {
			if failed++; failed <= 3 {
				t.Errorf("connection %d after %d events: %v", i, len(r.latencies), r.err)
			}
		}
		latencies = append(latencies, r.latencies...)
	}
	if want := constraintConnections * constraintEvents; len(latencies) != want {
		t.Fatalf("%d connections failed; %d events of %d arrived", failed, len(latencies), want)
	}
	slices.Sort(latencies)
	at := func(q float64) time.Duration { return latencies[int(q*float64(len(latencies)-1))] }
	t.Logf("%d events on %d connections: latency p50 %v, p99 %v, most %v; aim of %v met: %v",
		len(latencies), constraintConnections, at(0.50), at(0.99), at(1), constraintLatency, at(0.99) < constraintLatency)
	mib := func(n int64) float64 { return float64(n) / (1 << 20) }
	t.Logf("resident of the server: %.1f MiB without connections, %.1f with, %.1f with runs, %.1f at most; aim of %.0f met: %v",
		mib(alone), mib(idle), mib(busy), mib(peak), mib(constraintMemoryAim), peak < constraintMemoryAim)
	if testkit.Race {
		return // memory is the race detector's, which takes many times as much
	}
	if peak >= constraintMemory {
		t.Errorf("server took %d bytes, not under %d", peak, constraintMemory)
	}
}

// delivered is what one connection received.
type delivered struct {
	latencies []time.Duration
	err       error
}

// takeRun starts a run and reads it to its end.
func takeRun(p *testkit.Peer, id int) (d delivered) {
	d.latencies = make([]time.Duration, 0, constraintEvents)
	input := fmt.Sprintf(`{"threadId":"t%d","runId":"r%d","messages":[],"tools":[],"context":[]}`, id, id)
	if _, d.err = p.Write(testkit.Text(input)); d.err != nil {
		return d
	}
	order := []agui.EventType{agui.EventTypeRunStarted, agui.EventTypeTextMessageStart}
	for range constraintEvents {
		order = append(order, agui.EventTypeTextMessageContent)
	}
	order = append(order, agui.EventTypeTextMessageEnd, agui.EventTypeRunFinished)
	for i, want := range order {
		op, ev, err := p.Message()
		now := time.Now().UnixMicro()
		if err != nil {
			d.err = err
			return d
		}
		if op != agloop.Text || member(ev, "type") != string(want) {
			d.err = fmt.Errorf("event %d is %q, want %s", i, ev, want)
			return d
		}
		if want != agui.EventTypeTextMessageContent {
			continue
		}
		seq, sent, _ := strings.Cut(member(ev, "delta"), " ")
		at, err := strconv.ParseInt(sent, 10, 64)
		if err != nil || seq != strconv.Itoa(len(d.latencies)) {
			d.err = fmt.Errorf("content %d is %q", len(d.latencies), ev)
			return d
		}
		d.latencies = append(d.latencies, time.Duration(now-at)*time.Microsecond)
	}
	return d
}

// member is a string member of an event that needs no unescaping.
func member(event []byte, name string) string {
	_, rest, _ := bytes.Cut(event, []byte(`"`+name+`":"`))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

// TestServerOfPerformanceConstraints is the other process of TestPerformanceConstraints. Started by
// itself it has nothing to do.
func TestServerOfPerformanceConstraints(t *testing.T) {
	if !isServer(t) {
		return
	}
	cfg := agloop.DefaultPerformanceConfig()
	cfg.MaxConcurrentConnections = constraintConnections
	srv, addr := serve(t, agloop.ServerConfig{Performance: cfg, Agent: agloop.AgentFunc(constraintAgent)})
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		switch commands.Text() {
		case "addr":
			fmt.Println(addr)
		case "connections":
			fmt.Println(srv.Stats().Connections)
		case "runs":
			<-constraintRuns.all
			fmt.Println(srv.Stats().Runs)
			close(constraintRuns.begin)
		}
	}
}

// constraintRuns holds the runs until all have started and were counted.
var constraintRuns = struct {
	started    atomic.Int64
	all, begin chan struct{}
}{all: make(chan struct{}), begin: make(chan struct{})}

// constraintAgent says with each event which it is and when it was sent, in microseconds.
func constraintAgent(ctx context.Context, run *agloop.Run) error {
	msg, err := run.TextMessage()
	if err != nil {
		return err
	}
	if constraintRuns.started.Add(1) == constraintConnections {
		close(constraintRuns.all)
	}
	select {
	case <-constraintRuns.begin:
	case <-ctx.Done():
		return ctx.Err()
	}
	tick := time.NewTicker(constraintPause)
	defer tick.Stop()
	for i := range constraintEvents {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := msg.Write(strconv.Itoa(i) + " " + strconv.FormatInt(time.Now().UnixMicro(), 10)); err != nil {
			return err
		}
	}
	return msg.Close()
}
