package main

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/agloop/agloop/server"
)

// echoServer sends messages back from the loop that read them.
type echoServer struct{ server.NopHandler }

func (echoServer) OnMessage(c *server.Conn, op server.Opcode, payload []byte) {
	c.Reply(op, payload)
}

// echoLimits are wide enough for conformance suites, which send messages of many MiB in pieces of a
// few bytes, and for load tools with idle connections.
func echoLimits() server.Limits {
	return server.Limits{
		MaxMessage:     64 << 20,
		MaxFragments:   1 << 20,
		MessageTimeout: -1,
		IdleTimeout:    -1,
		SoftLimit:      64 << 20,
		HardLimit:      256 << 20,
	}
}

func echo(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("echo", stderr)
	at := listenFlags(flags, "127.0.0.1:9001")
	loops := flags.Int("loops", 0, "`number` of event loops; 0 lets the library choose")
	authorize := flags.Bool("authorize", false, "ask a function that lets everybody in")
	if code, ok := parse(flags, args); !ok {
		return code
	}
	spareProcessor(*loops)
	cfg := server.Config{
		Handler: echoServer{},
		Path:    server.AnyPath,
		Origins: []string{"*"},
		Hosts:   []string{"*"},
		Loops:   *loops,
		Limits:  echoLimits(),
		Rates:   server.Rates{Control: -1},
	}
	if *authorize {
		cfg.Authorize = func(context.Context, *server.Request) (g server.Grant, err error) { return g, nil }
	}
	if err := at.secure(&cfg); err != nil {
		return fail(stderr, "echo", err)
	}
	srv := server.New(cfg)
	return serve("echo", at, srv, stderr, func(a net.Addr) {
		fmt.Fprintf(stdout, "agloop echo: %s://%s/\n", at.scheme(), a)
	})
}
