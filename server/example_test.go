package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/server"
)

// echo is the level of bytes: it sends back what it gets, on the loop.
type echo struct{ server.NopHandler }

func (echo) OnMessage(c *server.Conn, op server.Opcode, payload []byte) {
	c.Reply(op, payload)
}

// printer is a client's handler that hands its messages on.
type printer struct {
	client.NopHandler
	got chan string
}

func (p printer) OnMessage(c *client.Conn, op server.Opcode, payload []byte) {
	p.got <- string(payload)
}

func ExampleHandler() {
	srv := server.New(server.Config{Handler: echo{}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- srv.ServeListener(ln) }()

	ctx := context.Background()
	p := printer{got: make(chan string, 1)}
	c, err := client.Dial(ctx, "ws://"+ln.Addr().String()+"/ws", client.Config{Handler: p})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Conn().Send(server.Text, []byte("hello")))
	fmt.Println(<-p.got)
	c.Close()
	fmt.Println(srv.Shutdown(ctx), errors.Is(<-served, server.ErrServerClosed))
	// Output:
	// sent
	// hello
	// <nil> true
}
