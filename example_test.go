package agloop_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/server"
)

// tokens stands for a model: it streams the words of an answer.
func tokens(ctx context.Context, in *agui.RunAgentInput) <-chan string {
	ch := make(chan string)
	go func() {
		defer close(ch)
		for _, word := range strings.SplitAfter("Hello from "+in.ThreadID+".", " ") {
			select {
			case ch <- word:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch
}

// A host serves an agent; a client runs it.
func Example() {
	srv := server.New(server.Config{
		Agent: server.AgentFunc(func(ctx context.Context, run *server.Run) error {
			msg, err := run.TextMessage() // TEXT_MESSAGE_START
			if err != nil {
				return err
			}
			for tok := range tokens(ctx, run.Input) {
				if err := msg.Write(tok); err != nil { // TEXT_MESSAGE_CONTENT
					return err
				}
			}
			return msg.Close() // TEXT_MESSAGE_END
		}),
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- srv.ServeListener(ln) }()

	ctx := context.Background()
	c, err := client.Dial(ctx, "ws://"+ln.Addr().String()+"/ws", client.Config{})
	if err != nil {
		log.Fatal(err)
	}
	for ev, err := range c.Run(ctx, &agui.RunAgentInput{ThreadID: "thread-1", RunID: "run-1"}) {
		if err != nil {
			log.Fatal(err)
		}
		if text, ok := ev.(*agui.TextMessageContent); ok {
			fmt.Printf("%s %q\n", ev.Type(), text.Delta)
			continue
		}
		fmt.Println(ev.Type())
	}
	c.Close()
	srv.Shutdown(ctx)
	fmt.Println(<-served)
	// Output:
	// RUN_STARTED
	// TEXT_MESSAGE_START
	// TEXT_MESSAGE_CONTENT "Hello "
	// TEXT_MESSAGE_CONTENT "from "
	// TEXT_MESSAGE_CONTENT "thread-1."
	// TEXT_MESSAGE_END
	// RUN_FINISHED
	// agloop: server closed: use of closed network connection
}
