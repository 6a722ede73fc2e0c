package loop_test

import (
	"log/slog"
	"net"
	"testing"

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
	block := make([]byte, 8<<10)
	fill := func(c *loop.Conn) {
		for c.Send(frame.Binary, block) == loop.Sent {
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := openOn(t, smallSends{ln}, 1, loop.DoorConfig{Handler: &handler{
		message: func(c *loop.Conn, _ frame.Opcode, _ []byte) { fill(c) },
		drain:   fill,
	}}, slog.New(slog.DiscardHandler))
	nc := h.narrow(t, 8<<10)
	nc.Put(text("go"))
	await(t, "more waits than the link takes", func() bool { return h.eng.Held() > 0 })
	nc.Put(message(frame.Ping, []byte("?")))
	const most = 2500 // frames before the pong, several times what waits for the peer at a time
	for range most {
		if op, _, err := nc.Message(); err != nil {
			t.Fatal(err)
		} else if op == frame.Pong {
			return
		}
	}
	t.Fatalf("no pong in %d frames of data", most)
}
