package loop_test

import (
	"bytes"
	"testing"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// TestInAndOutAreHeld: what is assembled, what waits for the peer and what the host keeps count
// together, by capacity; who holds most is cut, whichever way it flows, and then nothing is held.
func TestInAndOutAreHeld(t *testing.T) {
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{SoftLimit: 16 << 20, HardLimit: 32 << 20},
		Handler: &handler{
			open:    func(c *loop.Conn) { conns <- c },
			message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) },
		},
	})
	in := h.dial(t)
	reads := <-conns
	whole := message(frame.Binary, make([]byte, 1<<20))
	in.Write(whole[:len(whole)-1]) // all but its last byte
	await(t, "the unfinished message is held", func() bool { return h.eng.Held() >= 1<<20 })
	held := h.eng.Held()

	out := h.narrow(t, 4<<10)
	writes := <-conns
	for writes.Buffered() < 4<<20 {
		writes.Send(frame.Binary, make([]byte, 64<<10))
	}
	if now := h.eng.Held(); now < held+4<<20 {
		t.Errorf("%d bytes held with 4 MiB waiting besides %d", now, held)
	}
	held = h.eng.Held()

	h.dial(t)
	keeps := <-conns
	keeps.Hold(2 << 20)
	if now := h.eng.Held(); now != held+2<<20 {
		t.Errorf("%d bytes held, want 2 MiB more than %d", now, held)
	}

	for _, c := range []*loop.Conn{writes, keeps, reads} { // in this order
		if n, _ := h.eng.CutLargest(1, 1<<20); n != 1 {
			t.Fatalf("%d cut", n)
		}
		await(t, "the next largest is cut", func() bool { return h.door.Slots().Conn(c.ID()) == nil })
	}
	keeps.Hold(-2 << 20) // the host lets go of it later
	await(t, "nothing is held", func() bool { return h.eng.Held() == 0 })
	if n, _ := h.eng.CutLargest(1, 1<<20); n != 0 {
		t.Errorf("then %d cut", n)
	}
	out.Close()
}

// TestHeldIsGivenBack: a message that is whole and a queue that has left are held no more.
func TestHeldIsGivenBack(t *testing.T) {
	h := open(t, loop.DoorConfig{Handler: &handler{message: func(c *loop.Conn, op frame.Opcode, p []byte) { c.Send(op, p) }}})
	nc := h.dial(t)
	whole := message(frame.Binary, bytes.Repeat([]byte("x"), 500_000))
	for range 5 {
		nc.Write(whole[:400_000])
		await(t, "held", func() bool { return h.eng.Held() > 0 })
		nc.Write(whole[400_000:])
		if op, p, err := nc.Message(); err != nil || op != frame.Binary || len(p) != 500_000 {
			t.Fatal(op, len(p), err)
		}
		await(t, "given back", func() bool { return h.eng.Held() == 0 })
	}
}
