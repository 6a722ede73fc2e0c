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

type opens struct {
	NopHandler
	c chan *Conn
}

func (o opens) OnOpen(c *Conn) { o.c <- c }

// TestDelayedHoldsAConnectionOnce: a window that ends by its size leaves no copy of the connection
// on the list.
func TestDelayedHoldsAConnectionOnce(t *testing.T) {
	e, err := NewEngine(1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop(context.Background())
	o := opens{c: make(chan *Conn, 1)}
	d, err := e.NewDoorWithDefaults(DoorConfig{
		Handler: o, Path: AnyPath, Log: slog.New(slog.DiscardHandler),
		Limits: Limits{MessageBatchSize: 2, MessageBatchTimeout: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.Accept(ln) }()
	defer func() { ln.Close(); <-done }()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	go io.Copy(io.Discard, nc)
	c := <-o.c
	c.Send(frame.Text, []byte("opens the window"))
	for range 1000 {
		for c.Buffered() != 0 {
			time.Sleep(10 * time.Microsecond)
		}
		c.Send(frame.Text, []byte("a"))
		c.Send(frame.Text, []byte("b")) // two end the window
	}
	c.loop.mu.Lock()
	n := len(c.loop.delayed)
	c.loop.mu.Unlock()
	if n > 1 {
		t.Errorf("one connection stands %d times on the list", n)
	}
}
