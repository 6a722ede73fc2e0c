// Command chi mounts two servers in a router of chi, at a path each: an agent and an echo of bytes,
// both behind the middleware that most programs of chi have. What a middleware puts into the
// context of the request reaches Authorize; its timeout bounds that, and not the connection. Run it
// with
//
//	go run ./chi
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/agloop/agloop/server"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`address` to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s/, with an agent at /ws and an echo at /echo", ln.Addr())
	if err := serve(ctx, ln); err != nil {
		log.Fatal(err)
	}
}

// endTimeout bounds the end of the program.
const endTimeout = 10 * time.Second

// serve serves on ln until ctx ends, and returns when everything has come to its end.
func serve(ctx context.Context, ln net.Listener) error {
	agent := server.New(server.Config{Agent: server.AgentFunc(greet), Authorize: noteRequest})
	bytes := server.New(server.Config{Handler: echo{}, Loops: 1}) // each server has loops of its own

	r := chi.NewRouter()
	r.Use(middleware.RequestID, middleware.Logger, middleware.Recoverer, middleware.Timeout(10*time.Second))
	r.Get("/", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "The agent is at /ws, the echo at /echo.\n")
	})
	r.Handle("/ws", agent)
	r.Handle("/echo", bytes)
	web := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}

	// web.Shutdown knows nothing of the connections that were taken over. It calls these functions
	// but does not wait for them, so their results are waited for below.
	servers := []*server.Server{agent, bytes}
	ended := make(chan error, len(servers))
	for _, srv := range servers {
		web.RegisterOnShutdown(func() {
			ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
			defer cancel()
			ended <- srv.Shutdown(ctx)
		})
	}

	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	select {
	case err := <-served: // it cannot serve
		return errors.Join(err, agent.Close(), bytes.Close())
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	err := web.Shutdown(ctx)
	for range servers {
		err = errors.Join(err, <-ended)
	}
	return err
}

// noteRequest lets everybody in, and notes the request id for the runs and in the response: fields
// that a middleware sets on its ResponseWriter are not part of the response that accepts.
func noteRequest(ctx context.Context, _ *server.Request) (server.Grant, error) {
	id := middleware.GetReqID(ctx)
	return server.Grant{
		Principal: server.Principal{Value: id}, // found at Run.Principal
		Header:    http.Header{middleware.RequestIDHeader: {id}},
	}, nil
}

// greet is an agent that answers every input with one message.
func greet(_ context.Context, run *server.Run) error {
	msg, err := run.TextMessage()
	if err != nil {
		return err
	}
	if err := msg.Write("Hello, you came with request " + run.Principal.Value.(string) + "."); err != nil {
		return err
	}
	return msg.Close()
}

// echo sends back what it gets, on the loop.
type echo struct{ server.NopHandler }

func (echo) OnMessage(c *server.Conn, op server.Opcode, payload []byte) { c.Reply(op, payload) }
