package agloop_test

import (
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/internal/testkit"
)

// greeter sends a frame that nobody asked for to everybody who connects.
type greeter struct{ agloop.NopHandler }

func (greeter) OnOpen(c *agloop.Conn) {
	c.Send(agloop.Text, []byte("{}"))
	c.Close(agloop.CloseNormal, "")
}

// TestFramesOutsideRunsAreNotKept: what comes while no run reads belongs to none, and its buffer
// goes back to the pool.
func TestFramesOutsideRunsAreNotKept(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Handler: greeter{}})
	before := bufpool.InUse()
	for range 10 {
		c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
		if err != nil {
			t.Fatal(err)
		}
		testkit.Await(t, "the connection is gone", func() bool { return srv.Stats().Connections == 0 })
		c.Close()
	}
	testkit.Await(t, "no buffer is lent", func() bool { return bufpool.InUse() <= before })
}
