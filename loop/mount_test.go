package loop_test

import (
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// TestMountedOnBlockedLoop: a connection that net/http has handed over to a loop that blocks goes to
// another one with what it brings, and the first does not touch it when it goes on.
func TestMountedOnBlockedLoop(t *testing.T) {
	block, blocked := make(chan struct{}), make(chan struct{}, 1)
	h := openLoops(t, 2, loop.DoorConfig{Notes: true, Handler: &handler{message: func(c *loop.Conn, op frame.Opcode, p []byte) {
		if string(p) == "block" {
			blocked <- struct{}{}
			<-block
		}
		c.Send(op, p)
	}}}, slog.New(slog.DiscardHandler))
	release := sync.OnceFunc(func() { close(block) })
	t.Cleanup(release)
	srv := httptest.NewServer(h.door)
	defer srv.Close()
	mounted := func(text string) *peer {
		p := &peer{testkit.Connect(t, srv.Listener.Addr().String(), 0), t, h}
		p.Put(request(), testkit.Text(text))
		return p
	}
	stuck := mounted("block")
	receive(t, "the handler blocks", blocked)
	var peers []*peer
	for range 6 { // some of them to the loop that is not known to be blocked yet
		peers = append(peers, mounted("hi"))
	}
	for _, p := range peers {
		p.WantSwitch()
		p.WantMessage(frame.Text, "hi")
	}
	release()
	stuck.WantSwitch()
	stuck.WantMessage(frame.Text, "block")
	for range 3 {
		p := mounted("later")
		p.WantSwitch()
		p.WantMessage(frame.Text, "later")
		p.HangUp()
	}
	for _, p := range append(peers, stuck) {
		p.echoes()
		p.HangUp()
	}
	if n := h.stats().Panics; n != 0 {
		t.Errorf("%d panics", n)
	}
}
