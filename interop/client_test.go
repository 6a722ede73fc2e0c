package interop

import (
	"bytes"
	"testing"

	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/server"
)

// connect is client.Dial that must succeed.
func connect(t testing.TB, url string, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.Dial(within(t), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// toChannel gives each message to a channel with room for it.
type toChannel struct {
	client.NopHandler
	got  chan string
	ends chan *client.CloseError // may be nil
}

func (h toChannel) OnMessage(_ *client.Conn, _ server.Opcode, p []byte) { h.got <- string(p) }

func (h toChannel) OnClose(_ *client.Conn, why *client.CloseError) {
	if h.ends != nil {
		h.ends <- why
	}
}

var _ = bytes.Equal
