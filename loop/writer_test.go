package loop_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// TestFramesNeedNoLoop keeps the only loop busy and sends on a connection of it: a frame, several
// in a row, and an urgent one.
func TestFramesNeedNoLoop(t *testing.T) {
	conns := make(chan *loop.Conn, 2)
	busy, free := make(chan struct{}), make(chan struct{})
	h := open(t, loop.DoorConfig{Handler: &handler{
		open: func(c *loop.Conn) { conns <- c },
		message: func(*loop.Conn, frame.Opcode, []byte) {
			close(busy)
			<-free
		},
	}, Limits: loop.Limits{MessageBatchTimeout: -1}})
	reader := h.dial(t)
	c := <-conns
	blocker := h.dial(t)
	<-conns
	blocker.Put(text("stay"))
	<-busy
	defer close(free)

	reader.SetReadDeadline(time.Now().Add(10 * time.Second))
	want := func(payload string) {
		t.Helper()
		if _, got, err := reader.Message(); err != nil || string(got) != payload {
			t.Fatalf("got %q, error %v, want %q", got, err, payload)
		}
	}
	c.Send(frame.Text, []byte("lone"))
	want("lone")
	for i := range 5 {
		for j := range 4 {
			c.Send(frame.Text, fmt.Appendf(nil, "burst %d, event %d", i, j))
		}
		for j := range 4 {
			want(fmt.Sprintf("burst %d, event %d", i, j))
		}
	}
	c.SendNow(frame.Text, []byte("the end"))
	want("the end")
}

// TestFramesOfAllSizesInOrder sends frames on both sides of every boundary to a peer that reads
// nothing until all are sent, so that each way of writing meets a full kernel.
func TestFramesOfAllSizesInOrder(t *testing.T) {
	conns := make(chan *loop.Conn, 1)
	h := open(t, loop.DoorConfig{
		Handler: &handler{open: func(c *loop.Conn) { conns <- c }},
		Limits:  loop.Limits{SoftLimit: 64 << 20, HardLimit: 256 << 20},
	})
	peer := h.narrow(t, 64<<10)
	c := <-conns
	sizes := []int{0, 1, 125, 126, 16<<10 - 4, 16 << 10, 16<<10 + 1, 32 << 10, 32<<10 + 1, 65535, 65536, 100 << 10, 1 << 20}
	payload := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)]) }
	const frames = 130
	sent := make(chan bool)
	go func() {
		for i := range frames {
			if r := c.Send(frame.Binary, payload(i)); r != loop.Sent {
				t.Errorf("frame %d: %v", i, r)
			}
			if i == frames/2 {
				sent <- true
			}
		}
		close(sent)
	}()
	<-sent
	peer.SetReadDeadline(time.Now().Add(30 * time.Second))
	for i := range frames {
		_, got, err := peer.Message()
		if err != nil || !bytes.Equal(got, payload(i)) {
			t.Fatalf("frame %d of %d bytes: %d bytes came, error %v", i, len(payload(i)), len(got), err)
		}
	}
	<-sent
	await(t, "nothing left to send", func() bool { return c.Buffered() == 0 })
}
