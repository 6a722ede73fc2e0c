// Command gin mounts an agent in a group of a router of gin, behind a middleware that checks the
// key of a customer. The middleware puts the customer into the context of the request, where
// Authorize finds it, and so the agent. A request without a key never comes to agloop. Run it with
//
//	go run ./gin
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/agloop/agloop/server"
	"github.com/gin-gonic/gin"
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
	log.Printf("listening on http://%s/api, with an agent at /api/ws for X-Api-Key: key-of-acme", ln.Addr())
	if err := serve(ctx, ln); err != nil {
		log.Fatal(err)
	}
}

// endTimeout bounds the end of the program.
const endTimeout = 10 * time.Second

// serve serves on ln until ctx ends, and returns when everything has come to its end.
func serve(ctx context.Context, ln net.Listener) error {
	agent := server.New(server.Config{Agent: server.AgentFunc(greet), Authorize: authorize})

	r := gin.New()
	r.Use(gin.Logger(), gin.Recovery())
	api := r.Group("/api", requireCustomer)
	api.GET("/ws", gin.WrapH(agent))
	api.GET("/whoami", func(c *gin.Context) {
		c.String(http.StatusOK, "%s\n", customerOf(c.Request.Context()))
	})
	web := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}

	// web.Shutdown knows nothing of the connections that the agent has taken over. It calls this
	// function but does not wait for it, so its result is waited for below.
	ended := make(chan error, 1)
	web.RegisterOnShutdown(func() {
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		ended <- agent.Shutdown(ctx)
	})

	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	select {
	case err := <-served: // it cannot serve
		return errors.Join(err, agent.Close())
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	err := web.Shutdown(ctx)
	return errors.Join(err, <-ended)
}

// customers stands for the host's list: who has which key.
var customers = map[string]string{"key-of-acme": "acme", "key-of-globex": "globex"}

type customerKey struct{}

// requireCustomer refuses requests without a key that counts. It puts the customer into the context
// of the request: what c.Set keeps stays with gin, and Authorize does not see it.
func requireCustomer(c *gin.Context) {
	customer, ok := customers[c.GetHeader("X-Api-Key")]
	if !ok {
		c.AbortWithStatus(http.StatusForbidden)
		return
	}
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), customerKey{}, customer))
}

// customerOf is the customer of a request that requireCustomer has let pass, and "" of others.
func customerOf(ctx context.Context) string {
	customer, _ := ctx.Value(customerKey{}).(string)
	return customer
}

// authorize lets in whom the middleware has let pass. That there is one is checked again, so that
// an agent that is mounted outside of the group one day is not open to everybody.
func authorize(ctx context.Context, _ *server.Request) (server.Grant, error) {
	customer := customerOf(ctx)
	if customer == "" {
		return server.Grant{}, errors.New("no customer in the context: is the middleware missing?")
	}
	// The context ends with the request; what runs are to find of it is granted.
	return server.Grant{
		Principal: server.Principal{Key: customer},
		Values:    []any{customerKey{}, customer},
	}, nil
}

// greet is an agent that answers every input with one message.
func greet(_ context.Context, run *server.Run) error {
	msg, err := run.TextMessage()
	if err != nil {
		return err
	}
	if err := msg.Write("Hello " + run.Value(customerKey{}).(string) + "."); err != nil {
		return err
	}
	return msg.Close()
}
