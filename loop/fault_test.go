package loop

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// sabotage hands connections to the test and does on the loop what it is told to.
type sabotage struct {
	NopHandler
	conns chan *Conn
	deed  chan func(*Conn)
}

func (s sabotage) OnOpen(c *Conn) { s.conns <- c }

func (s sabotage) OnMessage(c *Conn, _ frame.Opcode, _ []byte) { (<-s.deed)(c) }

// scene is one loop with one door whose connections are handed to the test.
func scene(t *testing.T, limits Limits) (d *Door, h sabotage, dial func() *testkit.Peer) {
	t.Helper()
	e, err := NewEngine(1, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h = sabotage{conns: make(chan *Conn, 1), deed: make(chan func(*Conn), 1)}
	if d, err = e.NewDoorWithDefaults(DoorConfig{Handler: h, Path: AnyPath, Log: slog.New(slog.DiscardHandler), Limits: limits}); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Accept(ln) }()
	t.Cleanup(func() {
		ln.Close()
		<-done
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d, h, func() *testkit.Peer { return testkit.Dial(t, ln.Addr().String()) }
}

// TestOurMistakeEndsOneConnection: a panic in the loop's own code, wherever it is, closes the
// connection it was about; it is counted, its slot is free, and the loop goes on.
func TestOurMistakeEndsOneConnection(t *testing.T) {
	spoil := func(c *Conn) { // a connection that owes OnDrain, whose door has lost its settings
		c.mu.Lock()
		defer c.mu.Unlock()
		c.outFlags |= outFull
		c.endpoint = &Endpoint{log: c.endpoint.log, door: c.endpoint.door, handler: c.endpoint.handler}
	}
	for name, strike := range map[string]func(c *Conn){
		"at the end of its turn":   spoil,
		"in the list of the dirty": func(c *Conn) { spoil(c); c.loop.handToLoop(c) },
		"in the writer":            func(c *Conn) { c.loop.runElsewhere(c, func() action { panic("a mistake") }) },
	} {
		t.Run(name, func(t *testing.T) {
			d, h, dial := scene(t, Limits{})
			victim := dial()
			c := <-h.conns
			other := dial()
			co := <-h.conns
			if name == "at the end of its turn" {
				h.deed <- strike
				victim.Put(testkit.Text(""))
			} else {
				h.deed <- func(*Conn) { c.loop.run(c, strike) }
				other.Put(testkit.Text(""))
			}
			io.Copy(io.Discard, victim) // until it is closed
			if n := c.loop.Counters.Panics.Load(); n == 0 {
				t.Error("not counted")
			}
			if co.Send(frame.Text, []byte("alive")) != Sent {
				t.Error("the other connection is gone")
			}
			other.WantMessage(frame.Text, "alive")
			testkit.Await(t, "its slot is free", func() bool { return d.slots.Used() == 1 })
		})
	}
}
