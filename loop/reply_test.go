package loop_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// TestReplyKeepsOrder: replies and sends of one goroutine arrive in the order of the calls,
// whatever their sizes and whatever waits before them.
func TestReplyKeepsOrder(t *testing.T) {
	sizes := []int{0, 5, 200, 5, 20_000, 33_000, 70_000, 7, 300_000, 3}
	payload := func(i, n int) []byte { return append(fmt.Appendf(nil, "%d/%d ", i, n), make([]byte, sizes[n])...) }
	// Which of the messages of a turn are replies: all, none, and mixtures.
	for _, replies := range []int{0b1111111111, 0, 0b0101010101, 0b1010101010, 0b0000011111, 0b1111100000} {
		t.Run(fmt.Sprintf("%010b", replies), func(t *testing.T) {
			turns := 0
			h := open(t, loop.DoorConfig{
				Limits: loop.Limits{SoftLimit: 8 << 20},
				Handler: &handler{message: func(c *loop.Conn, _ frame.Opcode, _ []byte) {
					for n := range sizes {
						send := c.Send
						if replies>>n&1 == 1 {
							send = c.Reply
						}
						if r := send(frame.Binary, payload(turns, n)); r == loop.Dropped {
							t.Errorf("message %d of turn %d was dropped", n, turns)
						}
					}
					turns++
				}},
			})
			nc := h.narrow(t, 16<<10)
			nc.Write(bytes.Repeat(text("go"), 10))
			nc.SetReadDeadline(time.Now().Add(testkit.Patience))
			for i := range 10 {
				for n := range sizes {
					op, got, err := nc.Message()
					if err != nil || op != frame.Binary || !bytes.Equal(got, payload(i, n)) {
						t.Fatalf("turn %d, message %d: frame %d of %d bytes, %v", i, n, op, len(got), err)
					}
				}
			}
		})
	}
}

// TestReplyAmongOthers: replies keep their order, and so do the messages of another goroutine, when
// both write at once.
func TestReplyAmongOthers(t *testing.T) {
	const n = 20_000
	i := 0
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{SoftLimit: 64 << 20},
		Handler: &handler{
			open: func(c *loop.Conn) {
				go func() {
					for i := range n {
						c.Send(frame.Text, fmt.Appendf(nil, "s%d", i))
					}
				}()
			},
			message: func(c *loop.Conn, _ frame.Opcode, _ []byte) {
				c.Reply(frame.Text, fmt.Appendf(nil, "r%d", i))
				i++
			},
		},
	})
	nc := h.dial(t)
	go nc.Write(bytes.Repeat(text("x"), n))
	nc.SetReadDeadline(time.Now().Add(testkit.Patience))
	sent, replied := 0, 0
	for sent < n || replied < n {
		_, got, err := nc.Message()
		switch {
		case err != nil:
			t.Fatal(err)
		case string(got) == fmt.Sprintf("s%d", sent):
			sent++
		case string(got) == fmt.Sprintf("r%d", replied):
			replied++
		default:
			t.Fatalf("got %q, want s%d or r%d", got, sent, replied)
		}
	}
}

// TestReplyToWhoDoesNotRead: above the soft limit it says so, and the peer is cut in the end.
func TestReplyToWhoDoesNotRead(t *testing.T) {
	results := make(chan loop.SendResult, 1<<20)
	ends := make(chan *loop.CloseError, 1)
	h := open(t, loop.DoorConfig{
		Limits: loop.Limits{SoftLimit: 64 << 10, HardLimit: 64 << 10},
		Handler: &handler{
			message: func(c *loop.Conn, _ frame.Opcode, _ []byte) {
				for range 100 {
					results <- c.Reply(frame.Binary, make([]byte, 10_000))
				}
			},
			gone: func(_ *loop.Conn, why *loop.CloseError) { ends <- why },
		},
	})
	nc := h.narrow(t, 8<<10)
	go func() {
		for range 100 {
			nc.Write(text("more")) // fails once it is cut
		}
	}()
	<-ends
	close(results)
	seen := map[loop.SendResult]int{}
	for r := range results {
		seen[r]++
	}
	if seen[loop.Sent] == 0 || seen[loop.Backpressure] == 0 || seen[loop.Dropped] == 0 {
		t.Errorf("results: %v", seen)
	}
}

// TestReplyThenClose: the close frame follows the replies.
func TestReplyThenClose(t *testing.T) {
	h := open(t, loop.DoorConfig{Handler: &handler{message: func(c *loop.Conn, op frame.Opcode, p []byte) {
		c.Reply(op, p)
		c.Close(frame.CloseNormal, "")
		if r := c.Reply(op, p); r != loop.Dropped {
			t.Errorf("after Close Reply answers %v", r)
		}
	}}})
	nc := h.dial(t)
	nc.Put(text("last words"))
	nc.WantMessage(frame.Text, "last words")
	nc.WantMessage(frame.Close, "\x03\xe8")
}
