package loop

import (
	"io"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// TestDelayedHoldsAConnectionOnce: a window that ends by its size leaves no copy of the connection
// on the list.
func TestDelayedHoldsAConnectionOnce(t *testing.T) {
	_, h, dial := scene(t, Limits{MessageBatchSize: 2, MessageBatchTimeout: time.Second})
	go io.Copy(io.Discard, dial())
	c := <-h.conns
	c.Send(frame.Text, []byte("opens the window"))
	for range 1000 {
		testkit.Await(t, "the last window has left", func() bool { return c.Buffered() == 0 })
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
