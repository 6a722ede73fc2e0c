package main

import (
	"fmt"
	"io"
	"net"

	"github.com/agloop/agloop/server"
)

// fanoutServer publishes every message to all connections, the sender included.
type fanoutServer struct {
	server.NopHandler
	all *server.Topic
}

func (s *fanoutServer) OnOpen(c *server.Conn) {
	_, _ = s.all.Subscribe(c.ID()) // it fails when the connection is closed already
}

func (s *fanoutServer) OnMessage(_ *server.Conn, op server.Opcode, payload []byte) {
	s.all.Publish(op, payload)
}

func fanout(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("fanout", stderr)
	at := listenFlags(flags, "127.0.0.1:9003")
	loops := flags.Int("loops", 0, "`number` of event loops; 0 lets the library choose")
	if code, ok := parse(flags, args); !ok {
		return code
	}
	spareProcessor(*loops)
	handler := new(fanoutServer)
	cfg := server.Config{
		Handler: handler,
		Path:    server.AnyPath,
		Origins: []string{"*"},
		Loops:   *loops,
		Limits:  echoLimits(),
	}
	if err := at.secure(&cfg); err != nil {
		return fail(stderr, "fanout", err)
	}
	srv := server.New(cfg)
	handler.all = srv.Topic("all")
	return serve("fanout", at, srv, stderr, func(a net.Addr) {
		fmt.Fprintf(stdout, "agloop fanout: %s://%s/\n", at.scheme(), a)
	})
}
