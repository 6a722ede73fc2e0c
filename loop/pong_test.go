package loop_test

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

type smallSends struct{ net.Listener }

func (l smallSends) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		err = nc.(*net.TCPConn).SetWriteBuffer(8 << 10)
	}
	return nc, err
}

// TestPongUnderLoad: a ping is answered while the server always has more to send than the link
// takes.
func TestPongUnderLoad(t *testing.T) {
	eng, err := loop.NewEngine(1, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Stop(context.Background())
	block := make([]byte, 8<<10)
	fill := func(c *loop.Conn) {
		for c.Send(frame.Binary, block) == loop.Sent {
		}
	}
	door, err := eng.NewDoorWithDefaults(loop.DoorConfig{Path: loop.AnyPath, Log: slog.New(slog.DiscardHandler), Handler: funcs{
		message: func(c *loop.Conn, _ frame.Opcode, _ []byte) { fill(c) },
		drain:   fill,
	}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() { accepted <- door.Accept(smallSends{ln}) }()
	defer func() { ln.Close(); <-accepted }()
	h := &house{eng, door, ln.Addr().String()}
	nc := h.socket(t, 8<<10)
	nc.Write(clientFrame(frame.Text, []byte("go")))
	time.Sleep(50 * time.Millisecond)
	nc.Write(clientFrame(frame.Ping, []byte("?")))
	nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReaderSize(nc, 4<<10)
	for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(2 * time.Millisecond) {
		op, _, err := readFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		if op == frame.Pong {
			return
		}
	}
	t.Fatal("no pong in 5 s of data")
}
