package loop_test

import (
	"bufio"
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
	h := open(t, loop.DoorConfig{Handler: funcs{
		message: func(c *loop.Conn, _ frame.Opcode, _ []byte) {
			if first.CompareAndSwap(false, true) {
				time.Sleep(200 * time.Millisecond) // the rest gathers in the kernel, as it does on a busy loop
			}
			c.Send(frame.Text, reply)
		},
		closed: func(_ *loop.Conn, e *loop.CloseError) { why <- e },
	}})
	nc := h.socket(t, 0)
	const n = 10_000
	go nc.Write(bytes.Repeat(clientFrame(frame.Text, []byte("twenty bytes of text")), n))
	nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReaderSize(nc, 1<<20)
	for i := range n {
		if _, _, err := readFrame(r); err != nil {
			t.Fatalf("reply %d of %d: %v; the server says: %v", i, n, err, <-why)
		}
	}
}
