package loop_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// logs is a log that tests read while it is written.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) has(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), what)
}

// twoLoops serves an echo whose handler blocks on "block" until the test releases it, and ends its
// goroutine on "exit".
func twoLoops(t *testing.T, limits loop.Limits) (h *house, log *logs, release chan struct{}) {
	t.Helper()
	log, release = new(logs), make(chan struct{})
	return openLoops(t, 2, loop.DoorConfig{Limits: limits, Handler: &handler{
		message: func(c *loop.Conn, op frame.Opcode, p []byte) {
			switch string(p) {
			case "block":
				<-release
			case "exit":
				runtime.Goexit()
			}
			c.Send(op, p)
		},
	}}, slog.New(slog.NewTextHandler(log, nil))), log, release
}

// TestBlockedLoop: one handler that blocks holds up the connections of its loop and nobody else; it
// is told, with the stack, and over when it returns.
func TestBlockedLoop(t *testing.T) {
	h, log, release := twoLoops(t, loop.Limits{})
	stuck := h.dial(t)
	if err := h.eng.Ready(); err != nil {
		t.Fatal(err)
	}
	stuck.Put(text("block"))
	for range 20 { // more than would fit if each loop were asked in turn
		nc := h.dial(t)
		nc.Put(text("hi"))
		nc.WantMessage(frame.Text, "hi")
	}
	await(t, "the stack of the handler", func() bool { return log.has("twoLoops") })
	await(t, "not ready", func() bool { return h.eng.Ready() != nil })
	close(release)
	stuck.WantMessage(frame.Text, "block")
	await(t, "ready again", func() bool { return h.eng.Ready() == nil })
}

// TestBlockedLoopsGiveSlotsBack: where every loop is blocked, connections on their way are hung up
// on when their handshake is overdue, and do not hold slots; the loops then find nobody.
func TestBlockedLoopsGiveSlotsBack(t *testing.T) {
	h, _, release := twoLoops(t, loop.Limits{HandshakeTimeout: 200 * time.Millisecond})
	a, b := h.dial(t), h.dial(t)
	for _, nc := range []*peer{a, b} {
		nc.Put(text("block"))
	}
	await(t, "both blocked", func() bool { return h.eng.Late() == 2 })
	late, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	late.SetReadDeadline(time.Now().Add(testkit.Patience))
	if n, err := late.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	await(t, "its slot is free", func() bool { return h.door.Slots().Used() == 2 })
	close(release)
	for _, nc := range []*peer{a, b} {
		nc.WantMessage(frame.Text, "block")
	}
	nc := h.dial(t)
	nc.Put(text("hi"))
	nc.WantMessage(frame.Text, "hi")
	await(t, "three slots used", func() bool { return h.door.Slots().Used() == 3 })
}

// TestLoopThatEnded: a handler that ends the goroutine of its loop ends the connections of that
// loop. New ones go to the others, Ready says so, and Stop does not hang.
func TestLoopThatEnded(t *testing.T) {
	h, log, _ := twoLoops(t, loop.Limits{})
	victim := h.dial(t)
	victim.Put(text("exit"))
	if _, _, err := victim.Message(); err == nil {
		t.Error("the connection of an ended loop is alive")
	}
	await(t, "not ready", func() bool { return h.eng.Ready() != nil })
	for range 10 {
		nc := h.dial(t)
		nc.Put(text("hi"))
		nc.WantMessage(frame.Text, "hi")
	}
	if !log.has("Goexit") {
		t.Error("nothing was logged")
	}
}

// TestStopHeedsItsContext: though a handler never returns.
func TestStopHeedsItsContext(t *testing.T) {
	h, _, release := twoLoops(t, loop.Limits{})
	nc := h.dial(t)
	nc.Put(text("block"))
	await(t, "blocked", func() bool { return h.eng.Late() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := h.eng.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
	close(release)
}

// TestDoorThatStopsClosesArrivals: a connection that was accepted before its door stopped, and comes
// to its loop after that, is closed and its slot is free.
func TestDoorThatStopsClosesArrivals(t *testing.T) {
	block, blocked := make(chan struct{}), make(chan struct{})
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{HandshakeTimeout: time.Hour},
		Handler: &handler{message: func(*loop.Conn, frame.Opcode, []byte) {
			close(blocked)
			<-block
		}},
	})
	busy := h.dial(t)
	busy.Put(text("block"))
	<-blocked
	late := h.connect(t)
	await(t, "it is accepted", func() bool { return h.door.Slots().Used() == 2 })
	h.door.StopAccepting()
	h.door.Slots().Each(func(c *loop.Conn) { c.Close(frame.CloseGoingAway, "") })
	close(block)
	late.WantEnd()
	busy.WantClose(frame.CloseGoingAway)
}
