package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/codec/event"
)

func runOnce(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("run", stderr)
	url := flags.String("url", "ws://127.0.0.1:8080/ws", "`address` of the agent: ws, wss, http or https")
	message := flags.String("message", "", "what the user says")
	thread := flags.String("thread", "", "`id` of the conversation; a new one by default")
	props := flags.String("props", "", "forwardedProps of the input, as `JSON`")
	timeout := flags.Duration("timeout", time.Minute, "longest `time` the run may take, then it is stopped; 0 is no limit")
	if code, ok := parse(flags, args); !ok {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *timeout)
		defer cancel()
	}
	if err := printRun(ctx, *url, newInput(*thread, *message, *props), stdout); err != nil {
		return fail(stderr, "run", err)
	}
	return exitOK
}

func newInput(thread, message, props string) *agui.RunAgentInput {
	if thread == "" {
		thread = "thread-" + rand.Text()
	}
	in := &agui.RunAgentInput{ThreadID: thread, RunID: "run-" + rand.Text(), Messages: []agui.Message{}}
	if message != "" {
		in.Messages = append(in.Messages, agui.Message{
			ID: "message-" + rand.Text(), Role: agui.RoleUser, Content: agui.TextContent(message),
		})
	}
	if props != "" {
		in.ForwardedProps = []byte(props)
	}
	return in
}

// printRun writes each event of a run as one line of JSON. It returns nil only when the run ended
// with RUN_FINISHED. A run that is given up, for whatever reason, is stopped: leaving it does not do
// that everywhere.
func printRun(ctx context.Context, url string, in *agui.RunAgentInput, out io.Writer) error {
	c, err := client.Dial(ctx, url, client.Config{})
	if err != nil {
		return err
	}
	defer c.Close()
	over := false
	defer func() {
		if !over {
			cancelRun(c, in)
		}
	}()
	var line []byte
	var end error = errors.New("the stream ended without a terminal event")
	for ev, err := range c.Run(ctx, in) {
		if err != nil {
			return err
		}
		if line, err = event.Append(line[:0], ev); err != nil {
			return err
		}
		if _, err = out.Write(append(line, '\n')); err != nil {
			return err
		}
		switch e := ev.(type) {
		case *agui.RunFinished:
			over, end = true, nil
		case *agui.RunError:
			over, end = true, runFailed(e)
		}
	}
	return end
}

// cancelTimeout is how long a command waits for the end of a run that it stops.
const cancelTimeout = 2 * time.Second

// cancelRun stops a run that nobody reads any more, and waits for its end: a server drops what a
// client has asked for that is gone. On a bare wire, and over HTTP at a server that keeps no log, it has
// ended with its connection.
func cancelRun(c *client.Client, in *agui.RunAgentInput) {
	at := c.Cursor(in.ThreadID, in.RunID)
	if c.Protocol() == "" && at.Offset == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cancelTimeout)
	defer cancel()
	if c.Cancel(ctx, in.ThreadID, in.RunID) != nil { // whoever is told that it failed has no use for that
		return
	}
	for range c.Attach(ctx, in.ThreadID, in.RunID, at) { // up to the last event
	}
}

func runFailed(e *agui.RunError) error {
	if e.Code != nil {
		return errors.New("run failed: " + *e.Code + ": " + e.Message)
	}
	return errors.New("run failed: " + e.Message)
}
