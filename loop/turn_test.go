package loop_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// TestRepliesOfOneTurnAreNoSlowReader: a peer that pipelines requests and reads all replies at once
// is not a slow reader.
func TestRepliesOfOneTurnAreNoSlowReader(t *testing.T) {
	var first atomic.Bool
	why := make(chan *loop.CloseError, 1)
	reply := bytes.Repeat([]byte("r"), 1000)
	h := open(t, loop.DoorConfig{Handler: &handler{
		message: func(c *loop.Conn, _ frame.Opcode, _ []byte) {
			if first.CompareAndSwap(false, true) {
				time.Sleep(50 * time.Millisecond) // a loop that is busy, while the rest gathers in the kernel
			}
			c.Send(frame.Text, reply)
		},
		gone: func(_ *loop.Conn, e *loop.CloseError) { why <- e },
	}})
	nc := h.dial(t)
	const n = 10_000
	go nc.Write(bytes.Repeat(text("twenty bytes of text"), n))
	for i := range n {
		if _, _, err := nc.Message(); err != nil {
			t.Fatalf("reply %d of %d: %v; the server says: %v", i, n, err, <-why)
		}
	}
}
