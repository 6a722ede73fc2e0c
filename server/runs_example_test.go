package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/server"
)

// A run that the host starts by itself, which people follow and speak to.
func ExampleServer_StartRun() {
	listens := make(chan struct{})
	ended := make(chan server.RunEnd, 1)
	srv := server.New(server.Config{
		Authorize: func(_ context.Context, req *server.Request) (server.Grant, error) {
			return server.Grant{Principal: server.Principal{Key: req.Header.Get("User")}}, nil
		},
		Agent: server.AgentFunc(func(ctx context.Context, run *server.Run) error {
			said := run.Steering()
			close(listens)
			select {
			case <-said:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			text, _, err := run.TakeSteer()
			if err != nil {
				return err
			}
			m, err := run.TextMessage()
			if err != nil {
				return err
			}
			if err := m.Write("Now " + text + "."); err != nil {
				return err
			}
			return m.Close()
		}),
		Runs:  server.RunsConfig{Grace: 10 * time.Minute, Retention: time.Hour},
		Hooks: server.Hooks{RunEnded: func(end server.RunEnd) { ended <- end }},
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- srv.ServeListener(ln) }()

	ctx := context.Background()
	run, err := srv.StartRun(ctx, server.RunKey{Scope: "ada", Thread: "t", Run: "nightly"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	<-listens
	c, err := client.Dial(ctx, "ws://"+ln.Addr().String()+"/ws", client.Config{Header: map[string][]string{"User": {"ada"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for ev, err := range c.Follow(ctx, "t") {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch ev := ev.(type) {
		case *agui.RunStarted:
			taken, err := c.Steer(ctx, "t", ev.RunID, "in French")
			fmt.Println("taken:", taken, err)
		case *agui.TextMessageContent:
			fmt.Println(ev.Delta)
		}
		if ev.Type() == agui.EventTypeRunFinished {
			break
		}
	}
	fmt.Println("waited:", run.Wait(ctx))
	for _, m := range (<-ended).Thread.Messages() {
		fmt.Println(m.Role, m.Content.Text)
	}
	c.Close()
	fmt.Println(srv.Shutdown(ctx), errors.Is(<-served, server.ErrServerClosed))
	// Output:
	// taken: true <nil>
	// in French
	// Now in French.
	// waited: <nil>
	// user in French
	// assistant Now in French.
	// <nil> true
}
