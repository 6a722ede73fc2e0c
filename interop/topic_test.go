package interop

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
	gorilla "github.com/gorilla/websocket"
)

// opened tells of connections that are open.
type opened struct {
	server.NopHandler
	ids chan server.ConnID
}

func (h opened) OnOpen(c *server.Conn) { h.ids <- c.ID() }

// TestTopic: gorilla's clients, plain, over TLS and compressed, get what is published to a topic, once and in
// order, however large, and what is sent to one alone in its place.
func TestTopic(t *testing.T) {
	for name, cfg := range map[string]server.Config{
		"plain":      {},
		"TLS":        {TLS: testkit.ServerTLS(t)},
		"compressed": {Compression: server.Compression{Enabled: true, Threshold: -1}},
		"takeover":   {Compression: server.Compression{Enabled: true, Takeover: true}},
	} {
		t.Run(name, func(t *testing.T) {
			h := opened{ids: make(chan server.ConnID, 1)}
			cfg.Handler = h
			srv, url := serve(t, cfg)
			topic := srv.Topic("t")
			d := gorilla.Dialer{EnableCompression: cfg.Compression.Enabled, HandshakeTimeout: patience}
			if cfg.TLS != nil {
				d.TLSClientConfig, url = testkit.ClientTLS(), strings.Replace(url, "ws:", "wss:", 1)
			}
			const peers, rounds = 20, 50
			var all []*gorilla.Conn
			var ids []server.ConnID
			for range peers {
				c, _, err := d.DialContext(within(t), url, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				id := testkit.Receive(t, "the connection", h.ids)
				if _, err := topic.Subscribe(id); err != nil {
					t.Fatal(err)
				}
				all, ids = append(all, c), append(ids, id)
			}
			message := func(i int) string { return fmt.Sprint(i, " ", strings.Repeat("some text ", i*i*i%7_000)) }
			go func() {
				for i := range rounds {
					topic.Publish(server.Text, []byte(message(i)))
					for _, id := range ids {
						srv.Conn(id).Send(server.Text, []byte(fmt.Sprint("alone ", i)))
					}
				}
			}()
			var reading sync.WaitGroup
			for _, c := range all {
				reading.Go(func() {
					for i := range rounds {
						for _, want := range []string{message(i), fmt.Sprint("alone ", i)} {
							if _, got, err := c.ReadMessage(); err != nil || string(got) != want {
								t.Errorf("got %.20q, %v, want %.20q", got, err, want)
								return
							}
						}
					}
				})
			}
			reading.Wait()
		})
	}
}
