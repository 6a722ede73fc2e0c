package loop

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
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
func scene(t *testing.T) (d *Door, h sabotage, dial func() net.Conn) {
	t.Helper()
	e, err := NewEngine(1, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h = sabotage{conns: make(chan *Conn, 1), deed: make(chan func(*Conn), 1)}
	if d, err = e.NewDoorWithDefaults(DoorConfig{Handler: h, Path: AnyPath, Log: slog.New(slog.DiscardHandler)}); err != nil {
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
	return d, h, func() net.Conn {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
		return nc
	}
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
			d, h, dial := scene(t)
			victim := dial()
			c := <-h.conns
			other := dial()
			co := <-h.conns
			message := []byte{0x81, 0x80, 0, 0, 0, 0}
			if name == "at the end of its turn" {
				h.deed <- strike
				victim.Write(message)
			} else {
				h.deed <- func(*Conn) { c.loop.run(c, strike) }
				other.Write(message)
			}
			io.Copy(io.Discard, victim) // until it is closed
			if n := c.loop.Counters.Panics.Load(); n == 0 {
				t.Error("not counted")
			}
			if co.Send(frame.Text, []byte("alive")) != Sent {
				t.Error("the other connection is gone")
			}
			b := make([]byte, 4<<10)
			for all := ""; len(all) < 7 || all[len(all)-5:] != "alive"; {
				n, err := other.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				all += string(b[:n])
			}
			for deadline := time.Now().Add(10 * time.Second); d.slots.Used() != 1; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("its slot is not free")
				}
			}
		})
	}
}
